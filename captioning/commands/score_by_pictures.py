"""CLIPScore and RefCLIPScore in `captioning score`: captions of result files held against their pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from captioning.commands.score import Judge
from captioning.errors import UserError
from captioning.media.finding import find_images
from captioning.metrics.references import ImageId, References
from captioning.metrics.scores import Scores
from captioning.tasks.embedding.judging import add_clip_scores, file_vectors
from captioning.tasks.embedding.load import load_embedder


def judge_by(embedder: str | None, folder: Path | None) -> Judge | None:
    """What adds the scores to those of every result file; None where nobody asks for it.

    Raises UserError for an embedder without a folder of pictures, or pictures without an embedder.
    """
    if embedder is None and folder is None:
        return None
    if embedder is None or folder is None:
        raise UserError("--embedder and --images go together: captions are held against their pictures")
    return partial(add_scores, embedder, folder)


def add_scores(
    embedder: str,
    folder: Path,
    scores: Sequence[Scores],
    every: Sequence[Mapping[ImageId, str]],
    captions: Mapping[ImageId, Sequence[str]],
    references: References,
) -> None:
    """Adds to the scores of each result file, whose captions `every` has. Raises UserError naming what is missing."""
    wanted = list(dict.fromkeys(image for one in scores for image in one.images))
    files = pictures_of(references, folder)
    if missing := [image for image in wanted if image not in files]:
        raise UserError(
            f"--images {folder}: {len(missing):,} of {len(wanted):,} pictures are not there, the first is {missing[0]}"
        )
    judge = load_embedder(embedder, option="--embedder ")
    vectors = file_vectors(judge, {image: files[image] for image in wanted})
    for one, said in zip(scores, every, strict=True):
        add_clip_scores(one, judge, vectors, said, captions)


def pictures_of(references: References, folder: Path) -> dict[ImageId, Path]:
    """Image -> its file in a folder or one within, known by its name with or without ending.

    Raises UserError where two files are of one image, or there is no picture.
    """
    found: dict[ImageId, Path] = {}
    for file in find_images([folder], recursive=True, clips=True):
        names = (references.image(name) for name in (file.name, file.stem))
        image = next((name for name in names if name in references.captions), None)
        if image is None:
            continue
        if image in found:
            raise UserError(f"--images {folder}: {found[image]} and {file} are both of the image {image}")
        found[image] = file
    return found
