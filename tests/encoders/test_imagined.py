"""What is imagined of captions errs as what was learned from errs, and depends on the seed alone."""

import random

import pytest
import torch

from captioning.encoders.imagined import Imagination, mentioned, tokens_of
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.text.concepts import concepts

NAMES = list(concepts())
COUNT = len(NAMES)
DOG, CAT, KITE, PERSON = (NAMES.index(name) for name in ("dog", "cat", "kite", "person"))
WHOLE = (0.0, 0.0, 1.0, 1.0)


def photos(*rows):
    """A memory of photos, each a cell and concept tokens (class, score)."""
    longest = 1 + max(map(len, rows))
    blank = (-1, 0.0)
    padded = [[blank, *row, *[blank] * (longest - 1 - len(row))] for row in rows]
    mask = torch.tensor([[True] * (1 + len(row)) + [False] * (longest - 1 - len(row)) for row in rows])
    return VisualMemory(
        torch.randn(len(rows), longest, 5),
        mask,
        torch.randn(len(rows), 5),
        torch.tensor(WHOLE).expand(len(rows), longest, 4),
        classes=torch.tensor([[c for c, _ in row] for row in padded]),
        scores=torch.tensor([[s for _, s in row] for row in padded]),
    )


def learned(share: float, count: int = 400):
    """An imagination that saw dogs found in a share of photos, and a kite that nobody spoke of in every fourth."""
    imagination = Imagination(width=5)
    rows = []
    for i in range(count):
        row = [(DOG, 0.9)] if i < share * count else []
        rows.append(row + ([(KITE, 0.3)] if i % 4 == 0 else []))
    imagination.learn(photos(*rows), [["A dog runs."]] * count)
    return imagination


def drawn(imagination, caption, count=600):
    return imagination([[caption]] * count, map(str, range(count)))


def share_of(memory, concept):
    return float(((memory.classes == concept) & memory.mask).any(1).float().mean())


@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
def test_a_concept_is_missed_as_often_as_those_like_it_were(share):
    memory = drawn(learned(share), "A cat sleeps.")
    assert share_of(memory, CAT) == pytest.approx(share, abs=0.07)
    assert share_of(memory, DOG) == 0, "no caption speaks of a dog, and none was found beside what captions said"


def test_what_nobody_speaks_of_is_added_as_often_as_it_was():
    assert share_of(drawn(learned(0.5), "A cat sleeps."), KITE) == pytest.approx(0.25, abs=0.07)


def test_scores_and_boxes_are_those_of_real_ones():
    memory = drawn(learned(1.0), "A cat sleeps.")
    assert memory.scores[memory.classes == CAT].unique().tolist() == [pytest.approx(0.9)]
    assert (memory.boxes[memory.mask] == torch.tensor(WHOLE)).all()


def test_people_are_found_as_people_are():
    imagination = learned(0.0)
    imagination.learn(photos(*[[(PERSON, 0.8)]] * 20), [["A man."]] * 20)
    memory = drawn(imagination, "A woman holds a cat.")
    assert share_of(memory, PERSON) == 1 and share_of(memory, CAT) == 0


def test_the_same_seed_gives_the_same_memory_in_any_company():
    imagination = learned(0.5)
    captions = [["A cat."], ["Two dogs and a man."], ["Nothing."]]
    together = imagination(captions, ["a", "b", "c"])
    for i, seed in enumerate("abc"):
        alone = imagination([captions[i]], [seed])
        count = int(together.mask[i].sum())
        assert int(alone.mask.sum()) == count
        assert alone.classes[0, :count].tolist() == together.classes[i, :count].tolist()
    other = imagination(captions * 20, map(str, range(60)))
    assert len({tuple(row) for row in other.classes.tolist()}) > 3


def test_every_caption_has_a_token():
    imagination = Imagination(width=5)
    imagination.learn(photos([]), [["A dog."]])
    memory = imagination([["Grass."]], ["1"])
    assert memory.mask.tolist() == [[True]] and memory.classes.tolist() == [[2 * COUNT]]
    assert memory.tokens.shape == (1, 1, 5)


def test_no_more_tokens_than_an_encoder_would_give():
    imagination = Imagination(width=5, most_regions=2, most_nouns=1)
    imagination.learn(photos([(DOG, 0.9)] * 6 + [(COUNT + DOG, 0.5)] * 3), [["A dog."]])
    (regions, nouns) = imagination.tokens(["A dog and a cat."], random.Random(1))
    assert len(regions) == 2 and len(nouns) == 1


def test_tokens_are_told_apart_by_who_named_them():
    ((regions, nouns),) = tokens_of(photos([(DOG, 0.9), (COUNT + CAT, 0.4)]))
    assert [token.concept for token in regions] == [DOG] and [token.concept for token in nouns] == [CAT]


def test_what_captions_say_of_a_concept_is_counted_once_a_caption():
    said = mentioned(["Two dogs and a dog.", "A dog.", "The puppies play.", "A cat."])
    assert said[DOG].captions == 3 and said[DOG].plural and said[CAT].captions == 1 and not said[CAT].plural


def test_nothing_is_imagined_after_nothing():
    with pytest.raises(UserError, match="need photos"):
        Imagination(width=5)([["A dog."]], ["1"])
