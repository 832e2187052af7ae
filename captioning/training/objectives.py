"""What training minimises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.nn import functional as F

from captioning.decoders.base import Context, Decoder
from captioning.vocabulary import PAD, UNK, Vocabulary

Parts = dict[str, Tensor]


class Objective:
    """The seam between the task and what it minimises: any callable object with these attributes.

    `reads_captions` says whether training batches have to bring captions, `dropout` whether the decoder is to drop out.
    """

    reads_captions = True
    dropout = True

    def setup(self, vocabulary: Vocabulary, captions: Mapping[int | str, Sequence[str]]) -> None:
        """Once before training: the words, and the captions of every training image."""

    def set_epoch(self, epoch: int) -> None:
        """Before every epoch, counted from 0."""

    def __call__(
        self, decoder: Decoder, context: Context, words: Tensor | None, ids: Sequence[int | str]
    ) -> tuple[Tensor, Parts]:
        """words (B, R, T+1) from BOS to EOS, B image ids -> the loss to minimise, and what to log."""
        raise NotImplementedError

    def validate(self, decoder: Decoder, context: Context, words: Tensor) -> Tensor:
        """words (B, R, T+1) from BOS to EOS -> the loss of a validation batch: minus the mean log-likelihood."""
        return cross_entropy(decoder, context, words)[0]


class CrossEntropy(Objective):
    """Teacher forcing: minus the log-likelihood of every real word of every caption, averaged over words.

    `label_smoothing` in [0, 1). `attention_penalty` weighs the doubly stochastic term of Show, Attend and Tell
    (arXiv:1502.03044, equation 14): the attention that a caption pays to a cell should sum to one over its words.
    Words outside the vocabulary are read but never asked for.
    """

    def __init__(self, *, label_smoothing: float = 0.1, attention_penalty: float = 0.0):
        self.label_smoothing, self.attention_penalty = label_smoothing, attention_penalty

    def __call__(
        self, decoder: Decoder, context: Context, words: Tensor, ids: Sequence[int | str] = ()
    ) -> tuple[Tensor, Parts]:
        loss, attention = cross_entropy(decoder, context, words, self.label_smoothing)
        parts = {"loss": loss}
        if self.attention_penalty and attention is not None:
            real = asked_for(words)
            spent = (attention * real[..., None]).sum(2)[real.any(2)]  # (captions, N)
            penalty = ((1 - spent) ** 2).mean()
            parts["attention_penalty"] = penalty
            loss = loss + self.attention_penalty * penalty
        return loss, parts

    def validate(self, decoder: Decoder, context: Context, words: Tensor) -> Tensor:
        return cross_entropy(decoder, context, words, self.label_smoothing)[0]


def asked_for(words: Tensor) -> Tensor:
    """words (B, R, T+1) -> (B, R, T), True where the next word is one to learn."""
    targets = words[:, :, 1:]
    return (targets != PAD) & (targets != UNK)


def cross_entropy(
    decoder: Decoder, context: Context, words: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor | None]:
    """words (B, R, T+1) from BOS to EOS -> the mean over known words, and the attention (B, R, T, N) under it."""
    features, attention = decoder.teach(context, words[:, :, :-1])
    real = asked_for(words)
    logits = decoder.say(features[real]).float()  # (words, V)
    return F.cross_entropy(logits, words[:, :, 1:][real], label_smoothing=label_smoothing), attention
