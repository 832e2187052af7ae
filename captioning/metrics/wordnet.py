"""WordNet's nouns (Miller, CACM 1995) and how near two of them lie (Wu and Palmer, ACL 1994), from its own files.

The files are `index.noun`, `data.noun` and `noun.exc` as WordNet 3.0 publishes them, as Debian's `wordnet-base`
installs them, or inside the `wordnet.zip` that nltk downloads. Senses, base forms and similarities are those of nltk.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from captioning.errors import UserError
from captioning.files.annotations import read_bytes

FILES = ("index.noun", "data.noun", "noun.exc")
ENDINGS = (
    ("s", ""),
    ("ses", "s"),
    ("ves", "f"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)
REMEDY = (
    "Give the folder of index.noun and data.noun (Debian: apt install wordnet-base, which puts them into "
    "/usr/share/wordnet; Python: python -m nltk.downloader wordnet)."
)
_HYPERNYM = re.compile(rb" @i? (\d{8}) n ")  # also of an instance: Paris is an instance of a city


def find_wordnet() -> Path:
    """The folder or zip file of WordNet, where it usually lies. Raises UserError where there is none."""
    folders = [Path(place) for name in ("WNSEARCHDIR", "NLTK_DATA") for place in _places(name)]
    folders += [Path("/usr/share/wordnet"), *(root / "nltk_data" for root in _roots())]
    for folder in folders:
        for path in (folder, folder / "corpora" / "wordnet", folder / "corpora" / "wordnet.zip"):
            if path.is_file() and path.suffix == ".zip" or (path / "index.noun").is_file():
                return path
    raise UserError(f"WordNet is not on this machine, and WUPS is measured on it. {REMEDY}")


def _places(variable: str) -> list[str]:
    return list(filter(None, os.environ.get(variable, "").split(os.pathsep)))


def _roots() -> Iterator[Path]:
    yield from (Path.home(), Path("/usr/share"), Path("/usr/local/share"), Path("/usr/lib"), Path("/usr/local/lib"))


class WordNet:
    """Nouns, their senses and what each sense is a kind of. A sense is the number of its line in data.noun.

    Args:
        path: a folder of the files, or a zip file with them in `wordnet/`; by default where they usually lie.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path).expanduser() if path is not None else find_wordnet()
        index, self._data, exceptions = self._read()
        self._senses = dict(_indexed(index))
        self._exceptions = {form: bases for form, *bases in map(str.split, exceptions.decode().splitlines()) if bases}
        if not self._senses or not self._data:
            raise UserError(f"{self.path} holds no nouns of WordNet. {REMEDY}")
        self.similarity = lru_cache(maxsize=None)(self._similarity)
        self._ancestors = lru_cache(maxsize=None)(self._ancestors_of)
        self._depths = lru_cache(maxsize=None)(self._depths_of)

    def _read(self) -> list[bytes]:
        if self.path.suffix != ".zip":
            return [read_bytes(self.path / name, REMEDY) for name in FILES]
        try:
            with zipfile.ZipFile(self.path) as archive:
                return [archive.read(f"wordnet/{name}") for name in FILES]
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"{self.path} cannot be read as WordNet ({error}). {REMEDY}") from error

    def senses(self, word: str) -> tuple[int, ...]:
        """The senses of a noun or of its base forms, "books" as "book" too; spaces are written as underscores."""
        form = word.lower().replace(" ", "_")
        bases = self._exceptions.get(form)
        if bases is None:
            bases = [form[: -len(ending)] + base for ending, base in ENDINGS if form.endswith(ending)]
        found = dict.fromkeys([form, *bases])
        return tuple(dict.fromkeys(sense for base in found for sense in self._senses.get(base, ())))

    def _similarity(self, word: str, other: str) -> float:
        """Wu and Palmer's similarity of the nearest two senses, in [0, 1]; 0 where a word is no noun of WordNet."""
        pairs = ((a, b) for a in self.senses(word) for b in self.senses(other))
        return max((self._of_senses(a, b) for a, b in pairs), default=0.0)

    def _of_senses(self, one: int, other: int) -> float:
        """Twice the depth of what both are kinds of, over the sum of their depths through it."""
        shared = self._ancestors(one).keys() & self._ancestors(other).keys()
        if not shared:
            return 0.0
        deepest = max(self._depths(sense)[0] for sense in shared)
        lowest = [sense for sense in shared if self._depths(sense)[0] == deepest]
        common = one if one in lowest else min(lowest, key=self._name)
        depth = self._depths(common)[1] + 1
        return 2 * depth / (2 * depth + self._distance(one, common) + self._distance(other, common))

    def _distance(self, one: int, other: int) -> int:
        ours, theirs = self._ancestors(one), self._ancestors(other)
        return min(ours[sense] + theirs[sense] for sense in ours.keys() & theirs.keys())

    def _ancestors_of(self, sense: int) -> dict[int, int]:
        """Everything a sense is a kind of, itself included, with the fewest steps up to it."""
        steps: dict[int, int] = {}
        queue = deque([(sense, 0)])
        while queue:
            at, step = queue.popleft()
            if at not in steps:
                steps[at] = step
                queue.extend((parent, step + 1) for parent in self._parents(at))
        return steps

    def _depths_of(self, sense: int) -> tuple[int, int]:
        """Fewest and most steps down from the root."""
        above = [self._depths(parent) for parent in self._parents(sense)]
        return (1 + min(d[0] for d in above), 1 + max(d[1] for d in above)) if above else (0, 0)

    def _parents(self, sense: int) -> list[int]:
        return [int(offset) for offset in _HYPERNYM.findall(self._line(sense).partition(b"|")[0])]

    def _name(self, sense: int) -> str:
        """What nltk calls a sense and orders ties by: its first word and its place among that word's senses."""
        word = self._line(sense).split(b" ", 5)[4].decode().lower()
        return f"{word}.n.{self._senses[word].index(sense) + 1:02d}"

    def _line(self, sense: int) -> bytes:
        return self._data[sense : self._data.index(b"\n", sense)]


def _indexed(index: bytes) -> Iterator[tuple[str, tuple[int, ...]]]:
    for line in index.decode().splitlines():
        if line[:1] not in ("", " "):  # the licence at the top is indented
            fields = line.split()
            yield fields[0], tuple(map(int, fields[-int(fields[2]) :]))
