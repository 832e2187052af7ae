"""A finished model: pictures in, sentences out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from PIL import Image

from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.consensus import consensus
from captioning.generation.constraints import Limits
from captioning.generation.sampling import sample
from captioning.media.clip_inputs import as_clip, is_clip_input
from captioning.media.finding import find_images
from captioning.media.pictures import OnePicture, Picture, SeveralPictures, as_picture, as_several
from captioning.metrics.caption_scores import DEFAULT_METRICS
from captioning.models.bundle import Bundle
from captioning.reports.caption_card import THUMBNAIL, thumbnail
from captioning.runtime.option_checks import require_least, require_whole
from captioning.runtime.precision import computing_in
from captioning.runtime.prefetch import default_workers, read_ahead, read_batches_ahead
from captioning.runtime.progress import progress_bar
from captioning.tasks.captioning.caption import Caption
from captioning.tasks.captioning.options import GenerationOptions
from captioning.tasks.captioning.reranking import Reranking, reranking
from captioning.tasks.predictor import Predictor, ReadInput

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from captioning.tasks.embedding.embedder import Embedder

One = Literal[1]
Seen = tuple[ReadInput, ReadInput | None]  # what one's own encoder read, and what that of an embedder did


class Captioner(Predictor):
    """Encoder, decoder, vocabulary and a way of generating, on one device.

    >>> captioner = captioning.load("runs/mine/model")
    >>> captioner.caption("dog.jpg").text
    """

    def __init__(self, bundle: Bundle, *, device: str | torch.device | None = None):
        """`device` None takes the GPU where there is one. Raises UserError for one that is not there."""
        super().__init__(bundle, device=device)
        self.decoder, self.vocabulary = self.task.decoder, self.task.vocabulary
        self._embedders: dict[str, Embedder] = {}

    @overload
    def caption(
        self, images: OnePicture, *, details: bool = ..., num_captions: One = ..., num_samples: One = ...,
        **options: Unpack[GenerationOptions],
    ) -> Caption: ...  # fmt: skip

    @overload
    def caption(
        self, images: SeveralPictures, *, details: bool = ..., num_captions: One = ..., num_samples: One = ...,
        **options: Unpack[GenerationOptions],
    ) -> list[Caption]: ...  # fmt: skip

    @overload
    def caption(
        self, images: OnePicture, *, details: bool = ..., num_captions: int = ..., num_samples: int = ...,
        **options: Unpack[GenerationOptions],
    ) -> list[Caption]: ...  # fmt: skip

    @overload
    def caption(
        self, images: SeveralPictures, *, details: bool = ..., num_captions: int = ..., num_samples: int = ...,
        **options: Unpack[GenerationOptions],
    ) -> list[list[Caption]]: ...  # fmt: skip

    def caption(self, images: Any, *, details: bool = False, **options: Any) -> Any:
        """A caption for a picture, or a list of them for a list of pictures.

        A picture is a path, an open file, a PIL image, an array or a tensor (`captioning.media.pictures.as_picture`); a
        clip (its path, or a `captioning.media.clip.Clip`) may stand for one; a list, a tuple or an iterator may mix
        them, and a tensor (B, 3, H, W) or an array (B, H, W, 3) is B pictures. `options` go to the generation
        (`GenerationOptions`): beam_size, num_captions, max_words, forced_words, ... With num_captions
        or num_samples above 1 each picture has a list of captions. `details` adds log-probabilities, attention and a
        small copy of the picture.
        Raises UserError naming the first picture that cannot be read; `stream` goes on instead.
        """
        pictures, single = as_several(images)
        counts = {name: options[name] for name in ("num_captions", "num_samples") if name in options}
        require_whole("", **counts)
        several = max(counts.values(), default=1) > 1
        captions = []
        for _, found in self.stream(pictures, details=details, **options):
            if isinstance(found, UserError):
                raise found
            captions.append(found if several else found[0])
        return captions[0] if single else captions

    def stream(
        self,
        images: Iterable[Picture] | str | os.PathLike[str],
        *,
        batch_size: int = 16,
        workers: int | None = None,
        progress: bool = False,
        recursive: bool = False,
        details: bool = False,
        **options: Any,  # GenerationOptions, num_captions and num_samples
    ) -> Iterator[tuple[Picture, list[Caption] | UserError]]:
        """(picture, its captions, best first) one after the other, in order and in constant memory.

        `images` is a folder, searched in depth where `recursive`, or any iterable of pictures. A picture that cannot be
        read comes with the error instead of captions. `workers` threads read one batch while the model is busy with
        the last (None: as many as there are cores, at most 8); 0 reads nothing ahead, for a live stream. `progress`
        draws a bar on stderr. Raises UserError for an option that makes no sense, or a folder without pictures.
        """
        workers = default_workers() if workers is None else workers
        require_least(1, batch_size=batch_size)
        require_least(0, workers=workers)
        if isinstance(images, (str, os.PathLike)):
            images = find_images(images, recursive)
        total = len(images) if isinstance(images, Sized) else None
        options, ranking = self.reranking(options)
        best = partial(self._best, self.strategy(options), ranking, details)
        look = partial(self._look, details=details, ranking=ranking)
        batches = read_ahead(images, look, batch_size=batch_size, workers=workers)
        return self._captions_of(batches, total, progress, best)

    def stream_batches(
        self,
        batches: Iterable[list[Any]],
        *,
        look: Callable[[Any], Picture | UserError],
        workers: int | None = None,
        **options: Any,
    ) -> Iterator[list[tuple[Any, list[Caption] | UserError]]]:
        """`stream` over things that come in batches, of which `look` gives the picture, or why there is none.

        Each batch is captioned by itself, and comes as (thing, captions or the error). An empty one comes empty.
        """

        options, ranking = self.reranking(options)

        def read(thing: Any) -> Seen | UserError:
            picture = look(thing)
            return picture if isinstance(picture, UserError) else self._read(picture, ranking)

        best = partial(self._best, self.strategy(options), ranking, False)
        for batch in read_batches_ahead(batches, read, workers=default_workers() if workers is None else workers):
            good = [seen for _, seen in batch if not isinstance(seen, UserError)]
            captions = iter(best(good) if good else [])
            yield [(thing, seen if isinstance(seen, UserError) else next(captions)) for thing, seen in batch]
            del batch, good  # or they are held while the next batch is made

    def _captions_of(self, batches, total: int | None, progress: bool, best: Callable):
        done = 0
        with progress_bar("captioning", enabled=progress) as report:
            for batch in batches:
                good = [seen for _, (seen, _) in batch if not isinstance(seen, UserError)]
                captions = iter(best(good) if good else [])
                for image, (seen, small) in batch:
                    if isinstance(seen, UserError):
                        yield image, seen
                    else:
                        yield image, [replace(one, picture=small) if small else one for one in next(captions)]
                done += len(batch)
                report(done, total)
                del batch, good, image, seen, small  # or they are held while the next batch is made

    def score(
        self,
        references: Mapping[Any, str | Sequence[str]],
        *,
        images: Mapping[Any, Picture] | str | os.PathLike[str] | None = None,
        metrics: Sequence[str] = DEFAULT_METRICS,
        progress: bool = False,
        **options: Any,
    ) -> dict[str, float]:
        """How well the captions of some pictures agree with what people said of them: metric -> score.

        `references` maps a picture's file, or any id, to one caption or several. `images` is where the pictures are: a
        folder for the files, or a mapping from id to picture; None where the keys are paths. Scores are as the official
        evaluation computes them: 0 to 1, CIDEr 0 to 10. `options` go to the generation.
        Raises UserError naming a picture that is missing, unreadable or without a reference.
        """
        from captioning.metrics.caption_scores import score_captions

        texts = {key: [said] if isinstance(said, str) else list(said) for key, said in references.items()}
        if not texts:
            raise UserError("there are no references to score against")
        pictures = [picture_of(key, images) for key in texts]
        hypotheses = {}
        for key, (_, found) in zip(texts, self.stream(pictures, progress=progress, **options), strict=True):
            if isinstance(found, UserError):
                raise found
            hypotheses[key] = found[0].text
        return score_captions(texts, hypotheses, metrics).corpus

    def strategy(self, options: Mapping[str, Any]) -> Callable:
        """The bundle's generation with `options` on top.

        A beam size or a number of captions asks for beam search (by consensus, where it was by consensus), a number of
        samples, a temperature, a share of the likeliest words or a seed for sampling, whatever it was; then only what
        every way of generating knows is kept of the bundle's own options. A limit on words gives way to the other one
        where that is asked for and it is the bundle's own.
        """
        if "prompt" in options:
            raise UserError("prompt: this model is asked nothing, it only looks; its words begin with forced_prefix")
        own = self.task.generation
        beams = (beam, consensus)
        for ways, words in (
            (beams, {"beam_size", "num_captions"}),
            ((sample,), {"num_samples", "temperature", "top_k", "top_p", "seed"}),
        ):
            if own.func not in ways and words & set(options):
                shared = {limit.name for limit in fields(Limits)}
                own = partial(ways[0], **{name: value for name, value in own.keywords.items() if name in shared})
        captions = options.get("num_captions", 1)
        require_whole("", num_captions=captions)
        if own.func in beams and captions != 1:
            beam_size = options.get("beam_size", signature(own).parameters["beam_size"].default)
            require_whole("generation.", beam_size=beam_size, num_captions=captions)
            options = {**options, "beam_size": max(beam_size, captions)}
        return partial(own, **agreeing_limits(own.keywords, options))

    def reranking(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], Reranking | None]:
        """The options of the search, and how its captions are ranked anew, if so. An embedder is opened once."""
        name = options.get("rerank")
        if not isinstance(name, str):
            return reranking(options, self.open_model)
        rest, ranking = reranking({**options, "rerank": self._embedders.get(name, name)}, self.open_model)
        self._embedders[name] = ranking.embedder.to(self.device)
        return rest, ranking

    def _read(self, image: Picture, ranking: Reranking | None) -> Seen | UserError:
        """What the encoder reads of a picture, and what that of an embedder does, of which the picture is read once."""
        if ranking is None:
            seen = self.read(image)
            return seen if isinstance(seen, UserError) else (seen, None)
        other = ranking.embedder
        try:
            if self.encoder.takes == "clip" or is_clip_input(image):
                image = as_clip(image)
            else:
                image = as_picture(image, max(self.encoder.size or 1, other.encoder.size or 1))
        except UserError as error:
            return error
        seen, again = self.read(image), other.read(image)
        failed = next((found for found in (seen, again) if isinstance(found, UserError)), None)
        return failed or (seen, again)

    def _look(
        self, image: Picture, details: bool, ranking: Reranking | None
    ) -> tuple[Seen | UserError, Image.Image | None]:
        """What is read of a picture or the error, and with `details` a small copy of the picture."""
        seen = self._read(image, ranking)
        if not details or isinstance(seen, UserError) or is_clip_input(image):
            return seen, None
        with suppress(UserError):  # of a pipe, read once, there is no second look
            return seen, thumbnail(as_picture(image, THUMBNAIL))
        return seen, None

    def _best(
        self, generation: Callable, ranking: Reranking | None, details: bool, seen: Sequence[Seen]
    ) -> list[list[Caption]]:
        """The captions of pictures that were read, best first; with a `ranking` the best by it."""
        captions = self._describe([own for own, _ in seen], generation, details)
        if ranking is None:
            return captions
        vectors = ranking.embedder.vectors_of([again for _, again in seen if again is not None])
        return ranking.best([vectors[i] for i in range(len(seen))], captions)

    def _describe(self, inputs: Sequence[ReadInput], generation: Callable, details: bool) -> list[list[Caption]]:
        captions: dict[int, list[Caption]] = {}
        names = getattr(self.encoder, "class_names", None)
        for places, memory in self.memories(inputs):
            with computing_in(self.precision, self.device):
                found = self.task.describe(memory, generation, details=details, class_names=names)
            captions |= dict(zip(places, found, strict=True))
        return [captions[i] for i in range(len(inputs))]


def agreeing_limits(own: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """`options`, and with the one limit on words that they have the other, where that of the bundle contradicts it."""
    least, most = options.get("min_words"), options.get("max_words")
    if isinstance(most, int) and least is None and own.get("min_words", 1) > most >= 1:
        return {**options, "min_words": most}
    if isinstance(least, int) and most is None and own.get("max_words", Limits.max_words) < least:
        return {**options, "max_words": least + 10}  # room for a sentence to end by itself
    return dict(options)


def picture_of(key: Any, images: Mapping[Any, Picture] | str | os.PathLike[str] | None) -> Picture:
    """The picture that `Captioner.score` knows by a key."""
    if images is None:
        return key
    if isinstance(images, (str, os.PathLike)):
        return Path(images, str(key))
    if key not in images:
        raise UserError(f"there are references for {key!r}, but no picture")
    return images[key]
