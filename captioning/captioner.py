"""A finished model: pictures in, sentences out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from captioning.bundle import FILES, Bundle, load_bundle
from captioning.clip_inputs import as_clip, moves
from captioning.data.images import open_image, to_rgb
from captioning.decoders.base import Decoder
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.constraints import Limits
from captioning.generation.word_options import with_vocabulary
from captioning.memory import VisualMemory
from captioning.vocabulary import EOS, Vocabulary, sentence


@dataclass(frozen=True)
class Caption:
    """One sentence about one picture. Prints as its text."""

    text: str
    score: float  # what the search ranked by: log-probability, normalised as the search was told to
    words: list[str] = field(repr=False)
    log_probabilities: list[float] | None = field(default=None, repr=False)  # one a word, then one of the end
    attention: np.ndarray | None = field(default=None, repr=False)  # (T, N), a row a word; None without attention
    boxes: np.ndarray | None = field(default=None, repr=False)  # (N, 4) in [0, 1] where the tokens are regions

    def __str__(self) -> str:
        return self.text


def describe(
    decoder: Decoder, memory: VisualMemory, vocabulary: Vocabulary, generation: Callable, *, details: bool = False
) -> list[list[Caption]]:
    """The captions of every image of a memory, best first. `details` adds log-probabilities and attention."""
    with torch.inference_mode():
        context = decoder.prepare(memory.float())
        search = with_vocabulary(generation, vocabulary)
        generated = search(decoder, context, **{"max_words": vocabulary.max_words, **search.keywords}, details=details)
    words, scores = generated.words.tolist(), generated.scores.tolist()
    return [
        [
            _caption(generated, memory, vocabulary, b, k, words[b][k], score, details)
            for k, score in enumerate(scores[b])
            if k == 0 or score > -math.inf  # fewer captions may exist than were asked for
        ]
        for b in range(len(words))
    ]


def _caption(generated, memory, vocabulary, b: int, k: int, ids: list[int], score: float, details: bool) -> Caption:
    text = vocabulary.decode(ids)
    if not details:
        return Caption(sentence(text), score, text)
    length = ids.index(EOS) + 1 if EOS in ids else len(text)
    real = memory.mask[b].cpu()
    attention = generated.attention
    return Caption(
        sentence(text),
        score,
        text,
        generated.log_probabilities[b, k, :length].tolist(),
        None if attention is None else attention[b, k, : len(text)].float().cpu()[:, real].numpy(),
        None if memory.boxes is None else memory.boxes[b].cpu()[real].numpy(),
    )


CLIP_VIEW = {"frames": 8, "pool": "grid"}  # how a model of photos looks at a clip: cells of frames are its tokens
Seen = tuple[Encoder, Any]  # what read a picture or clip, and what it is to be called with


class Captioner:
    """Encoder, decoder, vocabulary and a way of generating, on one device.

    >>> captioner = captioning.load("runs/mine/model")
    >>> captioner.caption("dog.jpg").text
    """

    def __init__(self, bundle: Bundle, *, device: str | torch.device | None = None):
        """`device` None takes the GPU where there is one. Raises UserError for one that is not there."""
        self.device = working_device(device)
        self.bundle = bundle
        self.encoder = bundle.encoder.to(self.device).eval()
        self.decoder = bundle.decoder.to(self.device).eval()
        self.vocabulary = bundle.vocabulary

    def caption(self, images: Any, *, details: bool = False, **options: Any) -> Any:
        """A caption for a picture, or a list of them for a list of pictures.

        A picture is a path, an open file, a PIL image or an array (H, W), (H, W, 3) or (H, W, 4) of uint8. `options`
        go to the generation: beam_size, num_captions, max_words, ... With num_captions or num_samples above 1 each
        picture has a list of captions. `details` adds log-probabilities and attention. A clip (its path, or a
        `captioning.data.video.Clip`) may stand for a picture.
        Raises UserError naming the first picture that cannot be read; `stream` goes on instead.
        """
        single = not isinstance(images, (list, tuple))
        several = max(options.get("num_captions", 1), options.get("num_samples", 1)) > 1
        captions = []
        for _, found in self.stream([images] if single else images, details=details, **options):
            if isinstance(found, UserError):
                raise found
            captions.append(found if several else found[0])
        return captions[0] if single else captions

    def stream(
        self, images: Iterable[Any], *, batch_size: int = 16, details: bool = False, **options: Any
    ) -> Iterator[tuple[Any, list[Caption] | UserError]]:
        """(picture, its captions, best first) one after the other, in order and in constant memory.

        A picture that cannot be read comes with the error instead of captions.
        """
        generation = self.strategy(options)
        images = iter(images)
        while chunk := list(islice(images, batch_size)):
            read = [self._read(image) for image in chunk]
            good = [picture for picture in read if not isinstance(picture, UserError)]
            captions = iter(self._describe(good, generation, details) if good else [])
            for image, picture in zip(chunk, read, strict=True):
                yield image, picture if isinstance(picture, UserError) else next(captions)

    def strategy(self, options: Mapping[str, Any]) -> Callable:
        """The bundle's generation with `options` on top.

        A beam size or a number of captions asks for beam search, whatever it was; then only what every way of
        generating knows is kept of the bundle's own options.
        """
        own = self.bundle.generation
        if own.func is not beam and {"beam_size", "num_captions"} & set(options):
            shared = {limit.name for limit in fields(Limits)}
            own = partial(beam, **{name: value for name, value in own.keywords.items() if name in shared})
        captions = options.get("num_captions", 1)
        if own.func is beam and captions > options.get("beam_size", own.keywords.get("beam_size", 5)):
            options = {**options, "beam_size": captions}
        return partial(own, **options)

    @cached_property
    def clip_encoder(self) -> Encoder:
        """What looks at clips: the model's own encoder, or that of a photo model on several frames."""
        if self.encoder.takes == "clip":
            return self.encoder
        from captioning.encoders.frames import FrameEncoder

        return FrameEncoder.around(self.encoder, **CLIP_VIEW).to(self.device).eval()

    @property
    def clip_config(self) -> dict[str, Any]:
        """The configuration of `clip_encoder`."""
        own = self.bundle.config["encoder"]
        if self.encoder.takes == "clip":
            return own
        return {"_target_": "captioning.encoders.frames.FrameEncoder", "image": own, **CLIP_VIEW}

    def _read(self, image: Any) -> Seen | UserError:
        try:
            if self.encoder.takes == "clip" or moves(image):
                return self.clip_encoder, self.clip_encoder.read(as_clip(image))
            return self.encoder, self.encoder.read(as_picture(image, self.encoder.size))
        except UserError as error:
            return error

    def _describe(self, pictures: Sequence[Seen], generation: Callable, details: bool) -> list[list[Caption]]:
        captions: dict[int, list[Caption]] = {}
        for encoder in dict.fromkeys(encoder for encoder, _ in pictures):
            mine = [i for i, (other, _) in enumerate(pictures) if other is encoder]
            with torch.inference_mode():
                memory = encoder(encoder.collate([pictures[i][1] for i in mine]).to(self.device))
            found = describe(self.decoder, memory, self.vocabulary, generation, details=details)
            captions |= dict(zip(mine, found, strict=True))
        return [captions[i] for i in range(len(pictures))]


