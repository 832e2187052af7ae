"""What learning by matching minimises: CLIP's cross-entropy, SigLIP's pairwise sigmoid, VSE++'s hardest negative.

Shapes: I images, T texts, W width of the space; `owner` (T,) is the image that each text belongs to, so an image may
have any number of texts. All vectors are of unit length. Similarities (I, T) are computed `block` images at a time and
once more for their gradient: values and gradients are the same, memory is that of one block.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.utils.checkpoint import checkpoint

from captioning.errors import UserError
from captioning.heads.projection import Temperature

Block = Callable[..., tuple[Tensor, ...]]  # of cosines (b, T), whether they are a pair's, and what is learned


class Matching(nn.Module):
    """The seam between the task and what it minimises. Called with vectors of images (I, W), of texts (T, W) and the
    owners of these (T,); `logits` are what cosines mean as log-odds, for probabilities of labels."""

    def forward(self, images: Tensor, texts: Tensor, owner: Tensor) -> Tensor:
        raise NotImplementedError

    def logits(self, cosines: Tensor) -> Tensor:
        raise NotImplementedError


class Contrastive(Matching):
    """`contrastive` with a learned temperature; `block` images at a time."""

    def __init__(self, *, temperature: float = 0.07, block: int | None = None):
        super().__init__()
        self.scale, self.block = Temperature(temperature), block

    def forward(self, images: Tensor, texts: Tensor, owner: Tensor) -> Tensor:
        return contrastive(images, texts, owner, self.scale(), block=self.block)

    def logits(self, cosines: Tensor) -> Tensor:
        return cosines * self.scale()


class PairwiseSigmoid(Matching):
    """`pairwise_sigmoid` with a learned temperature and bias."""

    def __init__(self, *, temperature: float = 0.1, bias: float = -10.0, block: int | None = None):
        super().__init__()
        self.scale, self.bias, self.block = Temperature(temperature), nn.Parameter(torch.tensor(bias)), block

    def forward(self, images: Tensor, texts: Tensor, owner: Tensor) -> Tensor:
        return pairwise_sigmoid(images, texts, owner, self.scale(), self.bias, block=self.block)

    def logits(self, cosines: Tensor) -> Tensor:
        return cosines * self.scale() + self.bias


class HardestNegative(Matching):
    """`hardest_negative` within `margin`; nothing of it is learned, so a margin counts as one in log-odds."""

    def __init__(self, *, margin: float = 0.2, block: int | None = None):
        super().__init__()
        self.margin, self.block = margin, block

    def forward(self, images: Tensor, texts: Tensor, owner: Tensor) -> Tensor:
        return hardest_negative(images, texts, owner, margin=self.margin, block=self.block)

    def logits(self, cosines: Tensor) -> Tensor:
        return cosines / self.margin


def contrastive(images: Tensor, texts: Tensor, owner: Tensor, scale: Tensor, *, block: int | None = None) -> Tensor:
    """Symmetric cross-entropy of scaled cosines (Radford et al. 2021, arXiv:2103.00020), for several texts an image.

    A text is to find its image among all images. An image is to find each of its texts among that one and all texts
    that are not its own, so that its texts do not compete with each other. With one text an image it is CLIP's loss.
    """
    positive = scale * (images[owner] * texts).sum(-1)  # (T,)

    def of_block(similar: Tensor, own: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
        similar = scale * similar
        others = similar.masked_fill(own, torch.finfo(similar.dtype).min)
        return others.logsumexp(1), similar.logsumexp(0)

    negative, every = _by_blocks(of_block, images, texts, owner, block, scale)
    image_to_text = F.softplus(torch.cat(negative)[owner] - positive)
    return (image_to_text.mean() + (torch.stack(every).logsumexp(0) - positive).mean()) / 2


def pairwise_sigmoid(
    images: Tensor, texts: Tensor, owner: Tensor, scale: Tensor, bias: Tensor, *, block: int | None = None
) -> Tensor:
    """Each pair by itself, whether it belongs together (SigLIP, Zhai et al. 2023, arXiv:2303.15343), over I."""

    def of_block(similar: Tensor, own: Tensor, scale: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        logits = scale * similar + bias
        return (F.softplus(torch.where(own, -logits, logits)).sum(),)

    (sums,) = _by_blocks(of_block, images, texts, owner, block, scale, bias)
    return torch.stack(sums).sum() / len(images)


def hardest_negative(
    images: Tensor, texts: Tensor, owner: Tensor, *, margin: float = 0.2, block: int | None = None
) -> Tensor:
    """By how much the most similar wrong one comes within `margin`, both ways (VSE++, Faghri et al. 2018,
    arXiv:1707.05612), the mean over texts."""
    positive = (images[owner] * texts).sum(-1)  # (T,)

    def of_block(similar: Tensor, own: Tensor) -> tuple[Tensor, ...]:
        others = similar.masked_fill(own, -2.0)  # below any cosine: no rival, no loss
        return others.amax(1), others.amax(0)

    texts_near, images_near = _by_blocks(of_block, images, texts, owner, block)
    by_image = (margin + torch.cat(texts_near)[owner] - positive).clamp(min=0)
    return (by_image + (margin + torch.stack(images_near).amax(0) - positive).clamp(min=0)).mean()


def _by_blocks(
    of_block: Block, images: Tensor, texts: Tensor, owner: Tensor, block: int | None, *learned: Tensor
) -> list[tuple[Tensor, ...]]:
    """What `of_block` returns for the cosines (b, T) of each block and whether they are a pair's, part by part.

    What it returns of each image is (b,), of the last block filled up with zeros, which nobody owns a text of.
    Whatever of it has a gradient besides images and texts is `learned`, and handed on.
    """
    if block is not None and block < 1:
        raise UserError(f"block={block}: the number of images compared at once is 1 or more")

    def compute(first: int, part: Tensor, texts: Tensor, *learned: Tensor) -> tuple[Tensor, ...]:
        own = owner == torch.arange(first, first + len(part), device=owner.device)[:, None]  # (b, T)
        return of_block(part @ texts.T, own, *learned)

    if block is None or block >= len(images):
        return [(value,) for value in compute(0, images, texts, *learned)]
    return [tuple(value) for value in _InBlocks.apply(compute, block, images, texts, *learned)]


def _row(whole: Tensor, i: int, value: Tensor) -> Tensor:
    """Where the value of block `i` is, a number or a vector, which of the last block may be shorter than of others."""
    return whole[i, : len(value)] if value.dim() else whole[i]


class _InBlocks(torch.autograd.Function):
    """compute(first, part, texts, *learned) of each part of the images, its values in one tensor (blocks, ...) each.

    Nothing of a block is kept but its values, and they lie in tensors that are there before the second block begins.
    `torch.utils.checkpoint` does the same one block at a time, but keeps small results in the gaps that large ones
    leave, which no later block fits in: with glibc's usual settings that cost 150 MB beside 4,096 x 4,096 cosines.
    """

    @staticmethod
    def forward(ctx, compute: Block, block: int, images: Tensor, texts: Tensor, *learned: Tensor):
        ctx.compute, ctx.block = compute, block
        ctx.save_for_backward(images, texts, *learned)
        kind = images.device.type
        ctx.cast = {"device_type": kind, "dtype": torch.get_autocast_dtype(kind)}
        ctx.cast["enabled"] = torch.is_autocast_enabled(kind)
        parts = images.split(block)
        kept: list[Tensor] = []
        for i, part in enumerate(parts):
            values = compute(i * block, part, texts, *learned)
            kept = kept or [value.new_zeros(len(parts), *value.shape) for value in values]
            for whole, value in zip(kept, values, strict=True):
                _row(whole, i, value).copy_(value)
        return tuple(kept)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *gradients: Tensor):
        inputs = ctx.saved_tensors
        sums = [torch.zeros_like(one) for one in inputs]
        for i, part in enumerate(inputs[0].split(ctx.block)):
            own = [one.detach().requires_grad_() for one in (part, *inputs[1:])]
            with torch.enable_grad(), torch.autocast(**ctx.cast):
                values = ctx.compute(i * ctx.block, *own)
            theirs = [_row(whole, i, value) for whole, value in zip(gradients, values, strict=True)]
            found = torch.autograd.grad(values, own, theirs)
            sums[0][i * ctx.block : i * ctx.block + len(part)] = found[0]
            for total, one in zip(sums[1:], found[1:], strict=True):
                total += one
        return None, None, *sums


def in_chunks(embed: Callable[[Tensor], Tensor], inputs: Tensor, size: int | None) -> Tensor:
    """`embed(inputs)`, `size` rows at a time, of which none but the results are kept until the backward pass.

    There each chunk is computed once more, with the random numbers it had: the memory of one chunk, the gradients of
    the whole batch (cached gradients, Gao et al. 2021, arXiv:2101.06983).
    """
    if size is None or size >= len(inputs) or not torch.is_grad_enabled():
        return embed(inputs)
    return torch.cat([checkpoint(embed, part, use_reentrant=False) for part in inputs.split(size)])


def gathered(images: Tensor, texts: Tensor, owner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Images, texts and owners of all processes, those of the first one first; what there is, in a single one.

    Every process may then minimise the loss of the whole batch: averaged over processes, as DDP does it, gradients are
    those of one process that holds it all. Processes may have unequally many.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return images, texts, owner
    counts = _counts(images)
    rank = distributed.get_rank()
    return _Gather.apply(images), _Gather.apply(texts), _all_rows(owner + sum(counts[:rank]))


class _Gather(torch.autograd.Function):
    """Rows of all processes; the gradient of one's own rows, times the number of processes over which DDP averages."""

    @staticmethod
    def forward(ctx, mine: Tensor) -> Tensor:
        counts = _counts(mine)
        ctx.first, ctx.count = sum(counts[: distributed.get_rank()]), len(mine)
        return _all_rows(mine)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient[ctx.first : ctx.first + ctx.count] * distributed.get_world_size()


def _counts(mine: Tensor) -> list[int]:
    count = torch.tensor([len(mine)], device=mine.device)
    counts = [torch.zeros_like(count) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, count)
    return [int(count) for count in counts]


def _all_rows(mine: Tensor) -> Tensor:
    counts = _counts(mine)
    padded = mine.new_zeros(max(counts), *mine.shape[1:])
    padded[: len(mine)] = mine
    every = [torch.zeros_like(padded) for _ in counts]
    distributed.all_gather(every, padded)
    return torch.cat([rows[:count] for rows, count in zip(every, counts, strict=True)])
