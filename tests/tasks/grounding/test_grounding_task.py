"""A model that locates is learned, saved and loaded as others are; what it says is plain data that scores itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_grounding import HEADS, TEXT, built, examples, grounding_bundle, memory

import captioning
from captioning.boxes import Box
from captioning.data.phrases import Phrase
from captioning.errors import UserError
from captioning.heads.grounding import Located
from captioning.models.bundle import load_bundle, save_bundle
from captioning.tasks.grounding.calibration import with_presence
from captioning.tasks.grounding.locator import Locator
from captioning.tasks.grounding.objectives import around
from captioning.tasks.grounding.task import Grounding, both, in_mirror, several


def picture(size=(90, 60)):
    from PIL import Image

    return Image.effect_noise(size, 80).convert("RGB")


@pytest.mark.parametrize("head", HEADS)
def test_a_saved_model_locates_as_before(head, tmp_path):
    bundle = grounding_bundle(head)
    save_bundle(tmp_path / "model", bundle, card="")
    image = picture()
    before = Locator(bundle, device="cpu").locate(image, ["the red one", "a blue thing"])
    after = captioning.load(tmp_path / "model", device="cpu").locate(image, ["the red one", "a blue thing"])
    assert before == after
    config = (tmp_path / "model" / "config.yaml").read_text()
    assert "GridEncoder" in config and "Grounding" in config


def test_a_model_without_its_words_says_so(tmp_path):
    save_bundle(tmp_path / "model", grounding_bundle(), card="")
    (tmp_path / "model" / "vocabulary.json").unlink()
    with pytest.raises(UserError, match="vocabulary.json"):
        load_bundle(tmp_path / "model")


def test_predictions_are_plain_data_for_every_phrase_and_score_themselves():
    task = built("grid")
    found = task.predict(memory(), task.targets(examples(), 0))
    assert json.loads(json.dumps(found)) == found
    assert [len(those) for those in found] == [len(one.phrases) for one in examples()]
    predictions = dict(zip(range(6), found, strict=True))
    named = task.score(predictions, examples(), metrics=task.usual_metrics(None)).corpus
    assert {"acc@0.5", "pointing", "mean IoU", "calibration error", "absent AUC", "acc@0.5 (first)"} <= set(named)
    assert set(task.score(predictions, examples()).corpus) == {"acc@0.5", "pointing", "absent AUC"}
    perfect = {
        e.id: [
            {
                "box": around(
                    torch.tensor([p.boxes or ((0, 0, 1, 1),)]), torch.ones(1, 2, dtype=bool)[:, : len(p.boxes) or 1]
                )[0].tolist(),
                "point": [(p.boxes[0][0] + p.boxes[0][2]) / 2, (p.boxes[0][1] + p.boxes[0][3]) / 2]
                if p.boxes
                else [0, 0],
                "score": float(bool(p.boxes)),
                "there": float(bool(p.boxes)),
            }
            for p in e.phrases
        ]
        for e in examples()
    }
    scores = task.score(perfect, examples(), metrics=("boxes", "calibration")).corpus
    assert scores["acc@0.5"] == scores["pointing"] == scores["absent AUC"] == 1.0
    assert scores["calibration error"] == 0.0


def test_a_phrase_is_learned_once_from_an_image_and_others_in_each_epoch():
    one = examples(1)[0]
    doubled = replace(one, phrases=(*one.phrases, *(replace(p, id=f"{p.id}x") for p in one.phrases)))
    task = built("grid").train()
    assert len(task.rows(doubled, 0)) == 3
    assert len(task.eval().rows(doubled, 0)) == 6
    few = built("grid", phrases_per_image=1).train()
    assert len({few.rows(doubled, epoch)[0].text for epoch in range(20)}) == 3


def test_what_is_not_there_is_drawn_anew_in_each_epoch_and_in_training_alone():
    task = built("grid", absent=1)
    box = ((0.0, 0.0, 0.5, 0.5),)
    names = ("a man", "a dog", "a horse", "a car")
    pictures = [replace(e, phrases=(Phrase(n, n, box),)) for e, n in zip(examples(4), names, strict=True)]
    task.begin(pictures)
    assert not any(p.absent for p in task.rows(pictures[0], 0))
    task.train()
    given = replace(pictures[0], phrases=(*pictures[0].phrases, Phrase("x", "a tree", (), absent=True)))
    drawn = [[p for p in task.rows(given, epoch) if p.absent] for epoch in range(30)]
    assert all(len(those) == 1 and those[0].text in names[1:] for those in drawn)
    assert len({those[0].text for those in drawn}) > 1 and drawn[3] == [p for p in task.rows(given, 3) if p.absent]
    targets = task.targets([given], 0)
    assert int((targets.counts == 0).sum()) == 1
    task.end()
    assert [p.text for p in task.rows(given, 0) if p.absent] == ["a tree"]


def test_presence_that_was_fitted_is_kept_and_moves_what_is_believed_and_nothing_else():
    plain, fitted = built("grid"), built("grid", presence={"slope": 2.0, "offset": -1.0})
    assert "presence" not in plain.config() and fitted.config()["presence"] == {"slope": 2.0, "offset": -1.0}
    one, other = (task.predict(memory(), task.targets(examples(), 0)) for task in (plain, fitted))
    for a, b in zip(sum(one, []), sum(other, []), strict=True):
        assert a["box"] == b["box"] and a["point"] == b["point"]
        odds = 2 * np.log(a["there"] / (1 - a["there"])) - 1
        assert b["there"] == pytest.approx(1 / (1 + np.exp(-odds)))
        moved = with_presence(*(np.array([value]) for value in (a["odds"], (odds + 1) / 2)), fitted.presence)
        assert b["odds"] == pytest.approx(float(moved[0]), abs=1e-6)
    with pytest.raises(UserError, match="slope"):
        built("grid", presence={"offset": 1.0})


def test_weights_that_do_not_learn_stay_and_what_they_say_with_them():
    torch.manual_seed(0)
    task = built("grid", learns=["head.sure"]).train()
    before = {name: weight.clone() for name, weight in task.named_parameters()}
    learning = [weight for weight in task.parameters() if weight.requires_grad]
    step = torch.optim.SGD(learning, lr=0.1)
    for _ in range(3):
        step.zero_grad()
        task.losses(memory(), task.targets(examples(), 0))[0]["loss"].backward()
        step.step()
    moved = {name for name, weight in task.named_parameters() if not torch.equal(weight, before[name])}
    assert moved == {name for name in before if name.startswith("head.sure.")}
    assert task.training and task.head.sure.training and not task.head.layers.training and not task.text.training
    assert task.monitor[0] == "val/absent AUC" and task.undecided(examples()) == ""
    there = [replace(one, phrases=one.phrases[:2]) for one in examples()]
    assert "data.absent" in task.undecided(there) and built("grid").undecided(there) == ""
    with pytest.raises(UserError, match="nonsense"):
        built("grid", learns=["nonsense"])


def test_in_a_mirror_boxes_are_reflected_and_left_is_right():
    assert in_mirror("the man Left of the leftmost tree, right") == "the man right of the rightmost tree, left"
    plain, mirrored = built("grid").train(), built("grid", mirror=1.0).train()
    one = [replace(examples(1)[0], phrases=(Phrase(1, "the red one", ((0.0, 0.1, 0.25, 0.5),)),))]
    boxes = mirrored.targets(one, 0).boxes[0, 0, 0].tolist()
    assert boxes == pytest.approx([0.75, 0.1, 1.0, 0.5])
    assert plain.targets(one, 0).mirrored is None and mirrored.targets(one, 0).mirrored.tolist() == [True]
    assert mirrored.eval().targets(one, 0).mirrored is None


def test_a_mirrored_image_and_its_mirrored_boxes_are_learned_as_that_image_itself():
    def loss(task, targets, seen):
        return task.losses(seen, targets)[0]["loss"]

    task, seen = built("grid").train(), memory()
    flipped = replace(seen, tokens=seen.tokens.unflatten(1, (4, 4)).flip(2).flatten(1, 2))
    targets = task.targets(examples(), 0)
    mirrored = replace(targets, mirrored=torch.ones(6, dtype=torch.bool))
    torch.testing.assert_close(loss(task, mirrored, seen), loss(task, targets, flipped))


def test_rows_that_are_padding_teach_nothing():
    task, seen = built("grid"), memory()
    targets = task.targets(examples(), 0)
    padded = replace(
        targets,
        words=torch.cat([targets.words, torch.zeros_like(targets.words)], 1),
        boxes=torch.cat([targets.boxes, torch.rand_like(targets.boxes)], 1),
        counts=torch.cat([targets.counts, torch.ones_like(targets.counts)], 1),
    )
    one, other = (task.losses(seen, t)[0] for t in (targets, padded))
    for name, value in one.items():
        torch.testing.assert_close(value, other[name])


def test_several_things_are_told_from_one():
    whole = torch.tensor([0.0, 0.0, 1.0, 0.5])
    parts = torch.tensor([[0.0, 0.0, 0.3, 0.5], [0.02, 0.0, 0.3, 0.5], [0.7, 0.0, 1.0, 0.5], [0.4, 0.0, 0.5, 0.5]])
    shown = torch.tensor([0.9, 0.8, 0.7, 0.1])
    assert several(whole, parts, shown).tolist() == parts[[0, 2]].tolist()  # the second is the first
    assert several(whole, parts, torch.tensor([0.9, 0.8, 0.1, 0.1])).tolist() == [whole.tolist()]
    near = torch.cat([parts[:3], whole[None] * 0.99])
    assert several(whole, near, torch.ones(4)).tolist() == [whole.tolist()]  # one of them is the whole
    assert len(several(parts[0], parts, shown)) == 2  # regions: the best of them is no box around all


def test_a_phrase_alone_in_an_image_without_any_thing_is_not_there():
    odds = both(torch.tensor([2.0, -3.0]), torch.tensor([1.0, 4.0]))
    wanted = torch.tensor([2.0, -3.0]).sigmoid() * torch.tensor([1.0, 4.0]).sigmoid()
    torch.testing.assert_close(odds.sigmoid(), wanted)


def test_a_location_tells_its_boxes_in_pixels_and_what_is_not_there():
    locator = Locator(grounding_bundle(), device="cpu")
    image = picture()
    found = locator.locate(image, "the red one", least=0.0)
    assert found.found and all(isinstance(box, Box) and box.label == "the red one" for box in found.boxes)
    told = found.to_dict(image.size)
    assert told["phrase"] == "the red one" and 0 <= told["score"] <= told["there"] <= 1
    assert told["best"] == [round(c, 1) for c in found.box.pixels(90, 60)]
    assert found.attention.shape == (len(found.places),) and found.places.shape[1] == 4
    missed = locator.locate(image, ["the red one"], least=1.0)[0]
    assert not missed.found and "not there" in str(missed) and missed.box == found.box


@pytest.mark.parametrize(
    ("phrases", "words"), [([], "no phrase"), ("...", "no phrase: it has no word"), (["x" * 20_000], "longer than")]
)
def test_what_is_no_phrase_is_named(phrases, words):
    with pytest.raises(UserError, match=words):
        Locator(grounding_bundle(), device="cpu").locate(picture(), phrases)
    with pytest.raises(UserError, match="least=2"):
        Locator(grounding_bundle(), device="cpu").locate(picture(), "it", least=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"phrases_per_image": 0}, "phrases_per_image=0"),
        ({"mirror": 2}, "mirror=2"),
        ({"weights": {"boxes": 1}}, "task.weights: they are box, tokens, parts, sure"),
        ({"vocabulary": {"max_words": 0}}, "max_words"),
    ],
)
def test_options_that_cannot_be_are_named(options, words):
    with pytest.raises(UserError, match=words):
        Grounding(text=TEXT, head=HEADS["grid"], **options)


def test_a_text_encoder_that_knows_no_single_words_is_named():
    from captioning.encoders.text import TextEncoder

    with pytest.raises(UserError, match="tells nothing of single words"):
        TextEncoder().word_states(torch.ones(1, 1, 1, dtype=torch.long))


def test_rows_of_what_was_located_are_those_that_are_real():
    boxes = torch.arange(8.0).view(1, 2, 4)
    found = Located(boxes, boxes[..., 0], boxes[..., 1], boxes, boxes[:, :, None], (boxes,))
    rows = found.rows(torch.tensor([[False, True]]))
    assert rows.boxes.tolist() == [[4, 5, 6, 7]] and rows.stages[0].tolist() == [[4, 5, 6, 7]]


def test_a_calibrated_model_is_as_sure_as_it_is_often_right_and_stays_so_when_saved(tmp_path):
    import numpy as np
    from tiny_model import pictures

    from captioning.data.source import Source

    class Pictures(Source):
        name = "made"

        def examples(self, split):
            return examples()

        def image(self, example):
            return pictures(6)[example.id]

    bundle = grounding_bundle()
    locator = Locator(bundle, device="cpu")
    marked = [
        replace(e, phrases=tuple(replace(p, boxes=((0, 0, 1, 1),) * bool(p.boxes)) for p in e.phrases))
        for e in examples()
    ]
    Pictures.examples = lambda self, split: marked
    with torch.no_grad():  # boxes of the whole picture, so that all are right that are there
        last = bundle.task.head.refine[0].layers[-1]
        last.weight.zero_(), last.bias.copy_(torch.tensor([0.0, 0.0, 6.0, 6.0]))
    changed, bins = bundle.task.calibrated(locator, Pictures(), "train", store=None)
    _, before = locator.predict_split(Pictures(), "train", store=None)
    _, after = Locator(changed, device="cpu").predict_split(Pictures(), "train", store=None)
    sure = np.array([one["score"] for those in after.values() for one in those])
    share = np.mean([bool(p.boxes) for e in marked for p in e.phrases])
    assert abs(sure.mean() - share) < 0.05 and bins[:, 2].sum() == len(sure)
    assert before != after and bundle.task.calibration.tolist() == [1.0, 0.0]
    save_bundle(tmp_path / "model", changed, card="")
    assert load_bundle(tmp_path / "model").task.calibration.tolist() == changed.task.calibration.tolist()
