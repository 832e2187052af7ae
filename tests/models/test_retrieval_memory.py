"""A finished model can be given a memory of captioned photos, and be joined or trained on without it."""

from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_cli import captioning  # noqa: F401  the command, as a fixture
from tiny_model import pictures, saved_model, tiny_bundle

from captioning.decoders.retrieval import RetrievalDecoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.generation.beam import beam
from captioning.generation.consensus import consensus
from captioning.generation.sampling import sample
from captioning.models.bundle import load_bundle, save_bundle
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.ensemble import join
from captioning.tasks.captioning.retrieval_memory import remembering, without_retrieval
from captioning.training.initial_weights import read_start

SCENES = ["data=scenes", "data.train=8", "data.val=2", "data.test=2", "data.unseen=0", "data.size=64"]


def reminded(count: int = 6):
    """The tiny model with `count` of its own pictures in its memory, and of each the third caption of its beam."""
    bundle = tiny_bundle()
    found = Captioner(bundle).caption(pictures(count), num_captions=3, beam_size=6)
    examples = [Example(str(i), f"{i}.png", (each[2].text,)) for i, each in enumerate(found)]
    with torch.no_grad():
        seen = bundle.encoder(bundle.encoder.collate([bundle.encoder.read(image) for image in pictures(count)]))
    return remembering(bundle, seen.pooled, examples, dimensions=5, neighbours=1)


def test_captions_follow_what_was_said_of_the_photo():
    bundle = reminded()
    bundle.task.generation = partial(bundle.task.generation, weight=1000.0)
    plain, images = Captioner(tiny_bundle()), pictures(6)
    said = [each[2].text for each in plain.caption(images, num_captions=3, beam_size=6)]
    for caption, first, usual in zip(Captioner(bundle).caption(images), said, plain.caption(images), strict=True):
        assert caption.text == first and caption.text != usual.text


def test_beam_search_becomes_search_by_consensus_and_back():
    bundle = reminded()
    assert bundle.task.generation.func is consensus and bundle.task.generation.keywords["beam_size"] == 6
    before = without_retrieval(bundle)
    assert (
        before.task.generation.func is beam
        and before.task.generation.keywords == tiny_bundle().task.generation.keywords
    )
    assert before.task.config() == tiny_bundle().task.config() and without_retrieval(before) is before


def test_what_is_remembered_anew_is_searched_as_before():
    bundle = reminded()
    bundle.task.generation = partial(bundle.task.generation, weight=0.5)
    pooled = torch.randn(2, bundle.encoder.width)
    again = remembering(bundle, pooled, [Example("1", "1.jpg", ("a dog",)), Example("2", "2.jpg", ("a cat",))])
    assert len(again.task.decoder.keys) == 2 and not isinstance(again.task.decoder.decoder, RetrievalDecoder)
    assert again.task.generation.keywords == bundle.task.generation.keywords


def test_a_model_that_remembers_is_a_model(tmp_path):
    bundle = reminded()
    again = load_bundle(save_bundle(tmp_path / "model", bundle, card="# tiny"))
    ours, theirs = (Captioner(each).caption(pictures(4)) for each in (bundle, again))
    assert [one.text for one in ours] == [one.text for one in theirs]
    assert np.allclose([one.score for one in ours], [one.score for one in theirs], atol=1e-4)


def test_options_are_those_of_a_beam():
    captioner = Captioner(reminded())
    assert captioner.strategy({"beam_size": 2}).func is consensus
    assert captioner.strategy({"num_captions": 9}).keywords["beam_size"] == 9
    assert captioner.strategy({"num_samples": 2}).func is sample
    assert len(captioner.caption(pictures(1)[0], num_captions=3)) == 3


def test_it_can_be_joined_and_trained_on(tmp_path):
    bundle = reminded()
    joined = join([bundle, reminded(3)], ["one", "other"])
    assert joined.task.generation.func is beam and not any(
        isinstance(each, RetrievalDecoder) for each in joined.task.decoder.decoders
    )
    start = read_start(save_bundle(tmp_path / "model", bundle, card="# tiny"))
    start.fill("task", tiny_bundle().task)


def test_the_command(captioning, tmp_path):  # noqa: F811
    saved_model(tmp_path / "plain")
    status, _, errors = captioning("remember", "model=plain", *SCENES, "output=wise", "dimensions=4", "half=true")
    assert status == 0, errors
    again = captioning("remember", "model=wise", *SCENES, "output=wiser", "dimensions=4", "data.split=train+val")
    assert again[0] == 0, again[2]
    sizes = [load_file(tmp_path / name / "weights.safetensors")["task.decoder.keys"] for name in ("wise", "wiser")]
    assert [list(keys.shape) for keys in sizes] == [[8, 4], [10, 4]] and sizes[0].dtype == torch.float16
    assert "remembers 8 pictures" in (tmp_path / "wise/README.md").read_text()
    status, lines, errors = captioning("evaluate", "model=wiser", *SCENES, "data.split=test", "metrics=[cider]")
    assert status == 0 and any("CIDEr" in line for line in lines), errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=plain"], "output"),
        (["model=plain", "output=."], "is not a model"),
        (["model=plain", *SCENES, "output=wise", "store=null"], "store=auto"),
        (["model=plain", *SCENES, "output=wise", "data.split=nonsense"], "nonsense"),
        (["model=plain", *SCENES, "output=wise", "neighbours=0"], "neighbours"),
        (["model=plain", *SCENES, "output=wise", "neighbours=null"], "neighbours"),
        (["model=plain", *SCENES, "output=wise", "sharpness=nan"], "sharpness"),
        (["model=plain", *SCENES, "output=wise", "batch_size=0"], "batch_size"),
        (["model=plain", *SCENES, "output=wise", "dimensions=0"], "dimensions"),
        (["model=gone", *SCENES, "output=wise"], "gone"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_mistake_is_status_2_and_named(captioning, tmp_path, arguments, message):  # noqa: F811
    saved_model(tmp_path / "plain")
    status, _, errors = captioning("remember", *arguments)
    assert status == 2 and any(message in error for error in errors), errors


def test_a_photo_without_a_caption_cannot_be_remembered():
    with pytest.raises(UserError, match="needs a caption"):
        remembering(tiny_bundle(), torch.zeros(1, tiny_bundle().encoder.width), [Example("1", "1.jpg", ())])
