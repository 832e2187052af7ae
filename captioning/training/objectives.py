"""What training minimises."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from captioning.decoders.base import Context, Decoder
from captioning.training.processes import mean_over_processes
from captioning.vocabulary import PAD, UNK


class CrossEntropy:
    """Teacher forcing: minus the log-likelihood of every real word of every caption, averaged over words.

    `label_smoothing` in [0, 1). `attention_penalty` weighs the doubly stochastic term of Show, Attend and Tell
    (arXiv:1502.03044, equation 14): the attention that a caption pays to a cell should sum to one over its words.
    Words outside the vocabulary are read but never asked for.
    """

    def __init__(self, *, label_smoothing: float = 0.1, attention_penalty: float = 0.0):
        self.label_smoothing, self.attention_penalty = label_smoothing, attention_penalty

    def __call__(self, decoder: Decoder, context: Context, words: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """words (B, R, T+1) from BOS to EOS -> the loss to minimise, and what to log."""
        inputs, targets = words[:, :, :-1], words[:, :, 1:]
        targets = targets.masked_fill(targets == UNK, PAD)
        features, attention = decoder.teach(context, inputs)
        real = targets != PAD  # (B, R, T)
        logits = decoder.say(features[real]).float()  # (words, V)
        surprise = F.cross_entropy(logits, targets[real], label_smoothing=self.label_smoothing, reduction="none")
        loss = mean_over_processes(surprise)
        parts = {"loss": loss}
        if self.attention_penalty and attention is not None:
            spent = (attention * real[..., None]).sum(2)[real.any(2)]  # (captions, N)
            penalty = mean_over_processes((1 - spent) ** 2)
            parts["attention_penalty"] = penalty
            loss = loss + self.attention_penalty * penalty
        return loss, parts
