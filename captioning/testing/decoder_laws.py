"""What holds for every decoder, on every kind of memory: laws to hold one of your own to.

>>> from captioning.testing import check_decoder
>>> check_decoder(MyDecoder(visual_width=12, vocabulary_size=31), visual_width=12, vocabulary_size=31)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from captioning.decoders.base import Context, Decoder, State
from captioning.layers.masking import select_rows
from captioning.memory import VisualMemory
from captioning.testing.small_memories import COUNTS, IMAGES, KINDS, LENGTH, ROWS, captions, memory, of


def check_decoder(
    decoder: Decoder, *, visual_width: int, vocabulary_size: int, kinds: Sequence[str] = KINDS, concepts: int = 9
) -> None:
    """Raises AssertionError naming the first law that the decoder breaks, and on which kind of memory.

    It is put into evaluation mode and left there. `visual_width` and `vocabulary_size` are those that it was made
    with; `kinds` are the memories that it is meant for, with `concepts` kinds of concepts in the last of them.
    """
    decoder.eval()
    for kind in kinds:
        seen = memory(kind, width=visual_width, concepts=concepts)
        for law in DECODER_LAWS:
            try:
                with torch.no_grad():
                    law(decoder, seen, vocabulary_size)
            except AssertionError as error:
                raise AssertionError(f"{law.__name__}, of {kind}: {error}") from error


def step_by_step_equals_teacher_forcing(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    context, words = decoder.prepare(seen), sentences(size)
    taught = decoder.forward_features(context, words)
    logits, attention, _ = steps(decoder, context, decoder.start(context, ROWS), words)
    assert_same(logits, decoder.forward_head(taught.features))
    assert_same(decoder(context, words), logits)
    assert (attention is None) == (taught.attention is None)
    if attention is not None:
        assert_same(attention, taught.attention)


def a_word_depends_on_no_later_word(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    context, words = decoder.prepare(seen), sentences(size)
    other = words.clone()
    other[..., 3:] = words[..., 3:].flip(0)
    assert not torch.equal(other, words)
    assert_same(decoder(context, other)[:, :, :3], decoder(context, words)[:, :, :3])


def rows_do_not_influence_each_other(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    context, words = decoder.prepare(seen), sentences(size, rows=3)
    together = decoder(context, words)
    for row in range(3):
        assert_same(decoder(context, words[:, [row]]), together[:, [row]])
    logits, _, _ = steps(decoder, context, decoder.start(context, 1), words[:, [2]])
    assert_same(logits, together[:, [2]])


def what_stands_in_padding_does_not_matter(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    words, padding = sentences(size), ~seen.mask
    parts = {name: getattr(seen, name) for name in ("tokens", "boxes", "times") if getattr(seen, name) is not None}
    spoilt = {}
    for name, part in parts.items():
        spoilt[name] = part.clone()
        spoilt[name][padding] = 7 * torch.randn(part[padding].shape, generator=torch.Generator().manual_seed(2))
    assert_same(decoder(decoder.prepare(replace(seen, **spoilt)), words), decoder(decoder.prepare(seen), words))


def an_image_alone_gets_what_it_gets_in_a_batch(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    words = sentences(size)
    together = decoder(decoder.prepare(seen), words)
    for image, count in enumerate(COUNTS):
        alone = decoder.prepare(of(seen, [image], tokens=count))
        assert_same(decoder(alone, words[[image]]), together[[image]])


def the_order_of_a_batch_does_not_matter(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    words, order = sentences(size), [2, 0, 1]
    together = decoder(decoder.prepare(seen), words)
    assert_same(decoder(decoder.prepare(of(seen, order)), words[order]), together[order])


def attention_is_a_distribution_over_real_tokens(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    attention = decoder.forward_features(decoder.prepare(seen), sentences(size)).attention
    if attention is None:
        return  # attends to nothing
    assert attention.shape == (IMAGES, ROWS, LENGTH, max(COUNTS))
    assert attention.min() >= 0
    assert_same(attention.sum(-1), torch.ones(IMAGES, ROWS, LENGTH))
    assert (attention * ~seen.mask[:, None, None]).abs().max() == 0


def the_same_input_gives_the_same_output(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    words = sentences(size)
    assert torch.equal(decoder(decoder.prepare(seen), words), decoder(decoder.prepare(seen), words))


def selected_rows_go_on_as_if_they_had_always_been_so(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    for chosen in ([[1, 0], [0, 1], [1, 1]], [[1], [0], [1]], [[0, 0, 1, 0], [1, 1, 1, 0], [0, 1, 0, 1]]):
        context, words, index = decoder.prepare(seen), sentences(size), torch.tensor(chosen)
        _, _, state = steps(decoder, context, decoder.start(context, ROWS), words[..., :3])
        logits, _, _ = steps(decoder, context, state.select(index), select_rows(words, index)[..., 3:])
        assert_same(logits, decoder(context, select_rows(words, index))[:, :, 3:])


def selecting_before_every_word_follows_each_history(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    context, generator = decoder.prepare(seen), torch.Generator().manual_seed(0)
    state, words = decoder.start(context, 1), sentences(size, rows=1, length=1)
    for rows in (4, 4, 2, 5, 5, 1):
        output = decoder.step(context, state, words[..., -1])
        assert_same(output.logits, decoder(context, words)[:, :, -1])
        index = torch.randint(words.shape[1], (IMAGES, rows), generator=generator)
        said = sentences(size, rows, length=words.shape[2] + 1)[..., -1:]
        state, words = output.state.select(index), torch.cat([select_rows(words, index), said], -1)


def copies_of_a_state_go_their_own_ways(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    context, words = decoder.prepare(seen), sentences(size)
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


def kept_images_go_on_as_if_they_were_alone(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    for kept in ([0, 2], [1], [2, 1, 0]):
        context, words = decoder.prepare(seen), sentences(size)
        together = decoder(context, words)
        _, _, state = steps(decoder, context, decoder.start(context, ROWS), words[..., :2])
        images = torch.tensor(kept, dtype=torch.long)
        logits, _, _ = steps(decoder, context.keep(images), state.keep(images), words[images][..., 2:])
        assert_same(logits, together[images][:, :, 2:])


def images_can_leave_before_the_first_word(decoder: Decoder, seen: VisualMemory, size: int) -> None:
    context, words, images = decoder.prepare(seen), sentences(size), torch.tensor([2, 0])
    state = decoder.start(context, ROWS).keep(images)
    logits, _, _ = steps(decoder, context.keep(images), state, words[images])
    assert_same(logits, decoder(context, words)[images])


def steps(decoder: Decoder, context: Context, state: State, words: Tensor) -> tuple[Tensor, Tensor | None, State]:
    """words (B, R, T) one at a time -> logits (B, R, T, V), attention (B, R, T, N), and the last state."""
    logits, attentions = [], []
    for now in words.unbind(2):
        output = decoder.step(context, state, now)
        logits.append(output.logits)
        attentions.append(output.attention)
        state = output.state
    return torch.stack(logits, 2), None if attentions[0] is None else torch.stack(attentions, 2), state


def assert_same(ours: Tensor, theirs: Tensor, within: float = 1e-5) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=within)


def sentences(vocabulary_size: int, rows: int = ROWS, length: int = LENGTH) -> Tensor:
    """Words of captions, (IMAGES, rows, length)."""
    return captions(rows, length=length, vocabulary_size=vocabulary_size)


DECODER_LAWS = (
    step_by_step_equals_teacher_forcing,
    a_word_depends_on_no_later_word,
    rows_do_not_influence_each_other,
    what_stands_in_padding_does_not_matter,
    an_image_alone_gets_what_it_gets_in_a_batch,
    the_order_of_a_batch_does_not_matter,
    attention_is_a_distribution_over_real_tokens,
    the_same_input_gives_the_same_output,
    selected_rows_go_on_as_if_they_had_always_been_so,
    selecting_before_every_word_follows_each_history,
    copies_of_a_state_go_their_own_ways,
    kept_images_go_on_as_if_they_were_alone,
    images_can_leave_before_the_first_word,
)
