"""A store gives back what was put in, whatever happens in between, or says what is wrong."""

import pickle

import pytest
import torch

from captioning.data.features import FeatureStore
from captioning.errors import UserError
from captioning.memory import VisualMemory

ENCODER = {"_target_": "captioning.encoders.grid.GridEncoder", "backbone": "tiny"}


def memory(counts, width=6, boxes=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    longest = max(counts)
    mask = torch.arange(longest) < torch.tensor(counts)[:, None]
    tokens = torch.randn(len(counts), longest, width, generator=generator).half().float() * mask[..., None]
    corners = torch.rand(len(counts), longest, 4, generator=generator) * mask[..., None]
    return VisualMemory(tokens, mask, tokens.mean(1).half().float(), corners if boxes else None)


def create(folder, columns=("tokens", "pooled", "boxes")):
    return FeatureStore.create(folder, encoder=ENCODER, digest="d" * 64, width=6, columns=columns)


def filled(folder):
    store = create(folder)
    store.append(["a", "b", "c"], memory([3, 1, 4]))
    store.append([7, 8], memory([2, 5], seed=1))
    return store


def same(first, second):
    return all(
        torch.equal(getattr(first, name).float(), getattr(second, name).float())
        for name in ("tokens", "mask", "pooled", "boxes")
    )


def test_what_is_read_is_what_was_put_in_in_any_order(tmp_path):
    filled(tmp_path)
    read = FeatureStore(tmp_path).read([8, "a", "c"])
    first, second = memory([3, 1, 4]), memory([2, 5], seed=1)
    for at, (source, row, count) in enumerate([(second, 1, 5), (first, 0, 3), (first, 2, 4)]):
        assert read.mask[at].sum() == count
        assert torch.equal(read.tokens[at, :count].float(), source.tokens[row, :count])
        assert torch.equal(read.boxes[at, :count], source.boxes[row, :count])
        assert torch.equal(read.pooled[at].float(), source.pooled[row])
        assert not read.tokens[at, count:].any()


def test_a_store_that_lost_its_last_batch_half_written_ends_as_one_never_interrupted(tmp_path):
    whole = filled(tmp_path / "whole")
    for cut in range(0, 12):
        folder = tmp_path / f"cut{cut}"
        broken = create(folder)
        broken.append(["a", "b", "c"], memory([3, 1, 4]))
        with (folder / "tokens.bin").open("ab") as file:
            file.write(b"x" * cut)
        with (folder / "index.jsonl").open("ab") as file:
            file.write(b'{"id": 7, "row": 8,'[:cut])
        store = FeatureStore(folder).recover()
        assert store.missing(["a", 7]) == [7]
        store.append([7, 8], memory([2, 5], seed=1))
        for name in ("tokens.bin", "pooled.bin", "boxes.bin", "index.jsonl"):
            assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_store_by_another_encoder_is_refused_with_both_names(tmp_path):
    filled(tmp_path)
    with pytest.raises(UserError, match=r"tiny.*other"):
        FeatureStore.create(tmp_path, encoder={"backbone": "other"}, digest="e" * 64, width=6, columns=["tokens"])


def test_an_unknown_picture_is_named(tmp_path):
    with pytest.raises(UserError, match="'nobody'"):
        filled(tmp_path).read(["a", "nobody"])


def test_values_too_large_for_half_precision_stay_finite(tmp_path):
    store = create(tmp_path, columns=("tokens", "pooled"))
    store.append(["a"], VisualMemory(torch.full((1, 2, 6), 1e9), torch.ones(1, 2).bool(), torch.zeros(1, 6)))
    assert torch.isfinite(store.read(["a"]).tokens).all()


def test_a_flipped_bit_is_found_by_the_check(tmp_path):
    store = filled(tmp_path)
    assert store.damaged() == []
    content = bytearray((tmp_path / "tokens.bin").read_bytes())
    content[-1] ^= 1
    (tmp_path / "tokens.bin").write_bytes(content)
    assert FeatureStore(tmp_path).damaged() == [8]


def test_a_store_travels_to_a_worker_process(tmp_path):
    store = filled(tmp_path)
    assert same(pickle.loads(pickle.dumps(store)).read(["b", 7]), store.read(["b", 7]))


@pytest.mark.parametrize("name", ["store.json", "index.jsonl", "tokens.bin"])
@pytest.mark.parametrize("damage", ["gone", "empty", "noise"])
def test_a_damaged_store_is_named(tmp_path, name, damage):
    filled(tmp_path)
    path = tmp_path / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else b"\x00\xff\n")
    if (name, damage) == ("index.jsonl", "empty"):
        assert len(FeatureStore(tmp_path)) == 0  # a store in which nothing was finished
    else:
        with pytest.raises(UserError, match=str(tmp_path)):
            FeatureStore(tmp_path)
