"""Text of strangers where people and line-based formats read it: no character that commands a terminal or a table."""

from __future__ import annotations

import logging
import re
import sys
from contextlib import suppress

# C0 and C1, the separators of lines, and what turns the direction of writing around, so that a text shows another.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet computes


def has_controls(text: str) -> bool:
    """Whether a text holds a control character."""
    return CONTROLS.search(text) is not None


def harmless(text: str, *, keep: str = "") -> str:
    """The text with every control character but those in `keep` written out, as \\x1b."""
    return CONTROLS.sub(lambda found: found[0] if found[0] in keep else repr(found[0])[1:-1], text)


def cell(value: object) -> object:
    """A value for a CSV: text that a spreadsheet would take for a formula has an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def complain(what: object) -> None:
    """What is wrong, on standard error where there is one, in lines that hold no control character."""
    with suppress(OSError):
        print(f"captioning: {harmless(str(what), keep=chr(10))}", file=sys.stderr, flush=True)


class HarmlessLines(logging.Formatter):
    """A log whose lines hold no control character."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record), keep="\n\t")
