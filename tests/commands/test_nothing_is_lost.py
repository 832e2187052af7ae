"""What a person had, they have until there is something better in its place, whatever goes wrong meanwhile."""

import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from tiny_model import pictures, saved_model

from captioning import cli
from captioning.commands.caption_files import CaptionFile, Sidecars
from captioning.errors import UserError
from captioning.files.lock import locked
from captioning.tasks.captioning.caption import Caption

DOG = [Caption("A dog.", -1.0, [])]
PHOTO = b"\x89PNG\r\n\x1a\n"
FORMER = '{"file": "a.jpg", "caption": "A cat.", "score": -1.0}\n'


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return saved_model(tmp_path_factory.mktemp("kept") / "model")


def captioning(monkeypatch, capsys, *arguments) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["captioning", "caption", *map(str, arguments)])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0, capsys.readouterr().err


@pytest.mark.parametrize("name", ["c.jsonl", "c.csv"])
def test_a_run_that_fails_leaves_the_former_captions(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    pictures(1)[0].save("a.png")
    Path(name).write_text(FORMER)
    for wrong in (["a.png", "--model", "typo"], ["absent.png", "--model", "typo"]):
        assert captioning(monkeypatch, capsys, *wrong, "--output", name, "--overwrite")[0]
        assert Path(name).read_text() == FORMER
        assert not [path for path in tmp_path.iterdir() if path.name not in ("a.png", name)]


def test_new_captions_take_the_place_of_the_former_when_they_are_whole(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(FORMER)
    output = CaptionFile(path, overwrite=True)
    output.write(Path("b.jpg"), DOG)
    assert path.read_text() == FORMER
    output.finish(well=True)
    assert "b.jpg" in path.read_text() and "a.jpg" not in path.read_text() and list(tmp_path.iterdir()) == [path]


def test_a_run_cut_short_leaves_the_former_captions_and_the_new_ones(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(FORMER)
    output = CaptionFile(path, overwrite=True)
    output.write(Path("b.jpg"), DOG)
    with pytest.raises(UserError, match="partial"):
        output.finish(well=False)
    assert path.read_text() == FORMER and "b.jpg" in (tmp_path / "c.jsonl.partial").read_text()
    (tmp_path / "c.jsonl.partial").unlink()
    (tmp_path / "c.jsonl.partial").symlink_to(tmp_path / "elsewhere")
    CaptionFile(path, overwrite=True).write(Path("b.jpg"), DOG)
    assert not (tmp_path / "elsewhere").exists(), "a planted link is not written through"


@pytest.mark.parametrize(
    "names",
    [
        ("dog.jpg", "dog.png", "dog.jpg.png"), ("dog.jpg.png", "dog.jpg"),
        ("a.jpg", "a.png", "a.jpg.gif", "a.jpg.gif.webp"),
        ("dog.txt", "dog.jpg"), ("Dog.jpg", "dog.png", "DOG.JPG.png"), ("x.mp4", "x.jpg", "x.mp4.avi", "x.txt.jpg"),
    ],
)  # fmt: skip
def test_every_file_has_a_text_of_its_own_and_none_is_a_file_to_be_captioned(tmp_path, names):
    files = [tmp_path / name for name in names]
    for file in files:
        file.write_bytes(PHOTO)
    for order in (files, files[::-1]):
        places = Sidecars()
        for file in order:
            assert file not in places
            places.write(file, [Caption(file.name, 0.0, [])])
            assert file in places
        assert all(places.path(file).read_text() == f"{file.name}\n" for file in files)
        assert all(file.read_bytes() == PHOTO for file in files)
        for file in files:
            places.path(file).unlink()


def test_two_ways_to_write_a_folder_are_one_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    files = [tmp_path / "a/dog.jpg", tmp_path / "b/dog.png", tmp_path / "a/../a/dog.gif"]
    for file in files:
        file.write_bytes(PHOTO)
    places = Sidecars()
    assert len({os.path.realpath(places.path(file)) for file in files}) == 3


@pytest.mark.parametrize("name", ["c.jsonl", "c.csv"])
def test_a_line_torn_by_a_full_disk_is_cut_back_wherever_it_is_torn(tmp_path, monkeypatch, name):
    class Full:
        """The file, on a disk with room for so many bytes more."""

        def __init__(self, file, room):
            self.file, self.room = file, room

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, content):
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            done = self.file.write(content[: self.room])
            self.room -= done
            return done

    usual = open
    expected = CaptionFile(tmp_path / f"whole-{name}")
    for file in ("a.jpg", "b.jpg", "c.jpg"):
        expected.write(Path(file), DOG)
    length = len(expected._line(Path("b.jpg"), DOG[0]))
    for room in range(length):
        path = tmp_path / f"{room}-{name}"
        output = CaptionFile(path)
        output.write(Path("a.jpg"), DOG)
        before = path.read_bytes()
        with monkeypatch.context() as full:
            full.setattr("builtins.open", lambda *a, room=room, **k: Full(usual(*a, **k), room))
            with pytest.raises(UserError, match="space"):
                output.write(Path("b.jpg"), DOG)
        assert path.read_bytes() == before
        for file in ("b.jpg", "c.jpg"):
            output.write(Path(file), DOG)
        assert path.read_bytes() == expected.path.read_bytes()


def test_the_second_of_two_writers_is_told_who_is_the_first(tmp_path, monkeypatch, capsys, model):
    monkeypatch.chdir(tmp_path)
    pictures(1)[0].save("a.png")
    code = "import sys\nfrom captioning.files.lock import locked\n"
    code += "with locked('c.jsonl', ''):\n    print('ready', flush=True)\n    sys.stdin.read()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = ["a.png", "--output", "c.jsonl", "--model", model]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        assert other.stdout.readline() == "ready\n"
        status, said = captioning(monkeypatch, capsys, *command)
        assert status == 2 and f"process {other.pid}" in said and not Path("c.jsonl").exists()
        other.kill()  # a dead process holds nothing
    assert captioning(monkeypatch, capsys, *command)[0] == 0
    assert Path("c.jsonl").exists() and not list(tmp_path.glob(".*"))


def test_a_lock_is_not_written_through_a_link(tmp_path):
    (tmp_path / ".c.jsonl.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError), locked(tmp_path / "c.jsonl", "."):
        pass
    assert not (tmp_path / "elsewhere").exists()
