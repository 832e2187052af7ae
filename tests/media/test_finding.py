"""Content decides what a file of a folder is; what is left out is counted and named."""

import logging
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from tiny_clips import write_clip

from captioning.errors import UserError
from captioning.media import finding
from captioning.media.clip import Clip
from captioning.media.finding import find_images
from captioning.media.images import open_image
from captioning.media.kinds import CLIP_EXTENSIONS, content_kind, is_clip, is_moving, kind_of_bytes

PHOTO = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
WRITTEN = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"]


@pytest.mark.parametrize("name", ["photo", "photo.jpe", "photo.jfif", "photo.0001", "photo.mp4"])
@pytest.mark.parametrize("format", WRITTEN)
def test_a_photo_is_one_whatever_it_is_called(tmp_path, name, format):
    PHOTO.save(tmp_path / name, format)
    assert find_images(tmp_path) == find_images(tmp_path, clips=True) == [tmp_path / name]
    assert not is_clip(tmp_path / name) and open_image(tmp_path / name).size == (16, 16)


@pytest.mark.parametrize("name", ["clip", "clip.dat", "clip.jpg", "clip.mxf"])
@pytest.mark.parametrize("written", [".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg"])
def test_a_clip_is_one_whatever_it_is_called(tmp_path, name, written):
    write_clip(tmp_path / f"made{written}", seconds=0.5, fps=25).rename(tmp_path / name)
    assert is_clip(tmp_path / name) and find_images(tmp_path, clips=True) == [tmp_path / name]
    assert Clip.open(tmp_path / name).duration > 0.2


@pytest.mark.parametrize("container", ["mpegts", "mxf", "h264", "ogg", "asf", "flv", "vob", "m2ts"])
def test_the_containers_of_broadcasts_and_cameras_are_known_by_content(tmp_path, container):
    av = pytest.importorskip("av")
    codec = {"h264": "libx264", "mxf": "mpeg2video", "vob": "mpeg2video", "ogg": "libtheora"}.get(container, "mpeg4")
    options = {"mpegts_m2ts_mode": "1"} if container == "m2ts" else {}
    kind = "mpegts" if container == "m2ts" else container
    try:
        with av.open(str(tmp_path / "clip"), "w", format=kind, options=options) as file:
            stream = file.add_stream("flv1" if container == "flv" else codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for i in range(25):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 10 * i, np.uint8))
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
    except (ValueError, av.error.FFmpegError) as error:
        pytest.skip(f"this FFmpeg writes no {container}: {error}")
    assert content_kind(tmp_path / "clip") == "clip" and find_images(tmp_path, clips=True)
    assert Clip.open(tmp_path / "clip").duration > 0.5


@pytest.mark.parametrize("text", ["a caption", "", "BM is a firm", "P6", "{}", "RIFF", "<svg/>", "\0\0\0\x20ftypM4A "])
def test_what_is_neither_is_called_neither(text):
    assert kind_of_bytes(text.encode()) is None


def test_real_photos_and_clips_are_known_without_their_names(real_data):
    photos = sorted((real_data / "flickr8k/Images").iterdir())[:50]
    clips = sorted(real_data.glob("ms*/clips/*"))
    assert photos and clips
    assert {content_kind(path) for path in photos} == {"photo"} and {content_kind(path) for path in clips} == {"clip"}


def test_a_gif_that_moves_is_a_clip_where_clips_are_asked_for(tmp_path):
    still, moving = tmp_path / "still.gif", tmp_path / "moving.gif"
    PHOTO.save(still)
    PHOTO.save(moving, save_all=True, append_images=[PHOTO.rotate(90), PHOTO.rotate(180)], duration=100)
    assert not is_clip(still) and not is_clip(moving)
    assert is_moving(moving) and not is_moving(still)


def test_linked_folders_are_searched_once(tmp_path):
    for name in ("a", "b", "outside"):
        (tmp_path / "top" / name).mkdir(parents=True) if name != "outside" else (tmp_path / name).mkdir()
    PHOTO.save(tmp_path / "outside/far.png")
    PHOTO.save(tmp_path / "top/a/near.png")
    os.symlink(tmp_path / "outside", tmp_path / "top/linked")
    os.symlink(tmp_path / "top", tmp_path / "top/b/back")  # a circle
    os.symlink(tmp_path / "outside", tmp_path / "top/b/again")
    found = find_images(tmp_path / "top", recursive=True)
    assert [path.name for path in found] == ["near.png", "far.png"] or [path.name for path in found] == [
        "far.png",
        "near.png",
    ]


def test_what_a_folder_holds_besides_is_counted_and_named_in_one_line(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(finding, "find_spec", lambda name: None)
    PHOTO.save(tmp_path / "photo.png")
    for name in ("a.heic", "b.HEIC", "c.jxl", "d.svg", "e.NEF", "notes.txt", ".hidden", "photo.txt", "photo.png.txt"):
        (tmp_path / name).write_bytes(b"II*\0" if name == "e.NEF" else b"no picture")
    with caplog.at_level(logging.WARNING, "captioning"):
        assert find_images(tmp_path, clips=True) == [tmp_path / "photo.png"]
    (line,) = [record.getMessage() for record in caplog.records]
    for part in ("6 files", "2 HEIC", "captioning[heic]", "1 JPEG XL", "1 SVG", "1 RAW", "1 neither", "'a.heic'"):
        assert part in line
    (tmp_path / "photo.png").unlink()
    with pytest.raises(UserError, match="holds no photo or clip that can be read. It holds 8 files .*2 HEIC"):
        find_images(tmp_path, clips=True)


def test_a_folder_of_photos_and_their_captions_has_nothing_to_say(tmp_path, caplog):
    for name in ("a", "b"):
        PHOTO.save(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.txt").write_text("a photo")
    with caplog.at_level(logging.WARNING, "captioning"):
        assert len(find_images(tmp_path)) == 2
    assert not caplog.records


def test_clips_are_counted_where_photos_alone_are_wanted(tmp_path, caplog):
    PHOTO.save(tmp_path / "photo.png")
    write_clip(tmp_path / "clip.mp4", seconds=0.5)
    shutil.copy(tmp_path / "clip.mp4", tmp_path / "clip")
    with caplog.at_level(logging.WARNING, "captioning"):
        assert find_images(tmp_path) == [tmp_path / "photo.png"]
    assert "2 files (2 clips)" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders")
def test_a_pipe_in_a_folder_stops_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    PHOTO.save(tmp_path / "photo.png")
    assert find_images(tmp_path) == [tmp_path / "photo.png"]


def test_endings_are_written_in_lower_case():
    assert all(extension == extension.lower() and extension.startswith(".") for extension in CLIP_EXTENSIONS)
