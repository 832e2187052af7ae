"""Shards in, captions out: one output each, whole or not at all, nothing lost and nothing done twice."""

import json
import sys
import tarfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
from shard_files import photo, samples, tar
from tiny_model import pictures, saved_model

from captioning import cli
from captioning.commands import shard_captions
from captioning.tasks.load import load

needs_arrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pip install pyarrow")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return saved_model(tmp_path_factory.mktemp("shards") / "model")


@pytest.fixture
def captioning(capsys, caplog, monkeypatch, model, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        command = ["captioning", "caption", *map(str, arguments), "--model", str(model), "--batch-size", "3"]
        monkeypatch.setattr(sys, "argv", command)
        capsys.readouterr()
        caplog.clear()
        with warnings.catch_warnings(), pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err and out == ""
        return stop.value.code or 0, err + caplog.text

    return run


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_each_shard_has_an_output_with_the_captions_of_its_photos(captioning, model):
    for number in range(2):
        tar(Path(f"in/{number}.tar"), samples(range(4 * number, 4 * number + 4)))
    status, _ = captioning("in/*.tar", "--output", "out", "--format", "jsonl")
    assert status == 0
    rows = lines("out/0.jsonl") + lines("out/1.jsonl")
    assert [row["id"] for row in rows] == [f"{n:05d}" for n in range(8)]
    assert [row["caption"] for row in rows] == [caption.text for caption in load(model).caption(pictures(16)[:8])]
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert manifest["shards"] == 2 and manifest["rows"] == 8 and manifest["errors"] == 0


def test_what_cannot_be_read_is_a_row_with_its_error_and_the_rest_is_done(captioning):
    tar(Path("a.tar"), [*samples([0]), ("bad.png", b"no picture"), *samples([1])])
    cut = tar(Path("b.tar"), samples(range(3)))
    cut.write_bytes(cut.read_bytes()[:3000])
    Path("c.tar").mkdir()
    status, err = captioning("a.tar", "b.tar", "c.tar", "--output", "out", "--format", "jsonl")
    rows = lines("out/a.jsonl")
    assert status == 1 and [row["id"] for row in rows] == ["00000", "bad", "00001"]
    assert rows[1]["caption"] is None and "bad.png" in rows[1]["error"] and not rows[0]["error"]
    assert "b.tar" in lines("out/b.jsonl")[-1]["error"] and not Path("out/c.jsonl").exists()
    assert all(name in err for name in ("bad.png", "b.tar", "c.tar"))


def test_a_second_run_does_what_is_missing_or_has_changed_and_nothing_else(captioning, monkeypatch):
    for number in range(3):
        tar(Path(f"{number}.tar"), samples([number]))
    assert captioning("0.tar", "--output", "out", "--format", "jsonl")[0] == 0
    before = Path("out/0.jsonl").stat().st_mtime_ns
    assert "1 were done" in captioning("0.tar", "1.tar", "2.tar", "--output", "out", "--format", "jsonl")[1]
    assert Path("out/0.jsonl").stat().st_mtime_ns == before
    tar(Path("1.tar"), samples([4, 5]))
    assert "2 were done" in captioning("0.tar", "1.tar", "2.tar", "--output", "out", "--format", "jsonl")[1]
    assert len(lines("out/1.jsonl")) == 2
    monkeypatch.setattr(shard_captions, "records", None)  # nothing is read
    assert "3 were done" in captioning("0.tar", "1.tar", "2.tar", "--output", "out", "--format", "jsonl")[1]


def test_an_output_is_there_whole_or_not_at_all(captioning, monkeypatch):
    tar(Path("0.tar"), samples(range(8)))
    write = shard_captions._write

    def interrupted(one, *rest):
        if one.written == 5:
            raise KeyboardInterrupt
        write(one, *rest)

    monkeypatch.setattr(shard_captions, "_write", interrupted)
    assert captioning("0.tar", "--output", "out", "--format", "jsonl")[0] == 130
    assert {path.name for path in Path("out").iterdir()} == {"manifest.json"}


def test_outputs_of_other_options_are_not_mixed(captioning):
    tar(Path("0.tar"), samples([0]))
    assert captioning("0.tar", "--output", "out", "--format", "jsonl")[0] == 0
    status, err = captioning("0.tar", "--output", "out", "--format", "jsonl", "--beam-size", "1")
    assert status == 2 and "--overwrite" in err
    assert captioning("0.tar", "--output", "out", "--format", "jsonl", "--beam-size", "1", "--overwrite")[0] == 0


def test_shards_of_one_name_have_an_output_each(captioning):
    for folder in "ab":
        tar(Path(folder, "0.tar"), samples([0] if folder == "a" else [1, 2]))
    assert captioning("a/0.tar", "b/0.tar", "--output", "out", "--format", "jsonl")[0] == 0
    assert sorted(len(lines(path)) for path in Path("out").glob("*.jsonl")) == [1, 2]
    assert "2 were done" in captioning("a/0.tar", "b/0.tar", "--output", "out", "--format", "jsonl")[1]


def test_a_shard_comes_back_as_it_was_with_captions_in_it(captioning, model):
    tar(Path("0.tar"), samples(range(2)))
    assert captioning("0.tar", "--output", "out", "--format", "webdataset")[0] == 0
    with tarfile.open("out/0.tar") as shard:
        found = {info.name: shard.extractfile(info).read() for info in shard}
    assert [(name, found[name]) for name, _ in samples(range(2))] == samples(range(2))
    assert found["00001.caption.txt"].decode().strip() == load(model).caption(pictures(16)[1]).text


def test_a_list_of_files_is_a_shard(captioning, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(2):
        (tmp_path / f"photos/{number}.png").write_bytes(photo(number))
    Path("list.txt").write_text("photos/0.png\nphotos/none.png\n\nphotos/1.png\n")
    assert captioning("list.txt", "--output", "out", "--format", "jsonl")[0] == 1
    rows = lines("out/list.jsonl")
    assert [row["id"] for row in rows if row["caption"]] == ["photos/0.png", "photos/1.png"]
    assert "none.png" in rows[1]["error"]


@needs_arrow
def test_tables_with_bytes_or_paths_are_read_and_written(captioning):
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    Path("1.png").write_bytes(photo(1))
    images = [{"bytes": photo(0), "path": None}, {"bytes": None, "path": "1.png"}, {"bytes": None, "path": None}]
    parquet.write_table(arrow.table({"image": images, "id": [7, 8, 9]}), "t.parquet")
    parquet.write_table(arrow.table({"number": [1]}), "other.parquet")
    Path("bad.parquet").write_bytes(b"PAR1 nothing")
    status, err = captioning("t.parquet", "other.parquet", "bad.parquet", "--output", "out")
    rows = parquet.read_table("out/t.parquet").to_pylist()
    assert status == 1 and [row["id"] for row in rows] == ["7", "8", "9"]
    assert rows[0]["caption"] and rows[1]["caption"] and "no picture" in rows[2]["error"]
    assert "other.parquet has no column with pictures" in err and "bad.parquet" in err
    assert not Path("out/other.parquet").exists() and not Path("out/bad.parquet").exists()


@needs_arrow
def test_a_folder_of_datasets_is_its_arrow_files(captioning):
    import pyarrow as arrow

    folder = Path("saved/train")
    folder.mkdir(parents=True)
    table = arrow.table({"image": [{"bytes": photo(n), "path": None} for n in range(3)], "text": ["x"] * 3})
    with arrow.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as file:
        file.write_table(table)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    Path("saved/dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    assert captioning("saved", "--output", "out", "--format", "jsonl")[0] == 0
    assert len(lines("out/train-data-00000-of-00001.jsonl")) == 3


def test_an_address_of_a_store_is_read_and_written(captioning):
    import fsspec

    files = fsspec.filesystem("memory")
    tar(Path("0.tar"), samples(range(2)))
    files.pipe_file("/scale/0.tar", Path("0.tar").read_bytes())
    assert captioning("memory://scale/*.tar", "--output", "memory://scale/out", "--format", "jsonl")[0] == 0
    rows = files.cat_file("/scale/out/0.jsonl").decode().splitlines()
    assert len(rows) == 2 and not [name for name in files.ls("/scale/out", detail=False) if name.endswith(".part")]
    assert "1 were done" in captioning("memory://scale/*.tar", "--output", "memory://scale/out", "--format", "jsonl")[1]
