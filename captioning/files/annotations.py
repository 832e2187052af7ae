"""Annotation files as text or JSON. What is wrong with one is said as file, place and remedy."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from captioning.errors import UserError

Types = type | tuple[type, ...]


def read_bytes(path: Path, remedy: str = "Check the path.") -> bytes:
    """The content of a file, decompressed if it is called .gz. Raises UserError, with the remedy where it is absent."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist. {remedy}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder, where a file is expected. {remedy}") from error
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}). Check the path and its permissions.") from error


def read_text(path: Path, remedy: str = "Check the path.") -> str:
    """The content of a UTF-8 file, with or without a byte order mark. Raises UserError."""
    content = read_bytes(path, remedy)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from error


def read_lines(path: Path, remedy: str = "Check the path.") -> list[tuple[int, str]]:
    """(line number from 1, line) of every line that is not blank."""
    # str.splitlines would also cut at the rarer separators that a caption may hold.
    lines = read_text(path, remedy).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def parse_json(content: str | bytes, place: object) -> Any:
    """The value that JSON text stands for. `place` names the text in errors. Raises UserError."""
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        raise UserError(f"{place} is not UTF-8 (byte {error.start}). Save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{place} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            "Mend it, or copy or download it again."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is not usable JSON: {error}.") from error


def read_json(path: Path, remedy: str = "Check the path.") -> Any:
    """The value that a JSON file stands for. Raises UserError."""
    return parse_json(read_bytes(path, remedy), path)


def entries(
    document: Any, key: str, fields: Mapping[str, Types], path: Path, optional: Mapping[str, Types] | None = None
) -> list[dict[str, Any]]:
    """The list of objects at `document[key]`, each of which has the fields, of the types asked for.

    An optional field may also be absent or null. Raises UserError naming the file, the entry and the field.
    """
    listed = document.get(key) if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise UserError(f"{path} has no list named {key}. Check that it is the right file.")
    for index, entry in enumerate(listed):
        if type(entry) is not dict:
            raise UserError(f"{path}: {key}[{index}] is not an object but {_shown(entry)}.")
    for field, types in fields.items():
        _require(listed, key, field, types if isinstance(types, tuple) else (types,), path)
    for field, types in (optional or {}).items():
        _require(listed, key, field, (*(types if isinstance(types, tuple) else (types,)), type(None)), path)
    return listed


def _require(listed: list[dict[str, Any]], key: str, field: str, types: tuple[type, ...], path: Path) -> None:
    # The kinds of all values first: entries are looked at one by one, ten times slower, only where one is wrong.
    if {type(entry.get(field)) for entry in listed} <= set(types):
        return
    index, entry = next((i, one) for i, one in enumerate(listed) if type(one.get(field)) not in types)
    wanted = " or ".join(kind.__name__ for kind in types if kind is not type(None))
    found = _shown(entry[field]) if field in entry else "nothing"
    raise UserError(f"{path}: {key}[{index}].{field} should be of type {wanted}, found {found}.")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
