"""What is called a clip opens itself and nothing else, and costs no more than it has in it."""

import time
from pathlib import Path

import pytest
from clips import frames, saved_clip
from hostile_clips import bottomless, invented_lists, invented_tables, lists
from PIL import Image

from captioning.media.clip import Clip, FrameSampling
from captioning.media.kinds import VIDEO_EXTENSIONS
from captioning.media.sample_tables import ImpossibleTables, check_sample_tables
from captioning.media.video_file import ClipError

EIGHT = FrameSampling(frames=8)
KINDS = [("h264", ".mp4"), ("mpeg4", ".mov"), ("h264", ".ts"), ("mpeg4", ".avi"), ("libvpx", ".webm"), ("gif", ".gif")]
KINDS += [("mpeg4", ".mkv"), ("h264", ".flv"), ("mpeg2video", ".mpg"), ("mpeg4", ".3gp")]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder with a photo and a clip that nobody was given."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64), "red").save("private.png")
    saved_clip(tmp_path / "private.mp4")
    return tmp_path


def ports() -> set[str]:
    """What listens, as the kernel tells it."""
    found = set()
    for name in ("udp", "tcp", "udp6", "tcp6"):
        table = Path(f"/proc/self/net/{name}")
        found |= {line.split()[1] for line in table.read_text().splitlines()[1:]} if table.exists() else set()
    return found


def refused(path: Path) -> str:
    began = time.thread_time()
    with pytest.raises(ClipError) as caught:
        Clip.open(path).sample(EIGHT)
    assert time.thread_time() - began < 1
    return str(caught.value)


@pytest.mark.parametrize("target", ["private.png", "private.mp4"])
@pytest.mark.parametrize("kind", lists(""))
def test_a_list_of_other_files_is_no_clip_whatever_it_is_called(folder, kind, target):
    before = ports()
    for end in (".mp4", ".avi", ".ts", ".mkv"):
        path = folder / f"clip{end}"
        path.write_bytes(lists(target)[kind])
        assert "is no video" in refused(path)
    assert ports() <= before


def test_invented_lists_are_no_clips(folder):
    for number, (_, content) in enumerate(invented_lists(200)):
        path = folder / f"{number}.mp4"
        path.write_bytes(content)
        refused(path)


@pytest.mark.parametrize("kind", bottomless(1))
@pytest.mark.parametrize("samples", [10**6, 6 * 10**7, 2**32 - 1000])
def test_an_index_of_more_frames_than_bytes_is_refused_before_it_is_made(tmp_path, kind, samples):
    path = tmp_path / "clip.mp4"
    path.write_bytes(bottomless(samples)[kind])
    assert "claim" in refused(path)


def test_invented_tables_are_refused_or_small(tmp_path):
    for number, (_, content) in enumerate(invented_tables(100)):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(content)
        refused(path)


@pytest.mark.parametrize(("codec", "end"), KINDS)
def test_every_kind_of_clip_is_still_one(tmp_path, codec, end):
    path = saved_clip(tmp_path / f"clip{end}", frames(30), codec=codec)
    assert end in VIDEO_EXTENSIONS and Clip.open(path).sample(EIGHT)[0]


def test_real_tables_are_believed(real_data):
    clips = sorted(real_data.glob("ms*/clips/*"))
    assert clips
    for path in clips:
        with path.open("rb") as file:
            check_sample_tables(file)


def test_tables_that_end_nowhere_end(tmp_path):
    path = tmp_path / "clip.mp4"
    nested = b""
    for _ in range(2000):
        nested = (8 + len(nested)).to_bytes(4, "big") + b"moov" + nested
    zero_length = b"\0\0\0\x08free" * 100_000
    for content in (
        b"\0\0\0\x18ftyp" + bytes(16) + nested,
        zero_length,
        b"\0\0\0\x01moov" + b"\xff" * 8,
        b"\0\0\0\0moov",
    ):
        path.write_bytes(content)
        with path.open("rb") as file:
            try:
                check_sample_tables(file)
            except ImpossibleTables:
                pass
            assert file.tell() == 0
