"""The tab of places draws boxes on the photo that was sent, and answers anything else with a sentence."""

import pytest
from tiny_clips import write_clip
from tiny_grounding import grounding_bundle
from tiny_model import pictures

from captioning.demo.tabs.grounding import LONGEST, MOST, TAB, answer
from captioning.tasks.grounding.locator import Locator


@pytest.fixture(scope="module")
def locator():
    return Locator(grounding_bundle(), device="cpu")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.png"
    pictures(1)[0].resize((120, 60)).save(path)
    return path


def test_every_phrase_has_a_line_and_one_alone_a_map(locator, photo):
    html = answer(locator, photo, "the red one, a <b>blue</b> thing")
    assert html.count("<li>") == 2 and "<b>the red one</b>" in html
    assert "<b>blue</b>" not in html and "&lt;b&gt;blue" in html
    assert html.count("data:image/jpeg") == 1
    assert answer(locator, photo, "the red one").count("data:image/jpeg") == 2


def test_the_phrases_of_a_sentence_are_marked_in_it(locator, photo):
    html = answer(locator, photo, "a red dog is running on the beach")
    assert "<figcaption>" in html and html.count("<li>") == 2


@pytest.mark.parametrize("phrases", ["", " , ", None, 3, "...", "a, " * (MOST + 1), "x" * (LONGEST + 1)])
def test_what_is_no_phrase_is_refused_in_a_sentence(locator, photo, phrases):
    html = answer(locator, photo, phrases)
    assert 'class="refusal"' in html and "went wrong" not in html


def test_a_clip_and_a_broken_photo_are_refused(locator, tmp_path):
    (tmp_path / "broken.jpg").write_text("no picture")
    for upload in (write_clip(tmp_path / "clip.mp4"), tmp_path / "broken.jpg", None):
        html = answer(locator, upload, "a dog")
        assert 'class="refusal"' in html and "went wrong" not in html


def test_models_that_locate_are_shown_in_it(locator, photo):
    assert TAB.of({"a": locator, "b": object()}) == {"a": locator}
    assert len(TAB.first(locator, photo)) == 2
