"""Whatever is sent to the page, the answer is a captioned picture or a sentence."""

import builtins
import re
import sys
import warnings
from html import unescape
from pathlib import Path

import pytest
from hostile_uploads import hostile
from PIL import Image
from tiny_model import pictures, tiny_bundle

from captioning import cli
from captioning.demo import serve as demo
from captioning.demo.samples import sample_pictures
from captioning.demo.tabs.captioning import METHODS, answer
from captioning.models import shipped
from captioning.tasks.captioning.captioner import Captioner


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner(tiny_bundle(), device="cpu")


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    pictures(1, 96)[0].save(path)
    return path


def texts(html: str) -> list[str]:
    return [unescape(text) for text in re.findall(r'class="text">([^<]*)<', html)]


def refused(html: str) -> str:
    """The one sentence of a refusal."""
    (sentence,) = re.findall(r'<p class="refusal" role="alert">([^<]+)</p>', html)
    assert "\n" not in sentence and len(sentence) < 500
    return unescape(sentence)


def test_the_page_says_what_the_captioner_says(captioner, photo):
    beams = captioner.caption(photo, beam_size=5, num_captions=3)
    assert texts(answer(captioner, photo, "beam search", 3, "")) == [caption.text for caption in beams]
    assert texts(answer(captioner, photo, "greedy", 3, "")) == [captioner.caption(photo, beam_size=1).text]
    assert len(texts(answer(captioner, photo, "sampling", 4, None))) == 4


def test_forced_words_are_said_by_every_search(captioner, photo):
    for method in ("beam search", "greedy"):
        said = texts(answer(captioner, photo, method, 2, " ball, under water ,"))
        assert said and all("ball" in text.lower() and "under water" in text.lower() for text in said)


@pytest.mark.parametrize(
    ("method", "count", "forced", "says"),
    [
        ("beam", 1, "", "beam search"), (None, 1, "", "greedy"), ("greedy", 0, "", "1 to 10"),
        ("greedy", 99, "", "1 to 10"), ("greedy", "3", "", "1 to 10"), ("greedy", float("nan"), "", "1 to 10"),
        ("sampling", 1, "dog", "beam search"),
        ("greedy", 1, "elephant", "elephant"), ("beam search", 1, "dog, " * 60, ""), ("greedy", 1, "<b>", "<b>"),
    ],
)  # fmt: skip
def test_a_choice_that_makes_no_sense_is_a_sentence(captioner, photo, method, count, forced, says):
    assert says in refused(answer(captioner, photo, method, count, forced))


def test_hostile_uploads_get_a_sentence_or_a_caption_and_name_no_folder(captioner, tmp_path):
    for number, (_, content) in enumerate(hostile(150)):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(content)
        html = answer(captioner, path, METHODS[number % 3], 1, "")
        assert len(texts(html)) == 1 or refused(html)
        assert str(tmp_path) not in html and "<script" not in html


def test_what_is_no_upload_is_refused(captioner, tmp_path):
    for wrong in (None, "", tmp_path, tmp_path / "gone.jpg", "nul\0l", "/dev/zero"):
        assert refused(answer(captioner, wrong, "greedy", 1, ""))


def test_too_many_pixels_and_too_many_bytes_are_refused(captioner, tmp_path, monkeypatch):
    Image.new("1", (8000, 8000)).save(tmp_path / "wide.png")
    assert "pixels" in refused(answer(captioner, tmp_path / "wide.png", "greedy", 1, ""))
    monkeypatch.setattr("captioning.demo.uploads.MAX_BYTES", 100)
    assert "MB" in refused(answer(captioner, tmp_path / "wide.png", "greedy", 1, ""))


def test_a_bug_costs_one_answer_and_is_written_down(captioner, photo, monkeypatch, caplog):
    monkeypatch.setattr(Captioner, "_describe", lambda *_: 1 / 0)
    assert "went wrong" in refused(answer(captioner, photo, "greedy", 1, ""))
    assert "ZeroDivisionError" in caplog.text


def test_samples_are_pictures_in_the_pages_own_folder(tmp_path):
    samples = sample_pictures(tmp_path)
    assert len(samples) >= 3 and len({path.name for path in samples}) == len(samples)
    for path in samples:
        assert path.parent == tmp_path
        Image.open(path).load()


def run_demo(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["captioning", "demo", *arguments])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_without_gradio_the_command_says_how_to_get_it(monkeypatch, capsys):
    usual = builtins.__import__

    def absent(name, *rest):
        if name == "gradio":
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert run_demo(monkeypatch) == 2
    assert "pip install" in capsys.readouterr().err


def test_without_a_model_the_command_says_so_before_it_serves(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shipped, "shipped_folders", lambda: ())
    monkeypatch.setattr(demo, "require_gradio", lambda: None)
    assert run_demo(monkeypatch) == 2
    assert "--model" in capsys.readouterr().err
