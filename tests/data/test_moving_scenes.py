import hashlib
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from captioning.data.synthetic.motion_captions import VERBS, describe_motion
from captioning.data.synthetic.moving_scene import MOTIONS, MovingScene
from captioning.data.synthetic.moving_scenes import MovingScenes
from captioning.data.synthetic.portable_random import Dice
from captioning.data.synthetic.scenes import HELD_OUT
from captioning.errors import UserError
from captioning.media.clip import FrameSampling

WORLD = MovingScenes(train=150, val=50, test=50, unseen=50, size=64)
OPPOSITES = {"right": "left", "falls": "rises", "grows": "shrinks", "appears": "disappears", "spins": "spins"}
OPPOSITES |= {b: a for a, b in OPPOSITES.items()}


def backwards(scene):
    """The scene as it looks when the clip runs backwards (but for the sense of a spin)."""
    actors = [
        replace(actor, motion=OPPOSITES[actor.motion], begin=1 - actor.end, end=1 - actor.begin)
        for actor in reversed(scene.actors)
    ]
    return MovingScene(tuple(actors), tuple(scene.still))


def scenes(split="train"):
    return [WORLD.scene(example.id) for example in WORLD.examples(split)]


def seen(world, example):
    """Every frame of a clip (F, H, W, 3), and their times (F,)."""
    frames, times = world.clip(example).sample(FrameSampling(frames=world.frames))
    return np.stack([np.asarray(frame) for frame in frames]), times


def test_a_clip_run_backwards_has_the_same_frames_and_the_opposite_captions():
    checked = 0
    for number, scene in enumerate(scenes()):
        if any(actor.motion == "spins" for actor in scene.actors):
            continue
        frames, reverse = WORLD.draw(scene, "law"), WORLD.draw(backwards(scene), "law")
        assert Counter(f.tobytes() for f in frames) == Counter(f.tobytes() for f in reverse)
        if scene.together or len(scene.actors) == 1:
            np.testing.assert_array_equal(frames[::-1], reverse)
        told = {statement.text for statement in scene.statements}
        assert not told & {statement.text for statement in describe_motion(backwards(scene), Dice(number))}
        checked += 1
    assert checked > 50


def test_opposite_motions_share_no_verb():
    for motion, opposite in OPPOSITES.items():
        if motion != opposite:
            assert not {form for verb in VERBS[motion] for form in verb} & {
                form for verb in VERBS[opposite] for form in verb
            }


def test_what_moves_does_what_its_captions_state():
    seen = Counter()
    for scene in scenes():
        cast = scene.actors + scene.still
        for fact in {fact for statement in scene.statements for fact in statement.facts}:
            actor = cast[fact[1]]
            if fact[0] in ("colour", "shape", "size"):
                assert getattr(actor, fact[0]) == fact[2]
            elif fact[0] == "before":
                assert actor.end <= cast[fact[2]].begin
            elif fact[0] == "together":
                assert (actor.begin, actor.end) == (cast[fact[2]].begin, cast[fact[2]].end)
            elif fact[0] == "still":
                assert actor.at(Fraction(0)) == actor.at(Fraction(1))
            else:
                seen[fact[2]] += 1
                assert motion_of(actor) == fact[2]
    assert set(seen) == set(MOTIONS)


def motion_of(actor):
    """What an actor does, told from its first and last look."""
    start, end = actor.at(Fraction(0)), actor.at(Fraction(1))
    if start is None or end is None:
        return "appears" if start is None else "disappears"
    changes = {
        "right": end.x - start.x,
        "left": start.x - end.x,
        "falls": end.y - start.y,
        "rises": start.y - end.y,
        "grows": end.width - start.width,
        "shrinks": start.width - end.width,
        "spins": end.turn - start.turn,
    }
    done = [motion for motion, change in changes.items() if change > 0.05]
    assert len(done) == 1
    return done[0]


def test_every_motion_shows_in_the_frames():
    for example in WORLD.examples("val"):
        scene, (frames, _) = WORLD.scene(example.id), seen(WORLD, example)
        steps = np.abs(np.diff(frames.astype(int), axis=0)).max((1, 2, 3))
        if all(actor.motion in ("appears", "disappears") for actor in scene.actors):
            assert (steps > 60).any()
        elif not any(actor.motion in ("appears", "disappears") for actor in scene.actors):
            assert (steps > 15).all()


def test_nothing_ever_hides_anything():
    for scene in scenes():
        for moment in (Fraction(i, 7) for i in range(8)):
            boxes = [thing.box for thing in scene.things(moment)]
            for i, a in enumerate(boxes):
                assert min(a) >= -0.01 and max(a) <= 1.01
                assert all(a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for b in boxes[i + 1 :])


def test_five_different_captions_of_few_words():
    captions = [example.captions for split in WORLD.splits for example in WORLD.examples(split)]
    assert all(len(set(five)) == 5 for five in captions)
    sentences = [sentence.replace(",", "").split() for five in captions for sentence in five]
    assert max(map(len, sentences)) <= 20
    assert len({word for sentence in sentences for word in sentence}) < 80


def test_held_out_pairs_are_in_every_unseen_clip_and_in_no_other():
    for split in WORLD.splits:
        for scene in scenes(split):
            novel = any((actor.colour, actor.shape) in HELD_OUT for actor in scene.actors + scene.still)
            assert novel == (split == "unseen")


def test_a_clip_has_frames_times_and_a_middle():
    world = MovingScenes(size=48, frames=9, fps=2)
    example = world.examples("test")[3]
    frames, times = seen(world, example)
    assert frames.shape == (9, 48, 48, 3) and frames.dtype == np.uint8
    np.testing.assert_allclose(times, np.arange(9) / 2)
    np.testing.assert_array_equal(np.asarray(world.image(example)), frames[4])
    assert len(example.boxes) == len(example.labels) == len(world.scene(example.id).things(Fraction(1, 2)))


def test_the_pixels_of_an_id_are_the_same_everywhere():
    digest = hashlib.sha256()
    for example in WORLD.examples("val")[:20]:
        digest.update(seen(WORLD, example)[0].tobytes() + "\n".join(example.captions).encode())
    assert digest.hexdigest()[:16] == "3648341cfcdd4457"


@pytest.mark.parametrize("wrong", [{"frames": 3}, {"fps": 0}, {"still": 3}, {"still": -1}, {"test": -5}])
def test_settings_that_make_no_sense_are_named(wrong):
    with pytest.raises(UserError, match=f"data.{next(iter(wrong))}="):
        MovingScenes(**wrong)
