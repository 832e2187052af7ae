"""Features and predictions of a data set by a cluster's actors are those of one process. One small cluster, offline."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_model import pictures, saved_model

from captioning import cli
from captioning.commands.cluster import Cluster, connected
from captioning.commands.hydra import as_keys
from captioning.features.store import FeatureStore

ENCODER = "encoder=grid encoder.size=64 batch_size=2".split()  # with the weights that are installed


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["captioning", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


@pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'captioning[cluster]'")
def test_a_cluster_extracts_and_predicts_what_one_process_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    with connected(Cluster("ray", actors=1)):  # by both verbs, which else would each start a cluster
        compare(monkeypatch, tmp_path)


def compare(monkeypatch, tmp_path):
    lines = ["file,caption,split"]
    for number, picture in enumerate(pictures(16)[:7]):
        picture.convert("RGB").save(f"{number}.png")
        lines.append(f"{number}.png,a dog number {number},val")
    Path("t.csv").write_text("\n".join(lines) + "\n")
    Image.new("RGB", (8, 8)).save("7.png")
    model, data = str(saved_model(tmp_path / "model")), ["data=table", "data.file=t.csv"]
    for name, more in (("alone", []), ("many", ["--cluster", "ray", "--actors", "1"])):
        assert run(monkeypatch, "extract", *data, *ENCODER, "splits=[val]", f"store={name}-store", *more) == 0
        options = [f"model={model}", "data.split=val", "store=null", "batch_size=2", f"output={name}"]
        assert run(monkeypatch, "evaluate", *data, *options, "metrics=[cider]", *more) == 0
    alone, many = FeatureStore("alone-store"), FeatureStore("many-store")
    ids = [f"{number}.png" for number in range(7)]
    assert len(many) == len(alone) == 7 and torch.equal(alone.read(ids).tokens, many.read(ids).tokens)
    for file in ("predictions.json", "metrics.json"):
        assert json.loads(Path("alone", file).read_text()) == json.loads(Path("many", file).read_text())


def test_the_flags_of_a_cluster_are_keys():
    assert as_keys(["model=a", "--cluster", "ray", "--gpus=0.5"]) == ["model=a", "cluster=ray", "gpus=0.5"]


def test_a_cluster_that_makes_no_sense_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for more, said in ((["cluster=slurm"], "cluster slurm"), (["cluster=ray", "shard=1/2"], "shard=K/N")):
        assert run(monkeypatch, "extract", "data=scenes", *ENCODER, "store=s", *more) == 2
        assert said in capsys.readouterr().err
