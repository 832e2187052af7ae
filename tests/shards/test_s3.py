"""Shards at s3:// are those of a folder: captioned from a bucket into a bucket, learnt from, and nothing there is half.
By moto's server on this machine; nothing leaves it."""

import json
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_files import photo, samples, tar
from tiny_model import saved_model

from captioning import cli
from captioning.data.shards import ParquetTable, WebDataset
from captioning.errors import UserError
from captioning.shards.places import names_in, read_all

pytestmark = pytest.mark.skipif(
    find_spec("moto") is None or find_spec("s3fs") is None, reason="pip install 's3fs' 'moto[s3]' flask flask-cors"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
    )
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    """The address of an empty bucket."""
    import fsspec
    import s3fs

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("AWS_ACCESS_KEY_ID", "none"), ("AWS_SECRET_ACCESS_KEY", "none"), ("AWS_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    for name in ("AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": server})
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"b{abs(hash(tmp_path))}"
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()


def put(path: Path, place: str) -> str:
    import s3fs

    s3fs.S3FileSystem().put_file(str(path), place)
    return place


def caption(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["captioning", "caption", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


def test_captions_of_a_bucket_in_a_bucket_are_those_of_a_folder(tmp_path, monkeypatch, bucket):
    monkeypatch.chdir(tmp_path)
    common = ["--model", str(saved_model(tmp_path / "model")), "--format", "jsonl"]
    for number in range(2):
        put(tar(Path(f"{number}.tar"), samples(range(3 * number, 3 * number + 3))), f"{bucket}/in/{number}.tar")
    assert caption(monkeypatch, "0.tar", "1.tar", *common, "--output", "here") == 0
    there = [f"{bucket}/in/{{0..1}}.tar", *common, "--output", f"{bucket}/out"]
    assert caption(monkeypatch, *there) == 0
    assert names_in(f"{bucket}/out") == {"0.jsonl", "1.jsonl", "0.stats.json", "1.stats.json", "manifest.json"}
    for number in range(2):
        assert read_all(f"{bucket}/out/{number}.jsonl") == Path(f"here/{number}.jsonl").read_bytes()
    before = json.loads(read_all(f"{bucket}/out/0.stats.json"))
    put(tar(Path("1.tar"), samples(range(9, 13))), f"{bucket}/in/1.tar")  # another shard of that name
    assert caption(monkeypatch, *there) == 0
    assert json.loads(read_all(f"{bucket}/out/0.stats.json")) == before
    assert len(read_all(f"{bucket}/out/1.jsonl").splitlines()) == 4


def test_photos_of_a_bucket_are_learnt_from_as_those_of_a_folder(tmp_path, bucket):
    here = str(tar(tmp_path / "0.tar", samples(range(8))))
    rows = [{"id": f"{n:05d}", "image": photo(n), "caption": f"a dog number {n}"} for n in range(8)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "0.parquet", row_group_size=3)
    local = WebDataset(here)
    tars = WebDataset(put(Path(here), f"{bucket}/0.tar"))
    table = ParquetTable(put(tmp_path / "0.parquet", f"{bucket}/0.parquet"))
    for split in local.splits:
        for one, other, third in zip(*(source.examples(split) for source in (local, tars, table)), strict=True):
            assert one.id == other.id == third.id and one.captions == other.captions == third.captions
            drawn = np.asarray(local.image(one))
            assert (drawn == np.asarray(tars.image(other))).all() and (drawn == np.asarray(table.image(third))).all()


def test_what_is_not_there_is_named(tmp_path, monkeypatch, bucket, capsys):
    monkeypatch.chdir(tmp_path)
    model = str(saved_model(tmp_path / "model"))
    assert caption(monkeypatch, f"{bucket}/gone.tar", "--model", model, "--output", "out") == 1
    assert f"{bucket}/gone.tar does not exist" in capsys.readouterr().err
    with pytest.raises(UserError, match="gone.tar"):
        WebDataset(f"{bucket}/gone.tar").examples("train")
