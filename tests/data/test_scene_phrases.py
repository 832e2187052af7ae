"""A phrase of the generated world means what its words say, and a relation in it has to be seen."""

from __future__ import annotations

import pytest

from captioning.data.phrases import all_phrases
from captioning.data.synthetic.scene_phrases import KINDS, RELATIONS, ScenePhrases
from captioning.data.synthetic.scenes import HELD_OUT, SIZES
from captioning.errors import UserError

WORLD = ScenePhrases(train=150, val=20, test=20, unseen=60)


def described(thing, words):
    """Whether colour, size and shape among `words` are those of a thing."""
    size = next(name for name, width in SIZES.items() if width == thing.width)
    wanted = [word.removesuffix("s") for word in words if word not in ("the", "all", "shape", "shapes")]
    numbers = ("two", "three", "four", "five", "six", "seven")
    return all(word in (thing.colour, thing.shape, size) for word in wanted if word not in numbers)


def named(scene, text):
    """The things that a phrase without a relation means, by a reading of its words."""
    return [thing for thing in scene.things if described(thing, text.split())]


@pytest.mark.parametrize("split", ["train", "unseen"])
def test_a_phrase_means_the_things_that_its_words_describe(split):
    for example in WORLD.examples(split):
        scene = WORLD.scene(example.id)
        for phrase in example.phrases:
            relation = next((name for name in RELATIONS if f" {name} " in phrase.text), None)
            if relation is None:
                assert {thing.box for thing in named(scene, phrase.text)} == set(phrase.boxes), phrase
                continue
            name, anchor = phrase.text.split(f" {relation} ")
            (there,) = named(scene, anchor)
            right, down = RELATIONS[relation]
            beyond = [
                thing
                for thing in named(scene, name)
                if (thing.x - there.x) * right + (thing.y - there.y) * down > 0.2
                and abs((thing.y - there.y) if right else (thing.x - there.x)) < 0.5
            ]
            assert set(phrase.boxes) <= {thing.box for thing in beyond}, phrase
            if phrase.absent:
                near = [
                    thing
                    for thing in beyond
                    if abs((thing.y - there.y) if right else (thing.x - there.x))
                    < (thing.x - there.x) * right + (thing.y - there.y) * down - 0.35
                ]
                assert not near, phrase


def test_a_relation_tells_apart_what_its_name_does_not():
    relations = [
        (example, phrase)
        for example in WORLD.examples("train")
        for phrase in example.phrases
        if phrase.kind == "relation"
    ]
    assert len(relations) > 80
    for example, phrase in relations:
        name = next(phrase.text.split(f" {relation} ")[0] for relation in RELATIONS if f" {relation} " in phrase.text)
        assert len(named(WORLD.scene(example.id), name)) > 1 and len(phrase.boxes) == 1


def test_every_kind_occurs_and_those_that_are_absent_have_no_boxes():
    phrases = [*all_phrases(WORLD.examples("train"))]
    assert {phrase.kind for phrase in phrases} == set(KINDS)
    assert all(phrase.absent == (phrase.kind == "absent") == (not phrase.boxes) for phrase in phrases)
    assert all(len(phrase.boxes) > 1 for phrase in phrases if phrase.kind == "several")


def test_held_out_pairs_are_neither_shown_nor_named_but_in_their_own_split():
    held = {f"{colour} {shape}" for colour, shape in HELD_OUT}
    for example in WORLD.examples("train"):
        assert held.isdisjoint(example.labels)
        assert not any(pair in phrase.text for pair in held for phrase in example.phrases)
    for example in WORLD.examples("unseen"):
        assert not held.isdisjoint(example.labels)
        assert all(any(pair in phrase.text for pair in held) for phrase in example.phrases)


def test_a_scene_follows_from_its_seed_and_id_alone():
    again = ScenePhrases(train=10, val=20, test=20, unseen=60)
    assert again.examples("train") == WORLD.examples("train")[:10]
    assert ScenePhrases(train=10, seed=1).examples("train") != again.examples("train")
    assert WORLD.image(WORLD.examples("train")[0]).size == (128, 128)


@pytest.mark.parametrize("options", [{"phrases": 0}, {"objects": (1, 4)}, {"size": 8}])
def test_options_that_cannot_be_are_named(options):
    with pytest.raises(UserError, match=f"data.{next(iter(options))}"):
        ScenePhrases(**options)
