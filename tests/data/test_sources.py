"""Every layout of captioned photos reads as the same examples, and every defect is counted, shown and mendable."""

import logging
import os
from pathlib import Path

import pytest
from PIL import Image
from source_layouts import CAPTIONS, LAYOUTS, SPLIT_OF, CsvLayout, refusal, refused_or_skipped

from captioning.media.images import ImageError


@pytest.fixture(params=LAYOUTS, ids=lambda layout: layout.__name__.removesuffix("Layout"))
def layout(request, tmp_path):
    return request.param(tmp_path)


def test_every_layout_says_the_same(layout):
    source = layout.write()
    examples = source.examples("train")
    assert [Path(example.file).name for example in examples] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [list(example.captions) for example in examples] == [CAPTIONS[name] for name in ("a.jpg", "b.jpg", "c.jpg")]
    assert len({example.id for example in examples}) == 3
    assert all(source.image(example).size == (8, 4) for example in examples)
    assert source.readable(examples, decode=True) == examples
    assert examples == layout.source().examples("train"), "the order is fixed"


def test_dev_and_validation_are_names_of_val(layout):
    source = layout.write()
    if "test" in source.splits:
        for name in ("val", "dev", "validation", "Valid"):
            assert [Path(example.file).name for example in source.examples(name)] == ["d.jpg"]
        assert [Path(example.file).name for example in source.examples("test")] == ["e.jpg"]


def test_unknown_splits_are_refused_with_those_that_there_are(layout):
    source = layout.write(on_missing="skip")
    for name in ("trian", "", "7"):
        refusal(lambda name=name: source.examples(name), "no split", "train, val")


def test_missing_photos_are_counted_and_the_first_is_shown(layout, caplog):
    layout.write()
    layout.photo("b.jpg").unlink()
    words = ["1 of 3 captioned photos is missing", f"the first is {layout.folder}/b.jpg", str(layout.root)]
    refused_or_skipped(layout, caplog, *words, left=["a.jpg", "c.jpg"])
    assert len(layout.source(on_missing="ignore").examples("train")) == 3


def test_missing_photos_of_one_split_do_not_stop_another(layout):
    source = layout.write()
    layout.photo("e.jpg").unlink()
    assert len(source.examples("train")) == 3


def test_with_no_photo_at_all_skipping_is_refused_too(layout):
    layout.write()
    for name in SPLIT_OF:
        layout.photo(name).unlink()
    refusal(lambda: layout.source().examples("train"), "3 of 3 captioned photos are missing")
    refusal(lambda: layout.source(on_missing="skip").examples("train"), "no captioned photo")


def test_unreadable_photos_are_counted_and_the_first_is_shown_with_its_reason(layout, caplog):
    source = layout.write()
    layout.photo("b.jpg").write_bytes(b"")
    examples = source.examples("train")
    words = ["1 of 3 captioned photos is unreadable", f"{layout.folder}/b.jpg, which is empty"]
    refusal(lambda: source.readable(examples), *words)
    with caplog.at_level(logging.WARNING, "captioning"):
        left = layout.source(on_missing="skip").readable(examples)
    assert left == [examples[0], examples[2]]
    assert all(word in caplog.records[0].getMessage() for word in words)
    with pytest.raises(ImageError, match="b.jpg is empty"):
        source.image(examples[1])


def test_a_photo_cut_short_is_found_by_decoding(layout):
    source = layout.write()
    path = layout.photo("c.jpg")
    Image.new("RGB", (200, 200), "red").save(path)
    path.write_bytes(path.read_bytes()[:-300])
    examples = source.examples("train")
    refusal(lambda: source.readable(examples, decode=True), "1 of 3", "c.jpg, which is damaged or cut short")


@pytest.mark.parametrize("nothing", ["", " \t ", " . "])
def test_empty_captions_are_counted(layout, caplog, nothing):
    layout.captions["b.jpg"][1] = nothing
    layout.write()
    refused_or_skipped(layout, caplog, "1 of 6 captions", "empty", left=["a.jpg", "b.jpg", "c.jpg"])
    assert layout.source(on_missing="skip").examples("train")[1].captions == (CAPTIONS["b.jpg"][0],)


@pytest.mark.parametrize("layout", [one for one in LAYOUTS if one is not CsvLayout], indirect=True)
def test_photos_without_captions_are_counted(layout, caplog):
    layout.captions["b.jpg"] = []
    layout.write()
    refused_or_skipped(layout, caplog, "1 of 3 photos", "without a caption", "b.jpg", left=["a.jpg", "c.jpg"])


def test_a_bad_value_of_on_missing_is_named(layout):
    layout.write()
    refusal(lambda: layout.source(on_missing="continue"), "data.on_missing", "error, skip, ignore")


def test_missing_annotations_are_named_with_a_remedy(layout):
    layout.write()
    layout.file.unlink()
    refusal(lambda: layout.source().examples("train"), f"{layout.file} does not exist. ")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00{", b"nonsense\n", b'{"images": [3]}',
                                     b"[" * 100_000, b'{"images": {}, "annotations": []}', b"\0\0\0",
                                     b'{"images": [{"id": [], "filename": 3}]}', b"caption,file\n\""])  # fmt: skip
def test_a_malformed_file_is_named(layout, content):
    layout.write()
    layout.file.write_bytes(content)
    message = refusal(lambda: layout.source().examples("train"), str(layout.file))
    assert len(message) < 400


def test_a_folder_in_place_of_the_annotations_is_named(layout):
    layout.write()
    layout.file.unlink()
    layout.file.mkdir()
    refusal(lambda: layout.source().examples("train"), str(layout.file))


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(layout):
    expected = layout.write().examples("train")
    text = layout.file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    layout.file.write_bytes(b"\xef\xbb\xbf" + text)
    assert layout.source().examples("train") == expected


def test_accents_and_other_scripts_are_kept(layout):
    layout.captions["a.jpg"] = ["Un café près de l\u2019eau", "犬が走る\u2028"]
    first = layout.write().examples("train")[0]
    assert [caption.strip() for caption in first.captions] == ["Un café près de l\u2019eau", "犬が走る"]


def test_reading_photos_takes_one_listing_a_folder(layout, monkeypatch):
    source = layout.write()
    listed, looked_at = [], []
    listdir, exists = os.listdir, os.path.exists
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", lambda folder: listed.append(Path(folder).name) or listdir(folder))
        patch.setattr(os.path, "exists", lambda path: looked_at.append(Path(path).name) or exists(path))
        source.examples("train")
    assert listed.count(layout.folder) <= 2 and not set(looked_at) & set(SPLIT_OF)
