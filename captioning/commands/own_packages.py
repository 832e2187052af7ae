"""`--allow PACKAGE`: packages of the user's own, whose encoders, decoders and tasks a model may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Optional

import typer

ALLOW = Annotated[
    Optional[list[str]], typer.Option(help="A package of yours whose classes the model may use; may be repeated.")
]


def own_packages(allow: Sequence[str] | None) -> tuple[str, ...]:
    """The packages that may be used, found in the working folder too; without one that folder is no place to look."""
    if allow and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return tuple(allow or ())
