"""A memory of captions by what they name: what fits is found, and what nobody believes to see is counted."""

from dataclasses import replace

import pytest
import torch
from concept_model import COUNT, GROUPS, VOCABULARY, concept_bundle
from small import VISUAL_WIDTH, assert_same

from captioning.decoders.concept_retrieval import MEMORY, ConceptRetrievalDecoder
from captioning.decoders.concepts import ConceptReader
from captioning.decoders.retrieval import RetrievalDecoder
from captioning.decoders.transformer import Transformer
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.consensus import consensus
from captioning.memory import VisualMemory
from captioning.text.concepts import concepts
from captioning.text.vocabulary import EOS, PAD

SIZES = {"visual_width": VISUAL_WIDTH, "vocabulary_size": len(VOCABULARY)}


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def reader():
    torch.manual_seed(0)
    inside = Transformer(**SIZES, width=16, layers=1, heads=4, feed_forward=24)
    return ConceptReader(inside, **SIZES, concepts=2 * COUNT, rank=6).eval()


def remembering(**options):
    return ConceptRetrievalDecoder(reader(), **SIZES, **options).index_captions(GROUPS, VOCABULARY).eval()


def image(*believed):
    """A memory of one cell and these (name, score) that a detector found, or with a * a classifier named."""
    names = list(concepts())
    classes = [-1, *(names.index(name.strip("*")) + COUNT * name.startswith("*") for name, _ in believed)]
    count = len(classes)
    return VisualMemory(
        torch.randn(1, count, VISUAL_WIDTH, generator=torch.Generator().manual_seed(1)),
        torch.ones(1, count, dtype=torch.bool),
        torch.ones(1, VISUAL_WIDTH),
        torch.tensor([0.1, 0.1, 0.9, 0.9]).expand(1, count, 4),
        classes=torch.tensor([classes]),
        scores=torch.tensor([[0.0, *(score for _, score in believed)]]),
    )


def ids(text):
    return torch.tensor([[VOCABULARY.encode(text)]])


@pytest.mark.parametrize("name", ["dog", "hot dog", "horse", "elephant"])
@pytest.mark.parametrize("source", ["", "*"])
def test_captions_that_name_what_is_seen_come_first(name, source):
    decoder = remembering(neighbours=2)
    context = decoder.prepare(image((source + name, 0.9)))
    best = int(context.groups[0, 0])
    captions = decoder.captions.split(decoder.caption_counts.tolist())[best]
    said = [" ".join(VOCABULARY.decode(words)) for words in captions.tolist()]
    assert all(name in caption for caption in said)
    assert (context.trust.diff(dim=1) <= 0).all()
    assert_same(context.trust.sum(1), torch.ones(1))


def test_what_names_nothing_is_not_remembered():
    assert len(remembering().caption_counts) == 4
    with pytest.raises(UserError, match="no caption names anything"):
        ConceptRetrievalDecoder(reader(), **SIZES).index_captions([["Nothing."]], VOCABULARY)


def test_a_caption_agrees_most_with_those_that_say_it():
    decoder = remembering(neighbours=1)
    context = decoder.prepare(image(("horse", 0.9), ("person", 0.8)))
    good, bad = (decoder.agreement(context, ids(text)) for text in ("a man rides a horse", "a dog runs on grass"))
    assert good > 10 * bad


@pytest.mark.parametrize(
    ("caption", "count"),
    [
        ("a dog", 0.1),  # believed with 0.9
        ("a hot dog", 1.0),
        ("a horse and a dog", 1.1),
        ("a man rides a horse", 2.0),
        ("a brown table", 0.6),
        ("an orange", 0.0),  # mostly a colour
        ("grass", 0.0),
    ],
)
def test_what_is_named_counts_as_far_as_nobody_believes_it(caption, count):
    decoder = remembering()
    context = decoder.prepare(image(("dog", 0.9), ("*dining table", 0.4)))
    assert_same(decoder.unsupported(context, ids(caption)), torch.tensor([[count]]))


def test_an_image_of_which_nothing_is_believed_still_has_neighbours():
    decoder = remembering()
    seen = image()
    for memory in (seen, replace(seen, classes=None, scores=None)):
        context = decoder.prepare(memory)
        assert context.groups.shape == (1, 4) and (context.belief == 0).all()


def test_every_word_is_that_of_the_decoder_inside():
    decoder, seen = remembering(), image(("dog", 0.9))
    alone, words = decoder.decoder, ids("a dog runs")
    assert_same(decoder(decoder.prepare(seen), words), alone(alone.prepare(seen), words))


def test_what_is_remembered_comes_back_from_the_weights():
    first, second = remembering(), ConceptRetrievalDecoder(reader(), **SIZES)
    second.load_state_dict(first.state_dict())
    seen, words = image(("dog", 0.9)), ids("a dog and a horse")
    for kind in ("agreement", "unsupported"):
        assert_same(*(getattr(each, kind)(each.prepare(seen), words) for each in (first, second)))


