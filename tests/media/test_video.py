"""What is seen of a clip at some moments is what decoding all of it would show, whatever kind of file it is."""

import pickle
from fractions import Fraction
from itertools import takewhile

import av
import numpy as np
import pytest
from clips import decoded, frames, saved_clip, turned
from PIL import Image

from captioning.errors import UserError
from captioning.media.clip import Clip, FrameSampling

KINDS = [
    ("a.mp4", "h264"),
    ("a.mkv", "mpeg4"),
    ("a.avi", "mpeg4"),
    ("a.ts", "h264"),
    ("a.webm", "libvpx"),
    ("a.gif", "gif"),
    ("a.mxf", "mpeg2video"),
    ("a.apng", "apng"),
]


def pixels(pictures):
    return np.stack([np.asarray(picture) for picture in pictures])


@pytest.mark.parametrize(("name", "codec"), KINDS)
@pytest.mark.parametrize("count", [3, 17, 1000])
def test_looking_at_moments_shows_what_decoding_everything_shows(tmp_path, name, codec, count):
    path = saved_clip(tmp_path / name, codec=codec)
    times, everything = decoded(path)
    clip = Clip.open(path)
    assert clip.duration == pytest.approx(60 / 25, abs=0.011)  # a GIF counts hundredths
    sampling = FrameSampling(frames=count)
    shown = sorted({int((times <= moment + 1e-6).sum()) - 1 for moment in sampling.moments(0, clip.duration)})
    seen, at = clip.sample(sampling)
    np.testing.assert_allclose(at, times[shown], atol=1e-4)
    np.testing.assert_array_equal(pixels(seen), np.stack([everything[i] for i in shown]))
    assert len(seen) == min(count, 60)


def test_a_stream_without_times_is_counted(tmp_path):
    path = saved_clip(tmp_path / "a.h264", codec="h264")
    seen, times = Clip.open(path).sample(FrameSampling(frames=6))
    np.testing.assert_allclose(times, np.arange(5, 60, 10) / 25)
    assert len(seen) == 6


