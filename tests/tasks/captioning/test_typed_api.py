"""The Python interface: what has a type is what is taken; batches are pictures; a model is saved, moved and trained."""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from tiny_model import pictures, tiny_bundle
from tiny_runs import TINY, TINY_DECODER

import captioning
from captioning.commands.from_python import override_texts
from captioning.demo.tabs.captioning import answer
from captioning.errors import UserError
from captioning.generation.beam import beam, diverse_beam
from captioning.generation.consensus import consensus
from captioning.generation.constraints import Limits
from captioning.generation.greedy import greedy
from captioning.generation.sampling import sample
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.options import RERANKING

NO_OPTION = {
    "decoder", "context", "details", "options", "generator", "num_captions", "num_samples", "forced_words_of",
}  # fmt: skip


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner(tiny_bundle(), device="cpu")


def test_the_typed_options_are_those_that_the_searches_take():
    taken = {
        name for one in (beam, diverse_beam, consensus, greedy, sample) for name in inspect.signature(one).parameters
    }
    taken |= {one.name for one in fields(Limits)}
    assert set(captioning.GenerationOptions.__annotations__) == (taken - NO_OPTION) | set(RERANKING)


def test_a_batch_is_captioned_as_its_pictures_are(captioner):
    images = pictures(3)
    arrays = np.stack([np.asarray(image) for image in images])  # (B, H, W, 3)
    tensor = torch.from_numpy(arrays).permute(0, 3, 1, 2)  # (B, 3, H, W)
    said = [one.text for one in captioner.caption(images)]
    assert [one.text for one in captioner.caption(tensor)] == said
    assert [one.text for one in captioner.caption(arrays)] == said
    assert [one.text for one in captioner.caption(tensor.float() / 255)] == said
    assert captioner.caption(tensor[:0]) == [] and captioner.caption(tensor[0]).text == said[0]


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """A folder as a server on this machine has it. -> its address"""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_address_is_fetched_within_limits_and_a_visitor_of_the_page_cannot_give_one(
    captioner, tmp_path, monkeypatch
):
    pictures(1, 64)[0].save(tmp_path / "photo.png")
    (tmp_path / "empty.png").touch()
    with web(tmp_path) as address:
        photo = f"{address}/photo.png"
        assert captioner.caption(photo).text == captioner.caption(tmp_path / "photo.png").text
        for wrong, says in (("gone.png", "404"), ("empty.png", "empty")):
            with pytest.raises(UserError, match=f"{wrong}.*{says}"):
                captioner.caption(f"{address}/{wrong}")
        assert "did not arrive" in answer(captioner, photo, "greedy", 1, "")
        monkeypatch.setattr("captioning.files.web.MAX_BYTES", 100)
        with pytest.raises(UserError, match="more than"):
            captioner.caption(photo)
    with pytest.raises(UserError, match="ftp://"):
        captioner.caption("ftp://127.0.0.1/photo.png")


def test_a_saved_model_says_the_same_in_either_precision_of_its_weights(captioner, tmp_path):
    image = pictures(1)[0]
    for half in (False, True):
        place = captioner.save(tmp_path / f"model-{half}", half=half, card="# mine\n")
        assert captioning.load(place, device="cpu").caption(image).text == captioner.caption(image).text
        assert (place / "README.md").read_text() == "# mine\n"
    whole, small = ((tmp_path / f"model-{half}" / "weights.safetensors").stat().st_size for half in (False, True))
    assert small < 0.6 * whole


def test_a_model_is_moved_with_what_looks_at_clips():
    captioner = Captioner(tiny_bundle(), device="cpu")
    seen = captioner.clip_encoder
    assert captioner.to("cpu") is captioner and captioner.clip_encoder is seen
    with pytest.raises(UserError, match="cuda:99|no such|not"):
        captioner.to("cuda:99")


def test_half_is_bfloat16_where_the_processor_has_it_and_refused_elsewhere(monkeypatch):
    captioner = Captioner(tiny_bundle(), device="cpu")
    monkeypatch.setattr("captioning.runtime.precision.processor_has_bf16", lambda: True)
    assert captioner.half() is captioner and captioner.precision == "bf16"
    assert captioner.caption(pictures(1)[0]).text
    monkeypatch.setattr("captioning.runtime.precision.processor_has_bf16", lambda: False)
    with pytest.raises(UserError, match="no bfloat16"):
        captioner.half()


@pytest.mark.parametrize(
    ("key", "value", "texts"),
    [
        ("trainer", {"max_epochs": 2, "devices": [0, 1]}, ["trainer.max_epochs=2", "trainer.devices=[0,1]"]),
        ("name", "it's a, b=c", [r"name='it\'s a, b=c'"]), ("store", None, ["store=null"]),
        ("progress", False, ["progress=false"]), ("schedule", {}, ["schedule={}"]),
        ("data.file", "a b.csv", ["data.file='a b.csv'"]),
    ],
)  # fmt: skip
def test_keywords_are_the_overrides_of_the_command_line(key, value, texts):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found = list(override_texts(key, value))
    assert found == texts
    for one in OverridesParser.create().parse_overrides(found):
        expected = value[one.key_or_group.rpartition(".")[2]] if isinstance(value, dict) and value else value
        assert one.value() == expected


def test_training_from_python_is_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "my run"
    model = captioning.train(*TINY, *TINY_DECODER, trainer={"max_epochs": 1}, output=run)
    assert model == run / "model" and captioning.load(model, device="cpu").caption(pictures(1)[0]).text
    assert re.search(r"captioning train data=scenes .*trainer.max_epochs=1", (model / "README.md").read_text())
    with pytest.raises(UserError, match="resume=auto"):
        captioning.train(*TINY, *TINY_DECODER, output=run)
    with pytest.raises(UserError, match="trainer.*max_epoch"):
        captioning.train("+trainer.max_epoch=1", *TINY, *TINY_DECODER, output=tmp_path / "other")
    with pytest.raises(UserError, match="decodr"):
        captioning.train("decodr=up_down", output=tmp_path / "other")
    assert not (tmp_path / "other" / "model").exists()


def test_a_run_begins_from_a_whole_configuration(tmp_path):
    from omegaconf import OmegaConf
    from tiny_runs import configuration

    OmegaConf.save(configuration("trainer.max_epochs=1"), tmp_path / "config.yaml")
    model = captioning.train(config=tmp_path / "config.yaml", seed=5, output=tmp_path / "run")
    assert model == tmp_path / "run" / "model" and (model / "weights.safetensors").is_file()
    with pytest.raises(UserError, match="config: .*absent.yaml"):
        captioning.train(config=tmp_path / "absent.yaml", output=tmp_path / "none")
