"""Every layout of captioned clips reads as the same examples, and what is missing or odd is counted and named."""

import json
import logging
import os
from dataclasses import replace

import pytest
from clip_layouts import CLIP_LAYOUTS, MSRVTT2017, SPLIT_OF, ClipTable, MSVDCorpus, MSVDSentences
from PIL import Image
from source_layouts import refusal
from tiny_clips import write_clip

from captioning.data.benchmarks.msrvtt import MSRVTT
from captioning.data.benchmarks.msvd import MSVD
from captioning.media.clip import FrameSampling


@pytest.fixture(params=CLIP_LAYOUTS, ids=lambda layout: layout.__name__)
def layout(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, "captioning")
    return lambda: [record.getMessage() for record in caplog.records]


def test_every_layout_says_the_same(layout, warnings):
    source = layout.write()
    for split, count in SPLIT_OF.items():
        examples = source.examples(split)
        assert [example.id for example in examples] == [name for name, of in layout.names.items() if of == split]
        assert len(examples) == count
        for example in examples:
            assert list(example.captions) == layout.captions[example.id]
            assert layout.root / example.file == layout.clip(example.id, os.path.splitext(example.file)[1])
            assert (layout.root / example.file).is_file()
    assert source.examples("dev") == source.examples("val") and warnings() == []


def test_a_clip_is_found_by_its_name_in_any_container(tmp_path):
    for extension in (".avi", ".MKV", ".webm", ".mov"):
        layout = MSRVTT2017(tmp_path / extension[1:])
        layout.write()
        clip = layout.clip("video2")
        write_clip(clip.with_suffix(extension.lower())).rename(clip.with_suffix(extension))
        clip.unlink()
        assert layout.source().examples("train")[1].file == f"clips/video2{extension}"


def test_missing_clips_are_counted_and_the_first_is_shown(layout, warnings):
    layout.write()
    second = list(layout.names)[1]
    layout.clip(second).unlink(missing_ok=True)
    layout.clip(second, ".avi").unlink(missing_ok=True)
    message = "1 of 3 captioned clips is missing (split train), the first is "
    refusal(lambda: layout.source().examples("train"), message, second, "data.on_missing=skip")
    assert [example.id for example in layout.source(on_missing="skip").examples("train")] == [
        name for name, of in layout.names.items() if of == "train" and name != second
    ]
    assert len(warnings()) == 1 and message in warnings()[0] and "\n" not in warnings()[0]
    assert len(layout.source(on_missing="ignore").examples("train")) == 3


def test_a_split_whose_clips_are_all_missing_is_refused(layout):
    layout.write()
    for name in layout.names:
        layout.clip(name).unlink()
    refusal(lambda: layout.source().examples("val"), "1 of 1 captioned clips is missing")
    refusal(lambda: layout.source(on_missing="skip").examples("val"), "no captioned clip")


def test_clips_that_cannot_be_read_are_counted_and_named(layout, warnings):
    source = layout.write()
    examples = source.examples("train")
    assert source.readable(examples) == examples
    (layout.root / examples[2].file).write_bytes(b"no clip")
    message = "1 of 3 captioned clips is unreadable, the first is "
    refusal(lambda: source.readable(examples), message, examples[2].file)
    assert layout.source(on_missing="skip").readable(examples) == examples[:2]
    assert message in warnings()[0]


def test_the_picture_of_a_clip_is_its_middle_and_a_photo_is_a_clip_of_one_frame(layout):
    source = layout.write()
    example = source.examples("train")[0]
    frames, times = source.clip(example).sample(FrameSampling(frames=5))
    assert len(frames) == len(times) == 4 and frames[0].size == (32, 32)  # as many as there are in half a second
    assert source.image(example).tobytes() == source.clip(example).sample(FrameSampling(frames=1))[0][0].tobytes()
    assert source.readable([example], decode=True) == [example]
    Image.new("RGB", (8, 4), "red").save(layout.root / "photo.png")
    frames, _ = source.clip(replace(example, file="photo.png")).sample(FrameSampling(frames=5))
    assert [frame.size for frame in frames] == [(8, 4)]


