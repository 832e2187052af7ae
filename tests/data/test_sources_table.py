"""A person's own table is read as they meant it, or the line that is wrong is named."""

import json
from collections import Counter

import pytest
from PIL import Image
from source_layouts import SPLIT_OF, refusal

from captioning.data.benchmarks.flickr8k import Flickr30k
from captioning.data.table import ENOUGH, Table, hash_splits


def table(tmp_path, text, name="t.csv", **options):
    for photo in SPLIT_OF:
        Image.new("RGB", (8, 4)).save(tmp_path / photo)
    (tmp_path / name).write_text(text, newline="")
    return Table(tmp_path / name, **options)


def test_a_spreadsheet_may_separate_by_other_characters_and_name_its_columns(tmp_path):
    for mark in (",", ";", "\t", "|"):
        source = table(tmp_path, f"image{mark}text\r\na.jpg{mark}A dog\r\n", file_column="image", caption_column="text")
        assert source.examples("train")[0].captions == ("A dog",)


def test_quoted_captions_may_hold_commas_quotes_and_line_ends(tmp_path):
    source = table(tmp_path, 'file,caption\na.jpg,"A dog, a ""cat""\nand a bird"\n')
    assert source.examples("train")[0].captions == ('A dog, a "cat"\nand a bird',)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,text\na.jpg,A dog\n", ["no column caption", "data.caption_column"]),
        ("a.jpg,A dog\n", ["no column file"]),
        ("file,caption\na.jpg,A dog, a cat\n", ["line 2 has 3 columns", "quotes"]),
        ("file,caption\na.jpg,A dog\nb.jpg\n", ["line 3 has 1 columns", "missing in the line"]),
        ("file,caption\n,A dog\n", ["line 2", "file is empty"]),
        ('file,caption\na.jpg,"A dog\n', ["line 2", "not closed"]),
        ('file,caption\na.jpg,A\nb.jpg,"A dog\nc.jpg,A\na.jpg,"A cat"\n', ["line 3: a quote", "stands in line 5"]),
        ("file|caption\na.jpg\n", ["line 2 has 1 columns", "A '|' or a whole column is missing"]),
        ("file|caption\na.jpg|A|B\n", ["line 2 has 3 columns", "A caption with a '|' in it"]),
        ("file,caption\n", ["no captioned photo"]),
        ("file,caption,split\na.jpg,A,train\nb.jpg,B,tset\n", ["1 of 2 splits is unknown", "'tset' in line 3"]),
        ("file,caption,split\na.jpg,A,train\na.jpg,B,val\n", ["1 of 2 photos is in a second split", "line 3"]),
        ("file,caption,split\na.jpg,A,train\nb.jpg,B,\n", ["1 of 2 photos is without a split", "b.jpg"]),
        ("file,caption,id\na.jpg,A,1\nb.jpg,B,1\n", ["1 of 2 ids is given to a second photo", "1 in line 3"]),
        ("file,caption,id\na.jpg,A,1\na.jpg,B,2\n", ["1 of 2 photos is under a second id", "a.jpg in line 3"]),
    ],
)
def test_defects_of_a_table_are_named(tmp_path, text, words):
    refusal(lambda: table(tmp_path, text).examples("train"), str(tmp_path / "t.csv"), *words)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "3",
        "{}",
        '{"file": 3, "caption": "A"}',
        '{"file": "a.jpg", "caption": 3}',
        '{"file": "a.jpg", "captions": [1]}',
        '{"file": "a.jpg", "caption": "A", "split": 1}',
        '{"file": "a.jpg", "caption": "A", "id": [1]}',
    ],
)
def test_defects_of_a_json_line_are_named_with_the_line(tmp_path, line):
    text = '{"file": "a.jpg", "caption": "A dog"}\n\n' + line + "\n"
    refusal(lambda: table(tmp_path, text, "t.jsonl").examples("train"), "t.jsonl, line 3")


def test_several_lines_of_a_photo_are_its_captions(tmp_path):
    text = "file,caption,split,id\na.jpg,One,dev,x\nb.jpg,B,train,y\na.jpg,Two,,x\n"
    (example,) = table(tmp_path, text).examples("val")
    assert (example.id, example.file, example.captions) == ("x", "a.jpg", ("One", "Two"))


def test_photos_of_a_table_may_lie_anywhere(tmp_path):
    (tmp_path / "far").mkdir()
    Image.new("RGB", (8, 4)).save(tmp_path / "far" / "z.jpg")
    source = table(tmp_path, "file,caption\nz.jpg,A\n", root=tmp_path / "far")
    assert source.image(source.examples("train")[0]).size == (8, 4)
    source = table(tmp_path, f"file,caption\n{tmp_path / 'far' / 'z.jpg'},A\n")
    assert source.image(source.examples("train")[0]).size == (8, 4)


def test_splits_by_hash_are_a_partition_with_the_shares_asked_for():
    splits = hash_splits(range(10_000), 0.1, 0.2)
    shares = [list(splits.values()).count(split) / 10_000 for split in ("train", "val", "test")]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.02)
    assert set(hash_splits(range(100), 0, 0).values()) == {"train"}


def test_splits_by_hash_depend_neither_on_order_nor_on_other_photos():
    ids = [f"photo {i}.jpg" for i in range(300)]
    splits = hash_splits(ids, 0.1, 0.1)
    assert hash_splits(ids[::-1], 0.1, 0.1) == splits
    assert set(hash_splits(["alone.jpg"], 0.5, 0.4).values()) == {"train"} and hash_splits([], 0.1, 0.1) == {}
    assert {one: split for one, split in hash_splits(ids + ["new.jpg"], 0.1, 0.1).items() if one in splits} == splits
    assert splits["photo 0.jpg"] == "val", "the same on every machine and in every version"


