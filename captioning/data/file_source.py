"""What sources of captioned photo or clip files share: where they lie, and the checks on what is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL.Image import Image

from captioning.data.defects import Checks, unlisted_files
from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example
from captioning.files import fingerprint as files
from captioning.media.clip import Clip, FrameSampling
from captioning.media.images import check_image, open_image
from captioning.media.kinds import is_clip, kind_of

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}


def split_name(name: str) -> str | None:
    """train, val or test, for the ways in which people write them; None for anything else."""
    return SPLIT_NAMES.get(name.strip().lower())


class Photos(Source):
    """Captioned photos or clips on disk. A subclass reads one layout; nothing is read before examples are asked for.

    Args:
        root: folder of the photos; an example's `file` is relative to it.
        on_missing: "error" raises at the first kind of defect (missing photos, unreadable photos, repeated ids, empty
            captions, photos without captions, unknown splits), "skip" warns and leaves out what is defective,
            "ignore" does as "error" but never looks whether the photos are there.
    """

    def __init__(self, root: str | os.PathLike[str], *, on_missing: str = "error") -> None:
        self.root = Path(root).expanduser()
        self.on_missing = on_missing
        self.checks = Checks(on_missing)
        self._examples: dict[str, list[Example]] = {}

    def read(self, split: str) -> list[Example]:
        """The examples of one of `splits`, ids unique, captions and photos as yet unchecked."""
        raise NotImplementedError

    def remedy(self) -> str:
        """How a person gets photos that are missing: an imperative sentence without its full stop."""
        return f"Put them under {self.root}"

    def annotations(self, split: str) -> Path:
        """The file that the captions of a split come from, for messages."""
        raise NotImplementedError

    def examples(self, split: str) -> list[Example]:
        """All examples of a split, in the order of its file. `dev`, `valid` and `validation` stand for `val`.

        Raises:
            UserError: the split is unknown or empty, a file is not what the layout says, or, unless
                `on_missing="skip"`, captions or photos are missing.
        """
        known = split_name(str(split))
        if known not in self.splits:
            raise UserError(f"{self.name} has no split {split!r}. Its splits are {', '.join(self.splits)}.")
        if known not in self._examples:
            where = self.annotations(known)
            listed = self.read(known)
            examples = self.checks.captioned(where, listed, known)
            examples = self.checks.present(self.root, examples, known, self.remedy())
            if not examples:
                kind = kind_of(example.file for example in listed).removesuffix("s")
                raise UserError(f"{where}: split {known} has no captioned {kind}. Choose another split or file.")
            self._examples[known] = examples
        return list(self._examples[known])

    def image(self, example: Example) -> Image:
        """The photo as RGB, of a clip the frame in its middle. Raises UserError naming the file."""
        if is_clip(example.file):
            return self.clip(example).sample(FrameSampling(frames=1))[0][0]
        return open_image(self.root / example.file)

    def clip(self, example: Example) -> Clip:
        """The clip, of which nothing is opened yet; a photo is a clip of one frame."""
        path = self.root / example.file
        return Clip.open(path) if is_clip(path) else Clip.of([path], fps=1.0, name=str(path))

    def place(self) -> str:
        return os.path.realpath(self.root)

    def fingerprint(self, example: Example) -> str | None:
        """The file's resolved place, its size and the time of its last change; None where it is not there."""
        return files.fingerprint(self.root / example.file)

    def content(self, example: Example) -> str | None:
        """A digest of the file's bytes; None where they cannot be read."""
        return files.content(self.root / example.file)

    def readable(self, examples: Sequence[Example], *, decode: bool = False) -> list[Example]:
        """The examples whose photo can be opened, each header being read, or with `decode` each whole file.

        Of clips the header and the end are read, and with `decode` also a frame in the middle.
        """

        def defect(example: Example) -> str | None:
            path = self.root / example.file
            try:
                if not is_clip(path):
                    check_image(path, decode=decode)
                elif decode:
                    self.image(example)
                else:
                    self.clip(example).duration  # noqa: B018  raises where the file cannot be opened
            except UserError as error:
                return f"{example.file}, which {str(error).removeprefix(f'{path} ').rstrip('.')}"
            return None

        with ThreadPoolExecutor() as pool:
            defects = list(pool.map(defect, examples))
        found = list(filter(None, defects))
        what = f"captioned {kind_of(example.file for example in examples)}"
        self.checks.report(self.root, found, len(examples), what, "unreadable", "Replace or remove them")
        return [example for example, found in zip(examples, defects, strict=True) if not found]


def photo_folder(root: Path, candidates: Sequence[str], names: Iterable[str]) -> str:
    """The one of the folders under `root` that holds most of the photos named; of equals, the first that exists."""
    names = list(names)
    best, fewest = candidates[0], len(names) + 1
    for folder in candidates:
        if (root / folder).is_dir():
            missing = len(unlisted_files(root / folder, names))
            if missing < fewest:
                best, fewest = folder, missing
            if not missing:
                break
    return best
