"""On a cluster the outputs are those of one process, byte for byte. One small cluster of this machine, offline."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from shard_files import samples, tar
from tiny_model import saved_model

from captioning import cli
from captioning.commands.cluster import Cluster
from captioning.errors import UserError


def caption(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["captioning", "caption", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


@pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'captioning[cluster]'")
def test_outputs_are_those_of_one_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    model = str(saved_model(tmp_path / "model"))
    for number in range(3):
        bad = [("bad.png", b"none")] if number == 1 else []
        tar(Path(f"{number}.tar"), [*samples(range(4 * number, 4 * number + 4)), *bad])
    shards, common = [f"{n}.tar" for n in range(3)], ["--model", model, "--format", "jsonl", "--batch-size", "2"]
    assert caption(monkeypatch, *shards, *common, "--output", "alone") == 1
    assert caption(monkeypatch, *shards, *common, "--output", "many", "--cluster", "ray", "--actors", "1") == 1
    for number in range(3):
        assert Path(f"many/{number}.jsonl").read_bytes() == Path(f"alone/{number}.jsonl").read_bytes()


def test_a_cluster_without_sense_is_refused():
    for wrong in ({"kind": "slurm"}, {"kind": "ray", "actors": 0}, {"kind": "ray", "cpus": 0.0}):
        with pytest.raises(UserError):
            Cluster(**wrong)
