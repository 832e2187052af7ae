"""Sentences about a generated scene, and what each of them states.

A sentence is a pattern whose fields are filled with phrases. Each phrase brings the facts it states, so a caption
carries its own meaning and a test can hold it against the boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import TYPE_CHECKING

from captioning.data.synthetic.scene import Statement

if TYPE_CHECKING:
    from captioning.data.synthetic.portable_random import Dice
    from captioning.data.synthetic.scene import Group, Scene

CAPTIONS = 5
SIZED = 2  # how many of the five captions name the sizes
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

ONE_THING = (
    "{a} {place}",
    "there is {a} {place}",
    "{place} there is {a}",
    "the picture shows {a} {place}",
    "{place} of the picture is {a}",
    "we see {a} alone {place}",
)
ONE_LINE = (
    "{a} {line}",
    "there are {a} {line}",
    "the picture shows {a} {spread}",
    "{a} stand {spread}",
    "we see {a} {line}",
    "a {line_of} of {a}",
)
PAIR = (
    "{a} {a_is} {before} {b}",
    "{b} {b_is} {after} {a}",
    "{before} {b} there {a_is} {a}",
    "{after} {a} we see {b}",
    "{b} with {a} {before_b}",
    "{a} {first} and {b} {last}",
    "there are {total} shapes, {a} {before} {b}",
)
NEIGHBOURS = ("{a} {next_to} {b}", "{b} {b_is} {next_to} {a}")
TRIPLE = (
    "{b} {b_is} {between} {a} and {c}",
    "{onwards}, {a}, {b} and {c}",
    "{backwards}, {c}, {b} and {a}",
    "{a}, then {b}, then {c} {onwards}",
    "{a} and {c} with {b} {between} them",
    "{b} with {a} {before_b} and {c} {after_b}",
    "there are {total} shapes, and {b} {b_is} {middle}",
)


Phrase = tuple[str, tuple[tuple, ...]]


def describe(scene: Scene, dice: Dice) -> tuple[Statement, ...]:
    """Five differently built sentences about a scene, two of which name the sizes."""
    chosen = dice.sample(_patterns(scene), CAPTIONS)
    sized = dice.sample(range(CAPTIONS), SIZED)
    return tuple(fill(pattern, _phrases(scene, dice, i in sized)) for i, pattern in enumerate(chosen))


def fill(pattern: str, phrases: Mapping[str, Phrase]) -> Statement:
    """The sentence of a pattern, with the facts of the phrases in it."""
    fields = [field for _, field, _, _ in Formatter().parse(pattern) if field]
    facts = dict.fromkeys(fact for field in fields for fact in phrases[field][1])
    return Statement(pattern.format_map({field: phrases[field][0] for field in fields}), tuple(facts))


def mention(number: int, group: Group, *, sized: bool) -> Phrase:
    """A group by its count, colour and shape, and its size where wanted: "two small red stars"."""
    count = len(group.cells)
    words = ["a" if count == 1 else NUMBERS[count]]
    facts = [("count", number, count), ("colour", number, group.colour), ("shape", number, group.shape)]
    if sized:
        words.append(group.size)
        facts.append(("size", number, group.size))
    words += [group.colour, group.shape + "s" * (count > 1)]
    return " ".join(words), tuple(facts)


def _patterns(scene: Scene) -> Sequence[str]:
    first, *others = scene.groups
    if not others:
        return ONE_THING if len(first.cells) == 1 else ONE_LINE
    if len(others) == 2:
        return TRIPLE
    lane = 0 if scene.horizontal else 1
    near = others[0].cells[0][lane] - first.cells[0][lane] == 1
    return PAIR + NEIGHBOURS if near and scene.horizontal else PAIR


def _phrases(scene: Scene, dice: Dice, sized: bool) -> dict[str, Phrase]:
    """Every field that a pattern for this scene may have."""
    phrases: dict[str, Phrase] = {}
    for number, (letter, group) in enumerate(zip("abc", scene.groups, strict=False)):
        phrases[letter] = mention(number, group, sized=sized)
        phrases[f"{letter}_is"] = ("is" if len(group.cells) == 1 else "are", ())
    total = len(scene.things)
    phrases["total"] = (NUMBERS[total], (("total", total),))
    if len(scene.groups) == 1:
        return phrases | _alone(scene)
    return phrases | _relations(scene, dice)


def _alone(scene: Scene) -> dict[str, Phrase]:
    """Where the only group is, and how it is spread."""
    cells = scene.groups[0].cells
    line = "column" if scene.horizontal else "row"
    spread = "one above the other" if scene.horizontal else "side by side"
    fact = (("line", 0, line),)
    return {
        "place": (_place(*cells[0]), (("place", 0, cells[0]),)),
        "line": (f"in a {line}", fact),
        "line_of": (line, fact),
        "spread": (spread, fact),
    }


def _place(column: int, row: int) -> str:
    side, height = ("left", "", "right")[column], ("top", "", "bottom")[row]
    if height:
        return f"at the {height} {side}".rstrip()
    return f"on the {side}" if side else "in the middle"


def _relations(scene: Scene, dice: Dice) -> dict[str, Phrase]:
    """How the groups lie to each other: the first comes before the second, and so on."""
    relation = "left_of" if scene.horizontal else "above"
    last = len(scene.groups) - 1
    order = tuple((relation, i, i + 1) for i in range(last))
    it, its = ("it", "its") if len(scene.groups[1].cells) == 1 else ("them", "their")
    if scene.horizontal:
        before, after = (dice.pick((f"to the {side} of", f"{side} of")) for side in ("left", "right"))
        before_b, after_b = f"to {its} left", f"to {its} right"
        first, final, onwards, backwards = "on the left", "on the right", "from left to right", "from right to left"
    else:
        before, after = dice.pick(("above", "over")), dice.pick(("below", "under"))
        before_b, after_b = f"{before} {it}", f"{after} {it}"
        first, final, onwards, backwards = "at the top", "at the bottom", "from top to bottom", "from bottom to top"
    phrases = {
        "before": (before, order[:1]),
        "after": (after, order[:1]),
        "before_b": (before_b, order[:1]),
        "after_b": (after_b, order[-1:]),
        "first": (first, order[:1]),
        "last": (final, order[-1:]),
        "onwards": (onwards, order),
        "backwards": (backwards, order),
        "next_to": ("next to", (("next_to", 0, 1),)),
    }
    if last == 2:
        between = (("between", 1, 0, 2),)
        phrases |= {"between": ("between", between), "middle": ("in the middle", between)}
    return phrases
