"""Search by consensus ranks the captions of a beam by what people said of similar photos."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from cases import VOCABULARY, WIDTH, build, memory

from captioning.decoders.retrieval import RetrievalDecoder
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.consensus import consensus
from captioning.metrics.reward import CiderReward
from captioning.text.vocabulary import EOS, UNK

PHOTOS, OPTIONS = 12, {"max_words": 7, "length_normalisation": "average"}


@pytest.fixture
def decoder() -> RetrievalDecoder:
    """Remembers twelve photos, each with the beams of another image among its captions."""
    inside, images = build("transformer.Transformer"), memory()
    generator = torch.Generator().manual_seed(4)
    pooled = torch.randn(PHOTOS, WIDTH, generator=generator)
    said = torch.randint(UNK + 1, VOCABULARY, (PHOTOS, 3, 5), generator=generator).tolist()
    with torch.no_grad():
        found = beam(inside, inside.prepare(images), beam_size=6, num_captions=6, max_words=7).words.tolist()
    remembered = [[*each, *found[i % len(found)][i % 5 :]] for i, each in enumerate(said)]
    sizes = {"visual_width": WIDTH, "vocabulary_size": VOCABULARY}
    return RetrievalDecoder(inside, **sizes, neighbours=3).index_captions(pooled, remembered, dimensions=6).eval()


def context(decoder):
    with torch.no_grad():
        return decoder.prepare(memory())


def rows(generated, image: int) -> list[tuple[tuple[int, ...], float]]:
    """Captions of one image and their scores."""
    words, scores = generated.words[image].tolist(), generated.scores[image].tolist()
    return list(zip(map(tuple, words), scores, strict=True))


@pytest.mark.parametrize("weight", [0.0, 0.7, 50.0])
def test_the_score_is_that_of_the_beam_and_the_agreement_with_similar_photos(decoder, weight):
    """Checked by the reward of each caption alone, for each similar photo alone."""
    seen = context(decoder)
    plain = beam(decoder, seen, beam_size=6, num_captions=6, **OPTIONS)
    found = consensus(decoder, seen, weight=weight, beam_size=6, num_captions=6, **OPTIONS)
    said = decoder.captions.split(decoder.caption_counts.tolist())
    reward = CiderReward({photo: captions.tolist() for photo, captions in enumerate(said)})
    for image in range(len(plain.words)):
        expected = {}
        for words, score in rows(plain, image):
            agreed = [float(reward([photo], [[words]])[0, 0]) for photo in seen.photos[image].tolist()]
            expected[words] = score + weight * float(torch.tensor(agreed) @ seen.trust[image])
        ranked = sorted(expected.values(), reverse=True)
        assert found.scores[image].tolist() == pytest.approx(ranked, abs=1e-4)
        for words, score in rows(found, image):
            assert expected[words] == pytest.approx(score, abs=1e-4)


def test_what_people_said_decides_where_it_weighs_enough(decoder):
    plain, seen = beam(decoder, context(decoder), beam_size=6, **OPTIONS), context(decoder)
    found = consensus(decoder, seen, weight=50.0, beam_size=6, **OPTIONS)
    length = min(plain.words.shape[-1], found.words.shape[-1])
    assert not torch.equal(plain.words[..., :length], found.words[..., :length])
    assert (decoder.agreement(seen, found.words) >= decoder.agreement(seen, plain.words)).all()


def test_an_image_has_the_same_caption_in_any_company(decoder):
    together = consensus(decoder, context(decoder), beam_size=4, **OPTIONS)
    for image in range(len(together.words)):
        alone = consensus(decoder, context(decoder).keep(torch.tensor([image])), beam_size=4, **OPTIONS).words[0, 0]
        caption = together.words[image, 0].tolist()
        assert alone[alone != 0].tolist() == [word for word in caption if word]


def test_details_are_those_of_the_captions_chosen(decoder):
    found = consensus(decoder, context(decoder), beam_size=6, num_captions=2, details=True, **OPTIONS)
    plain = beam(decoder, context(decoder), beam_size=6, num_captions=6, **OPTIONS)
    lengths = (found.words != 0).sum(-1)
    for image in range(len(found.words)):
        scores = dict(rows(plain, image))
        for k, words in enumerate(found.words[image].tolist()):
            padded = (*words, *[0] * (plain.words.shape[-1] - len(words)))
            mean = found.log_probabilities[image, k].sum() / lengths[image, k]
            assert float(mean) == pytest.approx(scores[padded], abs=1e-4)


def test_limits_hold(decoder):
    search = partial(consensus, beam_size=6, forbidden_endings=[5, 6, 7], block_repeats=True, min_words=3)
    for caption in search(decoder, context(decoder), num_captions=6, **OPTIONS).words.flatten(0, 1).tolist():
        words = [word for word in caption if word > UNK]
        assert len(words) >= 3 and all(a != b for a, b in pairwise(words))
        assert EOS not in caption or words[-1] not in (5, 6, 7)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"weight": -1.0}, "weight"),
        ({"weight": None}, "weight"),
        ({"beam_size": 2.5}, "beam_size"),
        ({"num_captions": True}, "num_captions"),
        ({"alpha": "x"}, "alpha"),
        ({"num_captions": 7, "beam_size": 6}, "num_captions"),
        ({"seed": 1}, "seed"),
    ],
)
def test_options_out_of_range_are_named(decoder, options, message):
    with pytest.raises(UserError, match=message):
        consensus(decoder, context(decoder), **OPTIONS, **options)


def test_a_decoder_that_remembers_nothing_is_told_how_to():
    inside = build("transformer.Transformer")
    with pytest.raises(UserError, match="captioning remember"):
        consensus(inside, inside.prepare(memory()))
