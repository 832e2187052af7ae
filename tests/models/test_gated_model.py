"""A model with a gate comes back from its files, and may leave the encoder inside its own to another model."""

import json

import pytest
import torch
from concept_model import COUNT, GROUPS, concept_bundle
from test_cli import captioning  # noqa: F401  the command, as a fixture
from tiny_model import pictures

from captioning.decoders.concepts import ConceptReader
from captioning.decoders.domain_gate import DomainGate
from captioning.encoders.base import architecture
from captioning.errors import UserError
from captioning.example import Example
from captioning.generation.beam import beam
from captioning.models.bundle import Bundle, load_bundle, save_bundle, whole_config
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.ensemble import join
from captioning.tasks.captioning.retrieval_memory import (
    gated,
    remembering,
    remembering_texts,
    without_gate,
    without_memory,
)
from captioning.training.initial_weights import read_start

SCENES = ["data=scenes", "data.train=8", "data.val=2", "data.test=2", "data.unseen=0", "data.size=64"]


def gated_bundle(threshold=0.0):
    bundle = remembering_texts(concept_bundle(), GROUPS)
    photos = [Example(str(i), f"{i}.png", (GROUPS[i % 3][0],)) for i in range(6)]
    torch.manual_seed(1)
    bundle = remembering(bundle, torch.randn(6, bundle.encoder.width), photos, dimensions=2)
    return gated(bundle, torch.zeros(6, COUNT, dtype=torch.bool), threshold=threshold)


def said(bundle):
    return [(one.text, one.believed) for one in Captioner(bundle, device="cpu").caption(pictures(4))]


@pytest.mark.parametrize("options", [{}, {"half": True}, {"eight_bit": True}])
def test_a_gated_model_is_a_model(tmp_path, options):
    bundle = gated_bundle()
    again = load_bundle(save_bundle(tmp_path / "model", bundle, card="#", **options))
    assert isinstance(again.task.decoder, DomainGate)
    assert torch.equal(again.task.decoder.foreign, bundle.task.decoder.foreign)
    if not options:
        assert said(again) == said(bundle)


def test_the_encoder_inside_may_be_another_model_s(tmp_path):
    bundle = gated_bundle()
    plain = concept_bundle()
    inside = Bundle(plain.encoder.encoder, plain.encoder_config["encoder"], plain.task)
    inside.task.decoder.concepts = 0
    save_bundle(tmp_path / "lender", inside, card="#", half=True)
    bundle.encoder.encoder.load_state_dict(load_bundle(tmp_path / "lender").encoder.state_dict())
    whole = save_bundle(tmp_path / "whole", bundle, card="#")
    lent = save_bundle(tmp_path / "lent", bundle, card="#", encoder_of="lender")
    assert said(load_bundle(lent)) == said(load_bundle(whole))
    small, large = ((folder / "weights.safetensors").stat().st_size for folder in (lent, whole))
    assert small < 0.9 * large
    assert whole_config(lent)["encoder"] == architecture(bundle.encoder_config)
    starts = [read_start(folder).weights for folder in (lent, whole)]
    assert starts[0].keys() == starts[1].keys() and all(torch.equal(starts[0][n], starts[1][n]) for n in starts[0])


def test_an_encoder_that_is_another_inside_is_not_shared(tmp_path):
    bundle, plain = gated_bundle(), concept_bundle()
    next(plain.encoder.parameters()).data += 1
    save_bundle(
        tmp_path / "lender", Bundle(plain.encoder.encoder, plain.encoder_config["encoder"], plain.task), card="#"
    )
    with pytest.raises(UserError, match="another encoder"):
        save_bundle(tmp_path / "lent", bundle, card="#", encoder_of="lender")


def test_without_the_gate_it_is_what_it_was():
    bundle = gated_bundle(threshold=2.0)
    bare = without_gate(bundle)
    assert not isinstance(bare.task.decoder, DomainGate) and without_gate(bare) is bare
    assert bare.task.config()["decoder"] == bundle.task.config()["decoder"]["decoder"]
    again = remembering_texts(bundle, GROUPS[:2])
    assert not isinstance(again.task.decoder, DomainGate), "another memory needs another gate"


def test_joined_with_others_it_forgets_everything_and_speaks_as_the_decoder_within(tmp_path):
    joined = join([gated_bundle(), gated_bundle()], ["one", "two"])
    again = load_bundle(save_bundle(tmp_path / "joined", joined, card="#"))
    decoders = [part for part in again.task.decoder.modules() if isinstance(part, ConceptReader)]
    assert again.task.generation.func is beam and len(decoders) == 2
    plain = concept_bundle()
    plain = without_memory(remembering_texts(plain, GROUPS))
    assert [text for text, _ in said(again)] == [text for text, _ in said(plain)]


def test_a_gate_needs_both_memories():
    with pytest.raises(UserError, match="texts="):
        gated(concept_bundle(), torch.zeros(1, COUNT, dtype=torch.bool))


def test_training_goes_on_from_the_decoder_within(tmp_path):
    own = {f"task.{name}" for name in concept_bundle().task.state_dict()}
    start = read_start(save_bundle(tmp_path / "model", gated_bundle(), card="#"))
    assert {name for name in start.weights if name.startswith("task.")} == own


def test_the_command_gates_a_model_that_remembers_texts(captioning, tmp_path):  # noqa: F811
    save_bundle(tmp_path / "plain", concept_bundle(), card="#")
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"id": i, "captions": group}) + "\n" for i, group in enumerate(GROUPS)))
    refused = captioning("remember", "model=plain", *SCENES, "output=gated", "dimensions=2", "gate=0.4")
    assert refused[0] == 2 and any("texts=" in line for line in refused[2])
    status, _, errors = captioning("remember", "model=plain", f"texts=[{texts}]", "output=read")
    assert status == 0, errors
    status, _, errors = captioning("remember", "model=read", *SCENES, "output=gated", "dimensions=2", "gate=0.4")
    assert status == 0, errors
    decoder = load_bundle(tmp_path / "gated").task.decoder
    assert isinstance(decoder, DomainGate) and decoder.threshold == 0.4
