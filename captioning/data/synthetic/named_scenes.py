"""One coloured shape a picture, to be called by its name among all: a test of names that were never learned."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from captioning.data.choices import ChoiceExample, check_templates
from captioning.data.synthetic.rendering import COLOURS, SHAPES
from captioning.data.synthetic.scenes import Scenes


class NamedScenes(Scenes):
    """`Scenes` of one thing each, whose label is its colour and shape, among the names of all colours and shapes.

    The pairs of the split "unseen" are those that no training scene of `Scenes` shows. `templates`: the prompts of a
    name, in which {} stands for it.
    """

    metrics = ("zero_shot",)

    def __init__(self, *, templates: tuple[str, ...] = ("a {}",), **world) -> None:
        super().__init__(objects=(1, 1), **world)
        self.templates = check_templates(templates)
        self.names = tuple(f"{colour} {shape}" for colour, shape in product(COLOURS, SHAPES))

    def _example(self, number: int, split: str) -> ChoiceExample:
        return ChoiceExample.among(replace(super()._example(number, split), captions=()), self.names, self.templates)
