"""A layer norm that divides by the deviation, where others divide by the root of the variance."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn

from captioning.errors import UserError


class DeviationNorm(nn.LayerNorm):
    """Layer norm as The Annotated Transformer has it: by the unbiased standard deviation, to which `eps` is added."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        centred = x - x.mean(-1, keepdim=True)
        return self.weight * centred / (x.std(-1, keepdim=True) + self.eps) + self.bias


NormBy = Literal["variance", "deviation"]


def norm_class(by: NormBy, eps: float) -> partial[nn.LayerNorm]:
    """What makes layer norms, given their width. Raises UserError for an unknown kind."""
    kinds = {"variance": nn.LayerNorm, "deviation": DeviationNorm}
    if by not in kinds:
        raise UserError(f"decoder.norm_by is {by!r}: it is variance or deviation")
    return partial(kinds[by], eps=eps)
