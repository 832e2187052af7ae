"""An encoder, or one inside another, that a bundle leaves to the model beside it: `_from_` in its configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioning.encoders.base import Encoder
from captioning.errors import UserError

LENT = "_from_"  # in place of an encoder's configuration: the name of the model beside this one that has it
INSIDE = "encoder"  # the keyword by which an encoder has another inside it, and the name of that part


@dataclass(frozen=True)
class Lent:
    """Where in an encoder the lent one stands, and whose it is."""

    lender: Path
    inside: bool  # it is the `INSIDE` of an encoder that has parts of its own

    @property
    def prefix(self) -> str:
        """What the names of its weights begin with, in the model that borrows."""
        return f"encoder.{INSIDE}." if self.inside else "encoder."

    def completed(self, encoder: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration `encoder` with that of the lender in its place. Raises UserError where that is lent."""
        if lent_part(theirs) is not None:
            raise UserError(f"{self.lender}/config.yaml has no encoder of its own to lend")
        return {**encoder, INSIDE: dict(theirs)} if self.inside else dict(theirs)

    def parts(self, encoder: Encoder) -> tuple[Encoder, dict[str, Any]]:
        """An encoder as it is built -> the lent part of it, and by name the parts that the model has itself."""
        if not self.inside:
            return encoder, {}
        own = {f"encoder.{name}": part for name, part in encoder.named_children() if name != INSIDE}
        return getattr(encoder, INSIDE), own


def lent_part(encoder: Any) -> Mapping[str, Any] | None:
    """The part of an encoder's configuration that says it is lent; None where nothing does."""
    if not isinstance(encoder, Mapping):
        return None
    return encoder if LENT in encoder else lent_part(encoder.get(INSIDE))


def lent_encoder(folder: Path, encoder: Mapping[str, Any]) -> Lent | None:
    """What of a bundle's encoder another model has. Raises UserError for a name that leads away."""
    part = lent_part(encoder)
    if part is None:
        return None
    if part is not encoder and part is not encoder[INSIDE]:
        raise UserError(f"{folder}/config.yaml: {LENT} stands deeper than in encoder.{INSIDE}")
    name = part[LENT]
    if not isinstance(name, str) or not name or name != os.path.basename(name) or name.startswith("."):
        raise UserError(f"{folder}/config.yaml: {LENT} {name!r} is not the name of a model beside this one")
    if name == folder.name:
        raise UserError(f"{folder}/config.yaml: it wants to have its own encoder from itself")
    return Lent(folder.absolute().parent / name, part is not encoder)
