"""Options that are to be numbers, whoever typed them. Imports no torch."""

from __future__ import annotations

import math
from typing import Any

from captioning.errors import UserError


def require_whole(place: str, **options: Any) -> None:
    """Raises UserError naming the first option that is no whole number, after `place`, such as "generation."."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(f"{place}{name} is {value!r}: it is a whole number")


def require_least(least: int, **options: Any) -> None:
    """Raises UserError naming the first option that is no whole number, or below `least`."""
    require_whole("", **options)
    for name, value in options.items():
        if value < least:
            raise UserError(f"{name} is {value}: it is {least} or more")


def require_number(place: str, **options: Any) -> None:
    """Raises UserError naming the first option that is no finite number."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise UserError(f"{place}{name} is {value!r}: it is a number")
