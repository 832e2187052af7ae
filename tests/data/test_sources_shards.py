"""Photos in shards are a source like any other: the same ids, captions and pixels from a tar and from a table, each
photo in one split, and every epoch of every process complete."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.utils import instantiate
from shard_files import photo, samples, tar
from tiny_model import pictures

from captioning.batches import EpochSampler, Examples, loader
from captioning.data.shards import ParquetTable, WebDataset
from captioning.errors import UserError


def rows(numbers, **more):
    return [{"id": f"{n:05d}", "image": photo(n % 16), "caption": f"a dog number {n}", **more} for n in numbers]


def tars(folder: Path, shards: int = 3, each: int = 5) -> list[str]:
    return [str(tar(folder / f"{s}.tar", samples(range(s * each, (s + 1) * each)))) for s in range(shards)]


def everything(source):
    return {one.id: (split, one.captions) for split in source.splits for one in source.examples(split)}


def parquet(folder):
    for s in range(3):
        pq.write_table(pa.Table.from_pylist(rows(range(5 * s, 5 * s + 5))), folder / f"{s}.parquet", row_group_size=2)
    return ParquetTable(str(folder / "*.parquet"))


def arrow(folder, kind=pa.ipc.new_stream):
    table = pa.Table.from_pylist([{**row, "caption": [row["caption"]]} for row in rows(range(15))])
    with kind(str(folder / "a.arrow"), table.schema) as file:
        file.write_table(table, max_chunksize=4)
    return ParquetTable(str(folder / "a.arrow"), caption_column="caption")


WAYS = {"parquet": parquet, "arrow": arrow, "arrow file": lambda folder: arrow(folder, pa.ipc.new_file)}


@pytest.mark.parametrize("way", WAYS)
def test_a_table_is_the_tar_with_the_same_photos(tmp_path, way):
    source, other = WebDataset(tars(tmp_path)), WAYS[way](tmp_path)
    found = everything(source)
    assert found == everything(other) and len(found) == 15
    assert {split for split, _ in found.values()} == set(source.splits)
    for one, same in zip(source.examples("train"), other.examples("train"), strict=True):
        drawn = np.asarray(pictures(16)[int(one.id)].convert("RGB"))
        assert (np.asarray(source.image(one)) == drawn).all() and (np.asarray(other.image(same)) == drawn).all()
        assert source.content(one) == other.content(same) and source.fingerprint(one) != other.fingerprint(same)


def test_splits_are_the_shards_that_are_named_for_them_or_what_rows_say(tmp_path):
    paths = tars(tmp_path)
    source = WebDataset(paths[:1], val_shards=paths[1], test_shards=[paths[2]])
    assert [one.id for one in source.examples("dev")] == [f"{n:05d}" for n in range(5, 10)]
    with pytest.raises(UserError, match="1.tar is a shard of train and of val"):
        WebDataset(paths, val_shards=paths[1]).examples("val")
    table = [*rows(range(3), split="train"), *rows(range(3, 5), split="dev")]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "split.parquet")
    source = ParquetTable(str(tmp_path / "split.parquet"))
    assert len(source.examples("train")) == 3 and len(source.examples("val")) == 2
    with pytest.raises(UserError, match="split test has no captioned photo"):
        source.examples("test")
    told = [("0.png", photo(0)), ("0.json", b'{"caption": "a cat", "split": "val"}')]
    source = WebDataset(str(tar(tmp_path / "told.tar", told)), split_field="json.split")
    assert source.examples("val")[0].captions == ("a cat",)


def test_the_splits_of_a_saved_datasets_folder_are_its_own(tmp_path):
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    for split, numbers in (("train", range(4)), ("validation", range(4, 6))):
        folder = tmp_path / split
        folder.mkdir()
        (folder / "state.json").write_text('{"_data_files": [{"filename": "data-0.arrow"}]}')
        (folder / "dataset_info.json").write_text("{}")
        table = pa.Table.from_pylist([{**row, "image": {"bytes": row["image"], "path": None}} for row in rows(numbers)])
        with pa.ipc.new_stream(str(folder / "data-0.arrow"), table.schema) as file:
            file.write_table(table)
    source = ParquetTable(str(tmp_path))
    assert len(source.examples("train")) == 4 and [one.id for one in source.examples("val")] == ["00004", "00005"]
    assert source.image(source.examples("val")[0]).size == pictures(16)[4].size


def test_keys_that_two_shards_share_are_told_apart_by_the_shard(tmp_path):
    paths = [str(tar(tmp_path / f"{s}.tar", samples(range(8)))) for s in "ab"]
    assert set(everything(WebDataset(paths))) == {f"{s}/{n:05d}" for s in "ab" for n in range(8)}


def test_what_is_defective_is_named_or_left_out(tmp_path, caplog):
    whole = tar(tmp_path / "whole.tar", samples(range(8)))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[:2500])
    none = tmp_path / "none.tar"
    none.write_bytes(b"no tar at all" * 100)
    silent = tar(tmp_path / "silent.tar", [("9.png", photo(9))])
    for broken, said in ((cut, "cut short"), (none, "none.tar"), (silent, "without a caption")):
        with pytest.raises(UserError, match=f"(?s){said}.*on_missing=skip"):
            everything(WebDataset([str(whole), str(broken)], val_fraction=0, test_fraction=0))
        kept = WebDataset([str(whole), str(broken)], on_missing="skip", val_fraction=0, test_fraction=0)
        assert len(kept.examples("train")) == 8 + (broken is cut), "what stands before the break is good"
        assert broken.name in caplog.text or "9" in caplog.text
    pq.write_table(pa.Table.from_pylist([{"id": 1, "image": photo(1), "caption": 7}]), tmp_path / "seven.parquet")
    with pytest.raises(UserError, match="the caption is 7"):
        everything(ParquetTable(str(tmp_path / "seven.parquet")))
    with pytest.raises(UserError, match="has no column words; it has"):
        everything(ParquetTable(str(tmp_path / "seven.parquet"), caption_column="words"))
    damaged = str(tar(tmp_path / "damaged.tar", [("1.png", photo(1)[:60]), ("1.txt", b"a dog"), *samples([2, 3])]))
    source = WebDataset(damaged, val_fraction=0, test_fraction=0, on_missing="skip")
    assert len(source.readable(source.examples("train"), decode=True)) == 2
    with pytest.raises(UserError, match="a list and has no captions"):
        (tmp_path / "list.txt").write_text("a.png\n")
        everything(WebDataset(str(tmp_path / "list.txt")))


@pytest.mark.parametrize("sizes", [(1,), (7,), (3, 1, 4), (5, 5, 5, 5), (1, 9, 2, 6, 3)])
def test_every_epoch_of_every_process_is_disjoint_and_complete(sizes):
    blocks = [block for block, size in enumerate(sizes) for _ in range(size)]
    for processes in (1, 2, 3):
        for epoch in range(3):
            dealt = []
            for rank in range(processes):
                options = {"blocks": blocks, "buffer": 2, "rank": rank, "processes": processes}
                sampler = EpochSampler(len(blocks), shuffle=True, **options)
                sampler.set_epoch(epoch)
                dealt.append([i for _, i in sampler])
                assert dealt[-1] == [i for _, i in sampler] and len(dealt[-1]) == len(sampler)
            flat = sum(dealt, [])
            assert set(flat) == set(range(len(blocks)))
            assert len(flat) - len(blocks) < processes, "what is seen twice fills up the last step"


def test_a_run_goes_through_shards_one_after_the_other_and_otherwise_each_epoch():
    blocks = [i // 100 for i in range(1000)]
    orders = []
    for epoch in range(3):
        samplers = [EpochSampler(1000, shuffle=True, blocks=blocks, buffer=50, rank=r, processes=2) for r in range(2)]
        for sampler in samplers:
            sampler.set_epoch(epoch)
        orders.append([[i for _, i in sampler] for sampler in samplers])
        for run in orders[-1]:
            assert len({blocks[i] for i in run}) <= 6, "a process reads its share of the shards, and no others"
            for start in range(0, 500, 50):
                assert len({blocks[i] for i in run[start : start + 50]}) <= 3
            assert run != sorted(run)
    assert orders[0] != orders[1] != orders[2]
    later = EpochSampler(1000, shuffle=True, blocks=blocks, buffer=50)
    whole = list(later)
    later.done = (0, 300)
    assert list(later) == whole[300:], "a resumed run goes on behind what it has seen"


class Ids:
    takes, finetune = "image", True

    def read_annotated(self, image, example):
        return np.asarray(image).sum()

    def collate(self, items):
        import torch

        return torch.tensor([int(item) for item in items])


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_workers_read_what_one_process_reads(tmp_path, kind):
    source = WebDataset(tars(tmp_path)) if kind == "tar" else parquet(tmp_path)
    examples = source.examples("train")
    data = Examples(examples, source, Ids(), None, lambda examples, epoch: None)
    seen = []
    for workers in (0, 2):
        sampler = EpochSampler(len(data), shuffle=True, blocks=source.blocks(examples), buffer=4)
        seen.append([(batch.ids, batch.inputs.tolist()) for batch in loader(data, sampler, 2, workers)])
    assert seen[0] == seen[1] and sorted(sum((ids for ids, _ in seen[0]), [])) == sorted(one.id for one in examples)


def test_the_configurations_make_these_sources(tmp_path, capsys):
    from captioning.commands.data import report, source_of

    tars(tmp_path)
    parquet(tmp_path)
    assert len(everything(source_of("webdataset", [f"shards={tmp_path}/*.tar"]))) == 15
    assert len(everything(source_of("parquet", [f"file={tmp_path}/0.parquet", "image_column=image"]))) == 5
    report("webdataset", source_of("webdataset", [f"shards={tmp_path}/*.tar"]))
    said = capsys.readouterr().out
    assert f"webdataset: {tmp_path}/*.tar" in said and "webdataset: complete" in said
    wrong = {"_target_": "captioning.data.shards.WebDataset", "shards": f"{tmp_path}/*.tar", "buffer": 0}
    with pytest.raises(Exception, match="data.buffer=0"):
        instantiate(wrong)
