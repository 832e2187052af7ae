"""A sentence is true of its own scene; where scenes are told apart, of no other; names are those of all pairs."""

import re

import pytest

from captioning.data.synthetic.named_scenes import NamedScenes
from captioning.data.synthetic.scene import Group, Scene, Statement
from captioning.data.synthetic.scene_truth import holds, told_apart
from captioning.data.synthetic.scenes import HELD_OUT, Scenes
from captioning.errors import UserError

WORLD = Scenes(train=40, val=60, test=40, unseen=40, seed=3)
NAME = re.compile(r"(red|green|blue|yellow|purple|white) (star|circle|triangle|square)s?\b")


def scenes(split, world=WORLD):
    return [world.scene(example.id) for example in world.examples(split)]


@pytest.mark.parametrize("split", WORLD.splits)
def test_every_sentence_is_true_of_its_own_scene(split):
    for scene in scenes(split):
        assert all(holds(statement, scene) for statement in scene.statements)


def test_a_sentence_is_false_where_what_it_names_is_missing():
    here = scenes("val")
    checked = 0
    for one in here:
        for statement in one.statements:
            named = {" ".join(pair) for pair in NAME.findall(statement.text)}
            for other in here:
                if named - {f"{group.colour} {group.shape}" for group in other.groups}:
                    assert not holds(statement, other)
                    checked += 1
    assert checked > 1000


def test_order_count_and_size_decide():
    red = Group("red", "circle", "small", ((0, 1),))
    blue = Group("blue", "star", "large", ((2, 0), (2, 1)))
    scene, thing = Scene((red, blue), True, ()), ("colour", 0, "red")
    for facts, true in (
        ((thing, ("colour", 1, "blue"), ("left_of", 0, 1)), True),
        ((thing, ("colour", 1, "blue"), ("left_of", 1, 0)), False),
        ((thing, ("colour", 1, "blue"), ("above", 0, 1)), False),
        ((thing, ("size", 0, "large")), False),
        ((thing, ("count", 0, 2)), False),
        ((("colour", 1, "blue"), ("line", 1, "column")), True),
        ((("colour", 1, "blue"), ("line", 1, "row")), False),
        ((thing, ("place", 0, (0, 1))), True),
        ((thing, ("place", 0, (1, 1))), False),
        ((thing, ("shape", 0, "star")), False),  # red is the circle: attributes are of one group
        ((thing, ("colour", 1, "blue"), ("next_to", 0, 1)), False),
    ):
        assert holds(Statement("", facts), scene) is true, facts


def test_scenes_told_apart_are_described_by_no_sentence_of_another(monkeypatch):
    world = Scenes(train=40, val=60, test=40, unseen=40, seed=3, told_apart=True)
    plain = [example.id for example in WORLD.examples("val")]
    for split in ("val", "unseen"):
        here = scenes(split, world)
        assert len(here) == world.counts[split]
        assert not any(holds(said, b) for a in here for b in here if a is not b for said in a.statements)
    kept = [example.id for example in world.examples("val")]
    assert len(set(plain) & set(kept)) < len(plain), "some of the first scenes are described by each other's sentences"
    assert world.examples("train") == WORLD.examples("train")
    alike = [(0, world.scene(plain[0])), (1, world.scene(plain[0]))]
    assert [number for number, _ in told_apart(alike)] == [0]
    monkeypatch.setattr("captioning.data.synthetic.scenes.TRIED", 1)
    with pytest.raises(UserError, match="tell no more than"):
        world.examples("val")


def test_names_are_those_of_all_colours_and_shapes():
    world = NamedScenes(train=5, val=5, test=5, unseen=30, templates=("a {}", "the {}"))
    held_out = {" ".join(pair) for pair in HELD_OUT}
    for split in world.splits:
        for example in world.examples(split):
            assert len(example.choices) == 24 and len(example.captions) == 48
            assert example.labels[0] in example.choices and (example.labels[0] in held_out) == (split == "unseen")
            assert example.captions[:2] == (f"a {example.choices[0]}", f"the {example.choices[0]}")
    with pytest.raises(UserError, match="templates"):
        NamedScenes(templates=("a thing",))
