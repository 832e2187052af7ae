"""Self-critical training: what the metric says of the decoder's own captions (Rennie et al. 2017, arXiv:1612.00563)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from captioning.decoders.base import Context, Decoder
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.constraints import NEVER
from captioning.generation.greedy import greedy
from captioning.generation.sampling import sample
from captioning.metrics.object_reward import ObjectReward
from captioning.metrics.reference_index import ReferenceIndex
from captioning.metrics.reward import BleuReward, CiderReward, Reward, RougeReward, WeightedReward
from captioning.runtime.processes import mean_over_processes
from captioning.tasks.captioning.augmentation import Unmirror
from captioning.tasks.captioning.collapse import CollapseWatch, share_that_breaks_off
from captioning.tasks.captioning.objectives import Objective, Parts, cross_entropy, doubly_stochastic
from captioning.text.subwords import Subwords
from captioning.text.tokenizer import tokenize
from captioning.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

log = logging.getLogger("captioning")
CHOICES = {"samples": ("drawn", "beam"), "baseline": ("mean", "mean_of_all", "greedy"), "average": ("words", "places")}
KINDS = {"cider": CiderReward, "bleu": BleuReward, "rouge": RougeReward}


class SelfCritical(Objective):
    """Policy gradient: -(reward - baseline) * log p of `num_samples` captions an image, averaged over their words.

    The captions are `drawn` at random, or the best of a `beam` search (Cornia et al. 2020, arXiv:1912.08226). The
    reward is a sum of CIDEr-D (0 to 10), sentence BLEU-4 and ROUGE-L (0 to 1), weighted by `cider`, `bleu` and
    `rouge`, of the sample against all training captions of its image; with `end` the end is a word of both, and
    document frequencies are those of the training captions. The baseline is the `greedy` caption's reward, the
    `mean` reward of the image's other samples, or the `mean_of_all` its samples. Averages are over the `words` of
    all samples, or over the `places` that a sample may have (the most words of a caption), so that a long sample
    weighs more. Words outside the vocabulary stay words of the references, which no sample can say.

    `named` and `absent` add an `ObjectReward`. `cross_entropy` weighs the likelihood of people's captions beside all
    that, `attention_penalty` the doubly stochastic term as in `CrossEntropy`, over the words of the samples. Without
    `dropout` the captions are drawn from exactly the distribution whose gradient is taken; with it, under another mask.
    """

    needs_start = True

    def __init__(
        self,
        *,
        cider: float = 1.0,
        bleu: float = 0.0,
        rouge: float = 0.0,
        named: float = 0.0,
        absent: float = 0.0,
        cross_entropy: float = 0.0,
        num_samples: int = 5,
        samples: Literal["drawn", "beam"] = "drawn",
        baseline: Literal["mean", "mean_of_all", "greedy"] = "mean",
        average: Literal["words", "places"] = "words",
        end: bool = True,
        attention_penalty: float = 0.0,
        dropout: bool = False,
    ):
        self.weights = {name: weight for name, weight in zip(KINDS, (cider, bleu, rouge), strict=True) if weight}
        self.attention_penalty, self.cross_entropy = attention_penalty, cross_entropy
        self.objects = {"named": named, "absent": absent} if named or absent else None
        self.num_samples, self.samples, self.baseline, self.dropout = num_samples, samples, baseline, dropout
        self.average, self.end = average, end
        if not self.weights:
            raise UserError("objective.cider, objective.bleu and objective.rouge are all 0: nothing would be rewarded")
        for name, value, known in (
            ("samples", samples, "drawn or beam"),
            ("baseline", baseline, "mean (of the other samples), mean_of_all or greedy"),
            ("average", average, "words or places"),
        ):
            if value not in CHOICES[name]:
                raise UserError(f"objective.{name}={value}: it is {known}")
        if num_samples < (1 if baseline == "greedy" else 2):
            raise UserError(f"objective.num_samples={num_samples}: the mean of samples needs 2 or more")
        self.reward: Reward | None = None
        self.as_words: Worded | None = None

    def setup(self, vocabulary: Vocabulary, captions: Mapping[int | str, Sequence[str]]) -> None:
        beyond: dict[str, int] = {}
        index = ReferenceIndex(reference_ids(vocabulary, captions, beyond), end=self.end)
        self.as_words = Worded(vocabulary, beyond) if isinstance(vocabulary, Subwords) else None
        terms = [(KINDS[name](index), weight) for name, weight in self.weights.items()]
        if self.objects is not None:
            if self.as_words:
                raise UserError("objective.named and objective.absent are for vocabularies of words, not of subwords")
            terms.append((ObjectReward(captions, vocabulary.words, **self.objects), 1.0))
        self.reward = WeightedReward(*terms)
        self.max_words = vocabulary.max_words
        self.watch = CollapseWatch()
        self.breaking_off = share_that_breaks_off(vocabulary)

    def __call__(
        self,
        decoder: Decoder,
        context: Context,
        words: Tensor,
        ids: Sequence[int | str],
        *,
        unmirror: Unmirror | None = None,
    ) -> tuple[Tensor, Parts]:
        samples = self.candidates(decoder, context)  # (B, R, T)
        drawn = samples
        if self.baseline == "greedy":
            likeliest = greedy(decoder, context, max_words=self.max_words).words  # (B, 1, T')
            drawn = torch.cat([grown(likeliest, samples.shape[2]), grown(samples, likeliest.shape[2])], 1)
        # else the gradient would end at the single-precision weights that sampling without gradients has cast
        torch.clear_autocast_cache()
        if unmirror is not None:  # what is said of a photo in a mirror is held against what people said of the photo
            drawn = unmirror(drawn)
        drawn = drawn.cpu().numpy()
        if self.as_words is not None:
            drawn = self.as_words(drawn)
        with ThreadPoolExecutor(1) as beside:  # the rewards are counted while the device works
            pending = beside.submit(self.reward, ids, drawn)
            negative_log_likelihood, real, attention = negative_log_likelihoods(
                decoder, context, samples
            )  # (words,), (B, R, T), (B, R, T, N)
            rewards = pending.result()
        rewards, baseline = self.compared(rewards)  # (B, R) each
        advantage = torch.from_numpy(rewards - baseline).to(negative_log_likelihood)  # (B, R)
        weighted = advantage[..., None].expand_as(real)[real] * negative_log_likelihood  # (words,)
        if self.average == "places":
            of_each = torch.zeros_like(real, dtype=weighted.dtype).masked_scatter(real, weighted)  # (B, R, T)
            weighted = of_each.sum(-1) / self.max_words
        loss = mean_over_processes(weighted)
        parts = {"loss": loss, **self.figures(drawn[:, -self.num_samples :], rewards, baseline)}
        if self.attention_penalty and attention is not None:
            parts["attention_penalty"] = penalty = doubly_stochastic(attention, real)
            loss = loss + self.attention_penalty * penalty
        if self.cross_entropy:
            parts["cross_entropy"], _ = cross_entropy(decoder, context, words[:, :, :-1], words[:, :, 1:])
            loss = loss + self.cross_entropy * parts["cross_entropy"]
        return loss, parts

    def candidates(self, decoder: Decoder, context: Context) -> Tensor:
        """The captions that are compared, (B, R, T): `num_samples` an image, each up to its end."""
        if self.samples == "drawn":
            return sample(decoder, context, num_samples=self.num_samples, max_words=self.max_words).words
        beams = {"beam_size": self.num_samples, "num_captions": self.num_samples}
        return beam(decoder, context, **beams, max_words=self.max_words).words

    def compared(self, rewards: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rewards of the samples (B, R), or of the greedy caption and the samples (B, 1 + R) -> rewards and baseline
        of the samples, (B, R) each."""
        if self.baseline == "greedy":
            return rewards[:, 1:], np.broadcast_to(rewards[:, :1], rewards[:, 1:].shape)
        if self.baseline == "mean_of_all":
            return rewards, np.broadcast_to(rewards.mean(1, keepdims=True), rewards.shape)
        return rewards, (rewards.sum(1, keepdims=True) - rewards) / (rewards.shape[1] - 1)

    def figures(self, samples: NDArray[np.int64], rewards: NDArray[np.float64], baseline: NDArray[np.float64]) -> Parts:
        """What to log of the samples (B, R, T): means of reward and baseline, words a caption, shares from 0 to 1."""
        ended = (samples == EOS).any(2)
        lengths = (samples > UNK).sum(2)
        found = {
            "reward": rewards.mean(),
            "baseline": baseline.mean(),
            "words": lengths.mean(),
            "unfinished": 1 - ended.mean(),
            "breaking_off": self.breaking_off(samples, lengths),
        }
        alike = (samples == samples[:, :1]).all((1, 2)).mean() if self.num_samples > 1 else 0.0
        if (trouble := self.watch(found["reward"], found["words"], alike)) is not None:
            log.warning(
                f"self-critical training collapses: {trouble}. Lower optimizer.lr, or start from a better model"
            )
        return {name: torch.tensor(float(value)) for name, value in found.items()}


