import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from captioning.errors import UserError
from captioning.reports.page import Panel, curves_svg, page, write_page

EVIL = "<script>alert(\"x\")</script> & 'so' on"
CURVES = {
    "train/loss": [(0, 4.2), (1, 3.1), (2, 2.4)],
    "val/loss": [(0, 4.0), (1, 3.3), (2, 2.9)],
    "val/CIDEr": [(0, 10.0), (1, 31.5), (2, 44.0)],
    "train/lr": [(0, 1e-4)],
}
SCORES = {"greedy": {"BLEU-4": 18.61, "CIDEr": 47.04}, "beam 5": {"BLEU-4": 20.12, "CIDEr": 50.93}}


def panel(**changes):
    words = ["a", "dog", "runs"]
    told = {
        "image": Image.effect_noise((64, 48), 60),
        "captions": {"greedy": "a dog runs", "beam 5": "a brown dog runs"},
        "references": ["A dog is running.", "The dog runs."],
        "words": words,
        "attention": np.random.default_rng(0).random((len(words), 9)),
    }
    return Panel(**(told | changes))


class Reader(HTMLParser):
    """Tags with their attributes, and the text outside of style and script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.inside = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.inside.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag

    def handle_data(self, data):
        if self.inside[-1:] not in (["style"], ["script"]):
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def read(**parts):
    return Reader(page(**({"title": "Law", "examples": [panel()], "scores": SCORES, "curves": CURVES} | parts)))


def test_everything_that_was_given_is_on_the_page():
    text = read(title="Flickr8k, dev").text
    expected = ["Flickr8k, dev", "a dog runs", "a brown dog runs", "A dog is running.", "The dog runs.", "greedy"]
    assert all(piece in text for piece in [*expected, "beam 5", "CIDEr", "50.9", "18.6", "Loss"])


def test_text_stays_text():
    evil = panel(captions={EVIL: EVIL}, references=[EVIL], words=[EVIL] * 3, name=EVIL)
    told = read(title=EVIL, examples=[evil], scores={EVIL: {EVIL: 1.0}}, curves={f"{EVIL}/loss": [(0, 1.0)]})
    assert len(told.all("script")) == 1
    assert told.text.count(EVIL) >= 12
    assert any(EVIL in attrs.get("alt", "") for attrs in told.all("img"))


def test_the_page_asks_the_network_for_nothing():
    text = page(title="Law", examples=[panel()], scores=SCORES, curves=CURVES)
    assert not re.findall(r"https?:|//\w|@import|<link|<iframe", re.sub(r"base64,[\w+/=]+", "", text))
    sources = [attrs["src"] for attrs in Reader(text).all("img") if "src" in attrs]
    assert sources and all(source.startswith("data:image/") for source in sources)


def test_every_word_has_a_button_and_a_picture_of_its_attention():
    told = read()
    assert len(told.all("button")) == 3
    alts = [attrs["alt"] for attrs in told.all("img") if "src" in attrs]
    assert len(alts) == 1 + 3 and all(alts)
    for word, alt in zip(["a", "dog", "runs"], alts[1:], strict=True):
        assert f"“{word}”" in alt


def test_a_decoder_without_attention_gets_no_strip():
    for silent in (panel(attention=None), panel(words=[], attention=np.zeros((0, 9)))):
        told = read(examples=[silent])
        assert not told.all("button") and "a dog runs" in told.text


def test_attention_may_lie_on_boxes_or_an_oblong_grid():
    boxes = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    assert len(read(examples=[panel(attention=np.eye(3, 2), boxes=boxes)]).all("figure")) == 3
    assert len(read(examples=[panel(attention=np.ones((3, 6)), grid=(2, 3))]).all("figure")) == 3


def test_words_and_attention_must_match():
    with pytest.raises(ValueError, match="2 words, but attention for 3"):
        read(examples=[panel(words=["a", "dog"])])


def test_the_best_of_each_metric_is_marked_and_a_missing_one_is_a_dash():
    text = page(title="", examples=[], scores={"a": {"CIDEr": 40.0, "SPICE": 9.0}, "b": {"CIDEr": 50.0}}, curves={})
    assert re.findall(r"<strong>(.*?)</strong>", text) == ["50.0"]
    assert "<td>–</td>" in text


def test_parts_that_are_empty_are_left_out():
    told = read(examples=[], scores={}, curves={})
    assert not told.all("table") and not told.all("svg") and not told.all("h2")


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (3000, 40), (500, 900)])
def test_any_picture_goes_on_the_page(mode, size):
    assert len(read(examples=[panel(image=Image.new(mode, size))]).all("figure")) == 3


def test_the_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    parts = {"title": "Law", "examples": [panel()], "scores": SCORES, "curves": CURVES}
    path = write_page(tmp_path / "new" / "report.html", **parts)
    whole = path.read_text(encoding="utf-8")
    assert whole.endswith("</html>\n")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(UserError, match=r"report\.html cannot be written \(No space left on device\)"):
        write_page(path, **parts)
    assert path.read_text(encoding="utf-8") == whole
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Choose another place"):
        write_page(tmp_path / "file" / "report.html", title="", examples=[], scores={}, curves={})


def test_curves_are_a_well_formed_file_of_their_own():
    root = ElementTree.fromstring(curves_svg(CURVES))
    text = "".join(root.itertext())
    assert "Loss" in text and "CIDEr" in text and "lr" not in text
    assert "var(" not in curves_svg(CURVES)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 3
    assert ElementTree.fromstring(curves_svg({})) is not None
