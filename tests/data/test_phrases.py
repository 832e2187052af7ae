"""Phrases and their boxes are read as each layout has them, whatever its boxes look like; what is wrong is named."""

from __future__ import annotations

import json
import pickle

import pytest
from PIL import Image

from captioning.data.benchmarks.flickr30k_entities import Flickr30kEntities
from captioning.data.benchmarks.refcoco import RefCoco
from captioning.data.phrase_table import PhraseTable
from captioning.data.phrases import OtherPhrases, Phrase, PhrasedExample, all_phrases, names_alike, words_of
from captioning.errors import UserError

SENTENCES = """[/EN#1/people/other Two men] in [/EN#2/clothing a red hat] near [/EN#3/scene the sea] .
[/EN#0/notvisual It] shows [/EN#1/people men]
"""
OBJECT = "<object><name>{0}</name>{1}</object>"
BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
NO_BOX = "<scene>1</scene><nobndbox>1</nobndbox>"


def photo(path, size=(200, 100)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)


@pytest.fixture
def entities(tmp_path):
    for number in ("11", "12"):
        photo(tmp_path / "flickr30k-images" / f"{number}.jpg")
        objects = [(1, BOX.format(0, 0, 100, 50)), (1, BOX.format(100, 50, 200, 100)), (2, BOX.format(20, 10, 40, 20))]
        text = "".join(OBJECT.format(*one) for one in [*objects, (3, NO_BOX)])
        size = "<size><width>200</width><height>100</height></size>"
        for folder, name, content in (
            ("Annotations", "xml", f"<annotation>{size}{text}</annotation>"),
            ("Sentences", "txt", SENTENCES),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{number}.{name}").write_text(content)
    (tmp_path / "train.txt").write_text("11\n")
    (tmp_path / "val.txt").write_text("12\n")
    return tmp_path


def test_entities_are_phrases_with_all_boxes_of_their_chain(entities):
    (example,) = Flickr30kEntities(entities).examples("train")
    assert example.id == "11.jpg" and example.file == "flickr30k-images/11.jpg"
    assert example.captions == ("Two men in a red hat near the sea .", "It shows men")
    men = ((0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0))
    found = [(phrase.id, phrase.text, phrase.boxes, phrase.kind) for phrase in example.phrases]
    assert found == [
        ("11.jpg#0/0", "Two men", men, "people"),
        ("11.jpg#0/1", "a red hat", ((0.1, 0.1, 0.2, 0.2),), "clothing"),
        ("11.jpg#1/1", "men", men, "people"),
    ]


def test_photos_of_flickr8k_are_named_by_its_lists_and_found_where_one_says(entities, tmp_path):
    photo(tmp_path / "elsewhere" / "12_abc.jpg")
    (entities / "flickr8k_train.txt").write_text("12_abc.jpg\n")
    source = Flickr30kEntities(entities, photos=tmp_path / "elsewhere", lists="flickr8k")
    (example,) = source.examples("train")
    assert example.id == "12_abc.jpg" and source.image(example).size == (200, 100)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("Sentences/11.txt", "[/EN#1 no type] x\n", "Sentences/11.txt, line 1: a bracket"),
        ("Annotations/11.xml", "<annotation>", "11.xml is not XML"),
        ("Annotations/11.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>", "has a declaration"),
        ("Annotations/11.xml", "<annotation><size><width>x</width></size></annotation>", "<width> should be a number"),
        ("train.txt", "abc\n", "does not begin with its number"),
        ("train.txt", "11\n11\n", "1 of 2 photos is given twice"),
        ("train.txt", "13\n", "Annotations/13.xml does not exist"),
    ],
)
def test_damaged_entities_are_named(entities, file, content, words):
    (entities / file).write_text(content)
    with pytest.raises(UserError, match=words):
        Flickr30kEntities(entities).examples("train")


def test_phrases_that_are_not_there_are_about_other_photos_and_always_the_same(entities):
    (entities / "Sentences" / "11.txt").write_text("[/EN#2/clothing a blue cap] .\n")
    (entities / "train.txt").write_text("11\n12\n")
    first, second = Flickr30kEntities(entities, absent=2).examples("train")
    for one, other in ((first, second), (second, first)):
        absent = [phrase for phrase in one.phrases if phrase.absent]
        assert absent and not any(phrase.boxes for phrase in absent)
        assert {phrase.text for phrase in absent} <= {phrase.text for phrase in other.phrases if phrase.boxes}
        own = {word for phrase in one.phrases if phrase.boxes for word in words_of(phrase.text)}
        assert not {words_of(phrase.text)[-1] for phrase in absent} & own
    again = Flickr30kEntities(entities, absent=2).examples("train")
    assert again == [first, second]
    assert len({phrase.id for phrase in all_phrases(again)}) == len([*all_phrases(again)])