def test_frames_of_uneven_length_are_seen_while_they_last(tmp_path):
    ticks = [0, 1, 2, 3, 50, 51, 90, 99]
    path = saved_clip(tmp_path / "a.mkv", frames(8), fps=100, ticks=ticks, keys=3, b_frames=0)
    times, everything = decoded(path)
    seen, at = Clip.open(path).sample(FrameSampling(frames=10), end=1.0)
    np.testing.assert_allclose(at, [0.03, 0.51, 0.9], atol=1e-4)  # a centre every tenth of a second
    np.testing.assert_array_equal(pixels(seen), np.stack([everything[i] for i in (3, 5, 6)]))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_clip_filmed_with_the_telephone_on_its_side_is_seen_upright(tmp_path, degrees):
    path = saved_clip(tmp_path / "a.mp4", frames(5))
    lying = pixels(Clip.open(path).sample(FrameSampling(frames=5))[0])
    upright = pixels(Clip.open(turned(path, degrees)).sample(FrameSampling(frames=5))[0])
    np.testing.assert_array_equal(upright, np.rot90(lying, -degrees // 90, axes=(1, 2)))


@pytest.mark.parametrize(("shape", "size"), [(Fraction(2), (128, 48)), (Fraction(1, 2), (64, 96))])
def test_pixels_that_are_no_squares_are_seen_as_meant(tmp_path, shape, size):
    path = saved_clip(tmp_path / "a.mkv", frames(3), shape=shape)
    assert [picture.size for picture in Clip.open(path).sample(FrameSampling(frames=2))[0]] == [size, size]


def test_a_smaller_size_keeps_the_shape_and_enlarges_nothing(tmp_path):
    path = saved_clip(tmp_path / "a.avi", frames(4, width=100, height=60))
    for clip in (Clip.open(path), Clip.of(frames(4, width=100, height=60))):
        assert clip.sample(FrameSampling(frames=1), size=30)[0][0].size == (50, 30)
        assert clip.sample(FrameSampling(frames=1), size=300)[0][0].size == (100, 60)


def test_a_folder_a_list_and_an_array_are_clips_and_the_same_one(tmp_path):
    array = frames(10)
    for i, frame in enumerate(array):
        Image.fromarray(frame).save(tmp_path / f"{i:03d}.png")
    sampling = FrameSampling(frames=4)
    expected, moments = array[[1, 3, 6, 8]], np.array([1, 3, 6, 8], np.float32) / 5
    for clip in (
        Clip.open(tmp_path, fps=5),
        Clip.of(array, fps=5),
        Clip.of(list(array), fps=5),
        Clip.of([Image.fromarray(frame) for frame in array], fps=5),
        Clip.of(sorted(tmp_path.iterdir()), fps=5),
    ):
        assert clip.duration == 2
        seen, times = pickle.loads(pickle.dumps(clip)).sample(sampling)
        np.testing.assert_array_equal(pixels(seen), expected)
        np.testing.assert_allclose(times, moments)


def test_a_clip_of_fewer_frames_than_asked_for_gives_each_of_them_once():
    array = frames(3)
    seen, times = Clip.of(array, fps=2).sample(FrameSampling(frames=50))
    np.testing.assert_array_equal(pixels(seen), array)
    np.testing.assert_allclose(times, [0, 0.5, 1])


def test_part_of_a_clip_is_what_lies_in_it(tmp_path):
    clip = Clip.open(saved_clip(tmp_path / "a.mp4", codec="h264"))
    whole, times = clip.sample(FrameSampling(frames=60))
    part, at = clip.sample(FrameSampling(frames=60), begin=1.0, end=2.0)
    np.testing.assert_allclose(at, times[25:50], atol=1e-5)
    np.testing.assert_array_equal(pixels(part), pixels(whole[25:50]))
    with pytest.raises(UserError, match=r"a.mp4 lasts 2.4 seconds: nothing lies from 3 "):
        clip.sample(FrameSampling(), begin=3)


def test_random_moments_lie_one_in_each_part_and_follow_from_the_seed():
    sampling = FrameSampling(frames=8, mode="segments")
    drawn = {}
    for seed in range(30):
        drawn[seed] = FrameSampling(frames=8, mode="segments", seed=seed).moments(2, 10)
        assert [int(moment - 2) for moment in drawn[seed]] == list(range(8))
    assert len({tuple(moments) for moments in drawn.values()}) == 30
    assert sampling.moments(2, 10) == FrameSampling(frames=8).moments(2, 10) == [2.5 + k for k in range(8)]
    clip = Clip.of(frames(60))
    seeded = [clip.seeded(seed).sample(sampling)[1].tolist() for seed in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]


def test_a_rate_gives_a_frame_every_so_often_and_never_more_than_asked_for():
    clip = Clip.of(frames(60), fps=20)
    assert clip.sample(FrameSampling(frames=8, mode="fps", fps=2))[1].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert clip.sample(FrameSampling(frames=3, mode="fps", fps=2))[1].tolist() == [0.5, 1.5, 2.5]
    assert clip.sample(FrameSampling(frames=3, mode="fps", fps=0.1))[1].tolist() == [0]


def test_a_frame_lies_amid_its_snippet_and_the_ends_are_repeated(tmp_path):
    clip = Clip.open(saved_clip(tmp_path / "a.avi"))
    everything = pixels(clip.sample(FrameSampling(frames=60))[0])
    snippets, times = clip.snippets(FrameSampling(frames=2, mode="fps", fps=1), length=5, fps=12.5, end=1.5)
    assert times.tolist() == [0, 1]
    np.testing.assert_array_equal(pixels(snippets[0]), everything[[0, 0, 0, 2, 4]])
    np.testing.assert_array_equal(pixels(snippets[1]), everything[[21, 23, 25, 27, 29]])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"frames": 0}, "frames"), ({"frames": "8"}, "frames"), ({"mode": "all"}, "mode"), ({"mode": "fps"}, "fps")],
)
def test_a_sampling_that_makes_no_sense_is_named(wrong, field):
    with pytest.raises(UserError, match=rf"sampling.{field} is "):
        FrameSampling(**wrong)
    with pytest.raises(UserError, match="It takes frames, mode, fps and seed"):
        FrameSampling.of({"rate": 3})


@pytest.mark.parametrize("wrong", [[], np.zeros((0, 4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), [3]])
def test_what_is_no_clip_is_named(wrong):
    with pytest.raises(UserError, match="the clip"):
        Clip.of(wrong)


def test_every_real_clip_is_read_and_agrees_with_decoding_it_all(real_data):
    files = sorted(real_data.glob("ms*/clips/*"))
    assert len(files) == 38
    for path in files:
        clip = Clip.open(path)
        seen, at = clip.sample(FrameSampling(frames=8), size=32)
        times = decoded_times(path)
        moments = FrameSampling(frames=8).moments(0, clip.duration)
        expected = [max(takewhile(lambda time: time <= moment + 1e-6, times)) for moment in moments]  # noqa: B023
        np.testing.assert_allclose(at, expected, atol=1e-4, err_msg=str(path))
        assert len(seen) == 8 and {min(picture.size) for picture in seen} == {32}


def decoded_times(path):
    """Of every frame, in the order in which they come out, which in a strange AVI is not that of their times."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        times = [frame.time for frame in container.decode(stream)]
        return [time - times[0] for time in times]
