"""A store gives back what was put in, whatever happens in between, or says what is wrong."""

import json
import pickle
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from captioning.errors import UserError
from captioning.features.store import FeatureStore
from captioning.features.store_part import PartWriter, seal
from captioning.memory import VisualMemory

ENCODER = {"_target_": "captioning.encoders.grid.GridEncoder", "backbone": "tiny"}


def memory(counts, width=6, boxes=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    longest = max(counts)
    mask = torch.arange(longest) < torch.tensor(counts)[:, None]
    tokens = torch.randn(len(counts), longest, width, generator=generator).half().float() * mask[..., None]
    corners = torch.rand(len(counts), longest, 4, generator=generator) * mask[..., None]
    return VisualMemory(tokens, mask, tokens.mean(1).half().float(), corners if boxes else None)


def create(folder, columns=("tokens", "pooled", "boxes"), width=6, **options):
    return FeatureStore.create(folder, encoder=ENCODER, digest="d" * 64, width=width, columns=columns, **options)


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


def test_what_a_crash_left_half_written_does_not_count_and_does_no_harm(tmp_path):
    for cut in range(0, 48, 5):
        folder = tmp_path / f"cut{cut}"
        create(folder).append(["a", "b", "c"], memory([3, 1, 4]))
        part = next(folder.glob("part-*"))
        for name, left in (("tokens.bin", b"x" * cut), ("pooled.bin", b"y" * cut), ("index.bin", b"z" * cut)):
            with (part / name).open("ab") as file:
                file.write(left)
        store = FeatureStore(folder)
        assert store.missing(["a", 7]) == [7]
        store.append([7, 8], memory([2, 5], seed=1))
        assert same(FeatureStore(folder).read([8, "a", 7]), filled(tmp_path / f"whole{cut}").read([8, "a", 7]))
        assert not store.damaged()


def test_a_batch_that_found_no_room_is_overwritten_by_the_next(tmp_path, monkeypatch):
    store = filled(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr("captioning.features.store_part.seal", lambda records: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.append(["lost"], memory([2], seed=3))
        real = store._writer._write
        broken.setattr("captioning.features.store_part.seal", seal)
        broken.setattr(store._writer, "_write", lambda parts: real(parts) if "index" not in parts else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.append(["lost"], memory([2], seed=3))
    store.append(["found"], memory([6], seed=4))
    assert torch.equal(FeatureStore(tmp_path).read(["found"]).tokens.float(), memory([6], seed=4).tokens)
    assert not store.damaged() and "lost" not in store and len(store) == 6


def test_several_processes_fill_one_store_and_what_two_computed_counts_once(tmp_path):
    first, second = create(tmp_path), create(tmp_path)
    first.append(["a", "b", "c"], memory([3, 1, 4]))
    second.append([7, 8], memory([2, 5], seed=1))
    second.append(["a", "b", "c"], memory([3, 1, 4]))
    store = FeatureStore(tmp_path)
    assert len(store) == 5 and sorted(map(str, store.ids())) == ["7", "8", "a", "b", "c"]
    assert same(store.read([8, "b", 7]), filled(tmp_path / "alone").read([8, "b", 7]))
    assert len(first.refresh()) == 5


def test_numbers_and_their_digits_are_two_pictures_unless_the_store_was_imported(tmp_path):
    own, foreign = create(tmp_path / "own"), create(tmp_path / "foreign", imported=True)
    for store in (own, foreign):
        store.append([7], memory([2]))
    assert 7 in own and "7" not in own
    assert all(key in foreign for key in (7, "7", "007.jpg", "COCO_val2014_000000000007.jpg"))
    assert torch.equal(foreign.read(["007.jpg"]).tokens, foreign.read([7]).tokens)


def test_class_names_and_scores_come_back_as_they_were(tmp_path):
    store = create(tmp_path, columns=("tokens", "pooled", "classes", "scores", "times"))
    extra = {"classes": torch.tensor([[3, 79], [0, 0]]), "scores": torch.rand(2, 2), "times": torch.rand(2, 2)}
    given = replace(memory([2, 2]), boxes=None, **extra)
    store.append(["a", "b"], given)
    read = store.read(["b", "a"])
    assert read.classes.dtype == torch.int64
    assert all(torch.equal(getattr(read, name), value.flip(0)) for name, value in extra.items())


def test_a_store_of_the_first_version_is_read_and_goes_on(tmp_path):
    """Its files written by hand, as that version did."""
    given, counts = memory([3, 1]), [3, 1]
    about = {"version": 1, "encoder": ENCODER, "digest": "d" * 64, "width": 6, "columns": ["tokens", "pooled", "boxes"]}
    (tmp_path / "store.json").write_text(json.dumps(about))
    lines, row = [], 0
    content = {name: b"" for name in about["columns"]}
    for b, (key, count) in enumerate(zip(["a", 7], counts, strict=True)):
        values = {"boxes": given.boxes[b, :count].numpy(), "pooled": given.pooled[b].half().numpy()}
        values["tokens"] = given.tokens[b, :count].half().numpy()
        crc = 0
        for name in sorted(values):
            crc = zlib.crc32(values[name].tobytes(), crc)
            content[name] += values[name].tobytes()
        lines.append(json.dumps({"id": key, "row": row, "tokens": count, "crc": crc}) + "\n")
        row += count
    for name, values in content.items():
        (tmp_path / f"{name}.bin").write_bytes(values)
    (tmp_path / "index.jsonl").write_text("".join(lines) + '{"id": "half')
    store = create(tmp_path)
    assert store.ids() == ["a", 7] and not store.damaged()
    assert torch.equal(store.read([7, "a"]).tokens.float(), given.tokens.flip(0))
    store.append(["new"], memory([4], seed=2))
    assert FeatureStore(tmp_path).ids() == ["a", 7, "new"]


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


@pytest.mark.parametrize("name", ["tokens.bin", "pooled.bin", "boxes.bin", "ids.jsonl"])
def test_a_flipped_bit_is_found_by_the_check_and_by_whoever_reads_the_picture(tmp_path, name):
    store = filled(tmp_path)
    assert store.damaged() == {}
    path = next(tmp_path.glob(f"part-*/{name}"))
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    assert len(FeatureStore(tmp_path).damaged()) == 1
    if name != "ids.jsonl":  # of which a reader has its own
        assert list(FeatureStore(tmp_path).damaged()) == [8]
        with pytest.raises(UserError, match="picture 8 are damaged"):
            FeatureStore(tmp_path).read(["a", 8])


def test_a_flipped_bit_in_an_index_is_never_believed(tmp_path):
    path = next(filled(tmp_path).folder.glob("part-*/index.bin"))
    good = path.read_bytes()
    for bit in range(0, 8 * len(good), 7):
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        if bit // 8 < len(good) - 48:
            with pytest.raises(UserError, match=r"index\.bin is damaged"):
                FeatureStore(tmp_path)
        else:  # the last record, which looks like one that was not finished
            assert FeatureStore(tmp_path).missing([7, 8]) == [8] and FeatureStore(tmp_path).damaged()


def test_a_store_travels_to_a_worker_process(tmp_path):
    store = filled(tmp_path)
    assert same(pickle.loads(pickle.dumps(store)).read(["b", 7]), store.read(["b", 7]))


@pytest.mark.parametrize("name", ["store.json", "index.bin", "tokens.bin"])
@pytest.mark.parametrize("damage", ["gone", "empty", "noise"])
def test_a_damaged_store_is_named(tmp_path, name, damage):
    filled(tmp_path)
    path = next(tmp_path.rglob(name))
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else b"\x00\xff\n" * 30)
    if name == "index.bin":
        assert len(FeatureStore(tmp_path)) == 0  # a store in which nothing was finished
    else:
        with pytest.raises(UserError, match=str(tmp_path)):
            FeatureStore(tmp_path)


def test_an_index_of_many_pictures_is_small_in_memory(tmp_path):
    """Some 13 bytes a picture beside the file itself, which all processes share."""
    writer, values = PartWriter(tmp_path, 1, ["tokens", "pooled"]), {"tokens": np.ones((1, 1)), "pooled": np.ones(1)}
    texts = [json.dumps(f"COCO_train2014_{i:012}.jpg").encode() for i in range(20_000)]
    writer.append(texts, [{name: value.astype(np.float16) for name, value in values.items()}] * len(texts))
    create(tmp_path, columns=("tokens", "pooled"), width=1)
    tracemalloc.start()
    store = FeatureStore(tmp_path)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20 * len(texts) + 50_000 and len(store) == len(texts)
    assert store.read(["COCO_train2014_000000019999.jpg"]).tokens.item() == 1
