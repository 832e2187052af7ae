"""Two processes are one run: the losses, scores, log and checkpoints of one process on the same global batches."""

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_runs import KEPT

from captioning.batches import EpochSampler
from captioning.runtime.processes import mean_over_processes
from captioning.training.summary import sweep_table
from captioning.training.trainer import several_devices


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder with the runs one/ and two/."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, Path(__file__).parents[1] / "support" / "two_processes.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def logged(run, name):
    """Everything that the run's only log has under a name, in order."""
    (log,) = run.glob("csv/version_*/metrics.csv")
    with log.open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def test_the_losses_of_ten_steps_are_those_of_one_process(runs):
    one, two = (logged(runs / name, "train/loss") for name in ("one", "two"))
    assert len(one) == 10
    assert two == pytest.approx(one, abs=1e-5)


def test_the_scores_are_those_of_one_process(runs):
    for name in ("val/CIDEr", "val/BLEU-4"):
        assert logged(runs / "two", name) == logged(runs / "one", name)
    assert logged(runs / "two", "val/loss") == pytest.approx(logged(runs / "one", "val/loss"), abs=1e-5)


def test_there_is_one_log_and_one_set_of_checkpoints_and_the_first_process_filled_the_store(runs):
    assert sorted(path.name for path in (runs / "two/checkpoints").iterdir()) == KEPT
    assert len(list((runs / "two/tensorboard").glob("events*"))) == 1
    assert (runs / "two/model/weights.safetensors").exists()
    filled = Counter((runs / "filled.txt").read_text().split())
    assert filled["0"] == filled["alone"] > 0 and filled["1"] == 0


@pytest.mark.parametrize("strategy", ["auto", "ddp"])
def test_an_encoder_that_begins_to_learn_later_does_so_in_several_processes(tmp_path, strategy):
    options = ["encoder.finetune=true", "finetune_from_epoch=1", f"trainer.strategy={strategy}", "data.train=16"]
    command = [sys.executable, Path(__file__).parents[1] / "support" / "two_processes.py", tmp_path, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    losses = logged(tmp_path / "two", "train/loss")
    assert len(losses) == 4 and np.isfinite(losses).all()


def test_processes_are_counted_as_the_trainer_is_told():
    several = [
        {"devices": 2},
        {"devices": "2"},
        {"devices": [0, 1]},
        {"devices": "0,1"},
        {"devices": 1, "num_nodes": 2},
    ]
    one = [{"devices": 1}, {"devices": [0]}, {"devices": "auto", "accelerator": "cpu"}, {"devices": "1"}]
    assert all(map(several_devices, several)) and not any(map(several_devices, one))


def test_in_validation_no_picture_is_dealt_out_twice_and_in_training_everyone_gets_as_many():
    for length in range(1, 12):
        for processes in (1, 2, 3):
            dealt = [
                [i for _, i in EpochSampler(length, shuffle=False, rank=r, processes=processes)]
                for r in range(processes)
            ]
            assert sorted(sum(dealt, [])) == list(range(length))
            shuffled = [list(EpochSampler(length, shuffle=True, rank=r, processes=processes)) for r in range(processes)]
            assert {len(part) for part in shuffled} == {-(-length // processes)}
            assert {i for part in shuffled for _, i in part} == set(range(length))


def test_alone_a_mean_is_a_mean():
    values = torch.arange(6.0, requires_grad=True)
    assert mean_over_processes(values) == 2.5


def test_the_table_of_a_sweep_has_the_best_first_and_the_unfinished_last(tmp_path):
    for name, cider in (("a-0", 50.25), ("a-1", None), ("a-2", 61.0)):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra/overrides.yaml").write_text(yaml.safe_dump(["data=scenes", f"optimizer.lr={name}"]))
        if cider:
            found = {"val/CIDEr": cider, "val/BLEU-4": 20.0, "epochs": 3, "minutes": 1.5}
            found |= {"monitor": ["val/CIDEr", "max"], "columns": ["val/CIDEr", "val/BLEU-4"]}
            (tmp_path / name / "finished.json").write_text(json.dumps(found))
    head, rule, *rows = sweep_table([tmp_path / name for name in ("a-0", "a-1", "a-2")]).splitlines()
    assert [row.split("|")[1].strip() for row in rows] == ["a-2", "a-0", "a-1"]
    assert [cell.strip() for cell in rows[0].split("|")[1:-1]] == [
        "a-2",
        "optimizer.lr=a-2",
        "61.0",
        "20.0",
        "3",
        "1.5",
    ]
    assert len({len(line) for line in (head, rule, *rows)}) == 1
