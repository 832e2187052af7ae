"""Which photos are alike: directions in which photos lie together of which the same was said.

Shapes: P photos, D what is seen of each, K the directions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from captioning.errors import UserError

LONGEST = 4  # words of an n-gram
SCALE, TEMPERATURE = 10.0, 0.06  # of likeness by looks, and by captions, as logits of one photo for the others
EPOCHS, BATCH, RATE, DECAY, DROPOUT, SEED = 12, 250, 3e-4, 0.01, 0.5, 0
MOST = 20_000  # photos, of whose likeness a table is 1.6 GB


def learned_directions(places: Tensor, directions: Tensor, captions: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Directions by which the neighbours of a photo are those that captions call like it, (D, K).

    Begins with `directions` (D, K). Each photo's distribution over all others, by the cosine along the directions, is
    learned to be that by its captions (the cross-entropy of neighbourhood components, Goldberger et al. 2004, with soft
    targets). places (P, D) are standardised. Takes P^2 memory: 144 MB for 6,000 photos.
    Raises UserError for more than MOST.
    """
    if len(places) > MOST:
        raise UserError(f"learned=true compares every photo with every other: {len(places):,} are more than {MOST:,}")
    if len(places) < 3:
        return directions
    alike = caption_likeness(captions) / TEMPERATURE
    weight = directions.clone().requires_grad_()
    optimizer = torch.optim.AdamW([weight], lr=RATE, weight_decay=DECAY)
    generator = torch.Generator().manual_seed(SEED)
    batches = [part for _ in range(EPOCHS) for part in torch.randperm(len(places), generator=generator).split(BATCH)]
    with torch.enable_grad():
        for step, chosen in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / len(batches)))
            kept = torch.rand(len(chosen), places.shape[1], generator=generator) >= DROPOUT
            asked = F.normalize(places[chosen] * kept / (1 - DROPOUT) @ weight, dim=1)
            itself = chosen[:, None] == torch.arange(len(places))
            logits = SCALE * (asked @ F.normalize(places @ weight, dim=1).T)
            wanted = alike[chosen].masked_fill(itself, -torch.inf).softmax(1)
            loss = -(wanted * logits.masked_fill(itself, -1e4).log_softmax(1)).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return weight.detach()


def caption_likeness(captions: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Mean cosine of tf-idf vectors of 1- to 4-grams of all captions of each photo, (P, P), 0 to 1; as CIDEr weighs."""
    total = np.zeros((len(captions), len(captions)), np.float32)
    for n in range(1, LONGEST + 1):
        total += _likeness_by(
            [Counter(tuple(one[i : i + n]) for one in each for i in range(len(one) - n + 1)) for each in captions]
        )
    return torch.from_numpy(total / LONGEST)


def _likeness_by(counts: Sequence[Counter[tuple[int, ...]]]) -> NDArray[np.float32]:
    """Cosines of the rows of one n, by how often each photo has what."""
    from scipy.sparse import csr_matrix, diags

    column: dict[tuple[int, ...], int] = {}
    cells = [
        (row, column.setdefault(gram, len(column)), count)
        for row, each in enumerate(counts)
        for gram, count in each.items()
    ]
    if not cells:
        return np.zeros((len(counts), len(counts)), np.float32)
    rows, columns, values = (np.array(part) for part in zip(*cells, strict=True))
    idf = np.log(len(counts) / np.bincount(columns))
    matrix = csr_matrix((values * idf[columns], (rows, columns)), (len(counts), len(column)), dtype=np.float32)
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    matrix = diags(np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)) @ matrix
    return np.asarray((matrix @ matrix.T).todense(), np.float32)
