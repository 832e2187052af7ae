"""A clip that cannot be read is named in one line, one that can in part is read as far as it goes; nothing hangs."""

import pickle
import struct
import wave

import numpy as np
import pytest
from clips import frames, saved_clip
from fuzz_clips import fuzz

from captioning.media import video_file
from captioning.media.clip import Clip, FrameSampling
from captioning.media.video_file import ClipError

EIGHT = FrameSampling(frames=8)


def refused(path, *words, **options):
    """The clip is refused in one line that starts with its name and says these words."""
    for look in (lambda clip: clip.sample(EIGHT), lambda clip: clip.duration):
        with pytest.raises(ClipError) as caught:
            look(Clip.open(path, **options))
        message = str(caught.value)
        assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
        for word in words:
            assert word in message
        assert str(pickle.loads(pickle.dumps(caught.value))) == message  # it may come out of a worker process


def test_files_that_are_no_clips_are_named(tmp_path):
    refused(tmp_path / "absent.mp4", "does not exist")
    for name, content, words in (
        ("empty.mp4", b"", "empty"),
        ("zeros.mp4", bytes(10_000), "is no video"),
        ("text.avi", b"a letter to nobody\n" * 100, "is no video"),
    ):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, words)


def test_a_file_of_sound_has_no_video(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16_000))
    refused(tmp_path / "a.wav", "has no video")


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.ts", "a.mp4"])
def test_a_clip_cut_short_is_read_as_far_as_it_goes_or_named(tmp_path, name):
    path = saved_clip(tmp_path / name)
    whole, times = Clip.open(path).sample(FrameSampling(frames=60))
    content = path.read_bytes()
    for share in (0.7, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        if name == "a.mp4":  # which frames there are stands at its end
            refused(path, "is no video, or damaged")
            continue
        seen, at = Clip.open(path).sample(FrameSampling(frames=60))
        assert 0 < at[-1] < times[-1]
        for time, picture in list(zip(at, seen, strict=True))[:-3]:  # the last lack what they refer to
            assert picture == whole[int(np.abs(times - time).argmin())]


def test_a_header_that_tells_a_longer_or_shorter_clip_changes_nothing(tmp_path):
    path = saved_clip(tmp_path / "a.mkv", codec="h264")
    honest, times = Clip.open(path).sample(EIGHT)
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Duration, in milliseconds
    for told in (10.0, 1e6):
        path.write_bytes(content[:at] + struct.pack(">d", told) + content[at + 8 :])
        seen, when = Clip.open(path).sample(EIGHT)
        np.testing.assert_array_equal(when, times)
        assert seen == honest


def test_a_playlist_reaches_no_other_file(tmp_path):
    secret = saved_clip(tmp_path / "secret.ts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{secret}\n#EXT-X-ENDLIST\n"
    for name, content in (
        ("a.m3u8", playlist),
        ("a.ffconcat", f"ffconcat version 1.0\nfile {secret.name}\n"),
        ("a.mp4", playlist),
    ):
        (tmp_path / name).write_text(content)
        refused(tmp_path / name, "is no video")


def test_work_is_given_up_when_the_time_is_up(tmp_path):
    path = saved_clip(tmp_path / "a.mp4")
    refused(path, "takes more than 1e-06 seconds", time_limit=1e-6)
    assert len(Clip.open(path, time_limit=None).sample(EIGHT)[0]) == 8


def test_frames_of_more_pixels_than_allowed_are_refused(tmp_path, monkeypatch):
    path = saved_clip(tmp_path / "a.avi", frames(3, width=320, height=240))  # beside which FFmpeg's margins are small
    monkeypatch.setattr(video_file, "MAX_PIXELS", 320 * 240 - 1)
    refused(path, "320 x 240 pixels")
    monkeypatch.setattr(video_file, "MAX_PIXELS", 320 * 240)
    monkeypatch.setattr(video_file, "MAX_PIXELS_IN_ALL", 2 * 32 * 24)
    seen, _ = Clip.open(path).sample(FrameSampling(frames=2))
    assert [picture.size for picture in seen] == [(32, 24), (32, 24)]


def test_nothing_is_printed_about_damage(tmp_path, capfd):
    path = saved_clip(tmp_path / "a.avi")
    content = bytearray(path.read_bytes())
    content[3000:6000] = bytes(3000)
    path.write_bytes(content)
    Clip.open(path).sample(EIGHT)
    assert capfd.readouterr() == ("", "")


def test_damaged_clips_are_read_or_named(tmp_path):
    found, wrong = fuzz(tmp_path, 15, seed=0)
    assert not wrong and found["read"] and found["named"]
