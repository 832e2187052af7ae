"""Every decoder, small and with strong opinions, on images of its own."""

from copy import deepcopy
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import NamedTuple

import torch
from table_decoder import TableDecoder

from captioning.decoders.base import Decoder
from captioning.decoders.ensemble import Ensemble
from captioning.memory import VisualMemory
from captioning.text.vocabulary import EOS

VOCABULARY, WIDTH, TOKENS, IMAGES = 29, 12, 5, 5

SMALL_LSTM = {"embedding": 16, "width": 16, "dropout": 0.0}
SMALL_TRANSFORMER = {"width": 16, "layers": 2, "heads": 2, "feed_forward": 32, "dropout": 0.0}
SMALL_AOA = {"width": 16, "heads": 2, "refining_layers": 1, "dropout": 0.0, "attention_dropout": 0.0}
DECODERS = {
    "show_and_tell.ShowAndTell": SMALL_LSTM,
    "show_attend_tell.ShowAttendTell": {**SMALL_LSTM, "attention": 8},
    "up_down.UpDown": {**SMALL_LSTM, "attention": 8},
    "transformer.Transformer": {**SMALL_TRANSFORMER, "encoder_layers": 1},
    "meshed_memory.MeshedMemory": SMALL_TRANSFORMER,
    "attention_on_attention.AttentionOnAttention": SMALL_AOA,
    "mean_pool.MeanPool": SMALL_LSTM,
    "s2vt.S2VT": SMALL_LSTM,
    "temporal_attention.TemporalAttention": {**SMALL_LSTM, "visual": 16, "attention": 8},
    "hierarchical_attention.HierarchicalAttention": {**SMALL_LSTM, "visual": 16, "attention": 8},
}
ENSEMBLE = ["show_attend_tell.ShowAttendTell", "transformer.Transformer"]


class Case(NamedTuple):
    decoder: Decoder
    memory: VisualMemory | torch.Tensor

    def context(self):
        with torch.no_grad():
            return self.decoder.prepare(self.memory)

    def of(self, images: list[int]) -> "Case":
        """The same decoder on these of the images."""
        if isinstance(self.memory, torch.Tensor):
            return Case(self.decoder, self.memory[images])
        kept = {name: part[images] for name, part in vars(self.memory).items() if part is not None}
        return Case(self.decoder, replace(self.memory, **kept))

    def in_double(self) -> "Case":
        """The same with a network of double precision, whose roundings a search in single precision does not see.

        A matrix product may round a row differently beside other rows. A table has nothing to round.
        """
        if isinstance(self.memory, torch.Tensor):
            return self
        memory = replace(self.memory, tokens=self.memory.tokens.double(), pooled=self.memory.pooled.double())
        return Case(deepcopy(self.decoder).double(), memory)


def memory(images: int = IMAGES) -> VisualMemory:
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(images, TOKENS, WIDTH, generator=generator)
    mask = torch.ones(images, TOKENS, dtype=torch.bool)
    mask[1, -1] = False
    return VisualMemory(tokens, mask, torch.randn(images, WIDTH, generator=generator))


@cache
def build(name: str) -> Decoder:
    """A decoder of random weights that is surer of its words than an untrained one, and ends before long."""
    if name == "ensemble.Ensemble":
        return Ensemble([build(part) for part in ENSEMBLE])
    module, cls = name.split(".")
    torch.manual_seed(1)
    decoder = getattr(import_module(f"captioning.decoders.{module}"), cls)
    decoder = decoder(visual_width=WIDTH, vocabulary_size=VOCABULARY, **DECODERS[name]).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            if len(parameter) == VOCABULARY:
                parameter.normal_()
                if parameter.ndim == 1:
                    parameter[EOS] += 2
    return decoder


def case(name: str) -> Case:
    if name == "table":
        return Case(TableDecoder(VOCABULARY), torch.arange(IMAGES) * 17)
    return Case(build(name), memory())
