import hashlib
import re
from itertools import combinations

import numpy as np
import pytest

from captioning.data.synthetic.rendering import COLOURS, SHAPES, render
from captioning.data.synthetic.scenes import HELD_OUT, SIZES, Scenes
from captioning.errors import UserError

WORLD = Scenes(train=600, val=100, test=100, unseen=100, size=96)
MENTION = re.compile(rf"\b(a|two|three) (?:(small|large) )?({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})(s?)\b(?! of)")
NUMBERS = {"a": 1, "two": 2, "three": 3, "four": 4}
# What a sentence says of two groups X and Y (and Z), read from its words alone.
READINGS = [
    (r"(X) (?:is |are )?(?:to the )?left of (Y)", "left_of"),
    (r"(Y) (?:is |are )?(?:to the )?right of (X)", "left_of"),
    (r"(?:to the )?left of (Y) (?:there (?:is|are)|we see) (X)", "left_of"),
    (r"(?:to the )?right of (X) (?:there (?:is|are)|we see) (Y)", "left_of"),
    (r"(Y) with (X) to (?:its|their) left", "left_of"),
    (r"(X) on the left and (Y) on the right", "left_of"),
    (r"(Y) with .* and (Z) to (?:its|their) right", "right_of"),
    (r"(X) (?:is |are )?(?:above|over) (Y)", "above"),
    (r"(Y) (?:is |are )?(?:below|under) (X)", "above"),
    (r"(?:above|over) (Y) (?:there (?:is|are)|we see) (X)", "above"),
    (r"(?:below|under) (X) (?:there (?:is|are)|we see) (Y)", "above"),
    (r"(Y) with (X) (?:above|over) (?:it|them)", "above"),
    (r"(X) at the top and (Y) at the bottom", "above"),
    (r"(Y) with .* and (Z) (?:below|under) (?:it|them)", "below"),
    (r"from left to right, (X), (Y) and (Z)", "rightwards"),
    (r"from right to left, (Z), (Y) and (X)", "rightwards"),
    (r"(X), then (Y), then (Z) from left to right", "rightwards"),
    (r"from top to bottom, (X), (Y) and (Z)", "downwards"),
    (r"from bottom to top, (Z), (Y) and (X)", "downwards"),
    (r"(X), then (Y), then (Z) from top to bottom", "downwards"),
    (r"(Y) (?:is|are) between (X) and (Z)", "between"),
    (r"(X) and (Z) with (Y) between them", "between"),
    (r"(X) (?:is |are )?next to (Y)", "beside"),
    (r"there are (?:three|four) shapes, and (Y) (?:is|are) in the middle", "middle"),
]


def boxes_of(example):
    """label -> boxes (n, 4)"""
    return {
        label: np.array([box for box, name in zip(example.boxes, example.labels, strict=True) if name == label])
        for label in example.labels
    }


def left_of(a, b):
    return a[:, 2].max() <= b[:, 0].min()


def above(a, b):
    return a[:, 3].max() <= b[:, 1].min()


def true_of(relation, x, y, z, everything):
    """Whether a relation holds between groups of boxes."""
    match relation:
        case "left_of":
            return left_of(x, y)
        case "right_of":
            return left_of(y, z)
        case "above":
            return above(x, y)
        case "below":
            return above(y, z)
        case "rightwards":
            return left_of(x, y) and left_of(y, z)
        case "downwards":
            return above(x, y) and above(y, z)
        case "between":
            return any(order(x, y) and order(y, z) or order(z, y) and order(y, x) for order in (left_of, above))
        case "beside":
            return left_of(x, y) or left_of(y, x)
        case "middle":
            first, last = [group for group in everything if group is not y]
            return true_of("between", first, y, last, everything)


@pytest.mark.parametrize("split", WORLD.splits)
def test_every_caption_is_true_of_the_boxes(split):
    read = 0
    for example in WORLD.examples(split):
        groups = boxes_of(example)
        for caption in example.captions:
            mentioned = []
            for count, size, colour, shape, plural in MENTION.findall(caption):
                boxes = groups[f"{colour} {shape}"]
                assert len(boxes) == NUMBERS[count] and bool(plural) == (len(boxes) > 1), caption
                width = (boxes[:, 2] - boxes[:, 0]).mean()
                assert not size or size == ("small" if width < sum(SIZES.values()) * 0.45 else "large"), caption
                mentioned.append(boxes)
            plain = MENTION.sub(lambda m: f"<{m[3]} {m[4]}>", caption)
            if total := re.search(r"there are (\w+) shapes", plain):
                assert NUMBERS[total[1]] == len(example.boxes)
            readings = [
                (relation, found)
                for pattern, relation in READINGS
                for found in [re.search(re.sub("[(]([XYZ])[)]", r"<(?P<\1>[a-z ]+)>", pattern), plain)]
                if found
            ]
            for relation, found in readings:
                named = [groups.get(found.groupdict().get(letter)) for letter in "XYZ"]
                assert true_of(relation, *named, list(groups.values())), caption
            assert readings or len(groups) == 1, f"no relation read from: {caption}"
            read += len(readings)
    assert read > len(WORLD.examples(split))


def test_a_lone_group_is_where_and_as_its_caption_says():
    for example in WORLD.examples("train"):
        if len(set(example.labels)) > 1:
            continue
        boxes = np.array(example.boxes)
        x, y = (boxes[:, :2] + boxes[:, 2:]).mean(0) / 2
        across, down = np.ptp(boxes[:, 0]), np.ptp(boxes[:, 1])
        for caption in example.captions:
            if len(boxes) > 1:
                assert ("row" in caption or "side by side" in caption) == (across > down), caption
                continue
            assert ("left" in caption) == (x < 1 / 3) and ("right" in caption) == (x > 2 / 3), caption
            assert ("top" in caption) == (y < 1 / 3) and ("bottom" in caption) == (y > 2 / 3), caption