def test_the_real_annotations_have_as_many_phrases_as_were_counted_by_hand(real_data):
    source = Flickr30kEntities(
        real_data / "flickr30k_entities", photos=real_data / "flickr8k" / "Images", lists="flickr8k"
    )
    examples = source.examples("val")
    assert len(examples) == 1000 and sum(1 for _ in all_phrases(examples)) == 13123


@pytest.fixture
def refcoco(tmp_path):
    photo(tmp_path / "train2014" / "a.jpg")
    instances = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 200, "height": 100}],
        "annotations": [{"id": 70, "image_id": 7, "category_id": 1, "bbox": [20, 10, 60, 40]}],
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "refcoco").mkdir()
    (tmp_path / "refcoco" / "instances.json").write_text(json.dumps(instances))
    return tmp_path


def references(split="testA"):
    sentences = [
        {"sent_id": 3, "raw": "Man on the left", "sent": "man on the left"},
        {"sent_id": 4, "sent": "tall man"},
    ]
    return [{"ref_id": 1, "ann_id": 70, "image_id": 7, "category_id": 1, "split": split, "sentences": sentences}]


@pytest.mark.parametrize("protocol", [0, 2, 5, "json"])
def test_referring_expressions_are_read_from_pickles_and_json_alike(refcoco, protocol):
    name = "refs(unc).json" if protocol == "json" else "refs(unc).p"
    content = json.dumps(references()).encode() if protocol == "json" else pickle.dumps(references(), protocol)
    (refcoco / "refcoco" / name).write_bytes(content)
    source = RefCoco(refcoco)
    assert source.splits == ("train", "val", "testA", "testB")
    (example,) = source.examples("testA")
    box = (0.1, 0.1, 0.4, 0.5)
    found = [(phrase.id, phrase.text, phrase.boxes, phrase.kind) for phrase in example.phrases]
    assert found == [(3, "Man on the left", (box,), "person"), (4, "tall man", (box,), "person")]
    with pytest.raises(UserError, match="split testB locates nothing"):
        source.examples("testB")


class Hostile:
    def __reduce__(self):
        return (open, ("/tmp/never_written", "w"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(Hostile()), "it names .*open"),
        (pickle.dumps(references())[:-10], "cannot be read as a pickle"),
        (b"", "cannot be read as a pickle"),
        (pickle.dumps([{"ann_id": 1}]), "refs\\[0\\].image_id"),
        (pickle.dumps([{**references()[0], "ann_id": 71}]), "annotation 71, which is not listed"),
        (pickle.dumps([{**references()[0], "sentences": [{"raw": 3}]}]), "has no text"),
    ],
)
def test_a_pickle_runs_nothing_and_what_is_wrong_with_it_is_named(refcoco, content, words):
    (refcoco / "refcoco" / "refs(unc).p").write_bytes(content)
    with pytest.raises(UserError, match=words):
        RefCoco(refcoco).examples("testA")


TABLE = """file,phrase,x1,y1,x2,y2,split
a.jpg,the man in red,20,10,60,40,train
a.jpg,two dogs,0,0,100,50,train
a.jpg,two dogs,100,50,200,100,train
a.jpg,a cat,,,,,train
"""


def test_a_table_has_a_line_for_each_box_and_an_empty_one_for_what_is_not_there(tmp_path):
    photo(tmp_path / "a.jpg")
    (tmp_path / "mine.csv").write_text(TABLE)
    (example,) = PhraseTable(tmp_path / "mine.csv").examples("train")
    found = [(phrase.text, phrase.boxes, phrase.absent) for phrase in example.phrases]
    assert found == [
        ("the man in red", ((0.1, 0.1, 0.3, 0.4),), False),
        ("two dogs", ((0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)), False),
        ("a cat", (), True),
    ]


