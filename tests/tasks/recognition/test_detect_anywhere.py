"""Whatever looks through a detector detects, in Python, by the command and on the page; anything else says why not."""

import json

import pytest
from onnx_detector import saved
from tiny_graphs import Detection, thing_bundle
from tiny_model import pictures, tiny_bundle
from typer.testing import CliRunner

from captioning.cli import app
from captioning.demo.tab import every_tab
from captioning.demo.tabs.detect import TAB, answer
from captioning.encoders.detectors.bare import BareDetector
from captioning.encoders.detectors.yolox import Yolox
from captioning.encoders.regions import RegionEncoder
from captioning.models.bundle import Bundle, save_bundle
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.recognition.object_detector import ObjectDetector

NAMES = ["cat", "dog", "cow"]


def region_bundle(folder) -> Bundle:
    """A captioner that sees by a detector's regions."""
    detector = {"file": str(saved(folder / "tiny.onnx")), "class_names": NAMES}
    look = {"backbone": "test_resnet", "size": 64, "weights": "none", "regions": [4, 6]}
    encoder = RegionEncoder(detector=Yolox(**detector), **look)
    config = {
        "_target_": "captioning.encoders.regions.RegionEncoder",
        "detector": {"_target_": "captioning.encoders.detectors.yolox.Yolox", **detector},
        **look,
    }
    return tiny_bundle(encoder=encoder, look=config)


def test_a_captioner_that_sees_by_regions_finds_what_its_detector_finds(tmp_path):
    captioner = Captioner(region_bundle(tmp_path), device="cpu")
    alone = BareDetector(Yolox(file=tmp_path / "tiny.onnx", class_names=NAMES), device="cpu")
    photo = pictures(1, 96)[0]
    assert captioner.detect(photo, least=0.0) == alone.detect(photo, least=0.0) != []


def test_a_model_without_a_detector_has_no_such_verb_and_says_what_it_is_for():
    captioner = Captioner(tiny_bundle(), device="cpu")
    assert not hasattr(captioner, "detect")
    with pytest.raises(AttributeError, match=r"Captioning has no detect\(\); it is for: captioning caption PHOTO"):
        captioner.detect("photo.jpg")


def test_the_command_takes_any_model_that_has_a_detector_in_it(tmp_path):
    model = save_bundle(tmp_path / "model", region_bundle(tmp_path), card="")
    pictures(1, 96)[0].save(tmp_path / "a.png")
    words = ["detect", tmp_path / "a.png", "--model", model, "--least", 0, "--json"]
    found = CliRunner().invoke(app, [str(word) for word in words])
    assert found.exit_code == 0, found.output
    assert {one["label"] for one in json.loads(found.stdout)["objects"]} <= set(NAMES)


def test_the_tab_of_things_shows_boxes_counts_and_the_most_salient_and_refuses_what_is_no_photo(tmp_path):
    pictures(1, 96)[0].save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    models = {"own": ObjectDetector(thing_bundle(Detection), device="cpu"),
              "inside": Captioner(region_bundle(tmp_path), device="cpu"),
              "none": Captioner(tiny_bundle(), device="cpu")}  # fmt: skip
    assert TAB in every_tab() and list(TAB.of(models)) == ["own", "inside"]
    for model in TAB.of(models).values():
        html = answer(model, tmp_path / "a.png", 0.0)
        boxes = model.detect(tmp_path / "a.png", least=0.0)
        assert html.count("<li>") == len({box.label for box in boxes}) and "Most of all it shows" in html
        assert "Nothing was found" in answer(model, tmp_path / "a.png", 1)
        assert "b.png is not a picture" in answer(model, tmp_path / "b.png", 0.3)
        for wrong in (2, "0.3", None, float("nan")):
            assert "from 0 to 1" in answer(model, tmp_path / "a.png", wrong)
