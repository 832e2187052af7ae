"""The LSTM (Hochreiter and Schmidhuber 1997) for decoders that add up what enters its gates by themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from captioning.layers.linear import Linear


def lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of all inputs (..., 4W) in the order input, forget, candidate, output; cell (..., W) -> hidden, cell."""
    enter, forget, candidate, leave = gates.chunk(4, -1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
    return torch.sigmoid(leave) * torch.tanh(cell), cell


def maxout_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Sums (..., 5W) in the order input, forget, output, and two candidates of which the larger counts.

    cell (..., W) -> hidden, cell. The LSTM of Rennie et al. 2017 (arXiv:1612.00563), equations 3 and 8.
    """
    width = cell.shape[-1]
    enter, forget, leave = torch.sigmoid(gates[..., : 3 * width]).chunk(3, -1)
    first, second = gates[..., 3 * width :].chunk(2, -1)
    cell = forget * cell + enter * torch.maximum(first, second)
    return leave * torch.tanh(cell), cell


class MaxoutLSTM(nn.Module):
    """One layer of maxout cells over a whole sequence; called as `LSTM` is with `batch_first`."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.hidden_size = width
        self.inputs, self.recurrent = nn.Linear(inputs, 5 * width), Linear(width, 5 * width, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)
        nn.init.ones_(self.inputs.bias[width : 2 * width])  # as `initialise_gates` does, and why

    def forward(self, x: Tensor, before: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (B, T, I), before (1, B, W) each -> outputs (B, T, W), and the last hidden and cell (1, B, W)."""
        (hidden,), (cell,) = before or 2 * (start_cell(x, 1, self.hidden_size).transpose(0, 1),)
        outputs = []
        for given in self.inputs(x).unbind(1):
            hidden, cell = maxout_cell(given + self.recurrent(hidden), cell)
            outputs.append(hidden)
        return torch.stack(outputs, 1), (hidden[None], cell[None])


def initialise_gates(*parts: nn.Linear) -> None:
    """Uniform within 1 / sqrt(W), as LSTMs usually begin, and a bias of one in all for the forget gate.

    A cell that at first remembers lets gradients reach early words (Jozefowicz et al. 2015). `parts` feed one LSTM.
    """
    width = parts[0].out_features // 4
    biases = [part.bias for part in parts if part.bias is not None]
    for parameter in (*biases, *(part.weight for part in parts)):
        nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)
    for bias in biases:
        nn.init.constant_(bias.view(4, -1)[1], 1 / len(biases))


def initialise_memory(*lstms: nn.LSTM, forget: float) -> None:
    """Orthogonal from step to step and `forget` as the bias of the forget gates, for what has to be kept for long.

    A bias of two keeps seven eighths of a cell from one step to the next, of one less than three quarters.
    """
    for lstm in lstms:
        nn.init.xavier_uniform_(lstm.weight_ih_l0)
        for gate in lstm.weight_hh_l0.chunk(4):
            nn.init.orthogonal_(gate)
        for bias, kept in ((lstm.bias_ih_l0, forget), (lstm.bias_hh_l0, 0.0)):
            nn.init.zeros_(bias)
            nn.init.constant_(bias.view(4, -1)[1], kept)


def start_cell(like: Tensor, rows: int, width: int) -> Tensor:
    """Zeros (B, R, W) on the device of `like` (B, ...), in single precision at least.

    Cells add up over a caption, which the sixteen bits of mixed precision are too coarse for.
    """
    return like.new_zeros(len(like), rows, width, dtype=torch.promote_types(like.dtype, torch.float32))


def read_sequence(lstm: nn.LSTM, x: Tensor, mask: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """An LSTM over the real vectors alone, wherever padding stands. x (B, N, D), mask (B, N).

    -> outputs (B, N, W), zeros at padding, and the last hidden and cell (layers, B, W). Where nothing is real, one
    vector of zeros is read.
    """
    if bool(mask.all()):
        return lstm(x)
    counts = mask.sum(1).clamp(min=1).cpu()
    front = (~mask).byte().argsort(dim=1, stable=True)[..., None]  # (B, N, 1) the real ones first, in their order
    x = x.masked_fill(~mask[..., None], 0.0).gather(1, front.expand_as(x))
    outputs, last = lstm(pack_padded_sequence(x, counts, batch_first=True, enforce_sorted=False))
    outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
    return torch.zeros_like(outputs).scatter(1, front.expand_as(outputs), outputs), last


class LSTM(nn.LSTM):
    """torch's, in single precision where the processor has no bfloat16 one: mixed precision would fail there."""

    def forward(self, x: Tensor, before: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        mixed = self.weight_ih_l0.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not mixed or torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return super().forward(x, before)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float(), before and (before[0].float(), before[1].float()))
