"""A recording is the same samples in whatever file and at whatever rate; what is damaged is named."""

import av
import numpy as np
import pytest
import torch

from captioning.errors import UserError
from captioning.media import confined
from captioning.media.depth_map import DepthMap
from captioning.media.sound import Sound
from captioning.media.spectrogram import filters, log_mel

RATE = 16_000


def tone(hertz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def write(path, samples, rate, codec, form, layout="mono"):
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(
            (samples * 32767).astype(np.int16).reshape(1, -1), format="s16", layout=layout
        )
        frame.sample_rate = rate
        for each in av.AudioResampler(format=form, layout=layout, rate=rate).resample(frame):
            file.mux(stream.encode(each))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "codec", "form", "close"),
    [("a.wav", "pcm_s16le", "s16", 1e-3), ("a.flac", "flac", "s16", 1e-3), ("a.mp3", "mp3", "s16p", 0.05)],
)
def test_a_file_gives_the_samples_that_were_written(tmp_path, name, codec, form, close):
    found = Sound.open(write(tmp_path / name, tone(440), RATE, codec, form)).samples(RATE, 0.5)
    assert found.shape == (8000,) and found.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(found * np.hanning(8000)))
    assert abs(spectrum.argmax() * 2 - 440) <= 2 and abs(np.abs(found).max() - 0.3) < close + 0.02


def test_another_rate_or_two_channels_sound_the_same(tmp_path):
    low = Sound.of(tone(440), RATE).samples(RATE, 0.5)
    high = Sound.of(tone(440, rate=48_000), 48_000).samples(RATE, 0.5)
    shift = np.correlate(low, high[400:-400], "valid").max() / np.sum(high[400:-400] ** 2)
    assert shift == pytest.approx(1, abs=0.03)
    both = Sound.of(np.stack([tone(440), tone(440)], 1), RATE).samples(RATE, 0.5)
    np.testing.assert_allclose(both, low, atol=1e-6)
    whole = Sound.of((tone(440) * 32768).astype(np.int16), RATE).samples(RATE, 0.5)
    np.testing.assert_allclose(whole, low, atol=1e-4)


def test_a_long_recording_gives_its_middle_and_a_short_one_is_said_again():
    ramp = np.linspace(0, 1, 4 * RATE, dtype=np.float32)
    middle = Sound.of(ramp, RATE).samples(RATE, 1.0)
    assert middle[0] == pytest.approx(0.375, abs=1e-3) and middle[-1] == pytest.approx(0.625, abs=1e-3)
    again = Sound.of(ramp[:4000], RATE).samples(RATE, 1.0)
    np.testing.assert_array_equal(again[:4000], again[4000:8000])


@pytest.mark.parametrize("content", [b"", b"RIFF no sound", b"OggS" + bytes(300)])
def test_what_is_no_recording_is_named_in_a_sentence(tmp_path, content):
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(UserError, match="bad.wav"):
        Sound.open(tmp_path / "bad.wav").samples(RATE, 1.0)
    with pytest.raises(UserError, match="does not exist"):
        Sound.open(tmp_path / "none.wav").samples(RATE, 1.0)


def test_a_file_that_breaks_off_gives_what_came_before(tmp_path):
    path = write(tmp_path / "a.flac", tone(440, 4.0), RATE, "flac", "s16")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert np.abs(Sound.open(path).samples(RATE, 0.5)).max() > 0.2


@pytest.mark.skipif(not confined.POSSIBLE, reason="this system hands no open files to other processes")
@pytest.mark.parametrize(
    ("name", "codec", "form"), [("a.wav", "pcm_s16le", "s16"), ("a.flac", "flac", "s16"), ("a.mp3", "mp3", "s16p")]
)
def test_a_confined_reader_hears_the_same(tmp_path, name, codec, form):
    path = write(tmp_path / name, tone(440), 44_100, codec, form)
    ours, theirs = (Sound.open(path, confined=c).samples(RATE, 0.3) for c in (True, False))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.skipif(not confined.POSSIBLE, reason="this system hands no open files to other processes")
def test_a_confined_reader_says_the_same_of_what_is_wrong_and_dies_alone(tmp_path, monkeypatch):
    (tmp_path / "bad.wav").write_bytes(b"RIFF no sound")
    for path in (tmp_path / "bad.wav", tmp_path / "none.wav", tmp_path):
        said = []
        for confine in (True, False):
            with pytest.raises(UserError) as caught:
                Sound.open(path, confined=confine).samples(RATE, 1.0)
            said.append(str(caught.value))
        assert said[0] == said[1]
    path = write(tmp_path / "a.wav", tone(440), RATE, "pcm_s16le", "s16")
    with monkeypatch.context() as patched:
        crash = (
            "import captioning.media.reader_process as r\nr._sound = lambda *_: __import__('os').abort()\nserve(socket"
        )
        patched.setattr(confined, "PROGRAM", confined.PROGRAM.replace("serve(socket", crash))
        patched.setattr(confined, "READERS", readers := confined.Readers())
        with pytest.raises(UserError, match="a.wav cannot be read"):
            Sound.open(path, confined=True).samples(RATE, 1.0)
        readers.close()
    assert len(Sound.open(path, confined=True).samples(RATE, 1.0)) == RATE


@pytest.mark.parametrize("samples", [[], np.zeros((2, 2, 2)), [np.nan]])
def test_samples_that_are_none_are_refused(samples):
    with pytest.raises(UserError, match="samples are"):
        Sound.of(samples, RATE)


def test_the_bin_of_a_tone_is_the_loudest_and_rises_with_its_pitch():
    loudest = [int(log_mel(Sound.of(tone(h), RATE), seconds=1.0, bins=64, step=0.02).mean(1).argmax()) for h in
               (200, 400, 800, 1600, 3200, 6400)]  # fmt: skip
    assert loudest == sorted(set(loudest))
    level = log_mel(Sound.of(tone(440), RATE), seconds=2.0, bins=128, step=0.01)
    assert level.shape == (128, 200) and float(level.mean()) == pytest.approx(0, abs=1e-4)
    quiet = log_mel(Sound.of(np.zeros(RATE, np.float32), RATE), seconds=1.0, bins=8, step=0.02)
    assert torch.isfinite(quiet).all() and float(quiet.abs().max()) < 1e-3
    assert (filters(128, 512).sum(1) > 0).all()


def test_depth_is_read_in_metres_and_what_is_none_is_named(tmp_path):
    from PIL import Image

    Image.fromarray(np.array([[0, 51], [255, 102]], np.uint8)).save(tmp_path / "8.png")
    np.testing.assert_allclose(DepthMap.open(tmp_path / "8.png").metres(), [[0, 2], [10, 4]], rtol=1e-5)
    Image.fromarray(np.array([[0, 1500], [65535, 20]], np.uint16)).save(tmp_path / "16.png")
    np.testing.assert_allclose(DepthMap.open(tmp_path / "16.png").metres(), [[0, 1.5], [65.535, 0.02]], rtol=1e-5)
    Image.new("RGB", (4, 4)).save(tmp_path / "colour.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    for name, message in (("colour.png", "colours"), ("bad.png", "no depth map"), ("none.png", "does not exist")):
        with pytest.raises(UserError, match=message):
            DepthMap.open(tmp_path / name).metres()
    for wrong in (np.zeros(4), [[-1.0]], [[np.inf]]):
        with pytest.raises(UserError, match="finite numbers of metres"):
            DepthMap.of(wrong)
