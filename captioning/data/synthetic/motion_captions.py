"""Sentences about a generated clip, and what each of them states: who does what, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from captioning.data.synthetic.scene import Statement
from captioning.data.synthetic.scene_captions import CAPTIONS, SIZED, Phrase, fill

if TYPE_CHECKING:
    from captioning.data.synthetic.moving_scene import Actor, MovingScene
    from captioning.data.synthetic.portable_random import Dice

# Each motion as "it ..." and as "we see it ...", in words of like meaning.
VERBS = {
    "right": (("moves right", "moving right"), ("slides right", "sliding right")),
    "left": (("moves left", "moving left"), ("slides left", "sliding left")),
    "falls": (("falls", "falling"), ("moves down", "moving down")),
    "rises": (("rises", "rising"), ("moves up", "moving up")),
    "grows": (("grows", "growing"), ("gets larger", "getting larger")),
    "shrinks": (("shrinks", "shrinking"), ("gets smaller", "getting smaller")),
    "appears": (("appears", "appearing"), ("pops up", "popping up")),
    "disappears": (("disappears", "disappearing"), ("vanishes", "vanishing")),
    "spins": (("spins", "spinning"), ("turns around", "turning around")),
}
ALONE = (
    "{a} {a_does}",
    "there is {a} that {a_does}",
    "we see {a} {a_doing}",
    "{a} is {a_doing}",
    "the clip shows {a} {a_doing}",
)
BESIDE = ("{a} {a_does} while {still} still",)
THEN = (
    "first {a} {a_does}, then {b} {b_does}",
    "{a} {a_does} before {b} {b_does}",
    "{b} {b_does} after {a} {a_does}",
    "{a} {a_does} and then {b} {b_does}",
    "after {a} {a_does}, {b} {b_does}",
    "we see {a} {a_doing} and then {b} {b_doing}",
)
TOGETHER = (
    "{a} {a_does} {meanwhile} {b} {b_does}",
    "as {b} {b_does}, {a} {a_does}",
    "{a} {a_does} and {b} {b_does} {at_once}",
    "{b} is {b_doing} {meanwhile} {a} is {a_doing}",
    "we see {a} {a_doing} and {b} {b_doing} {at_once}",
    "{at_once} {b} {b_does} and {a} {a_does}",
)


def describe_motion(scene: MovingScene, dice: Dice) -> tuple[Statement, ...]:
    """Five differently built sentences about a clip, two of which name the sizes.

    Facts are those of `Statement`, about the actors and then the still things by number, and ("motion", 0, "left"),
    ("before", 0, 1), ("together", 0, 1), ("still", 2).
    """
    chosen = dice.sample(_patterns(scene), CAPTIONS)
    sized = dice.sample(range(CAPTIONS), SIZED)
    return tuple(fill(pattern, _phrases(scene, dice, i in sized)) for i, pattern in enumerate(chosen))


def _patterns(scene: MovingScene) -> tuple[str, ...]:
    if len(scene.actors) == 1:
        return ALONE + BESIDE if scene.still else ALONE
    return TOGETHER if scene.together else THEN


def _phrases(scene: MovingScene, dice: Dice, sized: bool) -> dict[str, Phrase]:
    """Every field that a pattern for this clip may have."""
    phrases: dict[str, Phrase] = {}
    last = len(scene.actors) - 1
    order = (("together" if scene.together else "before", 0, 1),) if last else ()
    for number, (letter, actor) in enumerate(zip("ab", scene.actors, strict=False)):
        fact = (("motion", number, actor.motion), *order)
        does, doing = dice.pick(VERBS[actor.motion])
        phrases[letter] = _mention(number, actor, sized)
        phrases[f"{letter}_does"] = (does, fact)
        phrases[f"{letter}_doing"] = (doing, fact)
    if scene.together:
        phrases["meanwhile"] = (dice.pick(("while", "as")), order)
        phrases["at_once"] = ("at the same time", order)
    if scene.still:
        phrases["still"] = _still(scene, sized)
    return phrases


def _mention(number: int, actor: Actor, sized: bool) -> Phrase:
    """One thing by its colour and shape, and its size where that is wanted and does not change."""
    facts: tuple[tuple, ...] = (("colour", number, actor.colour), ("shape", number, actor.shape))
    if not sized or actor.motion in ("grows", "shrinks"):
        return f"a {actor.colour} {actor.shape}", facts
    return f"a {actor.size} {actor.colour} {actor.shape}", (*facts, ("size", number, actor.size))


def _still(scene: MovingScene, sized: bool) -> Phrase:
    """The things that do nothing, and the verb: "a red star and a blue circle stay"."""
    numbers = range(len(scene.actors), len(scene.actors) + len(scene.still))
    mentions = [_mention(number, actor, sized) for number, actor in zip(numbers, scene.still, strict=True)]
    facts = tuple(fact for _, stated in mentions for fact in stated) + tuple(("still", number) for number in numbers)
    return " and ".join(text for text, _ in mentions) + (" stays" if len(mentions) == 1 else " stay"), facts
