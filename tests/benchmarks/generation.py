"""How fast captions are generated: python tests/benchmarks/generation.py

The peer is `generate` of Hugging Face's transformers with the same network and the same weights (pip install
transformers); without it those figures are left out. Every figure is taken in turns with what it is compared to, and
with the speed of a large matrix product, so that a busy machine slows all of them.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import equal_decoders as equal
import torch
from harness import Figure, report
from torch import Tensor

from captioning.decoders.base import Decoder
from captioning.decoders.transformer import Transformer
from captioning.decoders.up_down import UpDown
from captioning.generation.beam import beam
from captioning.layers.linear import Linear
from captioning.memory import VisualMemory
from captioning.text.vocabulary import UNK

ROUNDS = 5
MAX_WORDS = 20
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def matmul_peak(size: int = 2048) -> float:
    """Multiply-adds of a large matrix product, counted twice, in GFLOP/s: by the quicker of torch's two libraries.

    On some processors the plain product is half as fast as that by an ordered weight, and would be no peak.
    """
    a, b = torch.randn(2, size, size, device=DEVICE)
    layer = Linear(size, size, bias=False).to(DEVICE)
    with torch.no_grad():
        ways = (lambda: a @ b, lambda: layer(a))
        return 2 * size**3 / min(seconds(way) for way in ways for _ in range(3)) / 1e9


def in_turns(*calls: Callable[[], Any]) -> list[tuple[float, ...]]:
    """Seconds of each call, ROUNDS times over, after one call of each to warm up."""
    for call in calls:
        call()
    return [tuple(seconds(call) for call in calls) for _ in range(ROUNDS)]


def caption(decoder: Decoder, memory: Any, beam_size: int) -> Tensor:
    """From visual memory to words (B, T)."""
    with torch.no_grad():
        return beam(decoder, decoder.prepare(memory), beam_size=beam_size, max_words=MAX_WORDS).words[:, 0]


def against_transformers(name: str, decoder: Transformer, memory: VisualMemory, *, goal: float) -> Figure:
    """Captions a second of both, the median of rounds; the captions themselves have to be the same."""
    images = len(memory)
    model, memory, decoder = equal.theirs(decoder).to(DEVICE), memory.to(DEVICE), decoder.to(DEVICE)
    with torch.no_grad():
        tokens = decoder.encode(memory)

    def theirs() -> Tensor:
        return equal.their_beam(model, tokens, beam_size=5, max_words=MAX_WORDS)

    ours, peer = caption(decoder, memory, 5), theirs()
    said = [own[own > 0] for own in ours]
    same = sum(torch.equal(own, other[: len(own)]) for own, other in zip(said, peer, strict=True))
    if same < 0.9 * images:
        raise SystemExit(f"{name}: only {same} of {images} captions are those of transformers; nothing to compare")
    rounds = in_turns(lambda: caption(decoder, memory, 5), theirs)
    own, other = (images / statistics.median(times) for times in zip(*rounds, strict=True))
    return Figure(name, own, "captions/s", goal, peer=other, higher=True)


def share_of_peak() -> Figure:
    """Of the matrix-multiply peak, counting only the products that the algorithm needs."""
    images, tokens, beam_size = 16, 49, 5
    decoder, memory = equal.ours(ends=False).to(DEVICE), equal.memory(images, tokens).to(DEVICE)
    weights = equal.LAYERS * (6 * equal.WIDTH**2 + 2 * equal.WIDTH * equal.HIDDEN) + equal.WIDTH * equal.WORDS
    attended = [equal.LAYERS * 2 * equal.WIDTH * (tokens + step) for step in range(1, MAX_WORDS + 1)]
    rows = [1] + [beam_size] * (MAX_WORDS - 1)
    needed = sum(row * (weights + attention) for row, attention in zip(rows, attended, strict=True))
    needed += tokens * (equal.WIDTH**2 + equal.LAYERS * 2 * equal.WIDTH**2)  # once per image
    caption(decoder, memory, beam_size)
    shares = []
    for _ in range(ROUNDS):
        peak = matmul_peak()
        speed = 2 * needed * images / seconds(lambda: caption(decoder, memory, beam_size)) / 1e9
        shares.append(100 * speed / peak)
    return Figure("matmul peak used, 6 layers, beam 5", statistics.median(shares), "%", 50, higher=True)


def up_down(beam_size: int, *, reference: float | None, goal: float) -> Figure:
    """Hidden 1000, attention 512, 36 regions, 20 words, batch 16. `reference`: captions/s at a peak of 146 GFLOP/s."""
    torch.manual_seed(0)
    decoder = UpDown(visual_width=2048, vocabulary_size=equal.WORDS, embedding=1000, width=1000, attention=512)
    decoder = decoder.eval().to(DEVICE)
    with torch.no_grad():
        decoder.predict.bias[: UNK + 1] = equal.NEVER
    images, memory = 16, equal.memory(16, 36, 2048).to(DEVICE)
    caption(decoder, memory, beam_size)
    speeds, peaks = [], []
    for _ in range(ROUNDS):
        peaks.append(matmul_peak())
        speeds.append(images / seconds(lambda: caption(decoder, memory, beam_size)))
    peer = reference and reference * statistics.median(peaks) / 146
    name = f"Up-Down, beam {beam_size}, 20 words, batch 16"
    return Figure(name, statistics.median(speeds), "captions/s", goal, peer=peer, higher=True)


def held(value: Any) -> int:
    """Bytes of all tensors in a state."""
    if isinstance(value, Tensor):
        return value.nbytes
    parts = value if isinstance(value, (list, tuple)) else vars(value).values() if hasattr(value, "__dict__") else ()
    return sum(map(held, parts))


def memory_growth() -> Figure:
    """What a search holds beside the context, with twenty times the visual tokens."""
    largest = {}
    for tokens in (49, 980):
        decoder, memory = equal.ours(ends=False).to(DEVICE), equal.memory(4, tokens).to(DEVICE)
        step, sizes = decoder.step, []

        def watched(*given, step=step, sizes=sizes):
            out = step(*given)
            sizes.append(held(out.state))
            return out

        decoder.step = watched
        caption(decoder, memory, 5)
        largest[tokens] = max(sizes) / 2**20
    sizes = ", ".join(f"{size:.1f} MB with {tokens} tokens" for tokens, size in largest.items())
    print(f"state at word {MAX_WORDS}, 4 images, beam 5: {sizes}")
    return Figure("state with 980 tokens against 49", largest[980] / largest[49], "times", 1.01)


def main() -> int:
    figures = []
    if find_spec("transformers"):
        faster, much_faster = (4, 4) if DEVICE.type == "cuda" else (1.7, 2.2)
        figures += [
            against_transformers(
                "6 layers, beam 5, 20 words, batch 16", equal.ours(ends=False), equal.memory(16, 49), goal=faster
            ),
            against_transformers(
                "6 layers, beam 5, own ends, batch 64", equal.ours(ends=True), equal.memory(64, 49), goal=much_faster
            ),
        ]
        if "CAPTIONING_DATA" in os.environ:
            name = "the shipped model, dev photos, beam 5, batch 64"
            figures.append(against_transformers(name, *equal.trained(64), goal=much_faster))
        else:
            print("CAPTIONING_DATA is not set: the figure on Flickr8k's photos is left out", file=sys.stderr)
    else:
        print("transformers is not installed: the figures against it are left out", file=sys.stderr)
    if DEVICE.type == "cpu":
        figures.append(share_of_peak())
        figures += [up_down(1, reference=22.9, goal=1), up_down(5, reference=4.7, goal=2.2)]
        figures.append(up_down(3, reference=4.7, goal=2.2))  # no published figure: five beams' goal
    figures.append(memory_growth())
    report("generation", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
