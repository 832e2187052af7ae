"""Sets are matched by the least cost; what slots and pairs say hangs on their image alone; both can be learned."""

from dataclasses import replace
from itertools import permutations

import pytest
import torch
from torchvision.ops import box_convert, generalized_box_iou

from captioning.errors import UserError
from captioning.heads.boxes import GIOU, L1
from captioning.heads.detection import SetDetection, Things, detection_losses, match
from captioning.heads.relations import PARTS, RelationHead, frequency_prior, geometry
from captioning.layers.positions import grid_cells
from captioning.memory import VisualMemory


def memory(images: int = 3, tokens: int = 16, width: int = 12) -> VisualMemory:
    x = torch.randn(images, tokens, width, generator=torch.Generator().manual_seed(0))
    return VisualMemory(x, torch.ones(images, tokens, dtype=torch.bool), x.mean(1))


def head(**options) -> SetDetection:
    torch.manual_seed(0)
    small = {"width": 16, "heads": 2, "feed_forward": 16, "fine": 4, "layers": 1, "dropout": 0.0}
    return SetDetection(visual_width=12, labels=3, **{**small, **options}).eval()


def relation_head(**options) -> RelationHead:
    torch.manual_seed(0)
    small = {"width": 16, "heads": 2, "feed_forward": 16, "fine": 4, "dropout": 0.0}
    return RelationHead(visual_width=12, labels=3, predicates=2, **{**small, **options}).eval()


def some_boxes(*shape: int, seed: int = 0) -> torch.Tensor:
    middle = torch.rand(*shape, 4, generator=torch.Generator().manual_seed(seed)) * 0.4
    return box_convert(torch.cat([0.3 + middle[..., :2], 0.05 + middle[..., 2:]], -1), "cxcywh", "xyxy").clamp(0, 1)


@pytest.mark.parametrize("seed", range(10))
def test_a_matching_costs_the_least_of_all(seed):
    generator = torch.Generator().manual_seed(seed)
    logits, boxes = torch.randn(1, 5, 4, generator=generator), some_boxes(1, 5, seed=seed)
    things = Things(some_boxes(1, 3, seed=seed + 100), torch.tensor([[0, 2, -1]]), torch.ones(1, 3, dtype=torch.bool))

    def cost(slot, thing):
        pair = (boxes[0, slot][None], things.boxes[0, thing][None])
        l1 = sum((box_convert(a, "xyxy", "cxcywh")) * sign for a, sign in zip(pair, (1, -1), strict=True)).abs().sum()
        label = int(things.labels[0, thing])
        likely = logits[0, slot].softmax(-1)[label] if label >= 0 else 0.0
        return float(L1 * l1 - GIOU * generalized_box_iou(*pair)[0, 0] - likely)

    best = min(sum(cost(slot, thing) for thing, slot in enumerate(slots)) for slots in permutations(range(5), 3))
    _, slots, those = match(logits, boxes, things)
    assert sorted(those.tolist()) == [0, 1, 2] and len(set(slots.tolist())) == 3
    assert sum(map(cost, slots.tolist(), those.tolist())) == pytest.approx(best, abs=1e-4)


def test_what_slots_say_hangs_neither_on_other_images_nor_on_padding():
    seen, model = memory(), head()
    whole = model(replace(seen, boxes=grid_cells(seen.mask)))
    alone = model(VisualMemory(seen.tokens[1:2], seen.mask[1:2], seen.pooled[1:2], grid_cells(seen.mask[1:2])))
    torch.testing.assert_close(whole.logits[1:2], alone.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole.boxes[1:2], alone.boxes, atol=1e-5, rtol=1e-5)
    more = torch.cat([seen.tokens, torch.full((3, 4, 12), 7.0)], 1)
    mask = torch.cat([seen.mask, torch.zeros(3, 4, dtype=torch.bool)], 1)
    places = torch.cat([grid_cells(seen.mask), torch.rand(3, 4, 4)], 1)
    padded = model(VisualMemory(more, mask, seen.pooled, places))
    assert (padded.logits.softmax(-1)[:, 16:, -1] == 1).all()
    torch.testing.assert_close(padded.logits[:, :16], whole.logits, atol=1e-5, rtol=1e-5)


def test_of_more_tokens_than_slots_the_likeliest_go_on():
    found = head(slots=5)(memory())
    assert found.boxes.shape == (3, 5, 4) and found.stages[0][0].shape == (3, 16, 4)
    assert (found.boxes >= 0).all() and (found.boxes[..., 2:] >= found.boxes[..., :2]).all()


