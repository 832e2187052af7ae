"""Captioners of the model hub say here what transformers lets them say."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_model import pictures

import captioning
from captioning.commands.import_model import import_model
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.models.bundle import load_bundle
from captioning.models.published.importing import import_checkpoint
from captioning.text.vocabulary import BOS, EOS, PAD, UNK

pytest.importorskip("transformers")
import hub_models  # noqa: E402
from transformers import AutoImageProcessor  # noqa: E402

TOKENS = {"deit_gpt2": 18, "swin_gpt2": 16}  # of a photo; of others a class token and 16 patches


@pytest.fixture(scope="module", params=hub_models.KINDS)
def pair(request, tmp_path_factory):
    """A model of transformers with its tokenizer, and what is made of its folder."""
    folder = tmp_path_factory.mktemp("hub") / request.param
    model, tokenizer = hub_models.KINDS[request.param](folder)
    return model, tokenizer, import_checkpoint(folder), folder


def pixels(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(4))


def ours_of(imported, their_ids: torch.Tensor) -> torch.Tensor:
    """Their ids in our order, begun by BOS."""
    ours = torch.tensor([[imported.vocabulary.ours[i] for i in row] for row in their_ids.tolist()])
    ours[:, 0] = BOS
    return ours


def test_logits_are_those_of_transformers(pair):
    model, _, imported, _ = pair
    vocabulary = imported.vocabulary
    ids = torch.randint(5, len(vocabulary) - 5, (3, 7), generator=torch.Generator().manual_seed(1))
    ids[:, 0] = vocabulary.specials[BOS]
    with torch.no_grad():
        if model.config.model_type == "blip":
            seen = model.vision_model(pixels()).last_hidden_state
            theirs = model.text_decoder(input_ids=ids, encoder_hidden_states=seen).logits
        elif model.config.model_type == "git":
            theirs = model(input_ids=ids, pixel_values=pixels()).logits[:, -ids.shape[1] :]
        else:
            theirs = model(pixel_values=pixels(), decoder_input_ids=ids).logits
        context = imported.decoder.prepare(imported.encoder.memory(pixels()))
        ours = imported.decoder(context, ours_of(imported, ids)[:, None])[:, 0].log_softmax(-1)
    order = [vocabulary.ours[i] for i in range(vocabulary.size)]
    assert (ours[..., order] - theirs.log_softmax(-1)).abs().max() < 1e-4


@pytest.mark.parametrize("beams", [1, 4])
def test_captions_are_those_of_generate(pair, beams):
    model, tokenizer, imported, _ = pair
    vocabulary = imported.vocabulary
    unsaid = sorted({vocabulary.specials[i] for i in (PAD, BOS, UNK)} - {vocabulary.specials[EOS]})
    options = {"num_beams": beams, "max_length": 12, "suppress_tokens": unsaid or None, "do_sample": False}
    options |= {"length_penalty": 1.0, "early_stopping": "never"} if beams > 1 else {}
    options["min_new_tokens"] = 1
    with torch.no_grad():
        generated = model.generate(pixel_values=pixels(8), **options)
    theirs = [until_end([vocabulary.ours[i] for i in row[1:]]) for row in generated.tolist()]
    context = imported.decoder.prepare(imported.encoder.memory(pixels(8)))
    found = beam(
        imported.decoder, context, beam_size=beams, length_normalisation="average", finished="aside", max_words=11
    )
    ours = [until_end(row) for row in found.words[:, 0].tolist()]
    assert ours == theirs
    assert len(set(map(tuple, ours))) > 2
    text = tokenizer.decode(generated[0, 1:], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert vocabulary.text(ours[0]).replace(" ", "") == text.replace(" ", "")


def until_end(ids: list[int]) -> list[int]:
    return ids[: (*ids, EOS).index(EOS)]


def test_a_folder_of_the_hub_is_a_model_and_becomes_a_bundle_that_says_the_same(pair, tmp_path, monkeypatch):
    *_, folder = pair
    direct = captioning.load(folder)
    assert import_model(str(folder), tmp_path / "model") == 0
    for library in ("transformers", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, library, None)  # a bundle needs neither
    bundle = captioning.load(tmp_path / "model")
    for photo in pictures(3, 50):
        ours, theirs = bundle.caption(photo, details=True), direct.caption(photo, details=True)
        assert ours.text == theirs.text and ours.words == ours.text.split()
        assert len(ours.words) <= len(ours.log_probabilities) <= len(ours.words) + 1
        assert ours.attention.shape == (len(ours.words), TOKENS.get(folder.name, 17))
        assert np.allclose(ours.attention.sum(1), 1, atol=1e-4)
        assert len(bundle.caption(photo, beam_size=3, num_captions=3)) == 3


def test_a_photo_is_brought_to_the_tower_as_transformers_brings_it(pair):
    _, _, imported, folder = pair
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    for photo in [*pictures(2, 32), Image.fromarray(noise(40, 64)), Image.fromarray(noise(100, 37))]:
        theirs = processor(photo, return_tensors="pt")["pixel_values"]
        encoder = imported.encoder
        ours = (encoder.read(photo)[None] / 255 - encoder.mean) / encoder.std
        assert (ours - theirs).abs().max() < 0.05, photo.size


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_words_may_be_forced_and_forbidden(pair):
    _, _, imported, folder = pair
    model, photo = captioning.load(folder), pictures(1, 32)[0]
    plain = model.caption(photo, beam_size=4).words
    assert "running" in model.caption(photo, beam_size=4, forced_words=["running"]).text.replace(" ", "")
    assert model.caption(photo, forced_prefix="a photo of").text.startswith("a photo of")
    single = [word for word in plain if word.isalpha() and word in imported.vocabulary.ids]
    if single:
        assert single[0] not in model.caption(photo, beam_size=4, forbidden_words=[single[0]]).words


@pytest.fixture
def folder(pair, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(pair[-1], tmp_path / "hub"))


def test_a_folder_in_an_older_layout_says_the_same(pair, folder):
    """Weights as a pickle of tensors, buffers that were once kept, a list of words instead of a tokenizer."""
    *_, plain = pair
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    once = {"blip": "text_decoder.bert.embeddings.position_ids", "vision-encoder-decoder": "encoder.pooler.dense.bias"}
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    if "encoder.encoder.layers.0.blocks.0.attention.output.dense.bias" in state:  # Swin
        once[kind] = "encoder.encoder.layers.0.blocks.0.attention.self.relative_position_index"
    state[once.get(kind, "git.embeddings.position_ids")] = torch.ones(1, 4)
    if kind == "vision-encoder-decoder" and "decoder.transformer.wte.weight" in state:
        state["decoder.transformer.h.0.attn.bias"] = torch.ones(1, 1, 8, 8)
        state["decoder.lm_head.weight"] = state["decoder.transformer.wte.weight"]
    torch.save(state, folder / "pytorch_model.bin")
    if (folder / "vocab.txt").is_file():
        (folder / "tokenizer.json").unlink()
    photos = pictures(3, 32)
    ours, theirs = (captioning.load(one).caption(photos, beam_size=2) for one in (folder, plain))
    assert [one.text for one in ours] == [one.text for one in theirs]


class Runs:
    """What would leave a trace if a pickle of it were believed."""

    ran = False

    def __reduce__(self):
        return setattr, (Runs, "ran", True)


def test_a_pickle_with_code_in_it_is_refused_and_runs_nothing(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"module": Runs()}, folder / "pytorch_model.bin")
    refusal(folder)
    assert not Runs.ran


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        captioning.load(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)
    return str(error.value)


def test_what_is_wrong_with_a_folder_is_said_in_a_sentence(folder):
    file = folder / "config.json"
    config = json.loads(file.read_text())
    (folder / "model.safetensors").rename(folder / "elsewhere")
    assert "model.safetensors is missing" in refusal(folder)
    (folder / "model.safetensors").write_bytes(b"nothing")
    assert "damaged" in refusal(folder)
    save_file({"a": torch.ones(2)}, folder / "model.safetensors")
    assert "no weights called" in refusal(folder)
    shutil.copy(folder / "elsewhere", folder / "model.safetensors")
    (folder / "tokenizer.json").write_text("{}")
    refusal(folder)
    file.write_text(json.dumps(config | {"model_type": "bert"}))
    assert "describes a bert" in refusal(folder)
    file.write_text("[")
    assert "cannot be read" in refusal(folder)


def test_what_takes_bundles_alone_says_how_to_make_one(pair):
    *_, folder = pair
    with pytest.raises(UserError, match="captioning import"):
        load_bundle(folder)


def test_a_name_without_a_network_is_said_in_a_sentence(monkeypatch):
    import huggingface_hub

    def offline(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(UserError, match="somebody/something is no model here, and could not be fetched") as error:
        captioning.load("somebody/something")
    assert "\n" not in str(error.value)
