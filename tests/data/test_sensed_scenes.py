"""Senses of a generated scene tell the same, each its share of it; sources of real senses read their layouts."""

import numpy as np
import pytest
from PIL import Image

from captioning.data.benchmarks.esc10 import Esc10
from captioning.data.benchmarks.nyu_depth import NyuDepth, sentence
from captioning.data.synthetic.moving_scene import Actor, MovingScene
from captioning.data.synthetic.scene_sounds import PITCHES, play
from captioning.data.synthetic.sensed_scenes import BOUND, SensedScenes, exposure
from captioning.encoders.convolutional import SoundEncoder
from captioning.errors import UserError

WORLD = SensedScenes(train=20, val=6, test=6, unseen=6, size=48)


def test_a_training_scene_has_the_senses_of_its_group_and_others_have_all():
    for i, example in enumerate(WORLD.examples("train")):
        have = {"image", *example.senses} | ({"text"} if example.captions else set())
        assert have == set(BOUND[i % 4])
    assert all(len(e.senses) == 3 and len(e.captions) == 5 for e in WORLD.examples("test"))
    other = SensedScenes(train=3, val=1, together=[["text", "sound"]], size=48).examples("train")
    assert all(e.senses == ("sound",) and e.captions for e in other)
    assert np.array_equal(WORLD.image(WORLD.examples("val")[0]), WORLD.image(WORLD.examples("val")[0]))
    with pytest.raises(UserError, match="together"):
        SensedScenes(together=[["image"]])
    with pytest.raises(UserError, match="together"):
        SensedScenes(together=[["image", "smell"]])


def alone(motion, colour="red", shape="circle", size="large"):
    return MovingScene((Actor(colour, shape, size, motion, ((1, 1),)),), ())


def strength(samples, hertz):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    at = round(hertz * len(samples) / 16_000)
    return spectrum[at - 20 : at + 21].sum() / spectrum.sum()


def test_a_colour_is_a_pitch_and_a_motion_bends_it():
    for colour in PITCHES:
        heard = {other: strength(play(alone(None, colour), "k"), pitch) for other, pitch in PITCHES.items()}
        assert max(heard, key=heard.get) == colour and heard[colour] > 0.3
    loud = {motion: np.abs(play(alone(motion), "k")).reshape(8, -1).mean(1) for motion in
            ("grows", "shrinks", "appears", "disappears")}  # fmt: skip
    assert loud["grows"][-2] > 3 * loud["grows"][1] and loud["shrinks"][1] > 3 * loud["shrinks"][-2]
    assert loud["appears"][1] < 0.1 * loud["appears"][6] and loud["disappears"][6] < 0.1 * loud["disappears"][1]
    rising = play(alone("rises"), "k")
    assert strength(rising[-8000:], PITCHES["red"] * 1.17) > strength(rising[-8000:], PITCHES["red"])
    timbres = [SoundEncoder().read(WORLD.sound(example)).shape for example in WORLD.examples("val")[:1]]
    assert timbres == [(1, 128, 200)]


def test_a_picture_tells_a_motion_from_its_opposite_and_depth_is_nearer_where_things_are():
    weights = exposure(8)
    assert weights.sum() == pytest.approx(1) and (np.diff(weights) > 0).all() and weights[-1] == pytest.approx(1 / 3)
    for example in WORLD.examples("val"):
        depth = WORLD.depth(example).metres()
        assert depth.shape == (48, 48) and 0.5 < depth.min() < 7.9 < depth.max() < 9.6
        assert WORLD.image(example).size == (48, 48)


def nyu(tmp_path, count=24):
    for name in ("images", "depth", "labels40"):
        (tmp_path / name).mkdir()
    (tmp_path / "classes40.txt").write_text("wall\nfloor\ncabinet\nbed\n")
    for i in range(1, 3 * count, 3):
        Image.new("RGB", (8, 6), (i, 0, 0)).save(tmp_path / f"images/image{i}.jpg")
        Image.fromarray(np.full((6, 8), i, np.uint8)).save(tmp_path / f"depth/image{i}.png")
        labels = np.ones((6, 8), np.uint8)
        labels[:2], labels[5] = 4, 3
        Image.fromarray(labels).save(tmp_path / f"labels40/image{i}.png")
    return NyuDepth(tmp_path / "images", depth=tmp_path, val_fraction=0.3)


def test_photos_have_their_depth_and_only_val_says_what_is_in_them(tmp_path):
    source = nyu(tmp_path)
    train, val = source.examples("train"), source.examples("val")
    assert len(train) + len(val) == 24 and train and val and not {e.id for e in train} & {e.id for e in val}
    assert all(not e.captions and e.senses == ("depth",) for e in train)
    assert val[0].captions == ("a room with a bed and a cabinet",)
    number = int(val[0].id.removeprefix("image"))
    np.testing.assert_allclose(source.depth(val[0]).metres(), number / 25.5, rtol=1e-5)
    assert sentence(("oven",)) == "a room with an oven"
    with pytest.raises(UserError, match="no split 'test'"):
        source.examples("test")
    with pytest.raises(UserError, match="data.depth"):
        NyuDepth(tmp_path / "images", depth=tmp_path / "images").examples("train")


def test_folds_are_splits_and_classes_are_called_as_people_write(tmp_path):
    for name in ("001 - Dog bark", "002 - Rain", "My own"):
        (tmp_path / name).mkdir()
        for fold in range(1, 6):
            (tmp_path / name / f"{fold}-1-A.ogg").write_bytes(b"x")
    source = Esc10(tmp_path)
    assert [len(source.examples(split)) for split in ("train", "val", "test")] == [9, 3, 3]
    assert {e.captions for e in source.examples("test")} == {("a dog barking",), ("rain",), ("my own",)}
    assert all(e.labels == e.captions and e.senses == ("sound",) for e in source.examples("val"))
    with pytest.raises(UserError, match="1-1-A.ogg|could not|no recording"):
        source.sound(source.examples("train")[0]).samples(16_000, 1.0)
    (tmp_path / "My own" / "bark.wav").write_bytes(b"x")
    with pytest.raises(UserError, match="names no fold"):
        source.examples("train")


def test_the_real_sets_are_read_whole(real_data):
    rooms = NyuDepth(real_data / "daquar/images", depth=real_data / "nyu_depth")
    parts = [rooms.examples(split) for split in ("train", "val")]
    assert sum(map(len, parts)) == 795 and all(example.captions for example in parts[1])
    assert 0.5 < np.median(rooms.depth(parts[1][0]).metres()) < 9
    sounds = Esc10(real_data / "esc10")
    assert {split: len(sounds.examples(split)) for split in sounds.splits} == sounds.official
    assert sounds.sound(sounds.examples("test")[0]).samples(16_000, 5.0).shape == (80_000,)
    assert sounds.image(sounds.examples("test")[0]).size == (250, 128)
