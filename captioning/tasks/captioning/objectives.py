"""What training minimises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.decoders.base import Context, Decoder
from captioning.errors import UserError
from captioning.generation.constraints import Limits
from captioning.generation.rollout import rollout
from captioning.generation.sampling import pick
from captioning.runtime.processes import mean_over_processes
from captioning.tasks.captioning.augmentation import Unmirror
from captioning.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

Parts = dict[str, Tensor]


class Objective:
    """The seam between the task and what it minimises: any callable object with these attributes.

    `dropout` says whether the decoder is to drop out, `needs_start` whether only a decoder that can speak already
    learns by it.
    """

    dropout = True
    needs_start = False

    def setup(self, vocabulary: Vocabulary, captions: Mapping[int | str, Sequence[str]]) -> None:
        """Once before training: the words, and the captions of every training image."""

    def set_epoch(self, epoch: int) -> None:
        """Before every epoch, counted from 0."""

    def __call__(
        self,
        decoder: Decoder,
        context: Context,
        words: Tensor,
        ids: Sequence[int | str],
        *,
        unmirror: Unmirror | None = None,
    ) -> tuple[Tensor, Parts]:
        """words (B, R, T+1) from BOS to EOS, B image ids -> the loss to minimise, and what to log.

        Where images are seen in a mirror, `words` are too, and `unmirror` makes of words (B, R, T) about them words
        about the photos.
        """
        raise NotImplementedError

    def validate(self, decoder: Decoder, context: Context, words: Tensor) -> Tensor:
        """words (B, R, T+1) from BOS to EOS -> the loss of a validation batch: minus the mean log-likelihood."""
        return cross_entropy(decoder, context, words[:, :, :-1], words[:, :, 1:])[0]


class CrossEntropy(Objective):
    """Teacher forcing: minus the log-likelihood of every real word of every caption, averaged over words.

    `label_smoothing` in [0, 1). `attention_penalty` weighs the doubly stochastic term of Show, Attend and Tell
    (arXiv:1502.03044, equation 14): the attention that a caption pays to a cell should sum to one over its words.
    Words outside the vocabulary are read but never asked for.

    `scheduled_sampling` in [0, 1] is the highest probability that a word is read as the decoder itself would have said
    it (Bengio et al. 2015, arXiv:1506.03099); it begins at 0 and rises by `sampling_step` every `sampling_every`
    epochs. `word_dropout` in [0, 1) is the probability that a word is read as an unknown one.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.1,
        attention_penalty: float = 0.0,
        scheduled_sampling: float = 0.0,
        sampling_step: float = 0.05,
        sampling_every: int = 5,
        word_dropout: float = 0.0,
    ):
        for name, value in (("label_smoothing", label_smoothing), ("word_dropout", word_dropout)):
            if not 0 <= value < 1:
                raise UserError(f"objective.{name}={value}: it is from 0 to below 1")
        if not 0 <= scheduled_sampling <= 1 or sampling_every < 1:
            raise UserError(
                f"objective.scheduled_sampling={scheduled_sampling}: it is a probability, from 0 to 1, "
                f"and objective.sampling_every={sampling_every} is 1 epoch or more"
            )
        self.label_smoothing, self.attention_penalty = label_smoothing, attention_penalty
        self.word_dropout = word_dropout
        self.highest, self.sampling_step, self.sampling_every = scheduled_sampling, sampling_step, sampling_every
        self.own_words = 0.0  # the probability of the epoch

    def set_epoch(self, epoch: int) -> None:
        self.own_words = min(self.highest, self.sampling_step * (epoch // self.sampling_every))

    def __call__(
        self,
        decoder: Decoder,
        context: Context,
        words: Tensor,
        ids: Sequence[int | str] = (),
        *,
        unmirror: Unmirror | None = None,
    ) -> tuple[Tensor, Parts]:
        inputs, targets = words[:, :, :-1], words[:, :, 1:]
        if self.own_words:
            inputs = scheduled_sampling_inputs(decoder, context, words, self.own_words)
        if self.word_dropout:
            inputs = word_dropout(inputs, self.word_dropout)
        loss, attention = cross_entropy(decoder, context, inputs, targets, self.label_smoothing)
        parts = {"loss": loss}
        if self.attention_penalty and attention is not None:
            parts["attention_penalty"] = penalty = doubly_stochastic(attention, target_mask(targets))
            loss = loss + self.attention_penalty * penalty
        return loss, parts

    def validate(self, decoder: Decoder, context: Context, words: Tensor) -> Tensor:
        return cross_entropy(decoder, context, words[:, :, :-1], words[:, :, 1:], self.label_smoothing)[0]


def target_mask(targets: Tensor) -> Tensor:
    """Which words are to be learned: neither padding nor unknown, the shape of `targets`."""
    return (targets != PAD) & (targets != UNK)


def cross_entropy(
    decoder: Decoder, context: Context, inputs: Tensor, targets: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor | None]:
    """What is read and what should follow, (B, R, T) each -> the mean over words, and the attention (B, R, T, N)."""
    features, attention = decoder.forward_features(context, inputs)
    real = target_mask(targets)
    logits = decoder.forward_head(features[real]).float()  # (words, V)
    negative_log_likelihood = F.cross_entropy(logits, targets[real], label_smoothing=label_smoothing, reduction="none")
    return mean_over_processes(negative_log_likelihood), attention


def doubly_stochastic(attention: Tensor, real: Tensor) -> Tensor:
    """attention (B, R, T, N), real (B, R, T) -> the mean squared distance from one of what a caption pays to a cell."""
    spent = (attention * real[..., None]).sum(2)[real.any(2)]  # (captions, N)
    return mean_over_processes((1 - spent) ** 2)


def scheduled_sampling_inputs(decoder: Decoder, context: Context, words: Tensor, probability: float) -> Tensor:
    """words (B, R, T+1) from BOS to EOS -> what to read (B, R, T): each word after BOS is with `probability` one that
    the decoder draws after what it has read so far. Ends stay in their places, so that the targets stay theirs."""
    given = words[:, :, 1:]  # (B, R, T)
    chance, coin = torch.rand(2, *given.shape, device=given.device)

    def choose(logits: Tensor, images: Tensor, step: int) -> Tensor:
        own, here = pick(logits, chance[images, :, step], 1.0, 0, 1.0), given[images, :, step]
        mine = (coin[images, :, step] < probability) & (here >= UNK) & (own != EOS)
        return torch.where(mine, own, here)

    limits = Limits(max_words=given.shape[2])
    said = rollout(decoder, context, rows=given.shape[1], choose=choose, limits=limits, details=False).words
    torch.clear_autocast_cache()
    return torch.cat([torch.full_like(said[:, :, :1], BOS), said[:, :, : given.shape[2] - 1]], 2)


def word_dropout(inputs: Tensor, probability: float) -> Tensor:
    """inputs (B, R, T) -> the same, each word with `probability` an unknown one."""
    lost = torch.rand(inputs.shape, device=inputs.device) < probability
    return inputs.masked_fill(lost & (inputs > UNK), UNK)
