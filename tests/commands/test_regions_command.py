"""An object counts as found when a region overlaps it, and YOLOX-nano finds what it is known to find on real photos."""

import pytest
import torch
from onnx_detector import saved
from tiny_model import pictures
from typer.testing import CliRunner

from captioning.cli import app
from captioning.commands.regions import overlaps, recall
from captioning.data.benchmarks.coco import Coco
from captioning.data.synthetic.scenes import Scenes
from captioning.encoders.detectors.true_boxes import TrueBoxes
from captioning.encoders.detectors.yolox import Yolox
from captioning.encoders.regions import RegionEncoder
from captioning.errors import UserError

SMALL = {"backbone": "test_resnet", "weights": "none", "size": 64}


def regions(detector, **options) -> RegionEncoder:
    return RegionEncoder(detector=detector, **SMALL, **options).eval()


def test_annotated_boxes_find_every_object_and_the_largest_alone_a_share():
    source = Scenes(train=12, size=64, objects=(1, 4))
    examples = source.examples("train")
    everything = {"nms_threshold": 1.0, "same_place": 1.0}
    found = recall(regions(TrueBoxes(), regions=[1, 9], **everything), source, examples, batch_size=5)
    objects = sum(len(example.boxes) for example in examples)
    assert found["all objects"] == (objects, 1.0) and found["up to 32x32 pixels"] == (objects, 1.0)
    alone = recall(regions(TrueBoxes(), regions=[1, 1], **everything), source, examples)
    assert alone["all objects"] == (objects, pytest.approx(12 / objects))


def test_the_overlap_of_an_object_is_that_of_its_best_region():
    regions = torch.tensor([[0, 0, 0.5, 1.0], [0, 0, 1, 1], [0.9, 0.9, 1, 1]])
    objects = torch.tensor([[0, 0, 0.6, 1], [0.95, 0.9, 1, 1]])
    assert overlaps(regions, objects).tolist() == pytest.approx([5 / 6, 0.5])
    assert overlaps(regions[:0], objects).tolist() == [0, 0]


def test_a_source_without_boxes_is_an_error_that_says_what_to_set():
    source = Scenes(train=1, size=64)
    bare = [type(e)(e.id, e.file, e.captions) for e in source.examples("train")]
    with pytest.raises(UserError, match="data.boxes=true"):
        recall(regions(TrueBoxes()), source, bare)


def test_the_command_draws_photos(tmp_path):
    pictures(1)[0].save(tmp_path / "a.png")
    file = saved(tmp_path / "tiny.onnx")
    names = "encoder.detector.class_names=[cat,dog,ball]"
    tiny = ["encoder.backbone=test_resnet", "encoder.weights=none", "encoder.size=64", "device=cpu"]
    options = [f"encoder.detector.file={file}", names, f"photos=[{tmp_path}/a.png]", f"output={tmp_path}/drawn"]
    result = CliRunner().invoke(app, ["regions", *options, *tiny])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "drawn" / "a.png").is_file()
    assert CliRunner().invoke(app, ["regions", "encoder=grid", "photos=[a.png]", *tiny]).exit_code == 2


def test_photos_of_one_name_from_two_folders_have_a_drawing_each(tmp_path):
    for folder, photo in zip("ab", pictures(2), strict=True):
        (tmp_path / folder).mkdir()
        photo.save(tmp_path / folder / "x.png")
    names = "encoder.detector.class_names=[cat,dog,ball]"
    tiny = ["encoder.backbone=test_resnet", "encoder.weights=none", "encoder.size=64", "device=cpu", names]
    options = [f"encoder.detector.file={saved(tmp_path / 'tiny.onnx')}", f"output={tmp_path}/drawn", *tiny]
    result = CliRunner().invoke(app, ["regions", f"photos=[{tmp_path}/a/x.png,{tmp_path}/b/x.png]", *options])
    assert result.exit_code == 0, result.output
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "drawn").iterdir()}
    assert drawn.keys() == {"x.png", "x-2.png"} and drawn["x.png"] != drawn["x-2.png"]


@pytest.mark.parametrize("verb", ["regions", "extract"])
@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_a_device_that_is_not_there_is_one_sentence(tmp_path, capfd, verb, device):
    tiny = ["encoder.backbone=test_resnet", "encoder.weights=none", "encoder.size=64", "data=scenes", "data.train=1"]
    if verb == "regions":
        names = "encoder.detector.class_names=[cat,dog,ball]"
        tiny += [f"encoder.detector.file={saved(tmp_path / 'tiny.onnx')}", names]
    else:
        tiny += ["encoder=grid", f"store={tmp_path}/store"]
    result = CliRunner().invoke(app, [verb, *tiny, f"device={device}"])
    said = result.output + capfd.readouterr().err
    assert result.exit_code == 2 and f"device {device}" in said and "Traceback" not in said


def test_yolox_nano_finds_the_objects_of_real_photos(real_data):
    """The 36 likeliest regions, whatever their class, of every object that is not a crowd."""
    file = real_data.parent / "models" / "yolox_nano.onnx"
    if not file.is_file():
        pytest.skip("models/yolox_nano.onnx is not beside the data sets")
    names = {"captions": "annotations/captions_train2017_subset.json"}
    names["instances"] = "annotations/instances_train2017_subset.json"
    source = Coco(real_data / "coco", boxes=True, **names)
    found = recall(regions(Yolox(file=file), regions=[36, 36]), source, source.examples("train"))
    assert found["all objects"][0] == 1196
    assert found["all objects"][1] >= 0.58 and found["above 32x32 pixels"][1] >= 0.78
