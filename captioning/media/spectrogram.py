"""Log-mel spectrograms: how loud a recording is at each pitch, step by step, on the ear's scale of pitches."""

from __future__ import annotations

from functools import lru_cache

import torch
from PIL import Image
from torch import Tensor

from captioning.media.sound import Sound

RATE = 16_000  # samples a second
WINDOW = 0.025  # seconds
FLOOR = 1e-5  # of a power, below which all is silence


def log_mel(sound: Sound, *, seconds: float, bins: int, step: float) -> Tensor:
    """-> (bins, seconds / step) natural logarithms of power, shifted and scaled to a mean of 0 and a deviation of 1.

    Windows of 25 milliseconds at 16 kHz; triangular filters evenly spread over mels, 2595 log10(1 + f / 700), from
    20 Hz to 8 kHz. Raises SoundError naming the file.
    """
    samples = torch.from_numpy(sound.samples(RATE, seconds))
    size, hop = 512, round(RATE * step)
    window = torch.hann_window(round(RATE * WINDOW))
    power = torch.stft(samples, size, hop, len(window), window, return_complex=True).abs().square()  # (257, T + 1)
    mel = (filters(bins, size) @ power)[:, : round(seconds / step)]
    log = (mel + FLOOR).log()
    return (log - log.mean()) / log.std().clamp(min=0.1)


def spectrogram_picture(sound: Sound, *, seconds: float = 5.0) -> Image.Image:
    """128 pitches, low ones at the bottom, by `seconds` in steps of twenty milliseconds, in grey as RGB."""
    levels = log_mel(sound, seconds=seconds, bins=128, step=0.02).flip(0)
    return Image.fromarray((96 + 48 * levels).clamp(0, 255).byte().numpy()).convert("RGB")


@lru_cache(maxsize=8)
def filters(bins: int, size: int) -> Tensor:
    """-> (bins, size // 2 + 1): what each bin takes of each frequency of a transform over `size` samples.

    A triangle narrower than two frequencies of the transform is made as wide as that, so that no bin is empty.
    """

    def mels(hertz: Tensor) -> Tensor:
        return 2595 * torch.log10(1 + hertz / 700)

    ends = mels(torch.tensor([20.0, RATE / 2]))
    hertz = 700 * (10 ** (torch.linspace(float(ends[0]), float(ends[1]), bins + 2) / 2595) - 1)
    there = torch.linspace(0, RATE / 2, size // 2 + 1)
    spacing = RATE / size
    below = (hertz[1:-1] - hertz[:-2]).clamp(min=spacing)[:, None]
    above = (hertz[2:] - hertz[1:-1]).clamp(min=spacing)[:, None]
    away = there[None] - hertz[1:-1, None]
    return torch.where(away < 0, 1 + away / below, 1 - away / above).clamp(min=0)
