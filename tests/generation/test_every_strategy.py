"""Laws that hold for every decoder and every way of generating."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from captioning.decoders.ensemble import Ensemble, EnsembleContext
from captioning.generation.beam import beam, diverse_beam, norms
from captioning.generation.greedy import greedy
from captioning.generation.sampling import sample
from captioning.text.vocabulary import BOS, EOS, PAD, UNK

MAX_WORDS = 7
STRATEGIES = {
    "greedy": greedy,
    "greedy constrained": partial(greedy, min_words=3, block_ngrams=2, block_repeats=True),
    "beam": partial(beam, beam_size=4, num_captions=4),
    "beam average": partial(beam, beam_size=4, num_captions=2, length_normalisation="average"),
    "beam gnmt": partial(beam, beam_size=3, length_normalisation="gnmt", alpha=0.9, min_words=4),
    "beam forced": partial(beam, beam_size=3, forced_words=[7, [8, 9]], forced_prefix=[5], block_ngrams=2),
    "diverse beam": partial(diverse_beam, beam_size=4, groups=2, num_captions=4),
    "sampling": partial(sample, num_samples=3, seed=5),
    "nucleus": partial(sample, num_samples=3, seed=5, temperature=1.5, top_k=12, top_p=0.8, forbidden_endings=[4, 6]),
}


@pytest.fixture(params=list(STRATEGIES))
def generate(request):
    return partial(STRATEGIES[request.param], max_words=MAX_WORDS)


def test_a_caption_is_words_then_its_end_then_padding(any_case, generate):
    words = generate(any_case.decoder, any_case.context()).words
    assert words.shape[-1] <= MAX_WORDS
    for caption in words.flatten(0, 1).tolist():
        length = caption.index(EOS) if EOS in caption else len([word for word in caption if word != PAD])
        assert length >= 1
        assert not {PAD, BOS, UNK, EOS} & set(caption[:length])
        assert set(caption[length + 1 :]) <= {PAD}
        assert EOS in caption or length == MAX_WORDS


def test_scores_are_the_log_probabilities_that_forward_gives(any_case, generate):
    context = any_case.context()
    words, scores, *_ = generate(any_case.decoder, context)
    before = torch.cat([torch.full_like(words[..., :1], BOS), words[..., :-1]], -1)
    with torch.no_grad():
        said = any_case.decoder(context, before).log_softmax(-1).gather(-1, words[..., None]).squeeze(-1)
    total = said.masked_fill(words == PAD, 0).sum(-1)
    options = generate.keywords
    by_length = norms(options.get("length_normalisation", "none"), options.get("alpha", 0.6), MAX_WORDS)
    total = total / torch.tensor(by_length)[(words != PAD).sum(-1)]
    torch.testing.assert_close(scores, total, atol=2e-5, rtol=1e-5)


def test_details_are_those_of_the_captions(any_case, generate):
    plain, detailed = (generate(any_case.decoder, any_case.context(), details=details) for details in (False, True))
    assert torch.equal(plain.words, detailed.words) and torch.equal(plain.scores, detailed.scores)
    assert plain.log_probabilities is None and plain.attention is None
    padding = detailed.words == PAD
    assert not detailed.log_probabilities[padding].any()
    assert (detailed.log_probabilities[~padding] < 0).all()
    if detailed.attention is not None:
        torch.testing.assert_close(detailed.attention.sum(-1), (~padding).float())


def test_the_best_captions_come_first(any_case, generate):
    if generate.func is sample:
        pytest.skip("samples come in the order drawn")
    scores = generate(any_case.decoder, any_case.context()).scores
    assert (scores.diff(dim=1) <= 0).all()


def test_a_batch_of_one_says_what_a_batch_of_many_says(any_case, generate):
    together = generate(any_case.decoder, any_case.context())
    for image in range(len(together.words)):
        same(generate(any_case.decoder, any_case.of([image]).context()), together, [image])


def test_permuting_images_permutes_captions(any_case, generate):
    order = [3, 0, 4, 1, 2]
    same(
        generate(any_case.decoder, any_case.of(order).context()), generate(any_case.decoder, any_case.context()), order
    )


def test_padding_of_the_visual_memory_changes_nothing(any_case, generate):
    if isinstance(any_case.memory, torch.Tensor):
        pytest.skip("a table sees no tokens")
    memory = any_case.memory
    junk = torch.full_like(memory.tokens[:, :2], 9.0)
    padded = replace(
        memory,
        tokens=torch.cat([memory.tokens, junk], 1),
        mask=torch.cat([memory.mask, torch.zeros_like(memory.mask[:, :2])], 1),
        times=torch.arange(7.0).expand(len(memory), -1),
    )
    timed = replace(memory, times=torch.arange(5.0).expand(len(memory), -1))  # places of tokens must not move
    same(
        generate(any_case.decoder, any_case._replace(memory=padded).context()),
        generate(any_case.decoder, any_case._replace(memory=timed).context()),
        list(range(len(memory))),
    )


def test_the_same_call_gives_the_same_captions(any_case, generate):
    context = any_case.context()
    first, second = generate(any_case.decoder, context), generate(any_case.decoder, context)
    assert torch.equal(first.words, second.words) and torch.equal(first.scores, second.scores)


def test_an_ensemble_of_one_says_what_the_one_says(network_case, generate):
    alone = generate(network_case.decoder, network_case.context())
    together = generate(Ensemble([network_case.decoder]), EnsembleContext([network_case.context()]))
    assert torch.equal(alone.words, together.words)
    torch.testing.assert_close(alone.scores, together.scores, atol=1e-5, rtol=1e-5)


def test_no_images_have_no_captions(table_case, generate):
    assert len(generate(table_case.decoder, table_case.of([]).context()).words) == 0


def same(got, expected, images: list[int]) -> None:
    """`got` is what `expected` has for `images`, but for padding that only longer captions of others asked for."""
    words = expected.words[images]
    length = got.words.shape[-1]
    assert torch.equal(got.words, words[..., :length]) and not words[..., length:].any()
    torch.testing.assert_close(got.scores, expected.scores[images], atol=1e-5, rtol=1e-5)
