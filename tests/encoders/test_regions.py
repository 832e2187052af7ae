"""Regions are the likeliest boxes that do not say the same twice, placed where they are in the photo itself."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_detector import saved
from PIL import Image
from torchvision.ops import box_iou

from captioning.data.synthetic.scenes import Scenes
from captioning.encoders.detectors.base import Detector, Proposals, letterbox, of_the_photo
from captioning.encoders.detectors.true_boxes import OTHER, TrueBoxes
from captioning.encoders.detectors.yolox import STRIDES, Yolox, decode
from captioning.encoders.regions import WHOLE, Maps, RegionEncoder, aligned
from captioning.errors import UserError

NAMES = ("cat", "dog", "ball")
TINY = {"backbone": "test_resnet", "weights": "none", "size": 64}


class Nothing(Detector):
    """Proposes what it is given."""

    class_names, size = NAMES, 1

    def forward(self, boxes, scores, classes):
        return Proposals(boxes, scores, classes)


def tiny(detector: Detector, **options) -> RegionEncoder:
    torch.manual_seed(0)
    return RegionEncoder(detector=detector, **{**TINY, **options}).eval()


@given(seed=st.integers(0, 10**6), count=st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_with_the_whole_picture_regions_are_those_without_it_and_it(seed, count):
    without, with_it = (tiny(Nothing(), regions=[3, 6], whole=whole) for whole in (False, True))
    given_ = proposals(seed, 2, count)
    plain, more = without.select(given_), with_it.select(given_)
    for b in range(2):
        n, m = int(plain[3][b].sum()), int(more[3][b].sum())
        assert m == n + (n == 0 or int(plain[2][b, n - 1]) != 3)
        assert more[0][b, m - 1].tolist() == [0, 0, 1, 1] and int(more[2][b, m - 1]) == 3
        torch.testing.assert_close(more[0][b, : m - 1], plain[0][b, : m - 1])


@pytest.fixture(scope="module")
def chooser() -> RegionEncoder:
    return tiny(Nothing(), regions=[3, 6])


def proposals(seed: int, pictures: int, count: int) -> Proposals:
    noise = torch.Generator().manual_seed(seed)
    corner = torch.rand(pictures, count, 2, generator=noise) * 0.6
    boxes = torch.cat([corner, corner + torch.rand(pictures, count, 2, generator=noise) * 0.4], -1)
    scores = torch.rand(pictures, count, generator=noise) ** 3
    scores[torch.rand(pictures, count, generator=noise) < 0.2] = 0
    return Proposals(boxes, scores, torch.randint(0, 3, (pictures, count), generator=noise))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 60), highest=st.sampled_from([0.1, 1.0]))
def test_regions_are_the_likeliest_that_do_not_overlap(chooser, seed, count, highest):
    given_ = proposals(seed, 3, count)
    given_ = Proposals(given_.boxes, given_.scores * highest, given_.classes)
    boxes, scores, classes, mask = chooser.select(given_)
    for b in range(3):
        n = int(mask[b].sum())
        assert mask[b, :n].all() and not boxes[b, n:].any()
        sure = bool((given_.scores[b] >= chooser.score_threshold).any())
        assert (int(classes[b, n - 1]) == 3) == (not sure), "the whole image, exactly where nothing is found"
        n -= not sure
        found, score, kind = boxes[b, :n], scores[b, :n], classes[b, :n]
        assert n <= chooser.most and (score > 0).all() and (score.diff() <= 0).all()
        assert ((score >= chooser.score_threshold).sum() == n) or n <= chooser.fewest
        overlap = box_iou(found.double(), found.double()) - torch.eye(n)
        assert (overlap <= chooser.same_place + 1e-6).all()
        assert (overlap[kind[:, None] == kind] <= chooser.nms_threshold + 1e-6).all()
        if n:
            same = (given_.boxes[b][None] == found[:, None]).all(-1) & (given_.scores[b][None] == score[:, None])
            assert same.any(1).all(), "a region is one of the proposals"
            # What was left out is weaker than all that is there, or overlaps something likelier, or there is no room.
            likelier = given_.scores[b] > score[-1]
            near = (box_iou(given_.boxes[b].double(), found.double()) > chooser.nms_threshold).any(1)
            chosen = (given_.boxes[b][:, None] == found[None]).all(-1).any(1)
            assert (~likelier | near | chosen).all()


def test_a_picture_has_the_same_regions_alone_and_in_company(chooser):
    many = proposals(1, 40, 50)
    boxes, scores, classes, mask = chooser.select(many)
    for b in (0, 17, 39):
        alone = chooser.select(Proposals(*(part[b : b + 1] for part in (many.boxes, many.scores, many.classes))))
        n = int(mask[b].sum())
        assert int(alone[3].sum()) == n
        for part, other in zip((boxes, scores, classes), alone, strict=False):
            assert part[b, :n].equal(other[0, :n])


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    canvas=st.tuples(st.sampled_from([32, 96, 416]), st.sampled_from([32, 64, 416])),
    corner=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    share=st.floats(0.1, 1),
)
def test_a_box_on_the_canvas_is_where_it_is_in_the_photo(width, height, canvas, corner, share):
    x1, y1 = (int(c * s) for c, s in zip(corner, (width, height), strict=True))
    x2, y2 = (max(a + 1, int(a + share * (s - a))) for a, s in ((x1, width), (y1, height)))
    photo = Image.new("RGB", (width, height), "black")
    photo.paste((255, 255, 255), (x1, y1, x2, y2))
    pixels, extent = letterbox(photo, canvas, (0, 0, 0))
    assert tuple(pixels.shape) == (3, canvas[1], canvas[0])
    bright = pixels[0].float() / 255
    box = torch.tensor([x1 / width, y1 / height, x2 / width, y2 / height])
    placed = box * extent.repeat(2)  # in [0, 1] of the canvas
    assert torch.allclose(of_the_photo(placed[None, None], extent[None])[0, 0], box, atol=1e-5)
    columns, rows = bright.amax(0), bright.amax(1)
    if bright.max() > 0.9:  # else it is smaller than a pixel
        sides = ((columns, canvas[0], placed[0::2]), (rows, canvas[1], placed[1::2]))
        for line, side, (first, last) in sides:
            where = (line > 0.5 * line.max()).nonzero().flatten()
            assert abs(where[0] - first * side) <= 1.5 and abs(where[-1] + 1 - last * side) <= 1.5


def test_decoding_follows_the_grids_cell_by_cell():
    shape = (64, 96)
    output = torch.randn(2, sum((64 // s) * (96 // s) for s in STRIDES), 4, dtype=torch.float64)
    boxes, row = decode(output, shape), 0
    for stride in STRIDES:
        for y in range(shape[0] // stride):
            for x in range(shape[1] // stride):
                dx, dy, w, h = output[1, row].tolist()
                cx, cy = (dx + x) * stride / 96, (dy + y) * stride / 64
                half_w, half_h = np.exp(w) * stride / 2 / 96, np.exp(h) * stride / 2 / 64
                expected = [cx - half_w, cy - half_h, cx + half_w, cy + half_h]
                np.testing.assert_allclose(boxes[1, row].tolist(), expected, rtol=1e-9)
                row += 1


def test_features_are_those_of_the_place():
    """On a map that rises from left to right and from top to bottom, the mean of a box is the value at its middle."""
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(12.0), indexing="ij")
    ramp = torch.stack([columns + 0.5, rows + 0.5]).expand(2, -1, -1, -1)  # cells' middles
    boxes = torch.tensor([[0.2, 0.25, 0.5, 0.5], [0.45, 0.2, 0.5, 0.8], [0, 0, 1, 1.0]]).expand(2, -1, -1)
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 * torch.tensor([12.0, 8.0])
    torch.testing.assert_close(aligned(ramp, boxes), middle, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("backbone", "scales"),
    [("test_resnet", [3, 6]), ("test_efficientnet", [3, 6]), ("test_vit", [6]), ("test_mambaout", [3, 6])],
)
def test_a_finer_map_lies_beside_the_last_where_there_is_one(backbone, scales):
    torch.manual_seed(0)
    encoder = Maps(backbone=backbone, weights="none", size=96).eval()
    pictures = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.inference_mode():
        maps, last = encoder.maps(pictures), encoder.map(pictures)
    assert [tuple(part.shape) for part in maps] == [
        (2, width, side, side) for width, side in zip(encoder.widths, scales, strict=True)
    ]
    torch.testing.assert_close(maps[0], last)


def test_annotated_boxes_are_the_regions_of_their_example():
    source = Scenes(train=6, size=64)
    names = sorted({label for example in source.examples("train") for label in example.labels})
    encoder = tiny(TrueBoxes(class_names=names[1:]), regions=[1, 9], nms_threshold=1.0, same_place=1.0)
    examples = source.examples("train")
    memory = encoder(encoder.collate([encoder.read_annotated(source.image(example), example) for example in examples]))
    for b, example in enumerate(examples):
        real = memory.mask[b]
        found = {tuple(box): encoder.class_names[kind] for box, kind in zip(*_listed(memory, b), strict=True)}
        labels = [label if label in names[1:] else OTHER for label in example.labels]
        expected = {tuple(torch.tensor(box).tolist()): name for box, name in zip(example.boxes, labels, strict=True)}
        assert found == expected and int(real.sum()) == len(example.boxes)
        assert (memory.scores[b][real] == 1).all() and not memory.tokens[b][~real].any()
    assert memory.pooled.shape == (6, encoder.width)


def _listed(memory, b):
    real = memory.mask[b]
    return memory.boxes[b][real].tolist(), memory.classes[b][real].tolist()


def test_an_example_without_boxes_is_seen_as_a_whole():
    encoder = tiny(TrueBoxes(), regions=[1, 9])
    example = Scenes(train=1, size=64).examples("train")[0]
    bare = type(example)(example.id, example.file, example.captions)
    views = [encoder.read_annotated(Image.new("RGB", (50, 40), "red"), each) for each in (bare, bare)]
    memory = encoder(encoder.collate(views))
    assert memory.boxes.tolist() == [[[0, 0, 1, 1]]] * 2 and encoder.class_names[memory.classes[0, 0]] == WHOLE
    torch.testing.assert_close(memory.tokens[:, 0], memory.pooled)
    with pytest.raises(UserError, match="a photo alone has none"):
        encoder.read(Image.new("RGB", (50, 40)))


@pytest.mark.parametrize("batch", [1, "batch"])
def test_an_onnx_detector_sees_a_photo_alone_as_in_company(tmp_path, batch):
    encoder = tiny(Yolox(file=saved(tmp_path / "tiny.onnx", batch=batch), class_names=NAMES), regions=[2, 9])
    photos = [Image.effect_noise(size, 80).convert("RGB") for size in ((64, 40), (30, 90), (200, 200), (1, 9))]
    views = [encoder.read(photo) for photo in photos]
    memory = encoder(encoder.collate(views))
    assert memory.boxes.min() >= 0 and memory.boxes.max() <= 1 and 0 < memory.scores.max() <= 1
    assert memory.tokens.shape == (4, memory.mask.shape[1], encoder.width) and encoder.size == 64
    for b, view in enumerate(views):
        alone = encoder(encoder.collate([view]))
        n = int(alone.mask.sum())
        assert n == int(memory.mask[b].sum())
        torch.testing.assert_close(alone.boxes[0], memory.boxes[b, :n], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.tokens[0], memory.tokens[b, :n], atol=1e-4, rtol=1e-3)


def test_copies_and_workers_have_a_detector_of_their_own(tmp_path):
    encoder = tiny(Yolox(file=saved(tmp_path / "tiny.onnx"), class_names=NAMES))
    view = encoder.read(Image.effect_noise((64, 40), 80).convert("RGB"))
    seen = encoder(encoder.collate([view]))
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert other(other.collate([view])).tokens.equal(seen.tokens)


def test_a_detector_never_learns(tmp_path):
    encoder = tiny(Yolox(file=saved(tmp_path / "tiny.onnx"), class_names=NAMES), finetune=True).train()
    assert encoder.training and encoder.grid.training and not encoder.detector.training
    memory = encoder(encoder.collate([encoder.read(Image.effect_noise((64, 40), 80).convert("RGB"))]))
    memory.tokens.sum().backward()
    assert any(p.grad is not None for p in encoder.grid.parameters())


def test_the_digest_covers_the_detector_and_not_where_it_was_found(tmp_path):
    def digest(path, **options):
        config = {"detector": {"_target_": "Yolox", "file": str(path)}, "regions": [3, 6], "weights": "none"}
        return tiny(Yolox(file=saved(path, **options), class_names=NAMES)).digest(config)

    same = digest(tmp_path / "one.onnx"), digest(tmp_path / "two.onnx")
    assert same[0] == same[1] != digest(tmp_path / "three.onnx", seed=1)


@pytest.mark.parametrize("regions", [36, [0, 5], [5, 4], [1, 101], ["a", 2], [1, 2, 3], "ab"])
def test_the_number_of_regions_is_the_fewest_and_the_most(regions):
    with pytest.raises(UserError, match="give the fewest and the most"):
        tiny(Nothing(), regions=regions)


def test_a_detector_without_features_needs_a_backbone():
    with pytest.raises(UserError, match="has no features of its own"):
        tiny(Nothing(), backbone=None)
