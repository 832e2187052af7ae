"""A new task touches its own package and nothing else: the commands train, save, evaluate and load it."""

import json
import shutil
from pathlib import Path

import counting
import pytest
from test_cli import captioning  # noqa: F401  the command, as a fixture

import captioning as package
from captioning.data.synthetic.scenes import Scenes
from captioning.errors import UserError
from captioning.example import Example
from captioning.tasks.predictor import usable

WORLD = "data=scenes data.train=24 data.val=8 data.test=8 data.unseen=0 data.size=64".split()
RUN = """
    task=own task._target_=counting.Counting +task.dropout=0.1 encoder.size=64 encoder.backbone=test_resnet
    encoder.weights=none batch_size=8 progress=false trainer.max_epochs=2 trainer.accelerator=cpu name=counts
""".split()
ALLOWED = "allow=[counting]"


@pytest.fixture
def model(captioning, tmp_path) -> Path:  # noqa: F811
    status, _, errors = captioning("train", *WORLD, *RUN)
    assert status == 0, errors
    return tmp_path / "runs/counts/model"


def test_a_task_of_ones_own_is_trained_evaluated_and_loaded_by_the_command(captioning, model, tmp_path):  # noqa: F811
    assert {"config.yaml", "largest.txt", "README.md", "weights.safetensors"} == {p.name for p in model.iterdir()}
    assert "accuracy" in (model / "README.md").read_text()
    finished = json.loads((model.parent / "finished.json").read_text())
    assert finished["monitor"] == ["val/accuracy", "max"] and "val/accuracy" in finished
    status, lines, errors = captioning("evaluate", "model=counts", *WORLD, "data.split=test", ALLOWED)
    assert status == 0, errors
    assert "8 pictures" in lines[0] and any("accuracy" in line for line in lines)
    results = json.loads(next(tmp_path.glob("evaluations/*/predictions.json")).read_text())
    world = Scenes(train=24, val=8, test=8, unseen=0, size=64)
    images = [world.image(example) for example in world.examples("test")]
    predictor = package.load(model, allow=["counting"])
    assert predictor.predict(images) == [one["prediction"] for one in results]
    assert isinstance(predictor.predict(images[0]), int)


def test_what_it_has_no_words_for_is_refused_by_name(captioning, model):  # noqa: F811
    for more in (["report=true"], ["generation=beam"]):
        status, _, errors = captioning("evaluate", "model=counts", *WORLD, "data.split=test", ALLOWED, *more)
        assert status == 2 and any(more[0].split("=")[0] in error for error in errors)


def test_without_leave_nothing_of_its_package_is_built(model):
    with pytest.raises(UserError, match="allow"):
        package.load(model)


def test_its_own_files_are_checked_as_the_weights_are(model, tmp_path):
    shutil.copytree(model, tmp_path / "copy")
    (tmp_path / "copy/largest.txt").write_text("many")
    with pytest.raises(UserError, match=r"largest\.txt"):
        package.load(tmp_path / "copy", allow=["counting"])
    (tmp_path / "copy/largest.txt").unlink()
    with pytest.raises(UserError, match=r"largest\.txt missing"):
        package.load(tmp_path / "copy", allow=["counting"])


def test_examples_without_what_it_needs_are_left_out_and_none_at_all_is_refused():
    task, box = counting.Counting(), (0.0, 0.0, 1.0, 1.0)
    with_boxes, without = Example(1, "a.jpg", boxes=(box,)), Example(2, "b.jpg", ("A dog.",))
    assert usable([with_boxes, without], task, "photos") == [with_boxes]
    with pytest.raises(UserError, match="photos: none of 1 examples has boxes"):
        usable([without], task, "photos")
