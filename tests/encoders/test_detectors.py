"""A file that is not the detector it should be is refused in one line; what a detector knows fits its own outputs."""

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx_detector import detector, saved
from PIL import Image
from safetensors.torch import save_file
from tiny_model import tiny_bundle

from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.encoders.detectors.faster_rcnn import FasterRCNN
from captioning.encoders.detectors.onnx_file import objection
from captioning.encoders.detectors.yolox import Yolox
from captioning.encoders.regions import RegionEncoder
from captioning.errors import UserError
from captioning.models.bundle import Bundle, load_bundle, save_bundle
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.retrieval_memory import replaced

NAMES = ("cat", "dog", "ball")


def with_external_data(model: onnx.ModelProto) -> onnx.ModelProto:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    return model


def with_a_branch(model: onnx.ModelProto) -> onnx.ModelProto:
    empty = helper.make_graph([], "then", [], [])
    model.graph.node.append(helper.make_node("If", ["flat"], [], then_branch=empty, else_branch=empty))
    return model


def with_scores_as_logits(model: onnx.ModelProto) -> onnx.ModelProto:
    node = next(node for node in model.graph.node if node.op_type == "Sigmoid")
    node.op_type = "Exp"
    return model


def with_pictures_of(model: onnx.ModelProto, *shape) -> onnx.ModelProto:
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("images", TensorProto.FLOAT, shape))
    return model


def another_layout(*shape) -> onnx.ModelProto:
    given, found = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("given", "found"))
    graph = helper.make_graph([helper.make_node("Identity", ["given"], ["found"])], "identity", [given], [found])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"a photo, perhaps", "is not|is damaged"),
        (detector().SerializeToString()[:-1000], "is damaged"),
        (with_external_data(detector()).SerializeToString(), "keeps its weights in other files"),
        (with_a_branch(detector()).SerializeToString(), "has loops or branches"),
        (with_scores_as_logits(detector()).SerializeToString(), r"scores in \[0, 1\]"),
        (with_pictures_of(detector(), 1, 3, "height", "width").SerializeToString(), "divisible by 32"),
        (with_pictures_of(detector(), 1, 3, 64, 64).SerializeToString(), "can be run"),
        (another_layout(1, 1, 32, 32).SerializeToString(), "should take pictures"),
        (another_layout(1, 3, 32, 32).SerializeToString(), r"puts out \(1, 3, 32, 32\) and should \(1, 21, 8\)"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path, content, complaint):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        Yolox(file=path, class_names=NAMES)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_absent_or_has_other_classes_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="nowhere.onnx: No such file"):
        Yolox(file=tmp_path / "nowhere.onnx")
    with pytest.raises(UserError, match="layout with 80 classes"):
        Yolox(file=saved(tmp_path / "three.onnx"))


def test_a_detector_passes_inspection_whatever_bytes_its_weights_hold():
    assert objection(detector(seed=5).SerializeToString()) is None


def region_bundle(path) -> Bundle:
    torch.manual_seed(0)
    tiny, target = tiny_bundle(), "captioning.encoders.detectors.yolox.Yolox"
    options = {"backbone": "test_resnet", "size": 64, "regions": [2, 6]}
    encoder = RegionEncoder(detector=Yolox(file=path, class_names=NAMES), weights="none", **options)
    look = {
        "_target_": "captioning.encoders.regions.RegionEncoder",
        "detector": {"_target_": target, "file": str(path), "class_names": list(NAMES)},
        "weights": "none",
        **options,
    }
    sizes = {"visual_width": encoder.width, "vocabulary_size": len(tiny.task.vocabulary)}
    say = tiny.task.parts["decoder"]
    decoder = ShowAttendTell(**sizes, **{key: value for key, value in say.items() if key != "_target_"})
    return Bundle(encoder.eval(), look, replaced(tiny.task, decoder=decoder, config=say).eval())


@pytest.mark.parametrize("half", [False, True])
def test_a_finished_model_brings_its_detector_and_names_no_file(tmp_path, half):
    bundle = region_bundle(saved(tmp_path / "tiny.onnx"))
    photo = Image.effect_noise((80, 50), 90).convert("RGB")
    before = Captioner(bundle).caption(photo, details=True)
    folder = save_bundle(tmp_path / "model", bundle, card="# regions", half=half)
    (tmp_path / "tiny.onnx").unlink()
    assert "tiny.onnx" not in (folder / "config.yaml").read_text()
    loaded = load_bundle(folder)
    after = Captioner(loaded).caption(photo, details=True)
    assert after.labels == before.labels and set(after.labels) <= {*NAMES, "whole image"}
    assert after.boxes.tolist() == before.boxes.tolist() and after.attention.shape[1] == len(after.labels)
    assert half or (after.text, after.score) == (before.text, before.score)
    config = bundle.encoder_config
    assert half or loaded.encoder.digest(loaded.encoder_config) == bundle.encoder.digest(config)


