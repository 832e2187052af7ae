"""A confined reader sees what an unconfined one sees, and what a file can do ends with its process."""

import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from clips import frames, saved_clip
from PIL import Image

from captioning.errors import UserError
from captioning.media import confined
from captioning.media.clip import Clip, FrameSampling
from captioning.media.clip_inputs import as_clip
from captioning.media.confined import ConfinedVideo, Readers, open_confined_image
from captioning.media.images import ImageError, open_image
from captioning.media.video_file import ClipError, VideoFile

EIGHT = FrameSampling(frames=8)
pytestmark = pytest.mark.skipif(not confined.POSSIBLE, reason="this system hands no open files to other processes")


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return saved_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames(30))


def test_a_clip_is_seen_alike(clip):
    for size in (None, 32):
        ours, at = Clip.open(clip, confined=True).sample(EIGHT, size=size)
        theirs, times = Clip.open(clip).sample(EIGHT, size=size)
        assert np.array_equal(at, times)
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert Clip.open(clip, confined=True).duration == Clip.open(clip).duration
    again = pickle.loads(pickle.dumps(Clip.open(clip, confined=True)))
    assert isinstance(again.media, ConfinedVideo) and again.duration == Clip.open(clip).duration


def test_real_clips_are_seen_alike(real_data):
    """With sound, subtitles and whatever else has FFmpeg's modules imported late."""
    clips = sorted(real_data.glob("ms*/clips/*"), key=lambda path: path.stat().st_size)
    for path in clips[:12]:
        ours, at = Clip.open(path, confined=True).sample(FrameSampling(frames=2), size=32)
        theirs, times = Clip.open(path).sample(FrameSampling(frames=2), size=32)
        assert np.array_equal(at, times) and np.array_equal(ours[-1], theirs[-1])


def test_a_photo_is_seen_alike(tmp_path):
    noise = Image.effect_noise((300, 200), 80).convert("RGB")
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"):
        path = tmp_path / f"photo.{kind}"
        noise.save(path, kind)
        assert np.array_equal(open_confined_image(path, size=100), open_image(path, size=100)), kind


def test_what_is_wrong_is_said_alike(clip, tmp_path):
    broken, short = tmp_path / "broken.mp4", tmp_path / "short.png"
    broken.write_bytes(clip.read_bytes()[:1000])
    Image.new("RGB", (300, 300)).save(short)
    short.write_bytes(short.read_bytes()[:100])
    for path in (broken, tmp_path / "absent.mp4", tmp_path):
        with pytest.raises(UserError) as theirs:
            VideoFile(path).duration()
        with pytest.raises(ClipError) as ours:
            ConfinedVideo(path).duration()
        assert str(ours.value) == str(theirs.value)
    for path in (short, tmp_path / "absent.png"):
        with pytest.raises(ImageError) as theirs:
            open_image(path)
        with pytest.raises(ImageError) as ours:
            open_confined_image(path)
        assert str(ours.value) == str(theirs.value)
    with pytest.raises(UserError, match="nothing lies from"):
        Clip.open(clip, confined=True).sample(EIGHT, begin=1e6)
    assert Clip.open(clip, confined=True).sample(EIGHT)[0]


def test_threads_do_not_mix_up_their_files(tmp_path):
    paths = [tmp_path / f"{shade}.png" for shade in range(0, 240, 10)]
    for shade, path in zip(range(0, 240, 10), paths, strict=True):
        Image.new("RGB", (50, 50), (shade,) * 3).save(path)
    with ThreadPoolExecutor(3) as pool:
        seen = pool.map(open_confined_image, paths)
    assert [picture.getpixel((0, 0))[0] for picture in seen] == list(range(0, 240, 10))


def bottomless(monkeypatch, code: str) -> Readers:
    """Readers whose process runs `code` when it is asked for a photo."""
    program = confined.PROGRAM.replace(
        "serve(socket",
        f"import captioning.media.reader_process as r\ndef bad(*_):\n    {code}\nr._photo = bad\nserve(socket",
    )
    monkeypatch.setattr(confined, "PROGRAM", program)
    readers = Readers()
    monkeypatch.setattr(confined, "READERS", readers)
    return readers


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("held = [bytes(2**26) for _ in range(64)]", "memory"),
        ("import os; os.abort()", "damaged"),
        ("while True: pass", "seconds"),
        ("import time; time.sleep(60)", "seconds"),
        ("open('/etc/passwd')", "cannot be read"),
        ("import socket as s; s.socket(s.AF_INET, s.SOCK_DGRAM)", "cannot be read"),
        ("r.send(_[0], {'size': [10**6, 10**6]}); return {}, ()", "cannot be read"),
    ],
)
def test_what_goes_wrong_in_the_process_is_a_sentence_and_the_next_file_is_read(
    monkeypatch, tmp_path, capfd, code, says
):
    path = tmp_path / "photo.png"
    Image.new("RGB", (50, 50)).save(path)
    with monkeypatch.context() as patched:
        readers, began = bottomless(patched, code), time.monotonic()
        limit = 1.0 if "while" in code else 0.2
        with pytest.raises(ImageError) as caught:
            open_confined_image(path, limit=limit if says == "seconds" else 10.0)
        assert says in str(caught.value) and str(path) in str(caught.value) and time.monotonic() - began < 40
        readers.close()
    assert open_confined_image(path).size == (50, 50)
    assert not capfd.readouterr().err


def test_memory_comes_back(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("RGB", (9_000, 9_000)).save(path)
    readers = Readers()
    monkeypatch.setattr(confined, "READERS", readers)
    picture = open_confined_image(path)
    assert picture.size == (9_000, 9_000)
    assert not readers.idle, "a process that held much is not kept"


def test_a_fork_leaves_the_readers_to_its_parent(clip):
    open_confined_image_of = Clip.open(clip, confined=True)
    expected = open_confined_image_of.duration
    child = os.fork()
    if not child:
        os._exit(0 if open_confined_image_of.duration == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert open_confined_image_of.duration == expected


def test_files_that_a_model_is_given_are_confined(clip):
    assert isinstance(as_clip(str(clip)).media, ConfinedVideo)
