"""Captions of many photos: whatever an interruption leaves behind, going on ends with what no interruption gives."""

import csv
import json
import os
from pathlib import Path

import pytest

from captioning.commands.caption_files import CaptionFile, Sidecars
from captioning.errors import UserError
from captioning.tasks.captioning.caption import Caption

NAMES = ("a/dog.jpg", 'a/a, "b".jpg', "new\nline.png", os.fsdecode(b"caf\xe9.png"), "Hü.jpg")
PHOTOS = [Path(name) for name in NAMES]


def said(file: Path, count: int) -> list[Caption]:
    return [Caption(f'A "dog", {i} of {PHOTOS.index(file)}.', -float(i) or float("-inf"), []) for i in range(count)]


def write(path: Path, count: int, **options) -> set[str]:
    """Captions all photos that are not done. -> those that were done already."""
    output = CaptionFile(path, captions=count, **options)
    done = [file for file in PHOTOS if file in output]
    for file in PHOTOS:
        if file not in done:
            output.write(file, said(file, count))
    return set(done)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", ["captions.jsonl", "captions.csv"])
def test_a_file_cut_anywhere_is_completed(tmp_path, name, count):
    write(tmp_path / f"whole-{name}", count)
    whole = (tmp_path / f"whole-{name}").read_bytes()
    assert whole.count(b"\n") == count * len(PHOTOS) + name.endswith(".csv")
    path, most = tmp_path / name, -1
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        done = write(path, count, keep=True)
        assert path.read_bytes() == whole
        assert len(done) >= most - 1
        most = max(most, len(done))
    assert write(tmp_path / f"whole-{name}", count, keep=True) == set(PHOTOS)


def test_what_is_written_can_be_read_by_others(tmp_path):
    write(tmp_path / "c.jsonl", 2)
    write(tmp_path / "c.csv", 2)
    lines = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    rows = list(csv.DictReader((tmp_path / "c.csv").read_text().splitlines()))
    assert [Path(line["file"]) for line in lines[::2]] == PHOTOS
    assert [line["caption"] for line in lines] == [row["caption"] for row in rows]
    assert [line["score"] for line in lines] == [float(row["score"]) if row["score"] else None for row in rows]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.jsonl", "[1]\n"), ("c.jsonl", '{"file": 3}\n'), ("c.jsonl", "a dog\n"), ("c.jsonl", '{"image_id": 3}\n'),
        ("c.csv", "file,text\n"), ("c.csv", "file,caption,score\na\n"), ("c.csv", "\x00\xff\n"),
    ],
)  # fmt: skip
def test_a_file_that_is_something_else_stays_as_it_is(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    for options in {"keep": True}, {}:
        with pytest.raises(UserError, match=name):
            CaptionFile(tmp_path / name, **options)
    assert (tmp_path / name).read_text() == content
    CaptionFile(tmp_path / name, overwrite=True)


@pytest.mark.parametrize("name", ["c.txt", "c", "folder.csv", "folder.csv/c.csv"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.csv/c.csv").mkdir()
    with pytest.raises(UserError, match=Path(name).name):
        CaptionFile(tmp_path / name)


def made(*names: str) -> list[Path]:
    for name in names:
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).touch()
    return [Path(name) for name in names]


def test_every_photo_has_a_sidecar_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = made("a/x.jpg", "a/x.png", "a/X.gif", "a/y.jpg", "b/x.jpg", "a/z", "a/v.1.jpg")
    made("a/y.txt", "a/y.json", "a/v.1.srt")  # no photos
    names = [Sidecars().path(file) for file in files]
    assert len(set(names)) == len(files)
    assert [str(name) for name in names[-4:]] == ["a/y.txt", "b/x.txt", "a/z.txt", "a/v.1.txt"]
    assert str(Sidecars(".caption").path(files[0])) == "a/x.jpg.caption"


def test_the_name_of_a_sidecar_follows_from_the_folder_and_not_from_what_else_is_captioned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jpg, png = made("dog.jpg", "dog.png")
    for file in (jpg, png):  # a run each
        sidecars = Sidecars()
        assert file not in sidecars
        sidecars.write(file, [Caption(f"of {file}", 0.0, [])])
    assert {path.name: path.read_text() for path in Path().glob("*.txt")} == {
        "dog.jpg.txt": "of dog.jpg\n",
        "dog.png.txt": "of dog.png\n",
    }
    png.unlink()  # and the other keeps its own
    assert jpg in Sidecars() and Sidecars().path(jpg).name == "dog.jpg.txt"


def test_a_photo_of_the_same_name_that_comes_later_leaves_no_stale_sidecar(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (jpg,) = made("dog.jpg")
    Sidecars().write(jpg, [Caption("a dog", 0.0, [])])
    (png,) = made("dog.png")
    later = Sidecars()
    for file, text in ((png, "a drawing"), (jpg, "a dog")):
        assert file not in later
        later.write(file, [Caption(text, 0.0, [])])
    assert {path.name for path in Path().glob("*.txt")} == {"dog.jpg.txt", "dog.png.txt"}
    Path("dog.txt").write_text("my own words")  # which are nobody's to remove, unless that is said
    Sidecars().write(jpg, [Caption("a dog", 0.0, [])])
    assert Path("dog.txt").read_text() == "my own words" and "dog.txt stays" in caplog.text
    Sidecars(overwrite=True).write(jpg, [Caption("a dog", 0.0, [])])
    assert not Path("dog.txt").exists()


@pytest.mark.parametrize("ending", ["caption", "", ".", ".jpg", "./x", ".MP4"])
def test_an_ending_of_sidecars_that_is_none_is_refused(ending):
    with pytest.raises(UserError, match="ending"):
        Sidecars(ending)


@pytest.mark.parametrize("name", ["c.csv", "c.jsonl"])
def test_a_file_that_a_spreadsheet_saved_again_is_still_ours(tmp_path, name):
    write(tmp_path / name, 1)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
    assert write(tmp_path / name, 1, keep=True) == set(PHOTOS)


def test_a_photo_that_asked_for_fewer_captions_is_done(tmp_path):
    path = tmp_path / "captions.jsonl"
    write(path, 1)
    assert write(path, 3, keep=True) == set(PHOTOS)
