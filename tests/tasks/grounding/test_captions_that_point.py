"""The noun phrases of a caption point at boxes, and the sentence stays what it was."""

from __future__ import annotations

import re

from PIL import Image
from tiny_grounding import grounding_bundle

from captioning.tasks.grounding.locator import Locator

SENTENCE = "a red dog and two <b>blue</b> cats run on the beach"


def locator() -> Locator:
    return Locator(grounding_bundle(), device="cpu")


def picture() -> Image.Image:
    return Image.effect_noise((90, 60), 80).convert("RGB")


def test_each_noun_phrase_is_where_it_is_when_it_is_asked_for_alone():
    image, model = picture(), locator()
    found = model.ground(image, SENTENCE, least=0.0)
    assert found.text == SENTENCE
    assert [phrase.text for phrase in found.phrases] == ["a red dog", "two <b>blue</b> cats", "the beach"]
    alone = [model.locate(image, phrase.text, least=0.0) for phrase in found.phrases]
    assert [where.phrase for where in found.locations] == [where.phrase for where in alone]
    for one, other in zip(found.locations, alone, strict=True):
        assert max(abs(a - b) for a, b in zip(one.box.corners, other.box.corners, strict=True)) < 1e-5
    assert [name for name, _ in found.objects] == ["dog", "cat", "beach"]
    told = found.to_dict(image.size)
    assert told["caption"] == SENTENCE and [p["words"] for p in told["phrases"]] == [[0, 3], [4, 7], [9, 11]]


def test_several_captions_are_grounded_at_one_look_and_one_without_phrases_has_none():
    found = locator().ground(picture(), ["it is running", SENTENCE], least=0.0)
    assert [len(one.locations) for one in found] == [0, 3]
    assert locator().ground(picture(), "").locations == ()


def test_the_sentence_in_html_is_the_sentence_with_its_phrases_marked():
    image = picture()
    found = locator().ground(image, SENTENCE, least=0.0)
    html = found.html(image)
    said = html.split("<figcaption>")[1].split("</figcaption>")[0]
    assert "<b>" not in said and said.count("<mark") == 3
    text = re.sub(r"</?mark[^>]*>", "", said).replace("&lt;", "<").replace("&gt;", ">")
    assert text == SENTENCE
    assert found.draw(image).size == (960, 640)
    nowhere = locator().ground(image, SENTENCE, least=1.0)
    assert "<mark" not in nowhere.html(image) and nowhere.boxes == []
