"""Batch normalisation that a batch of one image does not stop."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm1d):
    """As PyTorch's, over rows (B, D); a single row, of which there is no variance, is normalised as after training."""

    def forward(self, rows: Tensor) -> Tensor:
        if self.training and len(rows) == 1:
            return F.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(rows)
