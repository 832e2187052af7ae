"""Where a captioner looks tells where a phrase is: no box is learned from, and phrases do not disturb each other."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from tiny_model import pictures, tiny_bundle

from captioning.errors import UserError
from captioning.layers.positions import grid_cells
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.grounding.attention import AttentionGrounding, around_cells, by_attention

PHRASES = ["a dog", "a red ball on the grass", "two dogs"]


@pytest.fixture(scope="module")
def captioner():
    return Captioner(tiny_bundle(), device="cpu")


def memory_of(captioner, count=2):
    inputs = [captioner.read(picture) for picture in pictures(count)]
    ((_, memory),) = captioner.memories(inputs)
    return memory.float()


def test_the_point_is_the_token_that_the_words_look_at_most(captioner):
    task, memory = AttentionGrounding(captioner.task).eval(), memory_of(captioner, 1)
    words = task.ask([PHRASES]).words
    with torch.no_grad():
        found = task.predict(memory, task.ask([PHRASES]))[0]
        decoder, begin = captioner.task.decoder, torch.ones(1, 3, 1, dtype=torch.long)
        attention = decoder.forward_features(decoder.prepare(memory), torch.cat([begin, words], -1)).attention
    side = int(memory.tokens.shape[1] ** 0.5)
    for r, one in enumerate(found):
        length = int((words[0, r] != 0).sum())
        best = int(attention[0, r, 1 : length + 1].mean(0).argmax())
        assert one["point"] == pytest.approx([(best % side + 0.5) / side, (best // side + 0.5) / side])
        x1, y1, x2, y2 = one["box"]
        assert x1 <= one["point"][0] <= x2 and y1 <= one["point"][1] <= y2
        assert one["there"] > 0.99 and 0 <= one["score"] <= 1 and one["boxes"] == [one["box"]]


def test_what_was_said_has_its_say(captioner):
    """Where a captioner looks before it says a word cannot hang on that word."""
    task, memory = AttentionGrounding(captioner.task).eval(), memory_of(captioner, 1)
    with torch.no_grad():
        _, found = task.locate(memory, task.ask([["a dog runs", "a ball runs", "a dog runs"]]).words)
    difference = (found.tokens[0, 0] - found.tokens[0, 1]).abs().max()
    assert float(difference) > 1e-3
    torch.testing.assert_close(found.tokens[0, 0], found.tokens[0, 2])


def test_cells_of_a_grid_share_with_their_neighbours_and_regions_do_not():
    cells = grid_cells(torch.ones(1, 36, dtype=torch.bool))
    places = torch.cat([cells, torch.tensor([[[0.1, 0.1, 0.9, 0.8]]])], 1)
    weights = torch.zeros(1, 1, 37)
    weights[..., 14], weights[..., 36] = 0.9, 0.1  # a cell in the third column of the third row, and a region
    shared = around_cells(weights, places)[0, 0]
    nine = {row * 6 + column for row in (1, 2, 3) for column in (1, 2, 3)}
    assert {i for i in range(36) if shared[i] > 0} == nine and shared[36] == pytest.approx(0.1)
    assert torch.allclose(shared[list(nine)], torch.tensor(0.1))
    assert torch.equal(around_cells(weights, places.flip(1)), weights), "these are in no grid's order"


def test_a_phrase_is_where_it_is_alone_and_an_image_says_what_it_says_in_a_batch(captioner):
    task, memory = AttentionGrounding(captioner.task).eval(), memory_of(captioner)
    together = task.predict(memory, task.ask([PHRASES, PHRASES]))
    for b in range(2):
        single = replace(
            memory, tokens=memory.tokens[b : b + 1], mask=memory.mask[b : b + 1], pooled=memory.pooled[b : b + 1]
        )
        for r, phrase in enumerate(PHRASES):
            (alone,) = task.predict(single, task.ask([[phrase]]))[0]
            assert alone["box"] == together[b][r]["box"]
            assert alone["score"] == pytest.approx(together[b][r]["score"], abs=1e-4)


def test_a_captioner_locates_and_is_not_kept_as_a_model(captioner):
    locator = by_attention(captioner)
    found = locator.locate(pictures(1)[0], PHRASES)
    assert [one.phrase for one in found] == PHRASES and all(one.found for one in found)
    with pytest.raises(UserError, match="keep the captioner"):
        locator.task.config()


def test_a_captioner_that_attends_to_nothing_is_named(captioner):
    class Blind(torch.nn.Module):
        def prepare(self, memory):
            return None

        def forward_features(self, context, words):
            return type("Features", (), {"attention": None})

    blind = deepcopy(captioner.task)
    blind.decoder = Blind()
    task = AttentionGrounding(blind)
    with pytest.raises(UserError, match="looks at no places"):
        task.predict(memory_of(captioner, 1), task.ask([PHRASES]))
