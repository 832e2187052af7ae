"""A tab for each thing that the loaded models can do, and none for what they cannot; every answer names its model."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_clips import write_clip
from tiny_model import pictures, saved_model, tiny_bundle

from captioning.demo import tab as registry
from captioning.demo import tabs
from captioning.demo.serve import loaded
from captioning.demo.tab import Tab, every_tab, shown_by
from captioning.demo.tabs.captioning import answer, meaning
from captioning.errors import UserError
from captioning.models.shipped import default_model, shipped_models
from captioning.tasks.captioning.captioner import Captioner


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner(tiny_bundle(), device="cpu")


def test_every_file_of_the_folder_is_one_tab_with_a_verb_of_its_own():
    files = {path.stem for path in Path(tabs.__file__).parent.glob("*.py")} - {"__init__"}
    found = every_tab()
    assert len(found) == len(files) == len({tab.verb for tab in found}) == len({tab.title for tab in found})
    assert [tab.place for tab in found] == sorted(tab.place for tab in found)


def test_a_tab_is_there_where_a_model_has_its_verb_and_nowhere_else(captioner, monkeypatch):
    def nothing(*_):
        return None

    invented = [Tab(place, verb.title(), verb, nothing, nothing) for place, verb in enumerate(("caption", "juggle"))]
    monkeypatch.setattr(registry, "every_tab", lambda: invented)
    juggler = SimpleNamespace(juggle=nothing)
    assert [tab.verb for tab in shown_by({"a": captioner})] == ["caption"]
    assert [tab.verb for tab in shown_by({"a": captioner, "b": juggler})] == ["caption", "juggle"]
    assert list(invented[1].of({"a": captioner, "b": juggler})) == ["b"]
    with pytest.raises(UserError, match="--model idle: .* caption, juggle"):
        shown_by({"a": captioner, "idle": SimpleNamespace()})


def test_models_are_called_by_their_run_and_none_is_lost(tmp_path):
    first, second = (saved_model(tmp_path / folder / "mine" / "model") for folder in "ab")
    assert list(loaded([str(first), str(second)], "cpu", ())) == ["mine", "mine (2)"]


def test_without_a_name_the_page_has_every_shipped_model_that_a_tab_shows():
    found = loaded([], "cpu", ())
    assert next(iter(found)) == default_model() and found.keys() <= shipped_models().keys()
    assert all(any(tab.of({name: model}) for tab in every_tab()) for name, model in found.items())


def test_a_clip_shows_the_frames_at_which_the_model_looked_and_when(captioner, tmp_path):
    html = answer(captioner, write_clip(tmp_path / "clip.mp4"), "greedy", 1, "")
    frames = re.findall(r"<figcaption>(\d\d:\d\d\.\d)</figcaption>", html)
    assert frames == sorted(frames) and len(frames) == captioner.clip_encoder.sampling.frames
    assert html.count('src="data:image/jpeg') == len(frames) and str(tmp_path) not in html
    pictures(1, 96)[0].save(tmp_path / "photo.png")
    assert "figcaption" not in answer(captioner, tmp_path / "photo.png", "greedy", 1, "")


@pytest.mark.parametrize(
    ("own", "options", "says"),
    [
        ({}, {}, "whole sentence"), ({"length_normalisation": "average"}, {}, "mean log-probability"),
        ({"length_normalisation": "gnmt"}, {"num_captions": 2}, "penalty for its length"),
        ({"length_normalisation": "average"}, {"num_samples": 2}, "whole sentence"),
    ],
)  # fmt: skip
def test_what_the_score_means_follows_the_search(own, options, says):
    captioner = Captioner(tiny_bundle(), device="cpu")
    captioner.task.generation.keywords.update(own)
    assert says in meaning(captioner, options)


def test_a_word_the_model_does_not_know_gets_the_nearest_that_it_knows(captioner, tmp_path):
    pictures(1, 96)[0].save(tmp_path / "photo.png")
    html = answer(captioner, tmp_path / "photo.png", "beam search", 1, "balls")
    assert "near to it are ball" in html
    assert "near to it" not in answer(captioner, tmp_path / "photo.png", "beam search", 1, "xylophone")
    with pytest.raises(UserError, match="'dogs', which is not in the model's vocabulary; near to it are dog"):
        captioner.caption(tmp_path / "photo.png", forced_words=["dogs"])
