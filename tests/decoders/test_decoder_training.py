"""What holds for every decoder while it learns."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from small import EVERY, IMAGES, ROWS, SINGLE, VOCABULARY, assert_same, build, captions, memory, of, steps

from captioning.decoders.concepts import ConceptReader
from captioning.layers.batch_norm import BatchNorm
from captioning.tasks.captioning.task import Captioning
from captioning.text.vocabulary import PAD

TRAINED = [name for name in EVERY if name not in ("routed", "gated")]  # which are put together of finished decoders


@pytest.fixture(params=TRAINED)
def decoder(request):
    return build(request.param)


def loss_of(logits, words):
    return F.cross_entropy(logits[:, :, :-1].flatten(0, 2), words[:, :, 1:].flatten())


@pytest.fixture
def _all_parts_are_used(decoder, seen):
    if isinstance(decoder, ConceptReader) and seen.classes is None:
        pytest.skip("without concepts there is nothing to embed")


def gradients(decoder, loss):
    return torch.autograd.grad(loss, list(decoder.parameters()), allow_unused=True)


@pytest.mark.usefixtures("_all_parts_are_used")
def test_gradients_reach_every_parameter(decoder, seen):
    loss = loss_of(decoder(decoder.prepare(seen), captions()), captions())
    for (name, _), gradient in zip(decoder.named_parameters(), gradients(decoder, loss), strict=True):
        assert gradient is not None, name
        assert gradient.isfinite().all(), name


def test_gradients_step_by_step_equal_those_of_teacher_forcing(decoder):
    seen, words = memory("grid"), captions()
    taught = gradients(decoder, loss_of(decoder(decoder.prepare(seen), words), words))
    context = decoder.prepare(seen)
    logits, _, _ = steps(decoder, context, decoder.start(context, ROWS), words)
    stepped = gradients(decoder, loss_of(logits, words))
    for (name, _), ours, theirs in zip(decoder.named_parameters(), stepped, taught, strict=True):
        if ours is None and theirs is None and isinstance(decoder, ConceptReader):  # nothing to embed in a grid
            continue
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=name)


def test_rows_read_without_gradients_can_be_continued_with_them(decoder):
    seen, words = memory("grid"), captions()
    with torch.no_grad():
        context = decoder.prepare(seen)
        _, _, state = steps(decoder, context, decoder.start(context, ROWS), words[..., :2])
    logits, _, state = steps(decoder, context, state, words[..., 2:4])
    assert logits.requires_grad
    with torch.no_grad():
        rest, _, _ = steps(decoder, context, state, words[..., 4:])
        assert_same(torch.cat([logits, rest], 2), decoder(context, words)[:, :, 2:])


def test_dropout_falls_in_training_only(decoder, seen):
    words = captions()
    before = decoder(decoder.prepare(seen), words)
    decoder.train()
    first, second = (decoder(decoder.prepare(seen), words) for _ in range(2))
    assert not torch.equal(first, second)
    decoder.eval()
    if not any(isinstance(part, torch.nn.BatchNorm1d) for part in decoder.modules()):  # it learns by being run
        assert torch.equal(decoder(decoder.prepare(seen), words), before)


@pytest.mark.usefixtures("_all_parts_are_used")
def test_mixed_precision_trains_and_writes(decoder, seen):
    words = captions()
    decoder.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(decoder(decoder.prepare(seen), words), words)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in decoder.parameters())
    decoder.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        context = decoder.prepare(seen)
        logits, _, _ = steps(decoder, context, decoder.start(context, ROWS), words)
        assert_same(logits.float(), decoder(context, words).float(), within=0.1)


@pytest.mark.parametrize("name", EVERY)
def test_padding_has_no_meaning_in_what_is_read(name):
    decoder = build(name)
    embeddings = [part for part in decoder.modules() if getattr(part, "padding_idx", None) is not None]
    assert embeddings
    assert all(part.weight[PAD].abs().max() == 0 for part in embeddings)


def test_first_guesses_are_close_to_even(decoder, seen):
    logits = decoder(decoder.prepare(seen), captions())
    assert loss_of(logits, captions()) < 1.5 * torch.tensor(float(VOCABULARY)).log()


@pytest.mark.parametrize("name", SINGLE)
def test_images_can_be_told_apart_by_what_is_seen(name):
    """Two captions an image, learned by heart: the rows of an image begin differently, other images say other words."""
    seen, words, decoder = memory("regions"), captions(), build(name)
    words[:, :, 1] = torch.arange(4, 4 + ROWS)  # the first word, then only image and row tell what follows
    optimiser = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for _ in range(120):  # in evaluation mode: without dropout
        optimiser.zero_grad()
        loss = F.cross_entropy(
            decoder(decoder.prepare(seen), words)[:, :, 1:-1].flatten(0, 2), words[:, :, 2:].flatten()
        )
        loss.backward()
        optimiser.step()
    said = decoder(decoder.prepare(seen), words)[:, :, 1:-1].argmax(-1)
    assert torch.equal(said, words[:, :, 2:]), f"{(said == words[:, :, 2:]).sum()} of {IMAGES * ROWS * 3} words"


def test_compiled_teaching_says_what_plain_teaching_says(monkeypatch):
    """With gradients and, as validation does, without; not made into machine code, which takes minutes."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    decoder, seen, words = build("transformer"), memory("grid"), captions()
    with torch.no_grad():
        expected = decoder(decoder.prepare(seen), words)
    Captioning.of(decoder, None, None, {"decoder": {}, "generation": {}}).compile()
    for mode in (torch.inference_mode, torch.enable_grad, torch.no_grad):
        with mode():
            assert_same(decoder(decoder.prepare(seen), words), expected)


def test_a_batch_of_one_picture_can_be_learned_from(decoder, seen):
    """Which the last of an epoch may be."""
    decoder.train()
    logits = decoder(decoder.prepare(of(seen, [0])), captions(images=1))
    logits.sum().backward()
    assert torch.isfinite(logits).all()


def test_batches_of_more_pictures_are_normalised_as_ever():
    ours, theirs = BatchNorm(6), torch.nn.BatchNorm1d(6)
    rows = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(rows), theirs(rows)) and torch.equal(ours.running_var, theirs.running_var)
    alone = ours(rows[:1])
    assert torch.equal(alone, ours.eval()(rows[:1])) and torch.equal(ours.running_var, theirs.running_var)
