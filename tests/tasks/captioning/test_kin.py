"""What captions seldom name is said in the places of its kin, where it is asked for; all else is said as before."""

import pytest
import torch
from concept_model import COUNT, GROUPS, VOCABULARY, concept_bundle
from safetensors.torch import load_file
from small import assert_same

from captioning.decoders.concepts import ConceptReader
from captioning.decoders.transformer import Transformer
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.memory import VisualMemory
from captioning.models.bundle import load_bundle, save_bundle
from captioning.tasks.captioning.kin import RARER, seldom_named, speaking_like_kin
from captioning.tasks.captioning.retrieval_memory import remembering_texts
from captioning.text.concepts import concept_namer, concepts, kin

WIDTH = 32


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def reader(**options):
    torch.manual_seed(1)
    sizes = {"visual_width": WIDTH, "vocabulary_size": len(VOCABULARY)}
    return ConceptReader(
        Transformer(**sizes, width=16, layers=1, heads=4, feed_forward=24, **options), **sizes, concepts=2 * COUNT
    ).eval()


def seen(name: str, noun: bool = True) -> VisualMemory:
    classes = torch.tensor([[-1, list(concepts()).index(name) + COUNT * noun]])
    tokens = torch.randn(1, 2, WIDTH, generator=torch.Generator().manual_seed(2))
    boxes = torch.tensor([0.1, 0.1, 0.9, 0.9]).expand(1, 2, 4)
    return VisualMemory(
        tokens, torch.ones(1, 2, dtype=torch.bool), tokens.mean(1), boxes, classes=classes, scores=torch.ones(1, 2)
    )


def test_every_name_and_its_kin_take_the_same_article_and_the_names_are_concepts():
    for name, word in kin().items():
        assert name in concepts() and name != word
        assert (name[0] in "aeio") == (word[0] in "aeio"), (name, word)


def test_what_enough_captions_name_keeps_its_own_words():
    groups = [["A lion sleeps.", "Two lions."], ["A wolf."]]
    assert seldom_named(groups, 2).get("wolf") == "dog" and "lion" not in seldom_named(groups, 2)
    assert "lion" in seldom_named(groups, 3)


@pytest.mark.parametrize("noun", [False, True])
def test_a_name_is_read_and_likely_as_its_kin_is_and_all_else_as_before(noun):
    before = reader()
    after, words = speaking_like_kin(before, VOCABULARY, {"lion": "elephant", "shark": "unheard"})
    assert words.words[: len(VOCABULARY)] == VOCABULARY.words and words.words[len(VOCABULARY) :] == ("lion", "lions")
    said = torch.tensor([[VOCABULARY.encode("A man rides an elephant")]])
    plain = before(before.prepare(seen("dog", noun)), said)
    assert_same(after(after.prepare(seen("dog", noun)), said)[..., : len(VOCABULARY)], plain)
    of_kin, of_name = (after(after.prepare(seen(each, noun)), said) for each in ("elephant", "lion"))
    assert_same(of_name, of_kin)
    assert_same(of_name[..., words.ids["lion"]], of_name[..., words.ids["elephant"]] - RARER)
    instead = torch.where(said == words.ids["elephant"], words.ids["lion"], said)
    assert_same(after(after.prepare(seen("lion", noun)), instead), of_name)
    assert len(before.decoder.embed.weight) == len(VOCABULARY), "the reader given is left as it was"


def test_asked_for_it_is_said_where_its_kin_would_be():
    after, words = speaking_like_kin(reader(), VOCABULARY, {"lion": "elephant"})
    options = {"beam_size": 3, "max_words": 6}
    captions = [
        beam(after, after.prepare(seen("lion")), forced_words_of=[[[(words.ids[word],)]]], **options).words[0, 0]
        for word in ("lion", "elephant")
    ]
    assert torch.equal(captions[0], torch.where(captions[1] == words.ids["elephant"], words.ids["lion"], captions[1]))


def test_a_decoder_without_a_bias_of_words_is_refused():
    with pytest.raises(UserError, match="bias"):
        speaking_like_kin(reader(tied=True), VOCABULARY, {"lion": "elephant"})


def test_a_model_keeps_its_new_words_and_forgets_none_of_its_weights(tmp_path):
    plain = concept_bundle()
    bundle = remembering_texts(plain, GROUPS, kin=2)
    words = bundle.task.vocabulary
    assert plain.task.vocabulary is VOCABULARY and "wolf" in words.ids and "wolf" not in VOCABULARY.ids
    assert "alligator" in words.ids and "camel" in words.ids  # like an elephant, and like a horse
    phrases = {tuple(words.words[i] for i in phrase) for phrase in bundle.task.decoder.naming}
    assert ("wolf",) in phrases and concept_namer()(["wolf"])[0].names == {"wolf"}
    folder = save_bundle(tmp_path / "kin", bundle, card="# card", eight_bit=True)
    again = remembering_texts(load_bundle(folder), GROUPS, kin=2)
    other = save_bundle(tmp_path / "again", again, card="# card", eight_bit=True)
    one, two = (load_file(each / "weights.safetensors") for each in (folder, other))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_model_of_subwords_is_refused():
    from captioning.text.subwords import Subwords

    words = Subwords.__new__(Subwords)
    with pytest.raises(UserError, match="subwords"):
        speaking_like_kin(reader(), words, {"lion": "elephant"})