def test_pictures_with_nothing_and_labels_that_are_unknown_can_be_learned_from():
    things = Things(
        some_boxes(3, 2), torch.tensor([[0, -1], [1, 2], [-1, -1]]), torch.tensor([[1, 1], [0, 0], [1, 0]]) > 0
    )
    losses = detection_losses(head().train()(memory()), things)
    assert all(part.isfinite() for part in losses.values())
    none = Things(torch.zeros(3, 0, 4), torch.zeros(3, 0, dtype=torch.long), torch.zeros(3, 0, dtype=torch.bool))
    losses = detection_losses(head()(memory()), none)
    assert losses["box"] == 0 and losses["label"] > 0


def test_a_set_is_learned():
    torch.manual_seed(0)
    seen, model = memory(4), head(width=32).train()
    things = Things(some_boxes(4, 2, seed=5), torch.tensor([[0, 1], [2, 2], [1, 0], [0, 2]]), torch.ones(4, 2) > 0)
    adam = torch.optim.Adam(model.parameters(), lr=6e-3)
    for _ in range(80):
        loss = sum(detection_losses(model(seen), things).values())
        adam.zero_grad()
        loss.backward()
        adam.step()
    found = model.eval()(seen)
    image, slot, thing = match(found.logits, found.boxes, things)
    likely = found.logits.softmax(-1)
    assert (likely[image, slot].argmax(-1) == things.labels[image, thing]).all()
    others = torch.ones(4, 16, dtype=torch.bool)
    others[image, slot] = False
    assert (likely[others][:, -1] > 0.5).float().mean() > 0.95


def test_what_a_pair_is_hangs_neither_on_other_images_nor_on_the_order_of_things():
    seen, model, boxes = memory(), relation_head(), some_boxes(3, 4)
    mask, labels = torch.ones(3, 4, dtype=torch.bool), torch.randint(0, 3, (3, 4))
    nodes, fine, places = model.nodes(seen, boxes, mask)
    index = torch.tensor([[1, 0, 2], [2, 3, 1], [1, 2, 0]])
    whole = model.pairs(seen, nodes, fine, places, labels, index)
    turn = torch.tensor([2, 3, 0, 1])
    one = VisualMemory(seen.tokens[1:2], seen.mask[1:2], seen.pooled[1:2])
    nodes, fine, places = model.nodes(one, boxes[1:2, turn], mask[1:2])
    alone = model.pairs(one, nodes, fine, places, labels[1:2, turn], torch.tensor([[0, 2, 0], [0, 0, 2]]))
    torch.testing.assert_close(whole[[0, 2]], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_left_out_is_not_looked_at(part):
    model = relation_head(parts=[part])
    model.prior.copy_(torch.randn(3, 3, 3))
    mask, boxes = torch.ones(3, 2, dtype=torch.bool), some_boxes(3, 2)
    index = torch.tensor([[0, 0, 1]])

    def said(seen, boxes, labels):
        nodes, fine, places = model.nodes(seen, boxes, mask)
        return model.pairs(seen, nodes, fine, places, labels, index)

    seen, labels = memory(), torch.zeros(3, 2, dtype=torch.long)
    first = said(seen, boxes, labels)
    other_labels = torch.equal(said(seen, boxes, labels + 1), first)
    other_tokens = torch.equal(said(replace(seen, tokens=seen.tokens.flip(1)), boxes, labels), first)
    other_boxes = torch.equal(said(seen, boxes * 0.5, labels), first)
    assert other_labels == (part not in ("labels", "prior"))
    assert other_tokens == (part not in ("appearance", "union"))
    assert other_boxes == (part not in ("appearance", "geometry", "union"))


def test_the_prior_is_how_often_it_was_so():
    pairs = torch.tensor([[10.0, 0.0], [4.0, 0.0]])
    prior = frequency_prior({(0, 0, 1): 5, (0, 0, 0): 1, (1, 0, 1): 4}, pairs, 2, 2, smooth=1e-9).exp()
    torch.testing.assert_close(prior[0, 0], torch.tensor([0.1, 0.5, 0.4]))
    torch.testing.assert_close(prior[1, 0], torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(prior.sum(-1), torch.ones(2, 2))
    torch.testing.assert_close(prior[1, 1], torch.tensor([1.0, 9.0, 4.0]) / 14, atol=1e-3, rtol=1e-3)


def test_geometry_is_finite_for_boxes_without_an_area():
    assert geometry(torch.tensor([[0.5, 0.5, 0.5, 0.5]]), torch.tensor([[0.0, 0.0, 1.0, 1.0]])).isfinite().all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: head(heads=3), "heads=3"),
        (lambda: head(slots=0), "slots"),
        (lambda: relation_head(heads=5), "heads=5"),
        (lambda: relation_head(parts=["smell"]), "parts=.*smell"),
        (lambda: relation_head(parts=[]), "parts"),
    ],
)
def test_options_that_cannot_be_are_named(make, said):
    with pytest.raises(UserError, match=said):
        make()
