"""Questions about the generated world, still and in motion, whose answers only the picture tells.

Of every kind the answer is drawn before the question: who knows the questions alone guesses little better than who
knows nothing; `captioning data check scene_questions` tells how much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import permutations, product

from captioning.data.questions import Question, QuestionedExample
from captioning.data.synthetic.moving_scene import MOTIONS, Actor, MovingScene
from captioning.data.synthetic.moving_scenes import MovingScenes
from captioning.data.synthetic.portable_random import Dice
from captioning.data.synthetic.rendering import COLOURS, SHAPES
from captioning.data.synthetic.scene import Group, Scene
from captioning.data.synthetic.scenes import HELD_OUT, Scenes, split_of
from captioning.errors import UserError
from captioning.example import Example

KINDS = ("exists", "count", "colour", "shape", "relation", "comparison", "more")
FURTHER_KINDS = ("size", "place")  # that ask directly for what comparisons and relations need
MOVING_KINDS = ("motion", "order", "what moves")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DOES = {
    "right": "moves right",
    "left": "moves left",
    "falls": "falls",
    "rises": "rises",
    "grows": "grows",
    "shrinks": "shrinks",
    "appears": "appears",
    "disappears": "disappears",
    "spins": "spins",
}

Asked = tuple[str, str]  # a question and its answer


class SceneQuestions(Scenes):
    """The scenes of `Scenes` with at most `questions` questions each, of every kind in KINDS where a scene allows it.

    What is held out from training is never asked about in training either. `kinds` are others than KINDS, those of
    FURTHER_KINDS among them; one that is named twice is asked about twice as often. Pictures stay the same. Other
    options are those of `Scenes`.
    """

    things = "questions"
    metrics = ("exact",)

    def __init__(self, *, questions: int = 8, kinds: Sequence[str] = KINDS, **options) -> None:
        super().__init__(**options)
        self.questions, self.kinds = check_questions(questions), tuple(kinds)
        known = (*KINDS, *FURTHER_KINDS)
        if not self.kinds or not set(self.kinds) <= set(known):
            raise UserError(f"data.kinds={list(kinds)}: name some of {', '.join(known)}")

    def _example(self, number: int, split: str) -> QuestionedExample:
        dice = Dice("questions", self.seed, number)
        pairs = ask(self.scene(number), dice, unseen=split_of(number) == "unseen", kinds=self.kinds)
        return asked(super()._example(number, split), pairs, self.questions)


class MovingSceneQuestions(MovingScenes):
    """The clips of `MovingScenes` with at most `questions` questions each, of every kind in MOVING_KINDS."""

    things = "questions"
    metrics = ("exact",)

    def __init__(self, *, questions: int = 6, **options) -> None:
        super().__init__(**options)
        self.questions = check_questions(questions)

    def _example(self, number: int, split: str) -> QuestionedExample:
        dice = Dice("questions in motion", self.seed, number)
        return asked(super()._example(number, split), ask_about_motion(self.scene(number), dice), self.questions)


def check_questions(questions: int) -> int:
    """How many a picture has at most. Raises UserError for none."""
    if questions < 1:
        raise UserError(f"data.questions={questions}: give 1 or more for each picture.")
    return questions


def asked(example: Example, pairs: Iterable[tuple[str, Asked]], most: int) -> QuestionedExample:
    """The example with its first `most` (kind, (question, answer))."""
    questions = tuple(
        Question(f"{example.id}/{i}", text, (answer,), answer, kind=kind, answer_type=answer_type(answer))
        for i, (kind, (text, answer)) in enumerate(list(pairs)[:most])
    )
    values = {field.name: getattr(example, field.name) for field in fields(example)}
    return QuestionedExample(**(values | {"questions": questions}))


def answer_type(answer: str) -> str:
    """yes/no, number or other, as VQA's annotations have it."""
    return "yes/no" if answer in ("yes", "no") else "number" if answer in NUMBERS else "other"


def ask(scene: Scene, dice: Dice, *, unseen: bool, kinds: Iterable[str] = KINDS) -> list[tuple[str, Asked]]:
    """Two questions of every kind that fits the scene, in a random order; none is asked twice."""
    makers = {
        "exists": lambda: _exists(scene, dice, unseen),
        "count": lambda: _count(scene, dice, unseen),
        "colour": lambda: _colour(scene, dice),
        "shape": lambda: _shape(scene, dice),
        "relation": lambda: _relation(scene, dice),
        "comparison": lambda: _comparison(scene, dice),
        "more": lambda: _more(scene, dice),
        "size": lambda: _size(scene, dice),
        "place": lambda: _place(scene, dice),
    }
    found = [(kind, makers[kind]()) for kind in kinds for _ in range(2)]
    kept = {pair[0]: (kind, pair) for kind, pair in found if pair is not None}
    return dice.sample(list(kept.values()), len(kept))


def _name(group: Group | Actor) -> str:
    return f"{group.colour} {group.shape}"


def _absent(scene: Scene, dice: Dice, unseen: bool) -> tuple[str, str]:
    """A kind that is not there, though its colour or its shape mostly is."""
    shown = {(group.colour, group.shape) for group in scene.groups}
    pairs = [pair for pair in product(COLOURS, SHAPES) if pair not in shown and (unseen or pair not in HELD_OUT)]
    near = [(c, s) for c, s in pairs if any(c == g.colour or s == g.shape for g in scene.groups)]
    return dice.pick(near if near and dice.chance(0.75) else pairs)


def _exists(scene: Scene, dice: Dice, unseen: bool) -> Asked:
    if dice.chance(0.5):
        return f"is there a {_name(dice.pick(scene.groups))}?", "yes"
    return f"is there a {' '.join(_absent(scene, dice, unseen))}?", "no"


