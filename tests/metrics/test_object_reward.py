"""Naming what is there is worth as much as people name it; what is not there, or twice, costs."""

import numpy as np
import pytest
import torch
from small import VOCABULARY as WORDS
from small import build, memory

from captioning.errors import UserError
from captioning.metrics.object_reward import ObjectReward
from captioning.tasks.captioning.self_critical import SelfCritical
from captioning.text.vocabulary import EOS, PAD, Vocabulary

SAID = {"x": ["A dog and a man.", "A dog.", "Two dogs.", "A puppy on a bench."], "y": ["Nothing of note."]}
VOCABULARY = Vocabulary("a dog man puppy cat bench on hot nothing".split(), max_words=8)


def of(key, text, **options):
    ids = [VOCABULARY.ids[word] for word in text.split()]
    reward = ObjectReward(SAID, VOCABULARY.words, **{"named": 0.5, "absent": 2.0, **options})
    return reward([key], [[[*ids, EOS, VOCABULARY.ids["cat"]]]])[0, 0]


@pytest.mark.parametrize(
    ("text", "gain"),
    [
        ("a dog", 0.5),
        ("a bench", 0.5 / 4),
        ("a dog on a bench", 0.5 + 0.5 / 4),
        ("a man", 0.0),
        ("a man on a man", 0.0),
        ("a cat", -2.0),
        ("a dog on a dog", 0.5 - 2.0),
        ("a dog on a puppy", 0.5 - 2.0),
        ("a hot dog", -2.0),
        ("nothing", 0.0),
    ],
)
def test_an_object_gains_by_the_share_of_captions_that_name_it_and_loses_where_none_does(text, gain):
    assert of("x", text) == pytest.approx(gain)


def test_a_person_whom_nobody_names_is_not_there():
    assert of("y", "a man") == -2.0


def test_rows_and_images_are_judged_alone():
    reward = ObjectReward(SAID, VOCABULARY.words, named=0.5, absent=2.0)
    dog, cat = VOCABULARY.ids["dog"], VOCABULARY.ids["cat"]
    rows = np.array([[[dog, EOS], [cat, PAD]], [[dog, EOS], [EOS, dog]]])
    np.testing.assert_allclose(reward(["x", "y"], rows), [[0.5, -2.0], [-2.0, 0.0]])


def test_self_critical_training_adds_it_to_its_reward():
    plain, ours = SelfCritical(), SelfCritical(named=0.5, absent=2.0)
    for objective in (plain, ours):
        objective.setup(VOCABULARY, SAID)
    rows = np.array([[[VOCABULARY.ids["cat"], EOS]]])
    assert ours.reward(["x"], rows) == pytest.approx(plain.reward(["x"], rows) - 2.0)


def test_subwords_have_no_words_to_name_by(monkeypatch):
    monkeypatch.setattr("captioning.tasks.captioning.self_critical.Subwords", Vocabulary)  # as if they were
    with pytest.raises(UserError, match="subwords"):
        SelfCritical(named=0.5).setup(VOCABULARY, SAID)


def test_the_likelihood_of_people_s_captions_is_added_to_the_loss():
    decoder = build("show_and_tell")
    context = decoder.prepare(memory("grid"))
    words = torch.tensor([[[1, 5, 6, EOS]]] * 3)
    losses = []
    for weight in (0.0, 2.0):
        torch.manual_seed(0)
        objective = SelfCritical(cross_entropy=weight)
        objective.setup(Vocabulary([f"w{i}" for i in range(4, WORDS)], max_words=5), {i: ["w5 w6"] for i in range(3)})
        losses.append(objective(decoder, context, words, [0, 1, 2]))
    added = losses[1][0] - losses[0][0]
    assert added.item() == pytest.approx(2 * losses[1][1]["cross_entropy"].item(), rel=1e-4) and added > 0