@pytest.mark.parametrize("kind", [MSRVTT2017, MSVDSentences, MSVDCorpus])
def test_a_split_of_another_size_than_the_official_one_is_said(kind, tmp_path, warnings):
    layout = kind(tmp_path)
    layout.write()
    official = {MSRVTT: "6,513", MSVD: "1,200"}[layout.benchmark]
    message = f"split train has 3 clips where the official one has {official}"
    for choice in ("error", "ignore"):
        source = layout.benchmark(tmp_path, on_missing=choice)
        refusal(lambda source=source: source.examples("train"), message, "data.on_missing=skip")
    assert len(layout.benchmark(tmp_path, on_missing="skip").examples("train")) == 3
    assert len(warnings()) == 1 and message in warnings()[0]


def test_clips_of_msrvtt_without_captions_are_left_out_with_their_count(tmp_path, warnings):
    layout = MSRVTT2017(tmp_path)
    layout.captions["video3"] = []
    source = layout.write()
    assert [example.id for example in source.examples("train")] == ["video1", "video2"]
    assert "1 of 3 clips of split train have no caption, the first is video3. Left out." in warnings()[0]
    layout.captions["video1301"] = []
    layout.write_text()
    refusal(lambda: layout.source().examples("test"), "1 of 1 clips of split test have no caption", "data.captions")


@pytest.mark.parametrize("layout", [one for one in CLIP_LAYOUTS if one.__name__.startswith("MSVD")], indirect=True)
def test_empty_captions_of_msvd_are_counted(layout, warnings):
    layout.captions[list(layout.names)[0]][1] = "."
    layout.write()
    refusal(lambda: layout.source().examples("train"), "1 of 6 captions of split train is empty")


def test_1k_a_tests_on_its_list_and_learns_from_all_others(tmp_path):
    layout = MSRVTT2017(tmp_path)
    layout.names |= {"video1302": "test", "video1303": "test"}
    layout.captions |= {name: ["a cat"] for name in ("video1302", "video1303")}
    layout.write()
    refusal(lambda: MSRVTT(tmp_path, splits="1k-A").examples("test"), "MSRVTT_JSFUSION_test.csv")
    listed = "key,vid_key,video_id,sentence\nret0,msr1302,video1302,a cat\n"
    for name, content in (("MSRVTT_JSFUSION_test.csv", listed), ("val_list_jsfusion.txt", "video1302\n")):
        (tmp_path / name).write_text(content)
        source = MSRVTT(tmp_path, splits="1k-A")
        source.official = {"train": 5, "val": 1, "test": 1}
        splits = {split: [example.id for example in source.examples(split)] for split in SPLIT_OF}
        assert splits["test"] == ["video1302"] and splits["val"] == ["video1201"]
        assert sorted(splits["train"]) == ["video1", "video1301", "video1303", "video2", "video3"]
        (tmp_path / name).unlink()
    (tmp_path / "val_list_jsfusion.txt").write_text("video1302\nvideo77\n")
    refusal(lambda: MSRVTT(tmp_path, splits="1k-A").examples("test"), "1 of 2 clips is not in", "video77")
    refusal(lambda: MSRVTT(tmp_path, splits="1k-B"), "data.splits", "1k-A")


def test_the_published_list_of_1k_a_is_what_is_counted(tmp_path):
    train, test = [f"video{n}" for n in range(7010)], [f"video{n}" for n in range(7010, 10_000)]
    split = {n: "train" if i < 6513 else "validate" for i, n in enumerate(train)} | dict.fromkeys(test, "test")
    videos = [{"video_id": name, "split": of} for name, of in split.items()]
    sentences = [{"video_id": name, "caption": "a dog"} for name in split]
    (tmp_path / "MSRVTT_data.json").write_text(json.dumps({"videos": videos, "sentences": sentences}))
    (tmp_path / "val_list_jsfusion.txt").write_text("\n".join(test[::2][:1000]))
    source = MSRVTT(tmp_path, splits="1k-A", on_missing="ignore")
    counts = {split: len(source.examples(split)) for split in ("train", "val", "test")}
    assert counts == {"train": 8503, "val": 497, "test": 1000} and counts["train"] + counts["val"] == 9000


