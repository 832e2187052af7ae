"""A graph as memory: what it says is what is said, whatever the order of its things, its batch or its padding."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from tiny_graphs import Detection, SceneGraphs, thing_bundle
from tiny_model import pictures

from captioning.commands.hydra import conf_folder
from captioning.data.graphs import GraphExample
from captioning.data.synthetic.scene_graphs import SceneGraphs as GraphWorld
from captioning.encoders.graph_finders import FoundGraphs, TrueGraphs
from captioning.encoders.graphs import GraphEncoder
from captioning.errors import UserError
from captioning.models.bundle import save_bundle
from captioning.tasks.load import load
from captioning.training.graph_parts import with_graphs
from captioning.training.train import train

BOXES = ((0.0, 0.0, 0.3, 0.3), (0.5, 0.1, 0.8, 0.4), (0.1, 0.6, 0.3, 0.9))
NAMES, PREDICATES = ("cat", "dog", "cow"), ("left of", "above")


def example(order=(0, 1, 2), relations=((0, "left of", 1), (0, "above", 2))) -> GraphExample:
    """Three things and two relations, the things in that order."""
    place = {number: i for i, number in enumerate(order)}
    return GraphExample(
        1, "1.png", boxes=tuple(BOXES[i] for i in order), labels=tuple(NAMES[i] for i in order),
        relations=tuple((place[s], p, place[o]) for s, p, o in relations),
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> GraphEncoder:
    torch.manual_seed(0)
    return GraphEncoder(graphs=TrueGraphs(labels=NAMES, predicates=PREDICATES), width=16).eval()


def seen(encoder, *examples):
    with torch.no_grad():
        return encoder(encoder.collate([encoder.read_annotated(None, one) for one in examples]))


def test_the_order_in_which_things_are_written_down_means_nothing(encoder):
    one, other = seen(encoder, example()), seen(encoder, example((2, 0, 1)))
    torch.testing.assert_close(one.pooled, other.pooled)
    torch.testing.assert_close(one.tokens[0, [3, 1, 2]], other.tokens[0, 1:4])
    torch.testing.assert_close(one.tokens[0, 4:], other.tokens[0, 4:])


def test_who_is_to_the_left_of_whom_is_not_lost(encoder):
    turned = seen(encoder, example(relations=((1, "left of", 0), (0, "above", 2))))
    straight = seen(encoder, example())
    assert torch.equal(turned.tokens[:, :4], straight.tokens[:, :4])
    assert float((turned.tokens[0, 4] - straight.tokens[0, 4]).abs().max()) > 0.1
    assert torch.equal(turned.tokens[0, 5], straight.tokens[0, 5])


def test_a_picture_is_seen_alike_in_any_batch_and_one_without_things_has_one_token(encoder):
    nothing = GraphExample(2, "2.png")
    alone = seen(encoder, example())
    batch = seen(encoder, nothing, example(), example(relations=()))
    assert batch.mask.sum(1).tolist() == [1, 6, 4]
    torch.testing.assert_close(batch.tokens[1], alone.tokens[0])
    torch.testing.assert_close(batch.pooled[1], alone.pooled[0])
    assert not batch.tokens[~batch.mask].any() and torch.isfinite(batch.pooled).all()
    torch.testing.assert_close(batch.boxes[1, 4], torch.tensor([0.0, 0.0, 0.8, 0.4]))


def test_names_that_are_not_known_are_one_and_their_predicates_none(encoder):
    strange = GraphExample(3, "3.png", boxes=BOXES[:2], labels=("yak", "gnu"), relations=((0, "rides", 1),))
    memory = seen(encoder, strange)
    assert memory.mask.sum() == 3 and torch.isfinite(memory.tokens).all()


@pytest.fixture(scope="module")
def grapher(tmp_path_factory):
    """A model of graphs on disk."""
    return save_bundle(tmp_path_factory.mktemp("graphs") / "model", thing_bundle(SceneGraphs), card="")


def composed(*words):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", ["experiment=scene_graph_captions", *map(str, words)])
    with open_dict(config):
        del config["output"]
    return config


SMALL = ("data.val=4", "decoder.width=32", "decoder.layers=1", "encoder.width=32", "progress=false")


def test_what_is_found_is_the_graph_that_the_model_of_graphs_writes(grapher, tmp_path):
    config = composed(
        f"encoder.graphs.model={grapher}", "encoder.graphs.least=0.01", "data.train=8", "trainer.max_epochs=1", *SMALL
    )
    model = train(config, tmp_path / "run")
    captioner, finder = load(model, device="cpu"), load(grapher, device="cpu")
    assert "model" not in captioner.bundle.encoder_config["graphs"]
    photo = pictures(1, 96)[0]
    with torch.no_grad():
        ours = captioner.encoder.graphs(captioner.encoder.collate([captioner.encoder.read(photo)]))
    theirs = finder.graph(photo, least=0.01, most=40)
    assert theirs.relations, "a picture without a relation would prove nothing"
    names, predicates = captioner.encoder.graphs.labels, captioner.encoder.graphs.predicates
    assert [names[i] for i in ours.labels[0].tolist()] == [box.label for box in theirs.objects]
    found = [(s, predicates[p], o) for s, p, o in ours.relations[0].tolist()]
    assert found == [(e.subject, e.predicate, e.object) for e in theirs.relations]
    assert captioner.caption(photo).text == load(model, device="cpu").caption(photo).text


def test_captions_say_relations_that_the_graph_has(tmp_path):
    """Of 60 pictures that were never trained on. A pair of things and a predicate drawn by chance is true of few."""
    config = composed(
        "encoder=true_graph", "data.train=800", "data.val=24", "trainer.max_epochs=7", "captions_per_image=2",
        "optimizer.lr=2e-3", "encoder_lr=2e-3", "decoder.layers=1", "decoder.dropout=0", "progress=false",
    )  # fmt: skip
    captioner = load(train(config, tmp_path / "run"), device="cpu")
    examples, said = captioner.predict_split(GraphWorld(test=60), "test", store=None)
    related = [one for one in examples if one.relations]
    sentences = {one.id: {f"a {one.labels[s]} {p} a {one.labels[o]}" for s, p, o in one.relations} for one in related}
    texts = [said[one.id].lower().rstrip(".") for one in related]
    right = sum(text in sentences[one.id] for text, one in zip(texts, related, strict=True)) / len(related)
    by_chance = sum(text in sentences[one.id] for text, one in zip(texts[1:] + texts[:1], related, strict=True)) / len(
        related
    )
    assert len(related) > 40 and right > 0.35 and by_chance < 0.1, (right, by_chance)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "encoder.graphs.model=runs/scene_graphs/model"),
        (("encoder.graphs.model=nowhere",), "nowhere"),
        (("encoder=true_graph", "data=scenes"), "no training picture has a relation"),
    ],
)
def test_a_graph_that_nothing_finds_is_one_sentence(words, says):
    config = composed(*words)
    with pytest.raises(UserError, match=says):
        with_graphs(config.encoder, [])


def test_a_model_that_finds_no_graphs_is_named(tmp_path):
    other = save_bundle(tmp_path / "other", thing_bundle(Detection), card="")
    with pytest.raises(UserError, match="finds no graphs"):
        with_graphs(composed(f"encoder.graphs.model={other}").encoder, [])


def test_where_graphs_come_from_is_said_of_a_photo_that_has_none_and_of_parts_that_are_missing(encoder):
    with pytest.raises(UserError, match="a photo alone has none"):
        encoder.read(pictures(1)[0])
    with pytest.raises(UserError, match="read by captioning train alone"):
        FoundGraphs(model="runs/graphs")
    with pytest.raises(UserError, match="are empty"):
        TrueGraphs()
