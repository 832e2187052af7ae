"""One run learns from photos with concepts and from captions alone; a concept's word is said that no caption had."""

import json

import pytest
import torch
from hydra import compose, initialize_config_dir
from onnx_detector import saved
from small import SMALL_TRANSFORMER, assert_same
from tiny_runs import configuration

from captioning.commands.concepts import apply
from captioning.commands.hydra import conf_folder
from captioning.decoders.concepts import ConceptReader
from captioning.decoders.transformer import Transformer
from captioning.errors import UserError
from captioning.features.imagined import ImaginedMemories
from captioning.generation.greedy import greedy
from captioning.memory import VisualMemory
from captioning.tasks.load import load
from captioning.text.vocabulary import BOS, EOS, UNK
from captioning.training.train import train

DECODER = "decoder=transformer decoder.width=16 decoder.layers=1 decoder.heads=2 decoder.feed_forward=16".split()
CONCEPTS = ["concepts=detector", "concepts.detector.class_names=[dog,cat,kite]", "concepts.reader.rank=8"]


def concepts_of(tmp_path, *overrides):
    file = saved(tmp_path / "detector.onnx")
    config = configuration(*DECODER, *CONCEPTS, f"concepts.detector.file={file}", *overrides)
    apply(config)
    return config


@pytest.mark.parametrize("verb", ["train", "extract"])
@pytest.mark.parametrize("encoder", ["grid", "grid_pair", "regions", "regions_true_boxes"])
@pytest.mark.parametrize("concepts", ["detector", "classifier", "both"])
def test_concepts_go_around_every_encoder_of_photos(verb, encoder, concepts):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        plain = compose(verb, [f"encoder={encoder}"])
        config = compose(verb, [f"encoder={encoder}", f"concepts={concepts}"])
    apply(config)
    assert config.encoder.encoder == plain.encoder and config.encoder._target_.endswith("ConceptEncoder")
    if verb == "train":
        assert config.decoder.decoder == plain.decoder and config.task.decoder == config.decoder


def test_one_run_mixes_photos_and_captions_alone(tmp_path):
    texts = tmp_path / "texts.jsonl"
    said = [f"A dog and a cat beside {thing}." for thing in ("kites", "men", "dogs") * 4]
    texts.write_text("".join(json.dumps({"id": i, "captions": [text]}) + "\n" for i, text in enumerate(said)))
    config = concepts_of(tmp_path, f"store={tmp_path / 'store'}", "trainer.max_epochs=1")
    config.data = {
        "_target_": "captioning.data.without_photos.WithoutPhotos",
        "source": config.data,
        "texts": [str(texts)],
    }
    model = train(config, tmp_path / "run")
    captioner = load(model)
    assert {"dog", "cat", "kites"} <= set(captioner.task.vocabulary.words), "words of captions alone are learned"
    assert (tmp_path / "detector.onnx").exists()
    (tmp_path / "detector.onnx").unlink()
    from tiny_model import pictures

    again = load(model)  # the detector travels in the model
    assert [caption.text for caption in again.caption(pictures(2))]
    assert again.caption(pictures(1)[0], details=True).attention is not None


def test_captions_alone_need_concepts_and_a_store(tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"id": 1, "captions": ["A dog."]}\n')
    for overrides, words in ((["store=null"], "store=auto"), ([f"store={tmp_path / 'plain'}"], "concepts=both")):
        config = configuration(*DECODER, *overrides, "trainer.max_epochs=1")
        config.data = {
            "_target_": "captioning.data.without_photos.WithoutPhotos",
            "source": config.data,
            "texts": [str(texts)],
        }
        with pytest.raises(UserError, match=words):
            train(config, tmp_path / f"run{len(overrides[0])}")


@pytest.mark.parametrize("strangers", [-0.1, 1.5])
def test_strangers_are_a_probability(strangers):
    with pytest.raises(UserError, match="probability"):
        ImaginedMemories(None, [], strangers=strangers)


KINDS, HELD_OUT = 6, 5
A, HERE, FIRST = UNK + 1, UNK + 2, UNK + 3  # words; that of kind k is FIRST + k


def image(kinds):
    """Photos of one cell that tells nothing, and one concept."""
    count = len(kinds)
    return VisualMemory(
        torch.ones(count, 2, SMALL_TRANSFORMER["visual_width"]),
        torch.ones(count, 2, dtype=torch.bool),
        torch.ones(count, SMALL_TRANSFORMER["visual_width"]),
        torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.2, 0.2, 0.8, 0.8]]).expand(count, 2, 4),
        classes=torch.tensor([[-1, kind] for kind in kinds]),
        scores=torch.ones(count, 2),
    )


def captions(kinds):
    return torch.tensor([[[BOS, A, FIRST + kind, HERE, EOS]] for kind in kinds])


@pytest.mark.parametrize("copy", [True, False])
def test_a_word_held_out_of_all_captions_is_said_through_its_concept_only_by_copying(copy):
    torch.manual_seed(0)
    sizes = {name: SMALL_TRANSFORMER[name] for name in ("visual_width", "vocabulary_size")}
    reader = ConceptReader(Transformer(**SMALL_TRANSFORMER), **sizes, concepts=KINDS, rank=8, copy=copy)
    if copy:
        reader.words.copy_(FIRST + torch.arange(KINDS))
    optimizer = torch.optim.Adam(reader.parameters(), lr=0.01)
    known = [kind for kind in range(KINDS) if kind != HELD_OUT] * 3
    words = captions(known)
    for _ in range(150):
        logits = reader(reader.prepare(image(known)), words[..., :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 2), words[..., 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    reader.eval()
    said = greedy(reader, reader.prepare(image(range(KINDS))), max_words=5).words[:, 0]
    assert_same(said[:HELD_OUT, :4].float(), captions(range(HELD_OUT))[:, 0, 1:].float())
    assert (FIRST + HELD_OUT in said[HELD_OUT].tolist()) == copy
