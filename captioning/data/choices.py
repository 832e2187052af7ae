"""Pictures that are to be called by one of several names, whichever of these occur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from captioning.errors import UserError
from captioning.example import Example


@dataclass(frozen=True, slots=True)
class ChoiceExample(Example):
    """An example whose one label is among `choices`. Its captions are prompts: as many of each choice, in order."""

    choices: tuple[str, ...] = ()

    @classmethod
    def among(cls, example: Example, choices: Sequence[str], templates: Sequence[str]) -> ChoiceExample:
        """`example`, to be called one of `choices` by `templates`, in which {} stands for a name."""
        prompts = tuple(template.replace("{}", name) for name in choices for template in templates)
        return cls(example.id, example.file, prompts, example.boxes, example.labels, tuple(choices))


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """The prompts of a name. Raises UserError where one has no place for it."""
    if isinstance(templates, str) or not templates or [each for each in templates if "{}" not in each]:
        raise UserError("templates: sentences with {} where the name of a class belongs")
    return tuple(templates)
