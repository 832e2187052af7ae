"""Losses of matching are those of a plain loop; blocks, chunks, processes and the order of a batch change nothing."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from captioning.errors import UserError
from captioning.tasks.embedding.objectives import contrastive, hardest_negative, in_chunks, pairwise_sigmoid

SUPPORT = Path(__file__).parents[2] / "support"
LOSSES = {
    "contrastive": lambda u, v, owner, scale, **how: contrastive(u, v, owner, scale, **how),
    "sigmoid": lambda u, v, owner, scale, **how: pairwise_sigmoid(u, v, owner, scale, torch.tensor(-2.0), **how),
    "hardest": lambda u, v, owner, scale, **how: hardest_negative(u, v, owner, margin=1.0, **how),
}


def pairs(images: int = 9, texts: int = 23, width: int = 8, dtype=torch.float64):
    torch.manual_seed(images + texts)
    owner = torch.cat([torch.arange(images), torch.randint(images, (texts - images,))])
    u, v = (F.normalize(torch.randn(n, width, dtype=dtype), dim=-1).requires_grad_() for n in (images, texts))
    return u, v, owner, torch.tensor(7.0, dtype=dtype, requires_grad=True)


def plain(name: str, u, v, owner, scale) -> float:
    """Pair by pair, as the papers write it."""
    cosine = (u @ v.T).tolist()
    images, texts, total = range(len(u)), range(len(v)), 0.0
    s = scale.item()
    for t in texts:
        i = int(owner[t])
        if name == "contrastive":
            to_image = sum(math.exp(s * cosine[j][t]) for j in images)
            to_text = sum(math.exp(s * cosine[i][k]) for k in texts if k == t or owner[k] != i)
            total -= (2 * s * cosine[i][t] - math.log(to_image) - math.log(to_text)) / 2 / len(v)
        elif name == "sigmoid":
            for j in images:
                z = 1 if i == j else -1
                total += math.log1p(math.exp(-z * (s * cosine[j][t] - 2))) / len(u)
        else:
            worst_image = max(cosine[j][t] for j in images if j != i)
            worst_text = max(cosine[i][k] for k in texts if owner[k] != i)
            total += sum(max(0.0, 1 + worst - cosine[i][t]) for worst in (worst_image, worst_text)) / len(v)
    return total


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_what_its_paper_writes(name):
    u, v, owner, scale = pairs()
    assert LOSSES[name](u, v, owner, scale).item() == pytest.approx(plain(name, u, v, owner, scale), rel=1e-12)


def test_with_one_text_an_image_it_is_the_symmetric_cross_entropy_of_clip():
    u, v, _, scale = pairs(9, 9)
    logits, diagonal = scale * u @ v.T, torch.arange(9)
    clip = (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2
    assert contrastive(u, v, diagonal, scale).item() == pytest.approx(clip.item(), rel=1e-12)


@pytest.mark.parametrize("block", [1, 4, 8, 9, 100])
@pytest.mark.parametrize("name", LOSSES)
def test_blocks_give_the_value_and_the_gradients_of_the_whole(name, block):
    whole, parts = pairs(), pairs()
    expected, found = LOSSES[name](*whole), LOSSES[name](*parts, block=block)
    expected.backward(), found.backward()
    assert float(found) == pytest.approx(float(expected), rel=1e-12)
    for a, b in zip(whole, parts, strict=True):
        if a.grad is not None:
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_4096_pairs_in_blocks_have_the_gradients_of_the_whole_in_a_quarter_of_its_memory():
    whole, parts = (pairs(4096, 4096, 16, torch.float32) for _ in "ab")
    contrastive(*whole).backward()
    contrastive(*parts, block=128).backward()
    assert max((a.grad - b.grad).abs().max() for a, b in zip(whole[:2], parts[:2], strict=True)) < 1e-6
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    taken = []
    for block in ([], ["128"]):
        command = [sys.executable, SUPPORT / "contrastive_memory.py", "4096", *block]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        taken.append(float(done.stdout))
    assert taken[1] < taken[0] / 4, taken


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_images_and_texts_does_not_matter(name):
    u, v, owner, scale = pairs()
    moved, shuffled = torch.randperm(len(u)), torch.randperm(len(v))
    there = moved.argsort()
    again = LOSSES[name](u[moved], v[shuffled], there[owner[shuffled]], scale)
    assert float(again) == pytest.approx(float(LOSSES[name](u, v, owner, scale)), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_one_image_has_no_wrong_answer_to_learn_from(name):
    u, v, owner, scale = pairs(1, 3)
    loss = LOSSES[name](u, v, owner, scale)
    loss.backward()
    assert torch.isfinite(u.grad).all() and (name == "sigmoid" or float(loss) == 0)


def test_two_processes_have_the_gradients_of_one_on_the_whole_batch():
    done = subprocess.run([sys.executable, SUPPORT / "contrastive_processes.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [line.split() for line in done.stdout.splitlines()]
    assert sorted(name for name, _ in found) == sorted([*LOSSES, *LOSSES])
    assert all(float(difference) < 1e-5 for _, difference in found), found


def test_a_tower_run_in_chunks_has_the_gradients_of_the_whole_batch_with_the_same_dropout():
    torch.manual_seed(0)
    tower, x = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Dropout(0.5)), torch.randn(11, 5)
    runs = []
    for size in (None, 3):
        torch.manual_seed(1)
        tower.zero_grad()
        if size is None:  # the random numbers are drawn chunk by chunk
            found = torch.cat([tower(part) for part in x.split(3)])
        else:
            found = in_chunks(tower, x, size)
        found.square().sum().backward()
        runs.append((found.detach(), tower[0].weight.grad.clone()))
    torch.testing.assert_close(runs[0], runs[1])


def test_a_block_of_nothing_is_refused():
    with pytest.raises(UserError, match="1 or more"):
        contrastive(*pairs(), block=0)