def _count(scene: Scene, dice: Dice, unseen: bool) -> Asked:
    way = dice.pick(("kind", "kind", "colour", "all"))
    if way == "all":
        return "how many shapes are there?", NUMBERS[len(scene.things)]
    if way == "colour":
        colour = dice.pick(tuple(COLOURS)) if dice.chance(0.3) else dice.pick(scene.groups).colour
        return f"how many {colour} shapes are there?", NUMBERS[sum(t.colour == colour for t in scene.things)]
    if dice.chance(0.25):
        colour, shape = _absent(scene, dice, unseen)
        return f"how many {colour} {shape}s are there?", NUMBERS[0]
    group = dice.pick(scene.groups)
    return f"how many {_name(group)}s are there?", NUMBERS[len(group.cells)]


def _colour(scene: Scene, dice: Dice) -> Asked | None:
    alone = [g for g in scene.groups if sum(g.shape == other.shape for other in scene.groups) == 1]
    if not alone:
        return None
    group = dice.pick(alone)
    return f"what colour {_is(group)} the {_plural(group)}?", group.colour


def _shape(scene: Scene, dice: Dice) -> Asked | None:
    alone = [g for g in scene.groups if sum(g.colour == other.colour for other in scene.groups) == 1]
    if not alone:
        return None
    group = dice.pick(alone)
    thing = "has the {} thing" if len(group.cells) == 1 else "have the {} things"
    return f"what shape {thing.format(group.colour)}?", group.shape


def _plural(group: Group) -> str:
    return group.shape + "s" * (len(group.cells) > 1)


def _those(group: Group) -> str:
    return f"{group.colour} {_plural(group)}"


def _is(group: Group) -> str:
    return "is" if len(group.cells) == 1 else "are"


def _relation(scene: Scene, dice: Dice) -> Asked | None:
    """Whether one thing is on a side of another, or what is; only where a single group is meant."""
    if len(scene.groups) < 2:
        return None
    before, after = ("left of", "right of") if scene.horizontal else ("above", "below")
    if dice.chance(0.5):
        first, second = sorted(dice.sample(range(len(scene.groups)), 2))
        yes, swapped = dice.chance(0.5), dice.chance(0.5)
        one, other = (scene.groups[number] for number in ((second, first) if swapped else (first, second)))
        side = before if yes != swapped else after
        return f"{_is(one)} the {_those(one)} {side} the {_those(other)}?", "yes" if yes else "no"
    if dice.chance(0.5):
        side, anchor, meant = before, scene.groups[1], scene.groups[0]
    else:
        side, anchor, meant = after, scene.groups[-2], scene.groups[-1]
    what = dice.pick(("colour", "shape"))
    return f"what {what} is {side} the {_those(anchor)}?", getattr(meant, what)


def _comparison(scene: Scene, dice: Dice) -> Asked | None:
    """Whether one is larger; only between sizes that differ."""
    pairs = [(a, b) for a, b in permutations(scene.groups, 2) if a.size != b.size]
    if not pairs:
        return None
    one, other = dice.pick(pairs)
    word = dice.pick(("larger", "smaller"))
    answer = "yes" if (one.size == "large") == (word == "larger") else "no"
    return f"{_is(one)} the {_those(one)} {word} than the {_those(other)}?", answer


def _size(scene: Scene, dice: Dice) -> Asked:
    group = dice.pick(scene.groups)
    return f"what size {_is(group)} the {_those(group)}?", group.size


def _place(scene: Scene, dice: Dice) -> Asked | None:
    """At which end of the row or column of groups one is."""
    if len(scene.groups) < 2:
        return None
    ends = ("left", "right") if scene.horizontal else ("top", "bottom")
    end = dice.pick((0, 1))
    group = scene.groups[-end]
    return f"where {_is(group)} the {_those(group)}?", ends[end]


def _more(scene: Scene, dice: Dice) -> Asked | None:
    """Whether there are more of one kind than of another; only between counts that differ."""
    pairs = [(a, b) for a, b in permutations(scene.groups, 2) if len(a.cells) != len(b.cells)]
    if not pairs:
        return None
    one, other = dice.pick(pairs)
    answer = "yes" if len(one.cells) > len(other.cells) else "no"
    return f"are there more {_name(one)}s than {_name(other)}s?", answer


def ask_about_motion(scene: MovingScene, dice: Dice) -> list[tuple[str, Asked]]:
    """What each actor does, what happens before what, and who it is that acts; in a random order."""
    found: list[tuple[str, Asked]] = []
    for actor in scene.actors:
        found.append(("motion", (f"what does the {_name(actor)} do?", DOES[actor.motion or ""])))
        others = [one for one in scene.actors if one.motion == actor.motion]
        if len(others) == 1:
            what = dice.pick(("colour", "shape"))
            text = f"what is the {what} of what {DOES[actor.motion or '']}?"
            found.append(("what moves", (text, getattr(actor, what))))
        doubted = actor.motion if dice.chance(0.5) else dice.pick([m for m in MOTIONS if m != actor.motion])
        answer = "yes" if doubted == actor.motion else "no"
        found.append(("motion", (f"is it the case that the {_name(actor)} {DOES[doubted or '']}?", answer)))
    if len(scene.actors) == 2:
        one, other = dice.sample(scene.actors, 2)
        answer = "together" if scene.together else "before" if one is scene.actors[0] else "after"
        found.append(("order", (f"when does the {_name(one)} act, seen from the {_name(other)}?", answer)))
    kept = {pair[0]: (kind, pair) for kind, pair in found}
    return dice.sample(list(kept.values()), len(kept))
