"""Photos can be made alike of which the same is said."""

import pytest
import torch
from small import SIZES, VISUAL_WIDTH, build
from torch.nn import functional as F

from captioning.decoders.likeness import caption_likeness, learned_directions
from captioning.decoders.retrieval import RetrievalDecoder
from captioning.errors import UserError
from captioning.text.vocabulary import EOS


def photos(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What is seen (P, 10) of photos of three kinds (P,): two numbers tell the kind, loudly varying ones do not."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(3, (count,), generator=generator)
    telling = F.one_hot(kinds, 3)[:, :2] + 0.3 * torch.randn(count, 2, generator=generator)
    noise = torch.randn(count, 2, generator=generator).repeat_interleave(4, 1)
    places = torch.cat([telling, noise + 0.3 * torch.randn(count, 8, generator=generator)], 1)
    return (places - places.mean(0)) / places.std(0), kinds


def agreement(directions: torch.Tensor, seed: int) -> float:
    """How much of the weight of all others, by likeness, is on photos of the same kind; on new photos."""
    places, kinds = photos(300, seed)
    along = F.normalize(places @ directions, dim=1)
    weights = (10 * along @ along.T).fill_diagonal_(-torch.inf).softmax(1)
    return float((weights * (kinds[:, None] == kinds)).sum(1).mean())


def test_photos_of_which_the_same_is_said_become_alike_where_looks_did_not_tell():
    places, kinds = photos(1000, 1)
    _, found = torch.linalg.eigh(places.T @ places)
    principal = found.flip(1)[:, :4]
    learned = learned_directions(places, principal, [[[5 + kind, 9]] for kind in kinds.tolist()])
    assert learned.shape == principal.shape
    assert agreement(learned, 2) > agreement(principal, 2) + 0.003
    again = learned_directions(places, principal, [[[5 + kind, 9]] for kind in kinds.tolist()])
    assert torch.equal(learned, again)


def test_a_memory_that_learned_it_compares_new_photos_along_the_same_directions_as_its_own():
    pooled = torch.randn(40, VISUAL_WIDTH, generator=torch.Generator().manual_seed(2))
    captions = [[[5 + i % 3, EOS]] for i in range(40)]
    one, other = (
        RetrievalDecoder(build("transformer"), **SIZES).index_captions(pooled, captions, dimensions=4, learned=learned)
        for learned in (False, True)
    )
    assert not torch.equal(one.projection, other.projection)
    torch.testing.assert_close(F.normalize(pooled @ other.projection - other.offset, dim=1), other.keys)


def test_more_photos_than_can_be_compared_are_refused():
    with pytest.raises(UserError, match="20,001 are more than 20,000"):
        learned_directions(torch.zeros(20_001, 1), torch.ones(1, 1), [])


def test_likeness_by_captions_is_one_of_the_same_and_none_of_nothing_in_common():
    alike = caption_likeness([[[5, 6, 7, 8, 2]], [[5, 6, 7, 8, 2]], [[9, 10, 11, 12, 3]], [[5, 6, 11, 12, 4]]])
    torch.testing.assert_close(alike, alike.T)
    torch.testing.assert_close(alike.diagonal(), torch.ones(4))
    torch.testing.assert_close(alike[0, 1], torch.tensor(1.0))
    assert alike[0, 2] == 0
    assert 0 < alike[0, 3] < 1


def test_a_word_of_every_photo_says_nothing_and_two_photos_stay_as_they_look():
    alike = caption_likeness([[[5]], [[5]], [[5]]])
    assert torch.equal(alike, torch.zeros(3, 3))
    directions = torch.eye(3)[:, :2]
    assert learned_directions(torch.randn(2, 3), directions, [[[5]], [[6]]]) is directions