@pytest.mark.parametrize("count", range(3, 30))
def test_even_a_small_table_has_every_split(count):
    assert set(hash_splits([f"{count} {i}" for i in range(count)], 0.1, 0.1).values()) == {"train", "val", "test"}


def test_shares_that_leave_nothing_to_train_on_are_refused(tmp_path):
    for shares in ((0.5, 0.5), (-0.1, 0.1)):
        refusal(lambda s=shares: Table(tmp_path / "t.csv", val_fraction=s[0], test_fraction=s[1]), "data.val_fraction")


RESULTS = """image_name| comment_number| comment
a.jpg| 0| Two "young" guys , with shaggy hair .
a.jpg| 1| "Look !" says a sign .
b.jpg| 0   A dog runs across the grass .
c.jpg| 0| A man, a plan
"""
GUYS = ('Two "young" guys , with shaggy hair .', '"Look !" says a sign .')


def all_of(source):
    return {one.file: one.captions for split in source.splits for one in source.read(split)}


def test_flickr30k_as_it_is_handed_round_is_a_table(tmp_path):
    found = all_of(table(tmp_path, RESULTS, "results.csv"))
    assert found == {"a.jpg": GUYS, "b.jpg": ("A dog runs across the grass .",), "c.jpg": ("A man, a plan",)}
    tokens = "".join(f"{file}#{i}\t{text}\n" for file, texts in found.items() for i, text in enumerate(texts))
    assert all_of(table(tmp_path, tokens, "results_20130124.token")) == found
    refusal(lambda: table(tmp_path, "a.jpg A dog\n", "x.token").examples("train"), "x.token, line 1")


def test_flickr30k_is_a_source_from_either_of_its_files(tmp_path):
    images = [{"filename": file, "split": "train", "sentences": []} for file in ("a.jpg", "b.jpg", "c.jpg")]
    (tmp_path / "dataset_flickr30k.json").write_text(json.dumps({"images": images}))
    for file in SPLIT_OF:
        Image.new("RGB", (8, 4)).save(tmp_path / file)
    (tmp_path / "results.csv").write_text(RESULTS)
    found = {one.file: one.captions for one in Flickr30k(tmp_path, on_missing="ignore").read("train")}
    assert found["a.jpg"] == GUYS and found["b.jpg"] == ("A dog runs across the grass .",)
    tokens = "".join(f"{file}#{i}\t{text}\n" for file, texts in found.items() for i, text in enumerate(texts))
    (tmp_path / "results_20130124.token").write_text(tokens)
    (tmp_path / "results.csv").unlink()
    assert {one.file: one.captions for one in Flickr30k(tmp_path, on_missing="ignore").read("train")} == found


def test_a_separator_may_be_said(tmp_path):
    source = table(tmp_path, "file~caption\na.jpg~A dog, a cat\n", separator="~")
    assert all_of(source) == {"a.jpg": ("A dog, a cat",)}
    refusal(lambda: table(tmp_path, "file,caption\n", separator="||"), "data.separator")


def test_the_usual_names_of_columns_are_known_where_nobody_names_them(tmp_path):
    text = "image,caption\na.jpg,A dog\n"
    assert all_of(table(tmp_path, text)) == {"a.jpg": ("A dog",)}
    refusal(lambda: table(tmp_path, text, file_column="photo").examples("train"), "no column photo")


@pytest.mark.parametrize("ending", [".txt", ".caption"])
def test_photos_with_texts_beside_them_are_a_source(tmp_path, ending):
    for name in ("a.jpg", "b.png", "c.jpg"):
        Image.new("RGB", (8, 4)).save(tmp_path / name)
    (tmp_path / f"a{ending}").write_text("A dog\n\n  A brown dog \n")
    (tmp_path / f"b.png{ending}").write_text("A cat")
    (tmp_path / f"c{ending}").write_text("")
    refusal(lambda: Table(tmp_path, sidecar=ending, val_fraction=0, test_fraction=0).examples("train"), "c.jpg")
    source = Table(tmp_path, sidecar=ending, on_missing="skip", val_fraction=0, test_fraction=0)
    assert {one.file: one.captions for one in source.examples("train")} == {
        "a.jpg": ("A dog", "A brown dog"),
        "b.png": ("A cat",),
    }
    assert source.image(source.examples("train")[0]).size == (8, 4)


def test_folders_named_after_splits_are_the_splits(tmp_path):
    for folder in ("train", "dev", "test"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 4)).save(tmp_path / folder / "a.jpg")
        (tmp_path / folder / "a.txt").write_text(f"of {folder}")
    source = Table(tmp_path)
    assert {split: source.examples(split)[0].captions for split in source.splits} == {
        "train": ("of train",),
        "val": ("of dev",),
        "test": ("of test",),
    }


@pytest.mark.parametrize("count", [8, 10, 20, 40, 100, 1000])
def test_a_default_split_keeps_enough_photos_for_validation_or_says_that_it_cannot(tmp_path, caplog, count):
    for trial in range(20):
        splits = hash_splits([f"{trial} {i}.jpg" for i in range(count)], 0.1, 0.1)
        found = Counter(splits.values())
        assert found["val"] >= min(ENOUGH, count // 4) and found["train"] >= count / 3
    lines = "".join(f"{i}.jpg,A dog\n" for i in range(count))
    len(table(tmp_path, f"file,caption\n{lines}", on_missing="ignore").examples("train"))
    assert ("left for validation" in caplog.text) == (count < 4 * ENOUGH)
