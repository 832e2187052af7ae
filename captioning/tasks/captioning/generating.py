"""Captioning by a model of the model hub that writes by transformers' own `generate`: used and judged as any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn

import torch

from captioning.encoders.base import Encoder
from captioning.encoders.raw_pictures import PictureMemory, RawPictures
from captioning.errors import UserError
from captioning.models.bundle import Bundle, target
from captioning.models.published.generating import GeneratingModel, generate, import_generating
from captioning.tasks.base import Build
from captioning.tasks.captioning.caption import Caption
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.task import Captioning

OPTIONS = [name for name, option in signature(generate).parameters.items() if option.kind is option.KEYWORD_ONLY]


class GeneratingCaptioning(Captioning):
    """A finished model that others trained and that is used as it is: it learns nothing and is not saved."""

    files = ()

    def __init__(self, model: GeneratingModel, name: str):
        super().__init__(decoder={}, generation={"_target_": target(generate)})
        self.model, self.name = model, name
        self.generation = partial(generate)

    def describe(
        self, memory: PictureMemory, generation: Callable, *, details: bool = False, class_names: Any = None
    ) -> list[list[Caption]]:
        found = generation(self.model, memory.pictures)
        return [
            [Caption(one.text, one.score, one.words, one.log_probabilities if details else None) for one in texts]
            for texts in found
        ]

    def generate_with(self, generation: Mapping[str, Any], instantiate: Build) -> None:
        if generation.get("_target_") != target(generate):
            raise UserError(f"{self.name} has a search of its own: generation=generate generation.beam_size=3")
        options = {name: value for name, value in generation.items() if not name.startswith("_") and value is not None}
        self.parts["generation"] = {"_target_": target(generate), **options}
        self.generation = partial(generate, **known_options(options, self.name))

    def targets(self, examples: Sequence[Any], epoch: int) -> None:
        return None

    def texts(self) -> NoReturn:
        """Raises UserError: what writes by a library of others is neither trained further here nor saved."""
        raise UserError(
            f"{self.name} is a {self.model.kind}, which writes by transformers' own generate: it captions and is "
            "evaluated, but becomes no model here and is not trained further. BLIP, GIT, and ViT, DeiT or Swin with "
            "GPT-2 or BERT do"
        )

    def summary(self) -> str:
        return f"{self.model.kind} by transformers"

    def check(self, encoder: Encoder) -> None:
        return None

    def predictor(self, bundle: Bundle, device: str | torch.device | None = None) -> GeneratingCaptioner:
        return GeneratingCaptioner(bundle, device=device)


class GeneratingCaptioner(Captioner):
    """A `Captioner` whose model reads pictures itself, asked by a `prompt` among the options."""

    def __init__(self, bundle: Bundle, *, device: str | torch.device | None = None):
        super().__init__(bundle, device=device)
        if self.device.type == "cpu":
            self.task.float()  # halves are slow on processors, and not all know them

    def strategy(self, options: Mapping[str, Any]) -> Callable:
        """The model's own search with `options` on top. Raises UserError for one that it does not know."""
        return partial(generate, **{**self.task.generation.keywords, **known_options(options, self.task.name)})


def known_options(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The options that `generate` knows. Raises UserError naming another."""
    for option in options:
        if option == "forced_prefix":
            raise UserError(f"generation.forced_prefix: {name} goes on from a prompt instead: --prompt 'a photo of'")
        if option not in OPTIONS:
            raise UserError(f"generation.{option} is unknown to {name}, which knows {', '.join(OPTIONS)}")
    return dict(options)


def generating_bundle(folder: Path, name: str) -> Bundle:
    """A model in a folder of the hub's layout as it is. Raises UserError where it writes nothing about pictures."""
    encoder = RawPictures()
    task = GeneratingCaptioning(import_generating(folder, name), name)
    return Bundle(encoder.eval(), {"_target_": target(RawPictures)}, task.eval())
