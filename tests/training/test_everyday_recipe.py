"""The recipe of everyday photos on a miniature: two phases of training, then a model that remembers and names."""

import json

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from onnx_detector import saved
from source_layouts import Flickr8kLayout
from tiny_model import pictures

from captioning.commands.concepts import apply
from captioning.commands.hydra import conf_folder
from captioning.commands.remember import run as remember
from captioning.decoders.concept_retrieval import ConceptRetrievalDecoder
from captioning.decoders.retrieval import RetrievalDecoder
from captioning.errors import UserError
from captioning.models.bundle import whole_weights
from captioning.tasks.load import load
from captioning.training.train import train

TINY = """
    encoder=grid encoder.size=32 encoder.backbone=test_resnet.r160_in1k encoder.weights=none encoder.grid=2
    concepts=detector concepts.classifier=null concepts.detector.class_names=[dog,cat,kite] concepts.reader.rank=8
    decoder.width=16 decoder.layers=1 decoder.heads=2 decoder.feed_forward=16 vocabulary.min_count=1 progress=false
    batch_size=2 trainer.max_epochs=1 trainer.accelerator=cpu generation.forbidden_endings=[]
""".split()
TEXTS = ["A dog and a cat on a bed.", "A kite in the sky.", "A dog near a kite.", "Two dogs and a cat."]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """flickr8k/ of five photos, captions without photos, a detector, and the model that the recipe starts from."""
    root = tmp_path_factory.mktemp("everyday")
    Flickr8kLayout(root / "flickr8k").write()
    for picture, name in zip(pictures(5), "abcde", strict=True):
        picture.save(root / f"flickr8k/Images/{name}.jpg")
    lines = [{"id": i, "captions": [text, text.replace("A ", "One ")]} for i, text in enumerate(TEXTS)]
    (root / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    saved(root / "detector.onnx")
    plain = [one for one in TINY if not one.startswith("concepts")]
    train(composed(root, "train", *plain, "data=flickr8k", "decoder=transformer", "name=start"), root / "runs/start")
    return root


def composed(root, verb, *overrides):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose(verb, list(overrides))
    with open_dict(config):
        if verb == "train":
            del config["output"]
        (config.data.source if "source" in config.data else config.data).root = str(root / "flickr8k")
        if config.data._target_.endswith("WithoutPhotos"):
            config.data.texts = [str(root / "texts.jsonl")]
        reads = "concepts" in config and bool(config.concepts)
        if reads:
            config.concepts.detector.file = str(root / "detector.onnx")
        config.store = str(root / ("plain" if verb == "train" and not reads else "store"))
    if verb == "train" and reads:
        apply(config)
    return config


@pytest.fixture(scope="module")
def trained(miniature):
    """Both phases."""
    first = ["experiment=everyday", *TINY, f"start={miniature}/runs/start/model", "trainer.max_epochs=2"]
    model = train(composed(miniature, "train", *first), miniature / "runs/everyday")
    then = ["experiment=everyday_self_critical", *TINY, f"start={model}"]
    return model, train(composed(miniature, "train", *then), miniature / "runs/then")


def test_a_model_of_the_recipe_has_words_of_captions_alone_and_says_where_it_comes_from(trained):
    first, second = trained
    assert {"bed", "sky"} <= set(load(second).task.vocabulary.words)
    assert "0.13" in (first / "README.md").read_text() and "0.13" not in (second / "README.md").read_text()


def test_it_remembers_texts_and_photos_and_names_what_counts(trained, miniature):
    options = [f"model={trained[1]}", f"output={miniature}/read", f"texts=[{miniature}/texts.jsonl]", "kin=2"]
    remember(composed(miniature, "remember", *options), miniature)
    options = [f"model={miniature}/read", f"output={miniature}/done", "eight_bit=true", "generation.naming=4"]
    options += ["generation.familiar=0.36", "generation.insist=0.3", "generation.together=true"]
    remember(composed(miniature, "remember", *options), miniature)
    model = load(miniature / "done")
    assert "fox" in model.task.vocabulary.ids, "like a dog, which captions here name"
    assert isinstance(model.task.decoder, RetrievalDecoder)
    assert isinstance(model.task.decoder.decoder, ConceptRetrievalDecoder)
    kept = model.task.generation.keywords
    assert (kept["naming"], kept["familiar"], kept["insist"], kept["together"]) == (4, 0.36, 0.3, True)
    assert all(caption.text for caption in model.caption(pictures(3)))


def test_a_share_of_the_start_is_in_the_finished_weights(miniature):
    start = miniature / "runs/start/model"
    model = train(
        composed(miniature, "train", "experiment=everyday", *TINY, f"start={start}", "start_share=1.0"),
        miniature / "runs/share",
    )
    theirs, ours = whole_weights(start), whole_weights(model)
    name = next(n for n in theirs if n.startswith("task.decoder.") and n.endswith("self_attention.output.weight"))
    assert torch.equal(ours[name.replace("task.decoder.", "task.decoder.decoder.")], theirs[name])
    words = ours["task.decoder.decoder.embed.weight"]
    known = theirs["task.decoder.embed.weight"]
    assert len(words) > len(known) and torch.equal(words[: len(known)], known)


@pytest.mark.parametrize("share", ["1.5", "0.2"])
def test_a_share_is_of_a_start(share, miniature):
    config = composed(miniature, "train", "experiment=everyday", *TINY, f"start_share={share}")
    config.start = None if share == "0.2" else config.start
    with pytest.raises(UserError, match="start_share"):
        train(config, miniature / "runs/never")
