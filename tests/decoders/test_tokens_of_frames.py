"""Tokens of one time are one frame; frames have an order, tokens of a frame have none."""

from dataclasses import replace

import pytest
import torch
from small import ROWS, SMALL_ATTENTION, SMALL_LSTM, VISUAL_WIDTH, assert_same, build, captions, steps

from captioning.decoders.hierarchical_attention import HierarchicalAttention
from captioning.decoders.mean_pool import MeanPool
from captioning.decoders.s2vt import S2VT
from captioning.decoders.temporal_attention import TemporalAttention
from captioning.errors import UserError
from captioning.layers.frame_order import Frames
from captioning.layers.lstm import read_sequence
from captioning.memory import VisualMemory

MOMENTS = torch.tensor([[0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0], [0.0, 2.0, 2.0, 9.0, 9.0, 9.0, 9.0]])
REAL = torch.tensor([[True] * 7, [True] * 3 + [False] * 4])  # frames of 2, 3, 2 tokens and of 1, 2


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def clips() -> VisualMemory:
    tokens = torch.randn(2, 7, VISUAL_WIDTH, generator=torch.Generator().manual_seed(5)) * REAL[..., None]
    return VisualMemory(tokens, REAL, tokens.mean(1), times=MOMENTS)


def logits(decoder, memory):
    return decoder(decoder.prepare(memory), captions(images=2))


def shuffled(memory: VisualMemory, order: list[int]) -> VisualMemory:
    return replace(memory, tokens=memory.tokens[:, order], mask=memory.mask[:, order], times=memory.times[:, order])


def test_frames_are_found_by_time_and_padding_is_none():
    frames = Frames.of(clips())
    assert frames.index.tolist() == [[0, 0, 1, 1, 1, 2, 2], [0, 1, 1, 0, 0, 0, 0]]
    assert frames.counts.tolist() == [[2, 3, 2], [1, 2, 0]]
    means = frames.mean(clips().tokens)
    assert_same(means[0, 1], clips().tokens[0, 2:5].mean(0))
    assert means[1, 2].abs().max() == 0


@pytest.mark.parametrize(
    "name", ["s2vt", "temporal_attention", "temporal_attention_by_times", "hierarchical_attention"]
)
def test_it_does_not_matter_where_tokens_stand_but_when_they_are(name):
    decoder, seen = build(name), clips()
    assert_same(logits(decoder, shuffled(seen, [5, 3, 0, 6, 2, 4, 1])), logits(decoder, seen))
    backwards = replace(seen, times=seen.times.amax(1, keepdim=True) - seen.times)
    assert (logits(decoder, backwards) - logits(decoder, seen)).abs().max() > 1e-4


@pytest.mark.parametrize(
    "decoder", [lambda: MeanPool(**SMALL_LSTM), lambda: TemporalAttention(**SMALL_ATTENTION, order="none")]
)
def test_a_bag_of_frames_has_no_order(decoder):
    decoder, seen = decoder().eval(), clips()
    backwards = replace(seen, times=seen.times.amax(1, keepdim=True) - seen.times)
    assert_same(logits(decoder, shuffled(backwards, [6, 5, 4, 3, 2, 1, 0])), logits(decoder, seen))


def test_attention_is_that_of_the_frame_times_that_within_it():
    torch.manual_seed(0)
    decoder, seen = HierarchicalAttention(**SMALL_ATTENTION).eval(), clips()
    decoder.attend_frames.score.weight.mul_(9)
    attention = decoder.forward_features(decoder.prepare(seen), captions(images=2)).attention  # (B, R, T, N)
    of_frames = Frames.of(seen).mean(attention.flatten(1, 2).transpose(1, 2))  # (B, F, R*T)
    decoder.attend_frames.score.weight.zero_()  # every frame alike: what is left is attention within
    even = decoder.prepare(seen)
    within = decoder.forward_features(even, captions(images=2)).attention[:, :, 0]
    counts = Frames.of(seen).counts
    for clip, frames in enumerate((3, 2)):
        assert_same((of_frames[clip] * counts[clip][:, None]).sum(0), torch.ones(of_frames.shape[-1]))
        for frame in range(frames):
            share = within[clip, :, (Frames.of(seen).index[clip] == frame) & REAL[clip]].sum(-1)
            assert_same(share, torch.full_like(share, 1 / frames))


def test_a_photo_is_one_frame_whose_cells_are_looked_at_as_ever():
    decoder, seen = HierarchicalAttention(**SMALL_ATTENTION).eval(), replace(clips(), times=None)
    context = decoder.prepare(seen)
    hidden = torch.randn(2, ROWS, 16)
    ours, plain = decoder.glance(context, hidden), super(HierarchicalAttention, decoder).glance(context, hidden)
    for one, other in zip(ours, plain, strict=True):
        assert_same(one, other)


def test_the_first_lstm_of_s2vt_runs_once_a_clip_whatever_the_rows():
    decoder = S2VT(**SMALL_LSTM).eval()
    context = decoder.prepare(clips())
    _, _, state = steps(decoder, context, decoder.start(context, 5), captions(5, images=2))
    selected = state.select(torch.zeros(2, 3, dtype=torch.long))
    assert selected.seeing_hidden is state.seeing_hidden and state.seeing_hidden.shape == (2, 16)
    assert selected.hidden.shape == (2, 3, 16)


@pytest.mark.parametrize("both", [False, True], ids=["forward", "both ways"])
def test_an_lstm_reads_past_padding_wherever_it_is(both):
    torch.manual_seed(0)
    lstm, x = torch.nn.LSTM(4, 3, batch_first=True, bidirectional=both), torch.randn(3, 5, 4)
    mask = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)
    outputs, (hidden, cell) = read_sequence(lstm, x, mask)
    for i in range(3):
        alone, last = lstm(x[i][mask[i]][None])
        assert_same(outputs[i][mask[i]], alone[0])
        assert outputs[i][~mask[i]].abs().sum() == 0
        assert_same(torch.stack([hidden[:, i], cell[:, i]]), torch.stack([part[:, 0] for part in last]))


def test_an_unknown_order_is_refused():
    with pytest.raises(UserError, match="recurrent, times or none"):
        TemporalAttention(**SMALL_ATTENTION, order="sorted")