@pytest.mark.parametrize("part", MEMORY)
def test_a_memory_that_does_not_fit_together_is_refused(part):
    state = remembering().state_dict()
    spoiled = {
        "named": state["named"] + COUNT,
        "shares": state["shares"][:, :-1],
        "captions": state["captions"] + len(VOCABULARY),
        "caption_counts": state["caption_counts"] * 0,
        "phrases": state["phrases"] - len(VOCABULARY),
        "phrase_names": state["phrase_names"][:-1],
    }
    state[part] = spoiled[part]
    with pytest.raises(UserError, match="does not fit together"):
        ConceptRetrievalDecoder(reader(), **SIZES).load_state_dict(state)


def search(decoder, seen, **options):
    return consensus(decoder, decoder.prepare(seen), beam_size=6, num_captions=6, max_words=4, **options)


def test_without_weights_consensus_is_beam_search():
    decoder, seen = remembering(), image(("dog", 0.9))
    ours = search(decoder, seen, concept_weight=0.0)
    theirs = beam(decoder, decoder.prepare(seen), beam_size=6, num_captions=6, max_words=4)
    assert torch.equal(ours.words, theirs.words)
    assert_same(ours.scores, theirs.scores)


def test_consensus_ranks_by_agreement_and_by_what_is_unsupported():
    decoder, seen = remembering(), image(("dog", 0.9))
    plain = search(decoder, seen, concept_weight=0.0)
    context = decoder.prepare(seen)
    for options in ({"concept_weight": 2.0}, {"concept_weight": 0.5, "unsupported": 0.7}):
        ours = search(decoder, seen, **options)
        added = options["concept_weight"] * decoder.agreement(context, plain.words)
        added = added - options.get("unsupported", 0.0) * decoder.unsupported(context, plain.words)
        assert_same(ours.scores, (plain.scores + added).sort(descending=True).values, 1e-4)


def both(photos):
    return RetrievalDecoder(remembering(), **SIZES).index_captions(photos, [[[5, 6, EOS]], [[7, EOS, PAD]]]).eval()


def test_a_photo_like_those_remembered_is_judged_by_them_and_another_by_what_it_names():
    seen = image(("dog", 0.9))
    photos = torch.randn(2, VISUAL_WIDTH, generator=torch.Generator().manual_seed(4))
    decoder = both(photos)
    plain = search(decoder, seen, weight=0.0, concept_weight=0.0)
    context = decoder.prepare(seen)
    by_looks = decoder.agreement(context, plain.words)
    by_concepts = decoder.decoder.agreement(context.own, plain.words)
    for familiar, added in ((-9.0, 2 * by_looks), (9.0, 2 * by_concepts), (None, by_looks + by_concepts)):
        ours = search(decoder, seen, weight=1.0, concept_weight=1.0, familiar=familiar)
        assert_same(ours.scores, (plain.scores + added).sort(descending=True).values, 1e-4)


def test_of_naming_and_doubt_less_is_left_the_more_familiar_a_photo_is():
    seen = image(("dog", 0.5))
    decoder = both(torch.randn(2, VISUAL_WIDTH, generator=torch.Generator().manual_seed(4)))
    none = {"weight": 0.0, "concept_weight": 0.0}
    plain = search(decoder, seen, **none)
    inside = decoder.prepare(seen).own
    named = 3.0 * decoder.decoder.salience(inside, plain.words)
    doubted = 0.7 * decoder.decoder.unsupported(inside, plain.words)
    assert named.unique().numel() > 1 and doubted.any()
    options = {"naming": 3.0, "unsupported": 0.7, "familiar_naming": 0.25, "familiar_unsupported": 0.5, **none}
    for familiar, of_naming, of_doubt in ((-9.0, 0.25, 0.5), (9.0, 1.0, 1.0), (None, 1.0, 1.0)):
        ours = search(decoder, seen, familiar=familiar, **options)
        assert_same(
            ours.scores, (plain.scores + of_naming * named - of_doubt * doubted).sort(descending=True).values, 1e-4
        )


@pytest.mark.parametrize("option", ["weight", "concept_weight", "unsupported", "familiar_naming"])
def test_weights_are_not_negative(option):
    with pytest.raises(UserError, match=f"generation.{option}"):
        search(remembering(), image(), **{option: -1.0})


def test_an_image_alone_gets_what_it_gets_in_a_batch():
    decoder = remembering()
    seen = [image(("dog", 0.9), ("horse", 0.3)), image(("*elephant", 0.5)), image()]
    together = decoder.prepare(VisualMemory.stack(seen))
    for i, memory in enumerate(seen):
        alone = decoder.prepare(memory)
        assert torch.equal(alone.groups[0], together.groups[i]) or not len(memory.classes[memory.classes >= 0])
        assert_same(alone.belief[0], together.belief[i])
    kept = together.keep(torch.tensor([2, 0]))
    assert torch.equal(kept.groups, together.groups[[2, 0]]) and torch.equal(kept.belief, together.belief[[2, 0]])


