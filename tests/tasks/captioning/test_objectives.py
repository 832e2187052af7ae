"""What is read and what is asked for under teacher forcing."""

import pytest
import torch
from test_self_critical import WORDS, decoder, memory

from captioning.errors import UserError
from captioning.tasks.captioning.objectives import CrossEntropy, scheduled_sampling_inputs, word_dropout
from captioning.tasks.captioning.task import pad_words
from captioning.text.vocabulary import BOS, EOS, PAD, UNK

DOG, CAT, RUNS = (WORDS.ids[word] for word in ("dog", "cat", "runs"))
CAPTIONS = pad_words([[[DOG, RUNS, EOS], [UNK, CAT, RUNS, DOG]], [[CAT, EOS], [DOG, DOG, EOS]], [[DOG, EOS]]])


def test_rows_are_padded_behind_and_begin_alike():
    assert CAPTIONS.shape == (3, 2, 5) and (CAPTIONS[..., 0] == BOS).all()
    assert CAPTIONS[0, 1].tolist() == [BOS, UNK, CAT, RUNS, DOG]
    assert CAPTIONS[2, 1].tolist() == [BOS] + [PAD] * 4


def test_the_probability_of_own_words_rises_by_steps_up_to_its_highest():
    made = CrossEntropy(scheduled_sampling=0.25)
    found = []
    for epoch in (0, 4, 5, 9, 10, 24, 25, 60):
        made.set_epoch(epoch)
        found.append(made.own_words)
    assert found == pytest.approx([0, 0, 0.05, 0.05, 0.1, 0.2, 0.25, 0.25])


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_own_words_are_the_decoders_and_ends_stay(kind):
    model = decoder(kind)
    context = model.prepare(memory())
    given = CAPTIONS[..., :-1]
    assert torch.equal(scheduled_sampling_inputs(model, context, CAPTIONS, 0.0), given)
    drawn = torch.stack([scheduled_sampling_inputs(model, context, CAPTIONS, 1.0) for _ in range(30)])
    fixed = (given == BOS) | (given == EOS) | (given == PAD)
    assert all(torch.equal(each[fixed], given[fixed]) for each in drawn)
    assert (drawn[:, ~fixed] > UNK).any(0).all() and (drawn != given).any()


def test_own_words_are_drawn_after_what_was_read():
    """A decoder sure of every word reads its own greedy caption, whatever the reference was."""
    from captioning.generation.greedy import greedy

    model = decoder()
    with torch.no_grad():
        model.predict.weight *= 1e4
        model.predict.bias[: UNK + 1] = -1e9  # and it never ends
    context = model.prepare(memory())
    reference = torch.full((3, 1, 7), DOG)
    reference[..., 0], reference[..., -1] = BOS, EOS
    read = scheduled_sampling_inputs(model, context, reference, 1.0)
    assert torch.equal(read[..., 1:], greedy(model, context, max_words=6).words[..., :5])


def test_unknown_words_take_the_place_of_words_alone():
    lost = word_dropout(CAPTIONS, 0.999999)
    assert torch.equal(lost, CAPTIONS.masked_fill(CAPTIONS > UNK, UNK))
    assert torch.equal(word_dropout(CAPTIONS, 0.0), CAPTIONS)


def test_unknown_words_and_padding_are_not_asked_for():
    model = decoder()
    loss, _ = CrossEntropy(label_smoothing=0.0)(model, model.prepare(memory()), CAPTIONS)
    with torch.no_grad():
        log_p = model(model.prepare(memory()), CAPTIONS[..., :-1]).log_softmax(-1)
    terms = [
        -log_p[b, r, t, word]
        for b, rows in enumerate(CAPTIONS[..., 1:].tolist())
        for r, row in enumerate(rows)
        for t, word in enumerate(row)
        if word not in (PAD, UNK)
    ]
    torch.testing.assert_close(loss, torch.stack(terms).mean())


@pytest.mark.parametrize("option", [{"scheduled_sampling": 0.5, "sampling_step": 0.5}, {"word_dropout": 0.5}])
def test_what_is_read_otherwise_is_so_in_training_alone(option):
    model, made = decoder(), CrossEntropy(**option)
    made.set_epoch(100)
    context = model.prepare(memory())
    losses = {made(model, context, CAPTIONS)[0].item() for _ in range(8)}
    plain = CrossEntropy()(model, context, CAPTIONS)[0]
    assert len(losses) > 1
    torch.testing.assert_close(made.validate(model, context, CAPTIONS), plain)


@pytest.mark.parametrize("option", [{"label_smoothing": 1.0}, {"scheduled_sampling": 2.0}, {"word_dropout": -0.1}])
def test_a_share_out_of_range_is_refused(option):
    with pytest.raises(UserError, match=next(iter(option))):
        CrossEntropy(**option)
