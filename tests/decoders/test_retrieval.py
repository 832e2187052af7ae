"""A decoder that remembers says what it would say anyway, and knows the photos most like the one before it."""

import math
from dataclasses import replace

import pytest
import torch
from small import (
    SIZES,
    SMALL_TRANSFORMER,
    VISUAL_WIDTH,
    VOCABULARY,
    assert_same,
    build,
    captions,
    memory,
    recall,
)

from captioning.decoders.retrieval import RetrievalDecoder, without_retrieval
from captioning.decoders.transformer import Transformer
from captioning.errors import UserError
from captioning.text.vocabulary import EOS


def seen(pooled: torch.Tensor):
    images = memory("grid", images=len(pooled))
    return replace(images, pooled=pooled)


@torch.no_grad()
def test_every_word_is_that_of_the_decoder_inside():
    remembering, words = build("recall"), captions()
    alone = remembering.decoder
    ours = remembering(remembering.prepare(memory("grid")), words)
    assert_same(ours, alone(alone.prepare(memory("grid")), words))


@torch.no_grad()
def test_a_photo_reminds_of_itself_first_and_most():
    pooled = torch.randn(9, VISUAL_WIDTH, generator=torch.Generator().manual_seed(2))
    context = recall(build("transformer"), neighbours=4).prepare(seen(pooled))
    assert context.photos[:, 0].tolist() == list(range(9)) and context.photos.shape == (9, 4)
    assert (context.trust.diff(dim=1) <= 0).all()
    assert_same(context.trust.sum(1), torch.ones(9))


@torch.no_grad()
def test_likeness_is_that_of_standardised_features_where_nothing_is_left_out():
    pooled = torch.randn(40, VISUAL_WIDTH, generator=torch.Generator().manual_seed(2)) * torch.arange(1, 13)
    new = torch.randn(3, VISUAL_WIDTH, generator=torch.Generator().manual_seed(3)) * torch.arange(1, 13)
    decoder = RetrievalDecoder(build("transformer"), **SIZES, neighbours=40, sharpness=3.0)
    context = decoder.index_captions(pooled, [[[5, EOS]]] * 40, dimensions=VISUAL_WIDTH).prepare(seen(new))
    deviation = pooled.std(0, unbiased=False) + 1e-3
    old, new = ((each - pooled.mean(0)) / deviation for each in (pooled, new))
    cosines = torch.cosine_similarity(new[:, None], old[None], dim=-1)
    expected = (3.0 * cosines).softmax(1).gather(1, context.photos)
    assert_same(context.trust, expected, within=1e-4)
    assert torch.equal(context.photos, cosines.argsort(dim=1, descending=True))


@torch.no_grad()
def test_fewer_photos_than_neighbours_are_all_remembered():
    context = recall(build("transformer"), photos=3, neighbours=20).prepare(memory("grid"))
    assert context.photos.sort(dim=1).values.tolist() == [[0, 1, 2]] * 3


@torch.no_grad()
def test_what_is_remembered_comes_back_from_the_weights():
    first = recall(Transformer(**SMALL_TRANSFORMER), neighbours=5)
    second = RetrievalDecoder(Transformer(**SMALL_TRANSFORMER), **SIZES, neighbours=5)
    second.load_state_dict(first.state_dict())
    words = captions()
    for images in (memory("grid"), memory("clips")):
        ours, theirs = (each.agreement(each.prepare(images), words) for each in (second.eval(), first.eval()))
        assert_same(ours, theirs)
    second.load_state_dict(recall(Transformer(**SMALL_TRANSFORMER), photos=4).state_dict())
    assert len(second.reward.index.per_image) == 4, "of the memory before it nothing is left"


def test_without_its_memory_it_is_the_decoder_that_it_was():
    inside = build("transformer")
    weights = {"encoder.layer": torch.zeros(1)}
    plain = weights | {f"decoder.{name}": value for name, value in inside.state_dict().items()}
    remembering = weights | {f"decoder.{name}": value for name, value in recall(inside).state_dict().items()}
    assert without_retrieval(remembering).keys() == plain.keys()
    assert all(torch.equal(value, plain[name]) for name, value in without_retrieval(remembering).items())
    assert without_retrieval(plain) == plain


SPOILED = {
    "projection": lambda t: t[:-1],
    "offset": lambda t: t[:-1],
    "keys": lambda t: t * torch.inf,
    "captions": lambda t: t + VOCABULARY,
    "caption_counts": lambda t: t * 0,
}
OF_ANOTHER_KIND = {
    "captions": lambda t: t.long() + 2**16,
    "caption_counts": lambda t: t.float(),
    "keys": lambda t: t.to(torch.int8),
}


@pytest.mark.parametrize("part", OF_ANOTHER_KIND)
def test_numbers_of_another_kind_are_refused(part):
    state = recall(build("transformer")).state_dict()
    state[part] = OF_ANOTHER_KIND[part](state[part])
    with pytest.raises(UserError, match=f"{part} has other numbers"):
        RetrievalDecoder(build("transformer"), **SIZES).load_state_dict(state)


def test_no_more_is_kept_than_photos_differ_in():
    pooled = torch.randn(4, VISUAL_WIDTH, generator=torch.Generator().manual_seed(2))
    decoder = RetrievalDecoder(build("transformer"), **SIZES).index_captions(
        pooled.half(), [[[5, EOS]]] * 4, dimensions=9
    )
    assert decoder.keys.shape == (4, 3)


@pytest.mark.parametrize("part", SPOILED)
def test_a_memory_whose_parts_do_not_fit_is_refused(part):
    state = recall(build("transformer")).state_dict()
    state[part] = SPOILED[part](state[part])
    with pytest.raises(UserError, match="captioning remember"):
        RetrievalDecoder(build("transformer"), **SIZES).load_state_dict(state)


def test_what_cannot_remember_says_so():
    decoder = RetrievalDecoder(build("transformer"), **SIZES)
    with pytest.raises(UserError, match="remembers nothing yet"):
        decoder.prepare(memory("grid"))
    with pytest.raises(UserError, match="every photo needs a caption"):
        decoder.index_captions(torch.zeros(2, VISUAL_WIDTH), [[[5, EOS]], []])
    with pytest.raises(UserError, match="remembers nothing yet"):
        RetrievalDecoder(recall(build("transformer")), **SIZES)
    with pytest.raises(UserError, match="rows of 12 finite numbers"):
        decoder.index_captions(torch.full((1, VISUAL_WIDTH), torch.nan), [[[5, EOS]]])


@pytest.mark.parametrize(
    "options",
    [{"neighbours": 0}, {"neighbours": 2.5}, {"neighbours": None}, {"sharpness": -1}, {"sharpness": math.nan}],
)
def test_options_out_of_range_are_named(options):
    with pytest.raises(UserError, match=next(iter(options))):
        RetrievalDecoder(build("transformer"), **SIZES, **options)
