"""What a head says of a phrase depends on its image and its words alone: not on other phrases, images or padding."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_grounding import HEADS, built, examples, memory

from captioning.errors import UserError
from captioning.heads.grounding import GridGrounding
from captioning.heads.modular_grounding import ModularGrounding, nearest
from captioning.layers.positions import grid_cells
from captioning.memory import VisualMemory

NAMES = ("boxes", "there", "sure", "tokens", "parts")


def located(task, seen, phrases):
    with torch.no_grad():
        return task.locate(seen, task.ask(phrases).words)[1]


def same(one, other, rows=slice(None), others=slice(None), tokens=slice(None)):
    for name in NAMES:
        a, b = getattr(one, name)[rows], getattr(other, name)[others]
        if name in ("tokens", "parts"):
            a, b = a[:, :, tokens], b[:, :, tokens]
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


PHRASES = [["the red one", "a blue thing", "both things", "green"]] * 6


@pytest.mark.parametrize("head", HEADS)
def test_phrases_in_another_order_have_the_same_places(head):
    task, order = built(head), [2, 0, 3, 1]
    found = located(task, memory(), PHRASES)
    moved = located(task, memory(), [[those[i] for i in order] for those in PHRASES])
    for name in NAMES:
        torch.testing.assert_close(getattr(found, name)[:, order], getattr(moved, name), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_a_phrase_alone_is_where_it_is_among_others(head):
    task = built(head)
    found = located(task, memory(), PHRASES)
    for r in range(4):
        alone = located(task, memory(), [[those[r]] for those in PHRASES])
        for name in NAMES:
            torch.testing.assert_close(getattr(found, name)[:, r : r + 1], getattr(alone, name), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_an_image_alone_says_what_it_says_in_a_batch(head):
    task, seen = built(head), memory()
    found = located(task, seen, PHRASES)
    for b in range(len(seen)):
        one = VisualMemory(seen.tokens[b : b + 1], seen.mask[b : b + 1], seen.pooled[b : b + 1])
        same(found, located(task, one, PHRASES[:1]), slice(b, b + 1))


@pytest.mark.parametrize("head", HEADS)
def test_padding_of_words_and_of_tokens_changes_nothing(head):
    task, seen = built(head), memory()
    boxes = grid_cells(seen.mask)
    plain = replace(seen, boxes=boxes)
    longer = VisualMemory.stack(
        [
            plain,
            replace(plain, **{name: torch.cat([getattr(plain, name)] * 2, 1) for name in ("tokens", "mask", "boxes")}),
        ]
    )
    found = located(task, plain, PHRASES)
    padded = located(task, longer, [*PHRASES, *[["a very long phrase about things of many kinds", "the red one"]] * 6])
    for name in NAMES:
        a, b = getattr(found, name), getattr(padded, name)[:6, :4]
        if name in ("tokens", "parts"):
            b = b[:, :, :16]
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    assert (padded.tokens[:6, :, 16:] <= torch.finfo(torch.float32).min / 2).all()


@pytest.mark.parametrize("head", HEADS)
def test_boxes_lie_in_the_picture_whatever_is_seen(head):
    task, seen = built(head), memory()
    for scale in (0.0, 1.0, 1e4):
        found = located(task, replace(seen, tokens=seen.tokens * scale), PHRASES)
        for boxes in (found.boxes, found.parts):
            assert boxes.isfinite().all() and (boxes >= 0).all() and (boxes <= 1).all()
            assert (boxes[..., 2:] >= boxes[..., :2]).all()


def test_cells_in_a_square_and_tokens_with_the_boxes_of_its_cells_are_the_same():
    task, seen = built("grid"), memory()
    same(located(task, seen, PHRASES), located(task, replace(seen, boxes=grid_cells(seen.mask)), PHRASES))


def test_a_box_is_looked_at_again_by_the_area_that_each_cell_has_in_it():
    head = GridGrounding(visual_width=4, text_width=4, width=8, heads=2, fine=2)
    with torch.no_grad():
        context = head.prepare(
            VisualMemory(torch.randn(1, 9, 4), torch.ones(1, 9, dtype=torch.bool), torch.zeros(1, 4))
        )
        whole = head.inside(context, torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]))  # (1, 1, 18): a cell each
        torch.testing.assert_close(whole.view(9, 2), context.fine[0], atol=1e-5, rtol=1e-5)
        first = head.inside(context, torch.tensor([[[0.0, 0.0, 1 / 3, 1 / 3]]]))
        torch.testing.assert_close(first.view(9, 2), context.fine[0, :1].expand(9, 2), atol=1e-5, rtol=1e-5)


def test_neighbours_are_the_nearest_and_never_oneself():
    places = torch.tensor([[[0.0, 0, 0.1, 0.1], [0.1, 0, 0.2, 0.1], [0.8, 0.8, 0.9, 0.9], [0.0, 0.1, 0.1, 0.2]]])
    near, there = nearest(places, torch.tensor([[True, True, True, False]]), 3)
    assert near[0, 0, :2].tolist() == [1, 2] and near[0, 2, :2].tolist() == [1, 0]
    assert there[0].tolist() == [[True, True, False]] * 3 + [[True, True, True]]
    alone, none = nearest(places[:, :1], torch.ones(1, 1, dtype=torch.bool), 3)
    assert alone.shape == (1, 1, 3) and not none.any()


@pytest.mark.parametrize("head", ["grid", "regions"])
def test_what_is_marked_is_found_after_training_and_what_is_not_is_missed(head):
    task = built(head).train()
    adam = torch.optim.Adam(task.parameters(), lr=5e-3)
    batch = task.targets(examples(), 0)
    for _ in range(120):
        loss, parts = task.loss(memory(), batch, list(range(6)))
        adam.zero_grad()
        loss.backward()
        adam.step()
    task.eval()
    predictions = dict(zip(range(6), task.predict(memory(), task.targets(examples(), 0)), strict=True))
    scores = task.score(predictions, examples(), metrics=("boxes",)).corpus
    assert scores["absent AUC"] > 0.95
    assert scores["pointing (first)"] == scores["pointing (second)"] == 1.0
    assert scores["acc@0.5 (first)"] == scores["acc@0.5 (second)"] == 1.0
    several = [found["boxes"] for those in predictions.values() for found in those[3:]]
    assert sum(len(boxes) == 2 for boxes in several) >= 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GridGrounding(visual_width=4, text_width=4, width=9, heads=2), "heads=2"),
        (lambda: ModularGrounding(visual_width=4, text_width=4, modules=["place"]), "modules"),
        (lambda: ModularGrounding(visual_width=4, text_width=4, neighbours=0), "neighbours=0"),
    ],
)
def test_options_that_cannot_be_are_named(make, words):
    with pytest.raises(UserError, match=words):
        make()