def working_device(name: str | torch.device | None) -> torch.device:
    """The device of that name, for None the GPU where there is one. Raises UserError where nothing can be put on it."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError, ImportError) as error:  # by device, and by how torch was built
        raise UserError(f"device {name}: {str(error).splitlines()[0]}. Choose another, such as cpu") from None
    return device


def as_picture(image: Any, size: int | None = None) -> Image.Image:
    """Whatever stands for a picture, as an RGB PIL image. `size` lets a file be decoded no larger than needed."""
    if isinstance(image, (str, os.PathLike)) or hasattr(image, "read"):
        return open_image(image, size=size)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
            raise UserError(f"an array must be uint8 (H, W), (H, W, 3) or (H, W, 4), not {image.dtype} {image.shape}")
        image = Image.fromarray(image) if image.size else Image.new("RGB", (0, 0))
    if not isinstance(image, Image.Image):
        raise UserError(f"a picture is a path, a PIL image or a NumPy array, not {type(image).__name__}")
    if 0 in image.size:
        raise UserError("a picture has at least one pixel, this one has none")
    try:
        return to_rgb(image)
    except Exception as error:  # a PIL image is decoded only now, and raises nearly anything where its file is damaged
        name = getattr(image, "filename", "") or "the picture"
        raise UserError(f"{name} is damaged or cut short ({error}). Copy or download it again.") from error


def load(model: str | Path, *, device: str | torch.device | None = None, allow: Sequence[str] = ()) -> Captioner:
    """A captioner from a bundle's folder, a run's folder, or the name of either in `runs/`. Runs none of its code.

    `allow` names your own packages whose encoders or decoders the bundle may use.
    """
    return Captioner(load_bundle(find_model(model), allow=allow), device=device)


def find_model(model: str | Path) -> Path:
    """The bundle's folder that a name or a path means. Raises UserError saying where it looked."""
    candidates = [Path(model), Path(model) / "model", Path("runs") / model / "model"]
    for folder in candidates:
        if any(os.path.isfile(folder / name) for name in FILES):
            return folder
    if os.path.isdir(model):
        return Path(model)  # nothing there: loading it names what is missing
    raise UserError(
        f"there is no model {str(model)!r}: looked for {', '.join(str(path) for path in candidates)}. "
        f"`captioning train` makes one in runs/NAME/model"
    )
