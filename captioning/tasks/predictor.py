"""A finished model of any task: pictures and clips in, what the task makes of them out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from captioning.data.source import Source
from captioning.data.splits import chosen_examples
from captioning.encoders.base import Encoder
from captioning.encoders.concepts import ConceptEncoder
from captioning.encoders.detectors.bare import BareDetector, detector_in
from captioning.encoders.raw_pictures import RawPictures
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.extract import STORED_BATCH, share
from captioning.features.stored import stored
from captioning.media.clip_inputs import as_clip, is_clip_input
from captioning.media.kinds import is_clip
from captioning.media.pictures import as_picture, as_several
from captioning.memory import VisualMemory
from captioning.models.bundle import Bundle, save_bundle
from captioning.runtime.device import working_device
from captioning.runtime.option_checks import require_least
from captioning.runtime.precision import computing_in, working_precision
from captioning.runtime.prefetch import chunks_of
from captioning.runtime.progress import progress_bar

if TYPE_CHECKING:
    from typing_extensions import Self

    from captioning.boxes import Box

CLIP_VIEW = {"frames": 8, "pool": "grid"}  # how a model of photos looks at a clip: cells of frames are its tokens
ReadInput = tuple[Encoder, Any]  # what read a picture or clip, and what it is to be called with


class Predictor:
    """Encoder and task on one device. A task's own predictor adds the verbs that people ask it for."""

    def __init__(self, bundle: Bundle, *, device: str | torch.device | None = None):
        """`device` None takes the GPU where there is one. Raises UserError for one that is not there."""
        self.device = working_device(device)
        self.bundle = bundle
        self.encoder = bundle.encoder.to(self.device).eval()
        self.task = bundle.task.to(self.device).eval()
        self.precision = "32"
        self.open_model: Callable[[str], Any] | None = None  # another model by its name, as this one was opened

    def compute_in(self, precision: str, *, equal: bool = False) -> Predictor:
        """From now on in "32" bits or in "bf16"; "auto" is bf16 where that is faster and the scores are `equal`.

        Raises UserError where the device has no bfloat16.
        """
        self.precision = working_precision(precision, self.device, equal=equal)
        return self

    def half(self) -> Self:
        """From now on in half the bits: bfloat16, in which no product overflows. `save(half=True)` is about files.

        Raises UserError where the device has no bfloat16.
        """
        self.compute_in("bf16")
        return self

    def to(self, device: str | torch.device) -> Self:
        """Moves the model, its encoder of clips with it. Raises UserError for a device that is not there."""
        self.device = working_device(device)
        for part in (self.encoder, self.task, vars(self).get("clip_encoder")):
            if part is not None:
                part.to(self.device)
        return self

    def save(self, folder: str | Path, *, card: str | None = None, half: bool = False, eight_bit: bool = False) -> Path:
        """Writes the model as a bundle, whole or not at all, and returns its folder.

        `card` is its README.md: data, scores and terms, for people. `half` keeps weights as float16, `eight_bit` the
        large ones in eight bits. Raises UserError where the folder cannot be written, or holds something else.
        """
        text = card if card is not None else f"# {Path(folder).name}\n\nSaved from Python; nothing was noted of it.\n"
        return save_bundle(folder, self.bundle, card=text, half=half, eight_bit=eight_bit)

    @cached_property
    def clip_encoder(self) -> Encoder:
        """What looks at clips: the model's own encoder, or that of a photo model on several frames."""
        if self.encoder.takes == "clip":
            return self.encoder
        if isinstance(self.encoder, RawPictures):
            return RawPictures(takes="clip").eval()
        from captioning.encoders.frames import FrameEncoder

        return FrameEncoder.around(self.encoder, **CLIP_VIEW).to(self.device).eval()

    @property
    def detect(self) -> Callable[..., list[Box]]:
        """`detect(image, least=0.3)` of the detector that the model looks through: the things of a picture.

        Raises AttributeError for a model that looks through none.
        """
        detector = detector_in(self.encoder)
        if detector is None:
            raise AttributeError(self.without("detect"))
        return BareDetector(detector, device=self.device).detect

    def without(self, verb: str) -> str:
        """What to say of a verb that this model does not have."""
        own = self.task.usage
        return f"a model of {type(self.task).__name__} has no {verb}()" + (f"; it is for: captioning {own}" * bool(own))

    @property
    def clip_config(self) -> dict[str, Any]:
        """The configuration of `clip_encoder`."""
        own = self.bundle.encoder_config
        if self.encoder.takes == "clip":
            return own
        if isinstance(self.encoder, RawPictures):
            return {**own, "takes": "clip"}
        own = own["encoder"] if isinstance(self.encoder, ConceptEncoder) else own
        return {"_target_": "captioning.encoders.frames.FrameEncoder", "image": own, **CLIP_VIEW}

    def read(self, image: Any) -> ReadInput | UserError:
        """A picture or clip as its encoder reads it, or what is wrong with it."""
        try:
            if self.encoder.takes == "clip" or is_clip_input(image):
                return self.clip_encoder, self.clip_encoder.read(as_clip(image))
            return self.encoder, self.encoder.read(as_picture(image, self.encoder.size))
        except UserError as error:
            return error

    def memories(self, inputs: Sequence[ReadInput]) -> list[tuple[list[int], VisualMemory]]:
        """What was read -> for each encoder that read some of it their places, and one memory of them all."""
        found = []
        for encoder in dict.fromkeys(encoder for encoder, _ in inputs):
            mine = [i for i, (other, _) in enumerate(inputs) if other is encoder]
            with torch.inference_mode(), computing_in(self.precision, self.device):
                memory = encoder(encoder.collate([inputs[i][1] for i in mine]).to(self.device))
            found.append((mine, memory))
        return found

    def predict(self, images: Any, *, batch_size: int = 16) -> Any:
        """What the task predicts of a picture or clip, or a list of that for a list of them.

        Raises UserError naming the first that cannot be read.
        """
        require_least(1, batch_size=batch_size)
        several, single = as_several(images)
        predictions: list[Any] = []
        for chunk in chunks_of(several, batch_size):
            inputs = [self.read(image) for image in chunk]
            for found in inputs:
                if isinstance(found, UserError):
                    raise found
            there: dict[int, Any] = {}
            for places, memory in self.memories(inputs):
                with torch.inference_mode(), computing_in(self.precision, self.device):
                    there |= dict(zip(places, self.task.predict(memory.float(), None), strict=True))
            predictions += [there[i] for i in range(len(chunk))]
        return predictions[0] if single else predictions

    def predict_split(
        self,
        source: Source,
        split: str,
        *,
        store: str | None = "auto",
        batch_size: int = 32,
        num_workers: int = 0,
        predict: Callable[[VisualMemory, Any], list[Any]] | None = None,
        part: tuple[int, int] = (1, 1),
    ) -> tuple[list[Example], dict[int | str, Any]]:
        """The examples of a split that can be used, and what the task predicts of each, by id; or `predict`.

        Splits are joined as in `chosen_examples`. `part` (k, n) is the k-th of n parts of whole batches. A model of
        photos looks at several frames of each clip where the source has clips.
        """
        require_least(1, batch_size=batch_size)
        require_least(0, num_workers=num_workers)
        examples = usable(chosen_examples(source, split), self.task, f"{source.name} {split}")
        examples = [one for some in share(examples, whole_batches(batch_size), part) for one in some]
        self.task.read_from(source)
        encoder, config = self.encoder, self.bundle.encoder_config
        looks = encoder.takes == "image" and encoder.size is not None  # imported features look at nothing
        if looks and any(is_clip(example.file) for example in examples):
            encoder, config = self.clip_encoder, self.clip_config
        features, readable = stored(
            store, source, encoder, config, examples, device=self.device, precision=self.precision
        )
        examples = [example for example in examples if example.id in readable]
        from captioning.batches import EpochSampler, Examples, loader  # with the trainer, which a photo does not need

        data = Examples(examples, source, encoder, features, self.task.targets)
        predictions: dict[int | str, Any] = {}
        with progress_bar(f"{source.name} {split}") as report, torch.inference_mode():
            for batch in loader(data, EpochSampler(len(data), shuffle=False), batch_size, num_workers):
                batch = batch.to(self.device)
                with computing_in(self.precision, self.device):
                    memory = batch.inputs if isinstance(batch.inputs, VisualMemory) else encoder(batch.inputs)
                    found = (predict or self.task.predict)(memory.float(), batch.targets)
                predictions |= dict(zip(batch.ids, found, strict=True))
                report(len(predictions), len(examples))
        return examples, predictions


def whole_batches(batch_size: int) -> int:
    """Examples that are whole batches of this size, and of those in which features are stored: cut there, a picture
    is seen in the same company as when nothing is cut."""
    return math.lcm(batch_size, STORED_BATCH)


def usable(examples: Sequence[Example], task: Any, where: str) -> list[Example]:
    """The examples that have what the task needs. Raises UserError where none has."""
    found = [example for example in examples if all(getattr(example, name, None) for name in task.needs)]
    if not found and examples:
        raise UserError(f"{where}: none of {len(examples):,} examples has {' and '.join(task.needs)}")
    return found