def test_without_a_mapping_the_numbers_of_msvd_are_its_ids(tmp_path):
    layout = MSVDSentences(tmp_path)
    layout.write()
    (tmp_path / "youtube_mapping.txt").unlink()
    write_clip(tmp_path / "clips" / "vid1201.mp4")
    (example,) = layout.source().examples("val")
    assert (example.id, example.file) == ("vid1201", "clips/vid1201.mp4")
    layout = MSVDCorpus(tmp_path / "corpus")
    layout.write()
    (layout.root / "youtube_mapping.txt").unlink()
    refusal(lambda: layout.source().examples("val"), "has no splits", "youtube_mapping.txt")


@pytest.mark.parametrize("layout", [one for one in CLIP_LAYOUTS if one.__name__.startswith("MSVD")], indirect=True)
def test_numbers_may_be_the_ids_of_msvd(layout):
    layout.write()
    if layout.file == "dataset_msvd.json":
        layout.write_mapping()
    named, numbered = layout.source().examples("train"), layout.source(ids="number").examples("train")
    assert [example.id for example in numbered] == ["vid1", "vid2", "vid3"]
    assert [replace(example, id=other.id) for example, other in zip(numbered, named, strict=True)] == named
    refusal(lambda: layout.source(ids="letter"), "data.ids")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b"nonsense\n", b'{"videos": [3]}', b"\x1f\x8b",
                                     b'{"videos": [], "sentences": {}}', b"VideoID,Start\n\"", b"\0\0"])  # fmt: skip
def test_a_malformed_file_is_named(layout, content):
    layout.write_text()
    (layout.root / layout.file).write_bytes(content)
    assert len(refusal(lambda: layout.source().examples("train"), str(layout.root))) < 400


def test_files_that_are_not_there_are_named_with_a_remedy(tmp_path):
    refusal(lambda: MSRVTT(tmp_path).examples("train"), "videodatainfo_2017.json", "data.root")
    refusal(lambda: MSVD(tmp_path).examples("train"), "sents_train_lc_nopunc.txt", "data.root")
    refusal(lambda: MSVD(tmp_path, captions="mine.csv").examples("train"), "mine.csv")
    refusal(lambda: MSRVTT(tmp_path, captions="mine.json").examples("train"), "mine.json does not exist")
    layout = MSVDSentences(tmp_path)
    layout.write()
    (tmp_path / "sents_val_lc_nopunc.txt").unlink()
    assert len(layout.source().examples("train")) == 3
    refusal(lambda: layout.source().examples("val"), "sents_val_lc_nopunc.txt does not exist")


def test_a_line_that_lost_its_tab_is_named(tmp_path):
    layout = MSVDSentences(tmp_path)
    layout.write()
    with open(tmp_path / "sents_train_lc_nopunc.txt", "a") as file:
        file.write("vid3 a dog\n")
    refusal(lambda: layout.source().examples("train"), "sents_train_lc_nopunc.txt, line 7", "vid3 a dog")
    (tmp_path / "youtube_mapping.txt").write_text("abc_1_2\n")
    refusal(lambda: layout.source().examples("train"), "youtube_mapping.txt, line 1", "abc_1_2")


def test_photos_and_clips_of_one_table_are_called_so(tmp_path):
    layout = ClipTable(tmp_path)
    layout.write()
    with open(layout.root / layout.file, "a") as file:
        file.write("photo.jpg,train,a photo,p\n")
    refusal(lambda: layout.source().examples("train"), "1 of 4 captioned photos and clips is missing", "photo.jpg")


def test_the_official_files_of_msvd_are_complete(real_data):
    source = MSVD(real_data / "msvd", on_missing="ignore")
    splits = {split: source.examples(split) for split in source.splits}
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 1200, "val": 100, "test": 670}
    examples = [example for part in splits.values() for example in part]
    assert len({example.id for example in examples}) == 1970
    assert sum(len(example.captions) for example in examples) == 80_827
    present = MSVD(real_data / "msvd", on_missing="skip")
    assert len(present.examples("train")) + len(present.examples("test")) == 14


def test_the_official_files_of_msrvtt_are_complete(real_data, warnings):
    source = MSRVTT(real_data / "msrvtt", on_missing="ignore")
    splits = {split: source.examples(split) for split in source.splits}
    assert len(source.split_of) == 10_000
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 6513, "val": 497, "test": 100}
    assert sum(len(example.captions) for part in splits.values() for example in part) == 142_200
    assert len(warnings()) == 1 and "2,890 of 2,990 clips of split test have no caption" in warnings()[0]
