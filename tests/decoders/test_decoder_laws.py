"""What holds for every decoder, on every kind of memory."""

from dataclasses import replace

import pytest
import torch
from small import COUNTS, IMAGES, LENGTH, ROWS, assert_same, captions, memory, of, steps

from captioning.layers.masking import select_rows


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def test_step_by_step_equals_teacher_forcing(decoder, seen):
    context, words = decoder.prepare(seen), captions()
    taught = decoder.forward_features(context, words)
    logits, attention, _ = steps(decoder, context, decoder.start(context, ROWS), words)
    assert_same(logits, decoder.forward_head(taught.features))
    assert_same(decoder(context, words), logits)
    assert (attention is None) == (taught.attention is None)
    if attention is not None:
        assert_same(attention, taught.attention)


def test_a_word_depends_on_no_later_word(decoder, seen):
    context, words = decoder.prepare(seen), captions()
    other = words.clone()
    other[..., 3:] = words[..., 3:].flip(0)
    assert not torch.equal(other, words)
    assert_same(decoder(context, other)[:, :, :3], decoder(context, words)[:, :, :3])


def test_rows_do_not_influence_each_other(decoder, seen):
    context, words = decoder.prepare(seen), captions(rows=3)
    together = decoder(context, words)
    for row in range(3):
        assert_same(decoder(context, words[:, [row]]), together[:, [row]])
    logits, _, _ = steps(decoder, context, decoder.start(context, 1), words[:, [2]])
    assert_same(logits, together[:, [2]])


def test_what_stands_in_padding_does_not_matter(decoder, seen):
    words, padding = captions(), ~seen.mask
    parts = {name: getattr(seen, name) for name in ("tokens", "boxes", "times") if getattr(seen, name) is not None}
    spoilt = {}
    for name, part in parts.items():
        spoilt[name] = part.clone()
        spoilt[name][padding] = 7 * torch.randn(part[padding].shape, generator=torch.Generator().manual_seed(2))
    assert_same(decoder(decoder.prepare(replace(seen, **spoilt)), words), decoder(decoder.prepare(seen), words))


def test_an_image_alone_gets_what_it_gets_in_a_batch(decoder, seen):
    words = captions()
    together = decoder(decoder.prepare(seen), words)
    for image, count in enumerate(COUNTS):
        alone = decoder.prepare(of(seen, [image], tokens=count))
        assert_same(decoder(alone, words[[image]]), together[[image]])


def test_the_order_of_a_batch_does_not_matter(decoder, seen):
    words, order = captions(), [2, 0, 1]
    together = decoder(decoder.prepare(seen), words)
    assert_same(decoder(decoder.prepare(of(seen, order)), words[order]), together[order])


def test_attention_is_a_distribution_over_real_tokens(decoder, seen):
    attention = decoder.forward_features(decoder.prepare(seen), captions()).attention
    if attention is None:
        pytest.skip("attends to nothing")
    assert attention.shape == (IMAGES, ROWS, LENGTH, max(COUNTS))
    assert attention.min() >= 0
    assert_same(attention.sum(-1), torch.ones(IMAGES, ROWS, LENGTH))
    assert (attention * ~seen.mask[:, None, None]).abs().max() == 0


def test_the_same_input_gives_the_same_output(decoder, seen):
    words = captions()
    assert torch.equal(decoder(decoder.prepare(seen), words), decoder(decoder.prepare(seen), words))


@pytest.mark.parametrize(
    "index",
    [[[1, 0], [0, 1], [1, 1]], [[1], [0], [1]], [[0, 0, 1, 0], [1, 1, 1, 0], [0, 1, 0, 1]]],
    ids=["reordered", "dropped", "repeated"],
)
def test_selected_rows_go_on_as_if_they_had_always_been_so(decoder, seen, index):
    context, words, index = decoder.prepare(seen), captions(), torch.tensor(index)
    _, _, state = steps(decoder, context, decoder.start(context, ROWS), words[..., :3])
    logits, _, _ = steps(decoder, context, state.select(index), select_rows(words, index)[..., 3:])
    assert_same(logits, decoder(context, select_rows(words, index))[:, :, 3:])


def test_selecting_before_every_word_follows_each_history(decoder, seen):
    context, generator = decoder.prepare(seen), torch.Generator().manual_seed(0)
    state, words = decoder.start(context, 1), captions(rows=1, length=1)
    for rows in (4, 4, 2, 5, 5, 1):
        output = decoder.step(context, state, words[..., -1])
        assert_same(output.logits, decoder(context, words)[:, :, -1])
        index = torch.randint(words.shape[1], (IMAGES, rows), generator=generator)
        said = captions(rows, length=words.shape[2] + 1)[..., -1:]
        state, words = output.state.select(index), torch.cat([select_rows(words, index), said], -1)


def test_copies_of_a_state_go_their_own_ways(decoder, seen):
    context, words = decoder.prepare(seen), captions()
    other = words.clone()
    other[..., 2:] = words[..., 2:].flip(1)
    _, _, state = steps(decoder, context, decoder.start(context, ROWS), words[..., :2])
    copy = state.select(torch.arange(ROWS).expand(IMAGES, -1))
    first, _, state = steps(decoder, context, state, words[..., 2:3])
    second, _, copy = steps(decoder, context, copy, other[..., 2:3])
    first_rest, _, _ = steps(decoder, context, state, words[..., 3:])
    second_rest, _, _ = steps(decoder, context, copy, other[..., 3:])
    assert_same(torch.cat([first, first_rest], 2), decoder(context, words)[:, :, 2:])
    assert_same(torch.cat([second, second_rest], 2), decoder(context, other)[:, :, 2:])


@pytest.mark.parametrize("kept", [[0, 2], [1], [2, 1, 0]], ids=str)
def test_kept_images_go_on_as_if_they_were_alone(decoder, seen, kept):
    context, words = decoder.prepare(seen), captions()
    together = decoder(context, words)
    _, _, state = steps(decoder, context, decoder.start(context, ROWS), words[..., :2])
    images = torch.tensor(kept, dtype=torch.long)
    logits, _, _ = steps(decoder, context.keep(images), state.keep(images), words[images][..., 2:])
    assert_same(logits, together[images][:, :, 2:])


def test_images_can_leave_before_the_first_word(decoder, seen):
    context, words, images = decoder.prepare(seen), captions(), torch.tensor([2, 0])
    state = decoder.start(context, ROWS).keep(images)
    logits, _, _ = steps(decoder, context.keep(images), state, words[images])
    assert_same(logits, decoder(context, words)[images])


def test_a_long_caption_is_as_good_as_a_short_one(decoder):
    if any(getattr(part, "learned", None) is not None for part in decoder.modules()):
        pytest.skip("learned positions are as many as they are")
    context, words = decoder.prepare(memory("grid")), captions(length=60)
    logits, _, _ = steps(decoder, context, decoder.start(context, ROWS), words)
    assert_same(logits, decoder(context, words))