@pytest.mark.parametrize(
    ("layout", "numbers"),
    [("xywh", (20, 10, 40, 30)), ("cxcywh", (40, 25, 40, 30)), ("yyxx", (10, 40, 20, 60)), ("xyxy", (20, 10, 60, 40))],
)
@pytest.mark.parametrize("unit", ["pixels", "shares"])
def test_a_table_means_the_same_in_every_layout_and_unit(tmp_path, layout, numbers, unit):
    photo(tmp_path / "a.jpg")
    if unit == "shares":
        sides = (100, 100, 200, 200) if layout == "yyxx" else (200, 100, 200, 100)
        numbers = [number / side for number, side in zip(numbers, sides, strict=True)]
    row = {"file": "a.jpg", "phrase": "it", **dict(zip(("x1", "y1", "x2", "y2"), numbers, strict=True))}
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    table = PhraseTable(tmp_path / "mine.jsonl", layout=layout, unit=unit, val_fraction=0, test_fraction=0)
    assert table.examples("train")[0].phrases[0].boxes[0] == pytest.approx((0.1, 0.1, 0.3, 0.4))


@pytest.mark.parametrize(
    ("line", "options", "words"),
    [
        ("a.jpg,it,1,2,3,4", {"layout": "xxyy"}, "data.layout=xxyy"),
        ("a.jpg,it,1,2,3,4", {"unit": "inches"}, "data.unit=inches"),
        ("a.jpg,it,1,2,x,4", {}, "line 2: x2 should be a number"),
        ("a.jpg,it,1,2,,4", {}, "line 2: a box is four numbers"),
        ("a.jpg,it,300,2,400,4", {}, "line 2: nothing of the box"),
        ("a.jpg,,1,2,3,4", {}, "line 2: phrase should be text"),
        ("a.jpg,it,1,2,3", {}, "line 2 has 5 columns.*A phrase with a comma"),
        ("a.jpg,it,1,2,3,4\na.jpg,it,,,,", {}, "line 3: the phrase has a box in another line"),
        ("b.jpg,it,1,2,3,4", {}, "1 of 1 captioned photos is missing"),
        ("b.jpg,it,1,2,3,4", {"on_missing": "ignore"}, "its size is not known"),
        ("a.jpg,...,1,2,3,4", {}, "1 of 1 phrases is empty"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(tmp_path, line, options, words):
    photo(tmp_path / "a.jpg")
    (tmp_path / "mine.csv").write_text(f"file,phrase,x1,y1,x2,y2\n{line}\n")
    with pytest.raises(UserError, match=words):
        PhraseTable(tmp_path / "mine.csv", val_fraction=0, test_fraction=0, **options).examples("train")


def test_what_is_missing_is_left_out_where_one_says_so(tmp_path, caplog):
    photo(tmp_path / "a.jpg")
    (tmp_path / "mine.csv").write_text("file,phrase,x1,y1,x2,y2\na.jpg,it,1,2,3,4\nb.jpg,it,1,2,3,4\n")
    table = PhraseTable(tmp_path / "mine.csv", val_fraction=0, test_fraction=0, on_missing="skip")
    assert [example.file for example in table.examples("train")] == ["a.jpg"]
    assert "b.jpg" in caplog.text


def people(names):
    """A picture for each list of what people call one and the same box of it."""
    made = []
    for i, those in enumerate(names):
        box = ((0.1 * i, 0.0, 1.0, 1.0),)
        made.append(PhrasedExample(i, "", (), phrases=tuple(Phrase(f"{i}/{n}", n, box, "people") for n in those)))
    return made


def test_names_that_people_give_to_the_same_boxes_more_than_once_may_mean_one_thing():
    pictures = people([["a man", "the person"], ["a man", "a person"], ["a man", "a woman"], ["a dog"]])
    alike = names_alike(pictures)
    assert alike["man"] == {"person"} and alike["person"] == {"man"} and "woman" not in alike
    often = people([["a man"]] * 30 + [["a woman"]] * 30 + [["a man", "a woman"]] * 2)
    assert names_alike(often) == {}  # twice of 32 times is an error


def test_what_is_drawn_as_not_there_is_nothing_that_a_picture_may_show_and_other_things_with_another_seed():
    pictures = people([["a man", "the person"], ["a man", "a person"], ["a woman"], ["a dog"], ["a horse"], ["a car"]])
    others = OtherPhrases(pictures)
    drawn = [others.drawn(pictures[0], 2, f"{seed}") for seed in range(20)]
    texts = [{phrase.text for phrase in those} for those in drawn]
    assert all(len(those) == 2 and those <= {"a woman", "a dog", "a horse", "a car"} for those in texts)
    assert len(set(map(frozenset, texts))) > 1 and drawn[0] == others.drawn(pictures[0], 2, "0")
    assert all(phrase.absent and not phrase.boxes for those in drawn for phrase in those)
    alone = OtherPhrases(pictures[:1])
    assert alone.drawn(pictures[0], 2, "0") == []
