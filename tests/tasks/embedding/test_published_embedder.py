"""CLIP of the model hub says what transformers says, and judges and classifies as any other embedder."""

import json

import numpy as np
import pytest
import torch
from clips import saved_clip
from test_embedder import captioning  # noqa: F401
from tiny_clip import tiny_clip
from tiny_model import pictures

import captioning as library
from captioning.errors import UserError
from captioning.media.pictures import as_picture
from captioning.metrics.clip_score import PREFIX

TEXTS = ["a dog", "two small cats sit under a big red ball", "the water", "a dog runs on the grass " * 12]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """-> the folder, and what transformers makes of it."""
    folder = tmp_path_factory.mktemp("clip")
    return folder, *tiny_clip(folder)


def test_vectors_and_probabilities_are_those_of_transformers(clip):
    folder, model, processor = clip
    embedder, images = library.load(str(folder)), pictures(3)
    inputs = processor(
        text=TEXTS, images=images, return_tensors="pt", padding=True, truncation=True, max_length=40
    )  # the last text is cut
    with torch.inference_mode():
        theirs = model(**inputs)
    np.testing.assert_allclose(embedder.embed(images), theirs.image_embeds, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_text(TEXTS), theirs.text_embeds, atol=1e-5)
    for i, text in enumerate(TEXTS):  # alone, without padding
        np.testing.assert_allclose(embedder.embed_text(text), theirs.text_embeds[i], atol=1e-5)
    found = embedder.classify(images, TEXTS, templates=["{}"])
    for row, right in zip(found, theirs.logits_per_image.softmax(-1), strict=True):
        assert [row[text] for text in TEXTS] == pytest.approx(right.tolist(), abs=1e-4)


def test_a_clip_is_the_mean_of_its_frames(clip, tmp_path):
    embedder = library.load(str(clip[0]))
    path = saved_clip(tmp_path / "moving.mp4")
    vector = embedder.embed(path)
    assert vector.shape == (16,) and np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_it_judges_captions_of_files(clip, tmp_path, captioning):  # noqa: F811
    folder, model, processor = clip
    (tmp_path / "photos").mkdir()
    for i, picture in enumerate(pictures(3)):
        picture.save(tmp_path / f"photos/{i}.png")
    references = {str(i): [f"the {word}", "a thing"] for i, word in enumerate(("dog", "cat", "ball"))}
    said = {"0": "a dog", "1": "two cats", "2": "a ball"}
    (tmp_path / "refs.json").write_text(json.dumps(references))
    (tmp_path / "said.json").write_text(json.dumps(said))
    arguments = ["--embedder", folder, "--images", tmp_path / "photos", "--json", tmp_path / "out.json"]
    code, out, err = captioning("score", tmp_path / "refs.json", tmp_path / "said.json", *map(str, arguments))
    assert code == 0, err
    scores = json.loads((tmp_path / "out.json").read_text())["results"][0]["scores"]

    def cosines(texts, i):
        picture = as_picture(tmp_path / f"photos/{i}.png")
        inputs = processor(text=[PREFIX + text for text in texts], images=picture, return_tensors="pt", padding=True)
        with torch.inference_mode():
            found = model(**inputs)
        return (found.text_embeds @ found.image_embeds[0]).numpy(), found.text_embeds.numpy()

    plain, with_references = [], []
    for i, caption in said.items():
        found, texts = cosines([caption, *references[i]], i)
        own, best = 2.5 * max(found[0], 0), max((texts[1:] @ texts[0]).max(), 0)
        plain.append(own)
        with_references.append(2 * own * best / (own + best) if own + best else 0)
    assert scores["CLIPScore"] == pytest.approx(np.mean(plain), abs=1e-5)
    assert scores["RefCLIPScore"] == pytest.approx(np.mean(with_references), abs=1e-5)


def test_what_is_not_whole_is_refused_by_name(clip, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(clip[0], tmp_path / "clip")
    weights = load_file(folder / "model.safetensors")
    save_file({name: part for name, part in weights.items() if name != "visual_projection.weight"},
              folder / "model.safetensors", {"format": "pt"})  # fmt: skip
    with pytest.raises(UserError, match="first visual_projection.weight"):
        library.load(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be read as a CLIP"):
        library.load(str(folder))
    with pytest.raises(UserError, match="becomes no model here"):
        library.load(str(clip[0])).save(tmp_path / "mine")
