"""A finished embedding model: vectors of pictures and texts, search in folders, classes by their names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from captioning.errors import UserError
from captioning.features.vector_index import Found, VectorIndex
from captioning.media.finding import find_images
from captioning.media.kinds import is_clip, is_sound
from captioning.media.pictures import Picture, as_several
from captioning.metrics.classification import ranked
from captioning.metrics.clip_score import PREFIX, clip_scores, ref_clip_scores
from captioning.runtime.prefetch import default_workers, read_ahead
from captioning.runtime.progress import progress_bar
from captioning.tasks.embedding.zero_shot import PROMPT, class_vectors
from captioning.tasks.predictor import Predictor, ReadInput

INDEX = ".captioning-index"
SHIPPED = "flickr8k_embedding"
Skipped = tuple[str, UserError]


class Embedder(Predictor):
    """Pictures and texts in, unit vectors of one space out.

    >>> embedder = captioning.load("runs/mine/model")
    >>> embedder.search("holidays", "a dog on a beach")
    >>> embedder.classify("dog.jpg", ["cat", "dog"])
    """

    def embed(self, images: Any, *, batch_size: int = 16) -> NDArray[np.float32]:
        """The vector of a picture (W,), or those of a list of pictures or clips (n, W).

        Raises UserError naming the first that cannot be read; `stream` goes on instead.
        """
        several, single = as_several(images)
        vectors = []
        for _, found in self.stream(several, batch_size=batch_size):
            if isinstance(found, UserError):
                raise found
            vectors.append(found)
        if single:
            return vectors[0]
        return np.stack(vectors) if vectors else np.zeros((0, self.task.width), np.float32)

    def embed_text(self, texts: str | Sequence[str], *, batch_size: int = 256) -> NDArray[np.float32]:
        """The vector of a text (W,), or those of a list of texts (n, W)."""
        several = [texts] if isinstance(texts, str) else list(texts)
        vectors = [np.zeros((0, self.task.width), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(several), batch_size):
                part = several[start : start + batch_size]
                vectors.append(self.task.embed_texts(part, self.device).float().cpu().numpy())
        found = np.concatenate(vectors)
        return found[0] if isinstance(texts, str) else found

    def stream(
        self,
        images: Iterable[Picture],
        *,
        batch_size: int = 16,
        workers: int | None = None,
    ) -> Iterator[tuple[Picture, NDArray[np.float32] | UserError]]:
        """(picture, its vector (W,)) one after the other, in order; one that cannot be read comes with the error."""
        workers = default_workers() if workers is None else workers
        for batch in read_ahead(images, self.read, batch_size=batch_size, workers=workers):
            good = [seen for _, seen in batch if not isinstance(seen, UserError)]
            vectors = self.vectors_of(good)
            places = iter(range(len(good)))
            for image, seen in batch:
                yield image, seen if isinstance(seen, UserError) else vectors[next(places)]

    def vectors_of(self, inputs: Sequence[ReadInput]) -> dict[int, NDArray[np.float32]]:
        """What was read -> the vector of each (W,), by its place."""
        vectors: dict[int, NDArray[np.float32]] = {}
        for places, memory in self.memories(inputs):
            with torch.inference_mode():
                found = self.task.embed_images(memory.float()).cpu().numpy()
            vectors |= dict(zip(places, found, strict=True))
        return vectors

    def files_in(self, folder: Path, recursive: bool) -> list[Path]:
        """What of a folder can be searched: its photos. Raises UserError where there is none, or no folder."""
        return media_in(folder, recursive)

    @cached_property
    def fingerprint(self) -> str:
        """What tells this model's vectors from another's: a digest of its configuration and weights."""
        digest = hashlib.sha256(self.encoder.digest(self.bundle.encoder_config).encode())
        for name, tensor in self.task.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def index(
        self,
        folder: str | os.PathLike[str],
        *,
        place: str | os.PathLike[str] | None = None,
        recursive: bool = True,
        batch_size: int = 16,
        progress: bool = False,
    ) -> tuple[VectorIndex, list[Skipped]]:
        """The index of a folder's photos, brought up to date: new and changed ones are read, deleted ones vanish.

        It lies in `.captioning-index` in the folder, or in `place`. A photo is known by its place in the folder, its
        size and its time of change. -> the index, and what could not be read.
        """
        folder = Path(folder)
        files = {os.fspath(path.relative_to(folder)): path for path in self.files_in(folder, recursive)}
        present = {}
        for name, path in files.items():
            about = path.stat()
            present[name] = [about.st_size, about.st_mtime_ns]
        skipped: list[Skipped] = []

        def embed(names: list[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
            done: list[tuple[str, NDArray[np.float32]]] = []
            with progress_bar("reading photos", enabled=progress) as report:
                found = self.stream([files[name] for name in names], batch_size=batch_size)
                for number, (name, (_, vector)) in enumerate(zip(names, found, strict=True), 1):
                    if isinstance(vector, UserError):
                        skipped.append((name, vector))
                    else:
                        done.append((name, vector))
                    if done and (number % 256 == 0 or number == len(names)):
                        yield [name for name, _ in done], np.stack([vector for _, vector in done])
                        done = []
                    report(number, len(names))
                if done:
                    yield [name for name, _ in done], np.stack([vector for _, vector in done])

        where = Path(place) if place is not None else folder / INDEX
        index = VectorIndex.open(where, width=self.task.width, maker=self.fingerprint)
        index.update(present, embed)
        return index, skipped

    def search(
        self,
        folder: str | os.PathLike[str],
        query: str | None = None,
        *,
        like: Picture | None = None,
        top: int = 10,
        **options: Any,
    ) -> list[Found]:
        """The photos of a folder that a text means, or that are like a picture, or both: their mean.

        Brings the folder's index up to date first; `options` go to `index`. -> names in the folder, and cosines.
        """
        index, _ = self.index(folder, **options)
        return self.search_index(index, query, like=like, top=top)

    def search_index(
        self, index: VectorIndex, query: str | None = None, *, like: Picture | None = None, top: int = 10
    ) -> list[Found]:
        """`search` in an index that is there."""
        if query is None and like is None:
            raise UserError("what is looked for? A text, or a photo with --like")
        if top < 1:
            raise UserError(f"top={top}: it is 1 or more")
        vectors = [] if query is None else [self.embed_text(query)]
        vectors += [] if like is None else [self.embed(like)]
        return index.search(np.mean(vectors, axis=0)[None], top)[0]

    def classify(
        self, images: Any, labels: Sequence[str], *, templates: Sequence[str] = (PROMPT,), batch_size: int = 16
    ) -> Any:
        """How probable each label is for a picture, the most probable first, or such a mapping for each of a list.

        A label's vector is the normalised mean of those of its `templates`, in which {} stands for it; probabilities
        are the softmax of cosines with the learned temperature (Radford et al. 2021).
        """
        several, single = as_several(images)
        weights = class_vectors(self.embed_text, labels, templates)
        vectors = np.atleast_2d(self.embed(iter(several), batch_size=batch_size))
        found = [ranked(labels, row) for row in self.probabilities(vectors, weights)]
        return found[0] if single else found

    def rerank(
        self, image: Picture, captions: Sequence[str], *, scores: Sequence[float] | None = None, weight: float = 1.0
    ) -> list[tuple[str, float]]:
        """Captions of a picture, the one that suits it best first, with what they are ordered by.

        That is the cosine in log-odds (`Matching.logits`), times `weight` where `scores`, such as log-probabilities
        of the captioner that wrote them, are added. Equal ones stay in their order.
        """
        if scores is not None and len(scores) != len(captions):
            raise UserError(f"there are {len(captions)} captions and {len(scores)} scores")
        if not captions:
            return []
        values = self.order(self.embed(image), self.embed_text(list(captions)), scores, weight)
        return [(captions[i], float(values[i])) for i in np.argsort(-values, kind="stable").tolist()]

    def order(
        self, image: NDArray, captions: NDArray, scores: Sequence[float] | None = None, weight: float = 1.0
    ) -> NDArray[np.float64]:
        """What `rerank` orders captions by (n,), of vectors: of the picture (W,) and of its captions (n, W)."""
        cosines = torch.as_tensor(captions @ image)
        with torch.inference_mode():
            values = self.task.objective.logits(cosines.to(self.device)).cpu().double().numpy()
        return values if scores is None else np.asarray(scores, np.float64) + weight * values

    def clip_score(
        self, images: Sequence[Picture], captions: Sequence[str], references: Sequence[Sequence[str]] | None = None
    ) -> dict[str, float]:
        """CLIPScore of captions, one a picture, and with `references` RefCLIPScore: means over pictures.

        By this model's vectors, so they compare with figures of the same model only.
        """
        if len(images) != len(captions) or (references is not None and len(references) != len(captions)):
            raise UserError("clip_score: each picture has one caption, and each caption a list of references")
        if not captions or (references is not None and not all(references)):
            raise UserError("clip_score: there is no picture, or one without a reference")
        found = self.judge(self.embed(list(images)), captions, references)
        return {name: float(values.mean()) for name, values in found.items()}

    def judge(
        self, images: NDArray, captions: Sequence[str], references: Sequence[Sequence[str]] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """`clip_score` picture by picture, (n,) each, of pictures whose vectors (n, W) are known."""
        said = self.embed_text([PREFIX + caption for caption in captions])
        found = {"CLIPScore": clip_scores(images, said)}
        if references is not None:
            texts = self.embed_text([PREFIX + text for those in references for text in those])
            parts = np.split(texts, np.cumsum([len(those) for those in references])[:-1])
            found["RefCLIPScore"] = ref_clip_scores(images, said, parts)
        return found

    def probabilities(self, images: NDArray, classes: NDArray) -> NDArray[np.float32]:
        """images (n, W), classes (C, W) -> (n, C), each row with sum one."""
        cosines = torch.as_tensor(np.asarray(images, np.float32) @ np.asarray(classes, np.float32).T)
        with torch.inference_mode():
            return self.task.objective.logits(cosines.to(self.device)).softmax(-1).cpu().numpy()


def media_in(folder: Path, recursive: bool, *, sounds: bool = False) -> list[Path]:
    """The photos of a folder, with `sounds` its recordings too; none of its index. Raises UserError where there is
    none, or no folder."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name the folder of the photos to search in")
    found = find_images(folder, recursive, sounds=sounds)
    return [path for path in found if INDEX not in path.parts and ((sounds and is_sound(path)) or not is_clip(path))]


def read_labels(file: str | os.PathLike[str]) -> list[str]:
    """One label a line, empty lines left out. Raises UserError naming the file."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a list of labels: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def as_embedder(model: Any, called: str) -> Embedder:
    """A model that was loaded. Raises UserError naming what it was called where it compares no photos with words."""
    if not isinstance(model, Embedder):
        raise UserError(
            f"{called} does not compare photos with words: the shipped {SHIPPED} does, and what "
            f"experiment={SHIPPED} trains"
        )
    return model
