"""A model that transformers writes with says here what its own `generate` says, and is used as any other."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_model import pictures

import captioning
from captioning.commands.import_model import import_model
from captioning.errors import UserError
from captioning.training.adopted_parts import parts_of

pytest.importorskip("transformers")
import generating_models  # noqa: E402
import transformers  # noqa: E402


@pytest.fixture(scope="module", params=generating_models.KINDS)
def pair(request, tmp_path_factory):
    """A model of transformers with its processor, and what is made of its folder."""
    folder = tmp_path_factory.mktemp("generating") / request.param
    transformers.utils.logging.disable_progress_bar()
    model, processor = generating_models.KINDS[request.param](folder)
    return model, processor, captioning.load(folder), folder


def asked(model, processor, photos, prompt: str):
    """What each kind is fed with, written out by hand."""
    kind = model.config.model_type
    before, after = {
        "blip-2": ("", ""),
        "llava": ("<image>\n", ""),
        "paligemma": ("<image>", ""),
        "florence2": ("", ""),
        "qwen2_vl": ("user: <|vision_start|><|image_pad|><|vision_end|>", "<end>assistant:"),
        "idefics3": ("user: <image>", "<end>assistant:"),
        "smolvlm": ("user: <image>", "<end>assistant:"),
    }[kind]
    if kind == "llava" and processor.chat_template:
        before, after = "user: <image>", "<end>assistant:"
    images = [[photo] for photo in photos] if kind in ("idefics3", "smolvlm") else photos
    processor.tokenizer.padding_side = "left"
    return processor(images=images, text=[f"{before}{prompt}{after}"] * len(photos), return_tensors="pt", padding=True)


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_are_those_of_generate(pair, beams):
    model, processor, ours, _ = pair
    photos = pictures(3, 32)
    inputs = asked(model, processor, photos, "a dog on")
    with torch.no_grad():
        found = model.generate(**inputs, num_beams=beams, max_new_tokens=7, do_sample=False, min_new_tokens=2)
    new = found if model.config.is_encoder_decoder else found[:, inputs["input_ids"].shape[1] :]
    theirs = [" ".join(text.split()) for text in processor.tokenizer.batch_decode(new, skip_special_tokens=True)]
    options = {"prompt": "a dog on", "beam_size": beams, "max_words": 7, "min_words": 2}
    assert [one.text for one in ours.caption(photos, **options)] == theirs
    assert all(theirs) and (len(set(theirs)) > 1 or model.config.model_type == "paligemma")  # random, it looks little


def test_a_photo_is_captioned_alone_as_among_others(pair):
    *_, ours, _ = pair
    photos = [*pictures(2, 32), *pictures(1, 48)]
    together = [one.text for one in ours.caption(photos, max_words=5)]
    assert [ours.caption(photo, max_words=5).text for photo in photos] == together


def test_each_word_has_a_probability_and_several_captions_come_best_first(pair):
    *_, ours, _ = pair
    one = ours.caption(pictures(1, 32)[0], details=True, beam_size=1, max_words=6)
    assert one.text.split() == one.words and len(one.words) <= len(one.log_probabilities) <= len(one.words) + 1
    assert min(one.log_probabilities) <= one.score * len(one.log_probabilities) / 6 and one.score < 0
    three = ours.caption(pictures(1, 32)[0], num_captions=3, max_words=4)
    assert [c.score for c in three] == sorted((c.score for c in three), reverse=True) and len(three) == 3
    drawn = [ours.caption(pictures(1, 32)[0], num_samples=2, temperature=3.0, seed=s, max_words=4) for s in (1, 1, 2)]
    assert [str(c) for c in drawn[0]] == [str(c) for c in drawn[1]] != [str(c) for c in drawn[2]]


def test_of_a_clip_a_chat_is_shown_all_frames_and_others_the_middle_one(pair):
    *_, ours, _ = pair
    model, frames = ours.task.model, pictures(3, 32)
    several, middle = (model.inputs([shown], "a dog")["input_ids"] for shown in (frames, frames[1:2]))
    if model.chats:
        token = model.processor.image_token_id
        assert (several == token).sum() == 3 * (middle == token).sum() > 0
    else:
        assert torch.equal(several, middle)
        pixels = [model.inputs([shown], "a dog")["pixel_values"] for shown in (frames, frames[1:2])]
        assert torch.equal(*pixels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generating") / "blip-2"
    generating_models.blip_2(folder)
    return folder


def test_what_it_does_not_know_is_refused_by_name(folder, tmp_path):
    model, photo = captioning.load(folder), pictures(1, 32)[0]
    with pytest.raises(UserError, match="forced_words is unknown to"):
        model.caption(photo, forced_words=["dog"])
    with pytest.raises(UserError, match="goes on from a prompt"):
        model.caption(photo, forced_prefix=["a"])
    with pytest.raises(UserError, match="what becomes a model here is blip"):
        import_model(str(folder), tmp_path / "model")
    with pytest.raises(UserError, match="is not trained further"):
        parts_of(folder)


def test_a_forbidden_word_is_not_said(folder):
    model, photo = captioning.load(folder), pictures(1, 32)[0]
    tokenizer = model.task.model.tokenizer
    token = tokenizer(" dog", add_special_tokens=False).input_ids
    assert len(token) == 1
    bias = torch.zeros(model.task.model.model.get_output_embeddings().out_features)
    bias[token[0]] = 1e4
    head = model.task.model.model.get_output_embeddings()
    head.register_forward_hook(lambda _, __, logits: logits + bias)
    assert "dog" in model.caption(photo, max_words=4).text
    assert "dog" not in model.caption(photo, max_words=4, forbidden_words=["dog"]).text


@pytest.fixture
def spoiled(folder, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(folder, tmp_path / "hub"))


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        captioning.load(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)
    return str(error.value)


def test_what_is_wrong_with_a_folder_is_said_in_a_sentence(spoiled):
    file = spoiled / "config.json"
    config = json.loads(file.read_text())
    weights = (spoiled / "model.safetensors").read_bytes()
    (spoiled / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "cannot be read as a blip-2" in refusal(spoiled)
    (spoiled / "model.safetensors").unlink()
    assert "model.safetensors is missing" in refusal(spoiled)
    torch.save({"module": Runs()}, spoiled / "pytorch_model.bin")
    assert "cannot be read as a blip-2" in refusal(spoiled) and not Runs.ran
    (spoiled / "pytorch_model.bin").unlink()
    (spoiled / "model.safetensors").write_bytes(weights)
    wider = config | {"text_config": config["text_config"] | {"num_hidden_layers": 3}}
    file.write_text(json.dumps(wider))
    assert "has not the weights of its blip-2" in refusal(spoiled)
    code = {"AutoConfig": "own.Own", "AutoModelForImageTextToText": "own.Own"}
    (spoiled / "own.py").write_text("raise SystemExit('its code ran')")
    file.write_text(json.dumps(config | {"model_type": "something_else", "auto_map": code}))
    assert "describes a something_else, which is not known here" in refusal(spoiled)
    file.write_text(json.dumps({"model_type": "bert"}))
    assert "which does not write about pictures" in refusal(spoiled)


class Runs:
    """What would leave a trace if a pickle of it were believed."""

    ran = False

    def __reduce__(self):
        return setattr, (Runs, "ran", True)
