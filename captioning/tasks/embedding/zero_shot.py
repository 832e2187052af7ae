"""Classes by their names: the vectors of prompts, averaged (Radford et al. 2021, arXiv:2103.00020, section 3.1)."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from captioning.errors import UserError

PROMPT = "a photo of a {}."
AT_ONCE = 1024  # prompts


def class_vectors(
    embed: Callable[[Sequence[str]], NDArray[np.float32]], labels: Sequence[str], templates: Sequence[str] = (PROMPT,)
) -> NDArray[np.float32]:
    """The unit vectors (C, W) of classes: of each the mean of the unit vectors of its prompts, normalised again.

    Raises UserError where there are no labels, one is twice there, or a template has no place for them.
    """
    if not labels or not templates:
        raise UserError("there are no labels to choose from" if not labels else "there is no template for the labels")
    twice = {label for label in labels if list(labels).count(label) > 1} if len(set(labels)) < len(labels) else None
    if twice:
        raise UserError(f"the label {sorted(twice)[0]!r} is there twice")
    if wrong := [template for template in templates if "{}" not in template]:
        raise UserError(f"the template {wrong[0]!r} has no {{}}, where the label belongs")
    prompts = [template.replace("{}", label) for label in labels for template in templates]
    vectors = np.concatenate([embed(prompts[i : i + AT_ONCE]) for i in range(0, len(prompts), AT_ONCE)])
    means = vectors.reshape(len(labels), len(templates), -1).mean(1)
    return means / np.linalg.norm(means, axis=1, keepdims=True).clip(1e-12)


def read_prompts(file: str | Path, section: str) -> tuple[list[str], list[str]]:
    """The classes and templates that a section of CLIP's prompts.md lists, such as "Caltech101".

    Reads lists of strings only, and runs nothing. Raises UserError naming the file.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    found = re.search(rf"^## {re.escape(section)}\s*$(.*?)(?=^## |\Z)", text, re.M | re.S | re.I)
    if found is None:
        names = ", ".join(re.findall(r"^## (.+?)\s*$", text, re.M))
        raise UserError(f"{file} has no section {section!r}; it has {names}")
    lists = []
    for name in ("classes", "templates"):
        written = re.search(rf"^{name} = (\[.*?^\])", found[1], re.M | re.S)
        try:
            values = ast.literal_eval(written[1])  # type: ignore[index]
            if not all(isinstance(value, str) for value in values):
                raise ValueError
        except (TypeError, ValueError, SyntaxError):
            raise UserError(f"{file}, section {section}: {name} is no list of strings") from None
        lists.append(values)
    return lists[0], lists[1]
