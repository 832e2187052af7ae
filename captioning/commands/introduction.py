"""What a model knows, in one line on standard error when it is first used on this machine."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from captioning.errors import UserError
from captioning.files.new_file import create, private_folder
from captioning.files.terminal import complain
from captioning.models.shipped import default_model, find_model

KNOWS = re.compile(r"^\| knows \| (.+?) \|\s*$", re.MULTILINE)  # a row of the model's card
LONGEST = 400  # characters


def introduce(model: str | Path | None) -> None:
    """Says what the card of a model says that it knows, unless that was said before. A model without says nothing."""
    with suppress(UserError, OSError, UnicodeDecodeError):
        folder = find_model(default_model() if model is None else model)
        found = KNOWS.search((folder / "README.md").read_text(encoding="utf-8"))
        if found and first_time(folder, found[1]):
            complain(f"{folder.name} knows {found[1][:LONGEST]} (said once; --quiet leaves it out)")


def first_time(folder: Path, text: str) -> bool:
    """Whether this is the first use of a model of this text; where nothing can be kept it always is."""
    cache = Path(os.environ.get("CAPTIONING_CACHE") or Path.home() / ".cache" / "captioning")
    name = hashlib.sha256(f"{folder.resolve()} {text}".encode(errors="surrogatepass")).hexdigest()[:16]
    try:
        create(private_folder(cache / "introduced") / name).close()
    except FileExistsError:
        return False
    except OSError:
        return True
    return True
