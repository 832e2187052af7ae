"""Whatever is sent to the tabs of search and labels, the answer is what the model says, or a sentence."""

import re
from html import unescape

import pytest
from tiny_clips import write_clip
from tiny_embedder import tiny_embedder
from tiny_model import pictures

from captioning.demo.tab import every_tab
from captioning.demo.tabs.classify import MOST_LABELS, classified
from captioning.demo.tabs.search import MOST_PHOTOS, found
from captioning.tasks.embedding.embedder import Embedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(tiny_embedder(), device="cpu")


@pytest.fixture
def photos(tmp_path):
    files = [tmp_path / f"{name}.png" for name in "abcd"]
    for file, picture in zip(files, pictures(4, 96), strict=True):
        picture.save(file)
    return files


def texts(html):
    return [unescape(text) for text in re.findall(r'class="text">([^<]*)<', html)]


def refused(html):
    (sentence,) = re.findall(r'<p class="refusal" role="alert">([^<]+)</p>', html)
    return unescape(sentence)


def test_the_page_finds_what_the_model_finds(embedder, photos, tmp_path):
    names = [text.split()[0] for text in texts(found(embedder, None, "a red dog", photos))]
    assert names == [each.name for each in embedder.search(tmp_path, "a red dog", top=6)]
    mine = [str(file) for file in photos[:2]]
    assert sorted(text.split()[0] for text in texts(found(embedder, mine, "a cat", photos))) == ["a.png", "b.png"]


def test_the_page_says_how_probable_labels_are_as_the_model_does(embedder, photos):
    labels = ["<b>dog</b>", "cat", "water"]
    html = classified(embedder, photos[0], ", ".join([*labels, "cat"]))
    assert texts(html) == list(embedder.classify(photos[0], labels)) and "<b>dog" not in html


@pytest.mark.parametrize("text", [None, "", "  ", "x" * 201, 7, ["a"]])
def test_a_search_for_nothing_is_refused_in_a_sentence(embedder, photos, text):
    assert "looked for" in refused(found(embedder, None, text, photos))


def test_what_cannot_be_searched_is_refused_in_a_sentence(embedder, photos, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    (tmp_path / "bad.png").write_bytes(b"no photo")
    for uploads, word in (
        ([str(clip)], "clip"),
        ([str(photos[0]), str(tmp_path / "bad.png")], "bad.png"),
        ([str(tmp_path / "none.png")], "did not arrive"),
        ([str(photos[0])] * (MOST_PHOTOS + 1), f"at most {MOST_PHOTOS}"),
    ):
        sentence = refused(found(embedder, uploads, "a dog", photos))
        assert word in sentence and str(tmp_path) not in sentence


@pytest.mark.parametrize("labels", [None, "", "one", ",".join(map(str, range(MOST_LABELS + 1))), "x" * 2001, 3])
def test_labels_that_are_none_are_refused_in_a_sentence(embedder, photos, labels):
    assert "labels" in refused(classified(embedder, photos[0], labels))


def test_both_are_tabs_of_an_embedder_and_answer_at_the_start(embedder, photos):
    tabs = {tab.verb: tab for tab in every_tab()}
    for verb in ("search", "classify"):
        assert tabs[verb].of({"e": embedder}) and 'class="text"' in tabs[verb].first(embedder, photos[0])