def test_a_bundle_cannot_have_a_file_read(tmp_path):
    folder = save_bundle(tmp_path / "model", region_bundle(saved(tmp_path / "tiny.onnx")), card="# regions")
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(
        config.replace("class_names:", f"file: {tmp_path}/absent.onnx\n    class_names:")
    )
    assert load_bundle(folder).encoder.detector.shape == (32, 32)  # an absent file would have been complained about


@pytest.mark.parametrize("content", [b"", b"no model at all", with_external_data(detector()).SerializeToString()])
def test_a_bundle_with_another_thing_for_a_detector_is_refused_by_name(tmp_path, content):
    from safetensors.torch import load_file

    folder = save_bundle(tmp_path / "model", region_bundle(saved(tmp_path / "tiny.onnx")), card="# regions")
    weights = load_file(folder / "weights.safetensors")
    weights["encoder.detector.model"] = torch.tensor(list(content), dtype=torch.uint8)
    save_file(weights, folder / "weights.safetensors")
    with pytest.raises(UserError, match="weights.safetensors"):
        load_bundle(folder)


@pytest.fixture(scope="module")
def faster_rcnn() -> FasterRCNN:
    torch.manual_seed(0)
    detector = FasterRCNN(model="fasterrcnn_resnet50_fpn", weights="none", size=128, class_names=NAMES)
    detector.model.rpn._post_nms_top_n["testing"] = 50  # of 1,000, which take their time
    return detector


def test_faster_rcnn_finds_what_torchvision_finds(faster_rcnn):
    """On a photo of the canvas's own size, where nothing is resized by either."""
    photo = Image.effect_noise((128, 128), 90).convert("RGB")
    pixels, extent = (part[None] for part in faster_rcnn.read(photo, None))
    theirs = faster_rcnn.model
    theirs.transform.min_size, theirs.transform.max_size = (128,), 128
    with torch.inference_mode():
        ours = faster_rcnn(pixels, extent)
        (found,) = theirs([pixels[0] / 255])
    best = ours.scores[0].argmax()
    assert found["scores"][0].item() == pytest.approx(ours.scores[0, best].item(), abs=1e-5)
    torch.testing.assert_close(found["boxes"][0] / 128, ours.boxes[0, best], atol=1e-4, rtol=0)
    assert found["labels"][0] == ours.classes[0, best] + 1


def test_the_box_head_describes_regions_and_the_whole_picture(faster_rcnn):
    encoder = RegionEncoder(detector=faster_rcnn, backbone=None, regions=[3, 5]).eval()
    photos = [Image.effect_noise(size, 90).convert("RGB") for size in ((100, 60), (40, 128))]
    with torch.inference_mode():
        memory = encoder(encoder.collate([encoder.read(photo) for photo in photos]))
        alone = encoder(encoder.collate([encoder.read(photos[1])]))
    assert memory.tokens.shape[2] == encoder.width == 1024 and memory.pooled.shape == (2, 1024)
    n = int(alone.mask.sum())
    torch.testing.assert_close(alone.tokens[0], memory.tokens[1, :n], atol=1e-3, rtol=1e-3)
    assert memory.boxes.min() >= 0 and memory.boxes.max() <= 1


def test_weights_come_from_a_file(tmp_path, faster_rcnn):
    state = {key: value for key, value in faster_rcnn.model.state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "model.pth")
    save_file(state, tmp_path / "model.safetensors")
    options = {"model": "fasterrcnn_resnet50_fpn", "size": 128}
    again = FasterRCNN(weights=str(tmp_path / "model.safetensors"), class_names=NAMES, **options).model.state_dict()
    assert all(value.equal(again[key]) for key, value in state.items())
    with pytest.raises(UserError, match="does not fit encoder.detector.model or class_names"):
        FasterRCNN(weights=str(tmp_path / "model.pth"), class_names=NAMES[:2], **options)


def test_weights_that_are_no_weights_are_refused_by_name(tmp_path):
    path = tmp_path / "model.pth"
    for content, complaint in (
        (b"no", "does not fit"),
        (None, "does not fit"),
        ([1], "something else"),
    ):
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content or print, path)
        with pytest.raises(UserError, match=complaint):
            FasterRCNN(weights=str(path), size=64, class_names=NAMES)
    with pytest.raises(UserError, match="no such file"):
        FasterRCNN(weights=str(tmp_path / "absent.pth"), size=64)
    with pytest.raises(UserError, match="divisible by 32"):
        FasterRCNN(weights="none", size=100)
    with pytest.raises(UserError, match="encoder.detector.model=yolo"):
        FasterRCNN(model="yolo")