def test_facts_name_what_the_words_name():
    for example in WORLD.examples("train"):
        scene = WORLD.scene(example.id)
        for statement in scene.statements:
            stated = {fact for fact in statement.facts if fact[0] in ("count", "size", "colour", "shape")}
            words = {
                (name, value)
                for count, size, colour, shape, _ in MENTION.findall(statement.text)
                for name, value in (("count", NUMBERS[count]), ("size", size), ("colour", colour), ("shape", shape))
                if value
            }
            assert {(name, value) for name, _, value in stated} == words, statement
            for name, group, value in stated - {fact for fact in stated if fact[0] == "count"}:
                assert getattr(scene.groups[group], name) == value


def test_five_different_captions_of_few_words():
    captions = [example.captions for split in WORLD.splits for example in WORLD.examples(split)]
    assert all(len(set(five)) == 5 for five in captions)
    sentences = [sentence.replace(",", "").split() for five in captions for sentence in five]
    assert max(map(len, sentences)) <= 20
    assert len({word for sentence in sentences for word in sentence}) < 80


def test_held_out_pairs_are_in_every_unseen_scene_and_in_no_other():
    held_out = {" ".join(pair) for pair in HELD_OUT}
    for split in WORLD.splits:
        for example in WORLD.examples(split):
            told = {
                f"{colour} {shape}" for text in example.captions for _, _, colour, shape, _ in MENTION.findall(text)
            }
            if split == "unseen":
                assert held_out & set(example.labels) and held_out & told
            else:
                assert not held_out & (set(example.labels) | told)
    seen = {word for example in WORLD.examples("train") for label in example.labels for word in label.split()}
    assert seen == set(COLOURS) | set(SHAPES)


def test_attributes_give_no_hint_at_relations_or_counts():
    first, counts = {}, {}
    for scene in map(WORLD.scene, range(4000)):
        for i, group in enumerate(scene.groups):
            for attribute in (group.colour, group.shape, group.size):
                counts.setdefault(attribute, []).append(len(group.cells))
                if len(scene.groups) == 2:
                    first.setdefault(attribute, []).append(i == 0)
    assert all(abs(np.mean(places) - 0.5) < 0.08 for places in first.values())
    usual = np.mean([count for values in counts.values() for count in values])
    assert all(abs(np.mean(values) - usual) < 0.12 for values in counts.values())


def test_the_pixels_of_an_id_are_the_same_everywhere():
    pixels = b"".join(WORLD.image(example).tobytes() for example in WORLD.examples("val")[:20])
    captions = "\n".join(caption for example in WORLD.examples("val") for caption in example.captions)
    assert hashlib.sha256(pixels).hexdigest()[:16] == "e7e5de6de32081f8"
    assert hashlib.sha256(captions.encode()).hexdigest()[:16] == "eff0b29795f68d33"


def test_a_scene_does_not_depend_on_how_many_there_are():
    more = Scenes(train=3, val=700, size=96)
    assert more.examples("val")[:100] == WORLD.examples("val")
    assert more.image(more.examples("val")[5]) == WORLD.image(WORLD.examples("val")[5])


def test_another_seed_is_another_world_with_another_name():
    other = Scenes(seed=1, size=96)
    assert other.name != WORLD.name
    assert other.examples("val")[0].captions != WORLD.examples("val")[0].captions


def test_ids_are_unique():
    ids = [example.id for split in WORLD.splits for example in WORLD.examples(split)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("size", [64, 97, 128])
def test_boxes_fit_the_pixels_and_never_overlap(size):
    for number in range(60):
        scene = WORLD.scene(number)
        ground = render([], size, "law").astype(int)
        for thing in scene.things:
            changed = np.abs(render([thing], size, "law") - ground).max(-1) > 30
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            drawn = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            # The points of a star and of a triangle are thinner than a pixel.
            assert np.abs(drawn - np.array(thing.box) * size).max() < 2.5
            assert min(thing.box) >= 0 and max(thing.box) <= 1
        for a, b in combinations(scene.things, 2):
            assert a.box[2] <= b.box[0] or b.box[2] <= a.box[0] or a.box[3] <= b.box[1] or b.box[3] <= a.box[1]


def test_the_ground_is_never_the_same_nor_even():
    grounds = [render([], 96, str(key)) for key in range(10)]
    assert all(ground.std() > 3 for ground in grounds)
    assert len({ground.mean().round(3) for ground in grounds}) == 10


@pytest.mark.parametrize("objects", [(1, 1), (2, 2), (4, 4), (5, 9), (9, 9)])
def test_as_many_things_as_were_asked_for(objects):
    world = Scenes(train=40, objects=objects)
    totals = {len(example.boxes) for example in world.examples("train")}
    assert min(totals) >= objects[0] and max(totals) <= objects[1]


@pytest.mark.parametrize(
    "wrong", [{"objects": (0, 3)}, {"objects": (4, 2)}, {"objects": (1, 10)}, {"train": -1}, {"size": 8}]
)
def test_settings_that_make_no_sense_are_named(wrong):
    with pytest.raises(UserError, match=f"data.{next(iter(wrong))}"):
        Scenes(**wrong)


@pytest.mark.parametrize("split", ["dev", "val"])
def test_a_split_that_is_unknown_or_empty_is_an_error(split):
    with pytest.raises(UserError, match="It has: train, test, unseen"):
        Scenes(val=0).examples(split)