def test_a_model_with_both_memories_comes_back_from_its_files(tmp_path):
    from tiny_model import pictures

    from captioning.example import Example
    from captioning.models.bundle import load_bundle, save_bundle
    from captioning.tasks.captioning.captioner import Captioner
    from captioning.tasks.captioning.retrieval_memory import remembering, remembering_texts

    bundle = remembering_texts(concept_bundle(), GROUPS)
    assert bundle.task.generation.func is consensus and bundle.task.generation.keywords["beam_size"] == 6
    photos = [Example(str(i), f"{i}.png", (GROUPS[0][0],)) for i in range(3)]
    bundle = remembering(bundle, torch.randn(3, bundle.encoder.width), photos, dimensions=2)
    bundle = remembering_texts(bundle, GROUPS[:3])
    assert isinstance(bundle.task.decoder, RetrievalDecoder) and len(bundle.task.decoder.decoder.caption_counts) == 3
    loaded = load_bundle(save_bundle(tmp_path / "model", bundle, card="# card"))
    ours, theirs = (Captioner(each, device="cpu").caption(pictures(3)) for each in (bundle, loaded))
    assert [caption.text for caption in ours] == [caption.text for caption in theirs]
    assert [caption.believed for caption in ours] == [caption.believed for caption in theirs]
    detailed = Captioner(loaded, device="cpu").caption(pictures(1)[0], details=True)
    assert_same(torch.from_numpy(detailed.attention).sum(-1), torch.ones(len(detailed.words)))
    assert detailed.attention.shape[1] == 4 and detailed.boxes is None, "where it looked, in cells"


def test_texts_are_for_models_that_read_concepts():
    from tiny_model import tiny_bundle

    from captioning.tasks.captioning.retrieval_memory import remembering_texts

    with pytest.raises(UserError, match="read concepts"):
        remembering_texts(tiny_bundle(), GROUPS)


def test_training_goes_on_from_a_model_without_its_memories(tmp_path):
    from captioning.example import Example
    from captioning.models.bundle import save_bundle
    from captioning.tasks.captioning.retrieval_memory import remembering, remembering_texts
    from captioning.training.initial_weights import read_start

    plain = concept_bundle()
    own = {f"task.{name}" for name in plain.task.state_dict()}
    bundle = remembering_texts(plain, GROUPS)
    photos = [Example("1", "1.png", ("A dog runs.",))]
    both = remembering(bundle, torch.randn(1, bundle.encoder.width), photos, dimensions=1)
    for name, one in (("captions", bundle), ("both", both)):
        start = read_start(save_bundle(tmp_path / name, one, card="# card"))
        assert {weight for weight in start.weights if weight.startswith("task.")} == own


def test_what_speaks_for_a_concept_adds_up_and_never_beyond_certainty():
    decoder = ConceptRetrievalDecoder(
        ConceptReader(Transformer(**SIZES, width=16, layers=1, heads=4, feed_forward=24), **SIZES, concepts=2 * COUNT),
        **SIZES,
    )
    dog, cat = (list(concepts()).index(name) for name in ("dog", "cat"))
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5]] * 4)[None]
    memory = VisualMemory(
        tokens=torch.zeros(1, 4, VISUAL_WIDTH),
        mask=torch.ones(1, 4, dtype=torch.bool),
        pooled=torch.zeros(1, VISUAL_WIDTH),
        boxes=boxes,
        classes=torch.tensor([[dog, cat, cat, COUNT + cat]]),
        scores=torch.tensor([[0.4, 0.4, 0.4, 0.9]]),
    )
    weight, belief = decoder.believed(memory)
    once = 0.4 * (0.35 + 0.5)
    left = (1 - once) ** 2 * (1 - 0.7 * 0.9)
    assert_same(weight[0, [dog, cat]], torch.tensor([once, 1 - left]))
    assert_same(belief[0, [dog, cat]], torch.tensor([0.4, 0.9]))
    sure = replace(memory, scores=torch.ones(1, 4), boxes=torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 4, 4))
    assert (decoder.believed(sure)[0] <= 1).all()


def test_captions_found_without_concepts_are_candidates_by_what_they_are_worth_with_them():
    decoder, seen = both(torch.randn(2, VISUAL_WIDTH, generator=torch.Generator().manual_seed(4))), image(("dog", 0.9))
    none = {"weight": 0.0, "concept_weight": 0.0}
    plain = search(decoder, seen, **none)
    found = search(decoder, seen, concept_gap=0.4, **none)
    assert (found.scores[:, 0] >= plain.scores[:, 0] - 1e-5).all()
    blind = image()
    assert_same(search(decoder, blind, concept_gap=9.0, **none).scores, search(decoder, blind, **none).scores, 1e-4)