def negative_log_likelihoods(
    decoder: Decoder, context: Context, samples: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """-log p of every word of samples (B, R, T), ends included, with gradients -> (words,), where they are (B, R, T),
    and the attention under it (B, R, T, N).

    p is what the words were drawn from: what is never said has no part in it.
    """
    real = samples != PAD
    before = torch.cat([torch.full_like(samples[..., :1], BOS), samples[..., :-1]], -1)
    features, attention = decoder.forward_features(context, before)
    logits = decoder.forward_head(features[real]).float()  # (words, V)
    never = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    never[list(NEVER)] = True
    logits = logits.masked_fill(never, -torch.inf)
    first = torch.zeros_like(real)
    first[..., 0] = True
    logits[first[real], EOS] = -torch.inf  # a caption has one word at least
    return F.cross_entropy(logits, samples[real], reduction="none"), real, attention


def grown(words: Tensor, length: int) -> Tensor:
    """words (B, R, T) -> (B, R, at least `length`), padded behind."""
    return F.pad(words, (0, max(0, length - words.shape[2])), value=PAD)


def reference_ids(
    vocabulary: Vocabulary | Subwords, captions: Mapping[int | str, Sequence[str]], beyond: dict[str, int] | None = None
) -> dict[int | str, list[list[int]]]:
    """Whole captions as ids. A word outside the vocabulary has an id of its own beyond it: in a reference it counts
    as it does for the metric, in length and rarity, and no two of them are taken for the same word: `beyond` keeps
    these ids."""
    beyond = {} if beyond is None else beyond
    return {
        key: [[number_of(word, vocabulary, beyond) for word in tokenize(text)] for text in texts]
        for key, texts in captions.items()
    }


def number_of(word: str, vocabulary: Vocabulary | Subwords, beyond: dict[str, int]) -> int:
    """The id of a word, one of its own where it has none: of parts of words all are beyond them."""
    known = UNK if isinstance(vocabulary, Subwords) else vocabulary.ids.get(word, UNK)
    return known if known > UNK else beyond.setdefault(word, len(vocabulary) + len(beyond))


class Worded:
    """Samples of parts of words as the words that a metric counts, by ids that are theirs alone."""

    def __init__(self, vocabulary: Subwords, beyond: dict[str, int]):
        self.vocabulary, self.beyond = vocabulary, beyond

    def __call__(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """samples (B, R, T) of tokens -> (B, R, T') of words, EOS where they end by themselves, then PAD."""
        rows = []
        for ids in samples.reshape(-1, samples.shape[-1]).tolist():
            words = tokenize(self.vocabulary.text(ids))
            numbers = [number_of(word, self.vocabulary, self.beyond) for word in words]
            rows.append(numbers + [EOS] * (EOS in ids))
        worded = np.full((len(rows), max(map(len, rows), default=0) or 1), PAD)
        for row, numbers in zip(worded, rows, strict=True):
            row[: len(numbers)] = numbers
        return worded.reshape(*samples.shape[:2], -1)
