"""An index built in two runs equals one built at once; what is gone vanishes; search is what a plain sort finds."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioning.errors import UserError
from captioning.features.vector_index import VectorIndex


def vectors(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def names(count: int, first: int = 0) -> list[str]:
    return [f"{i}.jpg" for i in range(first, first + count)]


def new(folder, width: int = 16) -> VectorIndex:
    return VectorIndex.open(folder, width=width, maker="a model")


def answers(index: VectorIndex, queries: np.ndarray, top: int = 5) -> list[list[tuple[str, float]]]:
    return [[(found.name, round(found.score, 5)) for found in row] for row in index.search(queries, top)]


@pytest.mark.parametrize("queries", [1, 7])
@pytest.mark.parametrize("count, width", [(1, 16), (50, 16), (20_000, 64)])
def test_search_is_exact(tmp_path, count, width, queries):
    rows, asked = vectors(count, width), vectors(queries, width, seed=1)
    index = new(tmp_path, width)
    index.add(names(count), rows)
    stored = rows.astype(np.float16).astype(np.float32)
    for query, found in zip(asked, index.search(asked, 10), strict=True):
        right = np.sort(stored @ query)[::-1][:10]
        np.testing.assert_allclose([each.score for each in found], right, atol=1e-5)
        at = [int(each.name.split(".")[0]) for each in found]
        np.testing.assert_allclose(stored[at] @ query, right, atol=1e-5)


def test_two_runs_equal_one(tmp_path):
    rows = vectors(60)
    once, twice = new(tmp_path / "once"), new(tmp_path / "twice")
    once.add(names(60), rows)
    twice.add(names(40), rows[:40])
    new(tmp_path / "twice").add(names(20, 40), rows[40:])
    again = VectorIndex(tmp_path / "twice")
    assert again.names == once.names and answers(again, vectors(6, seed=2)) == answers(once, vectors(6, seed=2))
    assert (tmp_path / "once" / "vectors-0.f16").read_bytes() == (tmp_path / "twice" / "vectors-0.f16").read_bytes()


def test_update_follows_a_folder_and_asks_only_for_what_is_new(tmp_path):
    asked: list[str] = []

    def embed(wanted):
        asked.extend(wanted)
        for name in wanted:
            yield [name], vectors(1, seed=sum(name.encode()))

    index = new(tmp_path)
    assert index.update({"a": 1, "b": 1, "c": 1}, embed) == (3, 0)
    assert index.update({"a": 1, "b": 2, "d": 1}, embed) == (2, 2)  # b changed, c was deleted
    assert asked == ["a", "b", "c", "b", "d"]
    assert sorted(VectorIndex(tmp_path).names) == ["a", "b", "d"]
    assert "c" not in {found.name for found in VectorIndex(tmp_path).search(vectors(1), 10)[0]}
    assert index.update({"a": 1, "b": 2, "d": 1}, embed) == (0, 0)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 60)), max_size=60))
def test_any_history_leaves_what_is_there(tmp_path_factory, history):
    folder = tmp_path_factory.mktemp("index")
    index, there = new(folder), {}
    for step, (what, number) in enumerate(history):
        if what == "add":
            chosen = names(30, number)
            rows = vectors(30, seed=step)
            index.add(chosen, rows)
            there |= dict(zip(chosen, rows, strict=True))
        else:
            index.remove(names(20, number))
            there = {name: row for name, row in there.items() if name not in names(20, number)}
    for each in (index, VectorIndex(folder)):
        assert set(each.names) == there.keys() and not each.damaged()
        if there:
            np.testing.assert_allclose(each.vectors(list(there)), np.stack(list(there.values())), atol=1e-3)
            assert {found.name for found in each.search(vectors(1), 1000)[0]} == there.keys()


def test_removing_most_of_it_makes_the_files_small_again(tmp_path):
    index = new(tmp_path)
    index.add(names(500), vectors(500))
    before = answers(VectorIndex(tmp_path), vectors(1, seed=3), 500)
    index.remove(names(450))
    assert sum(path.stat().st_size for path in tmp_path.glob("*.f16")) == 50 * 16 * 2
    kept = [found for found in before[0] if int(found[0].split(".")[0]) >= 450]
    assert answers(VectorIndex(tmp_path), vectors(1, seed=3), 500) == [kept]


@pytest.mark.parametrize("cut", ["line", "rows"])
def test_a_run_that_was_killed_leaves_what_it_had_finished(tmp_path, cut):
    index = new(tmp_path)
    index.add(names(10), vectors(10))
    if cut == "line":
        with (tmp_path / "vectors-0.jsonl").open("ab") as file:
            file.write(b'{"name": "half')
    with (tmp_path / "vectors-0.f16").open("ab") as file:
        file.write(b"x" * 37)
    again = VectorIndex(tmp_path)
    assert again.names == names(10)
    again.add(["new.jpg"], vectors(1, seed=9))
    assert VectorIndex(tmp_path).names == [*names(10), "new.jpg"] and not VectorIndex(tmp_path).damaged()
    np.testing.assert_allclose(VectorIndex(tmp_path).vectors(["new.jpg"]), vectors(1, seed=9), atol=1e-3)


def test_damage_is_found_and_named(tmp_path):
    index = new(tmp_path)
    index.add(names(10), vectors(10))
    with (tmp_path / "vectors-0.f16").open("r+b") as file:
        file.seek(3 * 32)
        file.write(b"\xff\x00")
    assert VectorIndex(tmp_path).damaged() == ["3.jpg"]
    os.truncate(tmp_path / "vectors-0.f16", 100)
    with pytest.raises(UserError, match="shorter"):
        VectorIndex(tmp_path)


def test_what_is_no_index_or_no_vector_is_refused_by_name(tmp_path):
    index = new(tmp_path)
    for wrong in (np.zeros((1, 16)), np.full((1, 16), np.nan), np.ones((1, 4))):
        with pytest.raises(UserError, match="16 finite numbers"):
            index.add(["a"], wrong)
    with pytest.raises(UserError, match="another model"):
        VectorIndex.open(tmp_path, width=16, maker="another")
    with pytest.raises(UserError, match="index.json"):
        VectorIndex(tmp_path / "nowhere")
    (tmp_path / "vectors-0.jsonl").write_text('{"name": 3}\n')
    with pytest.raises(UserError, match="line 1"):
        VectorIndex(tmp_path)
    about = json.loads((tmp_path / "index.json").read_text()) | {"version": 99}
    (tmp_path / "index.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="later version"):
        VectorIndex(tmp_path)


def test_an_empty_index_finds_nothing(tmp_path):
    assert new(tmp_path).search(vectors(2)) == [[], []]


def test_an_approximate_search_that_asks_every_list_is_the_exact_one(tmp_path):
    pytest.importorskip("faiss")
    index, queries = new(tmp_path), vectors(6, seed=5)
    index.add(names(2000), vectors(2000))
    with pytest.raises(UserError, match="approximate"):
        index.search(queries, approximate=True)
    index.approximate(lists=20, probes=20)
    found = [[each.name for each in row] for row in index.search(queries, approximate=True)]
    right = [[each.name for each in row] for row in index.search(queries)]
    assert sum(len({*a} & {*b}) for a, b in zip(found, right, strict=True)) >= 58  # halves are summed in another order
    index.remove(names(1))
    with pytest.raises(UserError, match="holds now"):
        index.search(queries, approximate=True)
