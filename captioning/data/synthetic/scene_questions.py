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
FURTHER_MOVING_KINDS = ("exists", "colour", "moves")  # that ask for what is there and what does anything at all
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
        self.questions = check_questions(questions)
        self.kinds = check_kinds(kinds, (*KINDS, *FURTHER_KINDS))

    def _example(self, number: int, split: str) -> QuestionedExample:
        dice = Dice("questions", self.seed, number)
        pairs = ask(self.scene(number), dice, unseen=split_of(number) == "unseen", kinds=self.kinds)
        return asked(super()._example(number, split), pairs, self.questions)


class MovingSceneQuestions(MovingScenes):
    """The clips of `MovingScenes` with at most `questions` questions each, of every kind in MOVING_KINDS.

    `kinds` are others than these, those of FURTHER_MOVING_KINDS among them. Clips stay the same.
    """

    things = "questions"
    metrics = ("exact",)

    def __init__(self, *, questions: int = 6, kinds: Sequence[str] = MOVING_KINDS, **options) -> None:
        super().__init__(**options)
        self.questions = check_questions(questions)
        self.kinds = check_kinds(kinds, (*MOVING_KINDS, *FURTHER_MOVING_KINDS))

    def _example(self, number: int, split: str) -> QuestionedExample:
        dice = Dice("questions in motion", self.seed, number)
        pairs = ask_about_motion(self.scene(number), dice, unseen=split_of(number) == "unseen", kinds=self.kinds)
        return asked(super()._example(number, split), pairs, self.questions)


def check_questions(questions: int) -> int:
    """How many a picture has at most. Raises UserError for none."""
    if questions < 1:
        raise UserError(f"data.questions={questions}: give 1 or more for each picture.")
    return questions


def check_kinds(kinds: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Kinds of questions. Raises UserError for none, or for one that is not known."""
    if not kinds or not set(kinds) <= set(known):
        raise UserError(f"data.kinds={list(kinds)}: name some of {', '.join(known)}")
    return tuple(kinds)


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
        "exists": lambda: _exists(scene.groups, dice, unseen),
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


def _absent(shown: Sequence[Group | Actor], dice: Dice, unseen: bool) -> tuple[str, str]:
    """A kind that is not there, though its colour or its shape mostly is."""
    there = {(one.colour, one.shape) for one in shown}
    pairs = [pair for pair in product(COLOURS, SHAPES) if pair not in there and (unseen or pair not in HELD_OUT)]
    near = [(c, s) for c, s in pairs if any(c == one.colour or s == one.shape for one in shown)]
    return dice.pick(near if near and dice.chance(0.75) else pairs)


def _exists(shown: Sequence[Group | Actor], dice: Dice, unseen: bool) -> Asked:
    if dice.chance(0.5):
        return f"is there a {_name(dice.pick(shown))}?", "yes"
    return f"is there a {' '.join(_absent(shown, dice, unseen))}?", "no"


def _count(scene: Scene, dice: Dice, unseen: bool) -> Asked:
    way = dice.pick(("kind", "kind", "colour", "all"))
    if way == "all":
        return "how many shapes are there?", NUMBERS[len(scene.things)]
    if way == "colour":
        colour = dice.pick(tuple(COLOURS)) if dice.chance(0.3) else dice.pick(scene.groups).colour
        return f"how many {colour} shapes are there?", NUMBERS[sum(t.colour == colour for t in scene.things)]
    if dice.chance(0.25):
        colour, shape = _absent(scene.groups, dice, unseen)
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


def ask_about_motion(
    scene: MovingScene, dice: Dice, *, unseen: bool, kinds: Iterable[str] = MOVING_KINDS
) -> list[tuple[str, Asked]]:
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
    further = {"exists": _exists_in_motion, "colour": _colour_in_motion, "moves": _moves}
    found += [(kind, pair) for kind in kinds if kind in further for pair in further[kind](scene, dice, unseen)]
    kept = {pair[0]: (kind, pair) for kind, pair in found if kind in kinds}
    return dice.sample(list(kept.values()), len(kept))


def _exists_in_motion(scene: MovingScene, dice: Dice, unseen: bool) -> list[Asked]:
    return [_exists(scene.actors + scene.still, dice, unseen) for _ in range(2)]


def _colour_in_motion(scene: MovingScene, dice: Dice, unseen: bool) -> list[Asked]:
    """Of a shape of which there is one."""
    every = scene.actors + scene.still
    alone = [one for one in every if sum(one.shape == other.shape for other in every) == 1]
    return [(f"what colour is the {one.shape}?", one.colour) for one in alone]


def _moves(scene: MovingScene, dice: Dice, unseen: bool) -> list[Asked]:
    """Of one that acts and, where there is any, of one that does not."""
    answers = {"yes": scene.actors, "no": scene.still}
    return [(f"does the {_name(dice.pick(some))} do anything?", answer) for answer, some in answers.items() if some]
