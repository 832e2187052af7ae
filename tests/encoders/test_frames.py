"""A clip is seen frame by frame as its frames would be seen alone, whatever else is in the batch."""

import pickle

import numpy as np
import pytest
import torch
import yaml
from onnx_detector import saved
from safetensors.torch import load_file, save_file
from tiny_model import tiny_bundle

from captioning.batches import Examples
from captioning.data.synthetic.moving_scenes import MovingScenes
from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.encoders import frames as frames_module
from captioning.encoders.detectors.yolox import Yolox
from captioning.encoders.frames import FrameEncoder
from captioning.encoders.grid import GridEncoder
from captioning.encoders.motion import MotionEncoder
from captioning.encoders.regions import RegionEncoder
from captioning.errors import UserError
from captioning.features.extract import fill
from captioning.media.clip import Clip
from captioning.models.bundle import Bundle, load_bundle, save_bundle
from captioning.tasks.captioning.retrieval_memory import replaced

IMAGE = {"_target_": "captioning.encoders.grid.GridEncoder", "backbone": "test_resnet", "size": 64}
MOTION = {"_target_": "captioning.encoders.motion.MotionEncoder", "backbone": "r3d_18", "frames": 4, "size": 32}


def image(**options) -> GridEncoder:
    torch.manual_seed(0)
    return GridEncoder(**{"backbone": "test_resnet", "weights": "none", "size": 64, **options})


@pytest.fixture(scope="module")
def motion() -> MotionEncoder:
    torch.manual_seed(0)
    return MotionEncoder(weights="none", frames=4, size=32)


def clip(frames: int, seed: int = 0, scale: int = 8) -> Clip:
    noise = np.random.default_rng(seed).integers(0, 256, (frames, 6, 8, 3), dtype=np.uint8)
    return Clip.of(noise.repeat(scale, 1).repeat(scale, 2), fps=4)


CLIPS = [clip(9), clip(2, 1), clip(5, 2)]


def see(encoder, clips=CLIPS):
    with torch.inference_mode():
        return encoder(encoder.collate([encoder.read(each) for each in clips]))


@pytest.mark.parametrize("pool", ["frame", "grid"])
@pytest.mark.parametrize("parts", ["image", "motion", "both"])
def test_a_clip_is_seen_alone_as_it_is_in_company(motion, pool, parts, monkeypatch):
    pair = {"image": image() if parts != "motion" else None, "motion": motion if parts != "image" else None}
    encoder = FrameEncoder(**pair, pool=pool, sampling={"frames": 5})
    together = see(encoder)
    monkeypatch.setattr(frames_module, "CHUNK", 3)
    a_frame = together.tokens.shape[1] // 5
    for i, (one, count) in enumerate(zip(CLIPS, (5, 2, 5), strict=True)):
        alone = see(encoder, [one])
        real = count * a_frame
        assert alone.tokens.shape == (1, real, encoder.width) and alone.mask.all()
        torch.testing.assert_close(together.tokens[i, :real], alone.tokens[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.pooled[i], alone.pooled[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.times[i, :real], alone.times[0])
        assert together.mask[i].sum() == real and not together.tokens[i, real:].any()


def test_tokens_are_those_of_the_picture_then_those_of_the_motion_around_it(motion):
    picture = image()
    sampling = {"frames": 3}
    small = [clip(9, scale=4), clip(2, 1, scale=4)]  # not reduced on the way, which depends on who looks
    both = see(FrameEncoder(image=picture, motion=motion, pool="grid", sampling=sampling), small)
    cells = see(FrameEncoder(image=picture, pool="grid", sampling=sampling), small)
    moves = see(FrameEncoder(motion=motion, sampling=sampling), small)
    torch.testing.assert_close(both.tokens[..., : picture.width], cells.tokens)
    around = moves.tokens.repeat_interleave(cells.tokens.shape[1] // 3, 1)
    torch.testing.assert_close(both.tokens[..., picture.width :], around)
    torch.testing.assert_close(both.pooled, torch.cat([cells.pooled, moves.pooled], -1))
    assert torch.equal(both.times, cells.times) and torch.equal(both.mask, cells.mask)


def test_each_frame_is_seen_as_the_photo_it_is_and_pooled_is_their_mean():
    picture = image()
    encoder = FrameEncoder.around(picture, frames=4)
    assert encoder.image is picture
    seen, (shown, times) = see(encoder, [CLIPS[0]]), CLIPS[0].sample(encoder.sampling)
    photos = picture(torch.stack([picture.read(frame) for frame in shown]))
    torch.testing.assert_close(seen.tokens[0], photos.tokens.flatten(0, 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen.pooled[0], photos.pooled.mean(0), rtol=1e-4, atol=1e-5)
    cells = photos.tokens.shape[1]
    assert seen.times[0].tolist() == [time for time in times.tolist() for _ in range(cells)]


@pytest.mark.parametrize(("backbone", "frames", "size"), [("swin3d_t", 2, 32), ("mvit_v2_s", 4, 32), ("s3d", 16, 64)])
def test_every_family_of_video_backbones_gives_a_map(backbone, frames, size):
    encoder = MotionEncoder(backbone=backbone, weights="none", frames=frames, size=size)
    snippets = torch.randint(0, 256, (2, frames, 3, size, size), dtype=torch.uint8)
    memory = encoder(snippets)
    assert memory.tokens.shape == (2, memory.tokens.shape[1], encoder.width)
    torch.testing.assert_close(encoder(snippets[1:]).pooled, memory.pooled[1:], rtol=1e-3, atol=1e-4)


def test_weights_of_motion_come_from_a_file_with_or_without_the_classifier(motion, tmp_path):
    state = motion.backbone.state_dict()
    torch.save({"state_dict": {**state, "fc.weight": torch.zeros(400, 512)}}, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        loaded = MotionEncoder(weights=str(tmp_path / name), frames=4, size=32).backbone.state_dict()
        assert all(torch.equal(state[key], loaded[key]) for key in state)
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"conv": print}))  # code, were it run
    with pytest.raises(UserError, match="encoder.motion.weights=.*w.pth does not fit"):
        MotionEncoder(weights=str(tmp_path / "w.pth"), frames=4, size=32)


def test_a_store_keeps_what_was_seen_and_when(tmp_path):
    world = MovingScenes(train=1, val=3, test=1, unseen=1, size=48)
    encoder = FrameEncoder(image=image(), sampling={"frames": 3})
    store, unreadable = fill(tmp_path / "s", encoder, {"image": IMAGE}, world, world.examples("val"), num_workers=0)
    assert not unreadable
    seen = see(encoder, [world.clip(example) for example in world.examples("val")])
    kept = store.read([example.id for example in world.examples("val")])
    torch.testing.assert_close(kept.tokens, seen.tokens.half())
    assert torch.equal(kept.times, seen.times) and torch.equal(kept.mask, seen.mask)


def test_a_model_of_clips_is_saved_and_loaded_whole(tmp_path):
    bundle = tiny_bundle()
    encoder = FrameEncoder(image=image(), motion=MotionEncoder(weights="none", frames=4, size=32))
    config = {
        "_target_": "captioning.encoders.frames.FrameEncoder",
        "image": {**IMAGE, "weights": "/somewhere/else.safetensors", "finetune": True},
        "motion": {**MOTION, "weights": "pretrained"},
        "sampling": {"frames": 3, "mode": "segments"},
    }
    options = {key: value for key, value in bundle.task.parts["decoder"].items() if key != "_target_"}
    decoder = ShowAttendTell(visual_width=encoder.width, vocabulary_size=len(bundle.task.vocabulary), **options)
    parts = Bundle(encoder, config, replaced(bundle.task, decoder=decoder, config=bundle.task.parts["decoder"]))
    save_bundle(tmp_path / "model", parts, card="# clips")
    written = yaml.safe_load((tmp_path / "model" / "config.yaml").read_text())["encoder"]
    assert "weights" not in written["image"] and "weights" not in written["motion"]
    loaded = load_bundle(tmp_path / "model")
    assert loaded.encoder.sampling.frames == 3 and not loaded.encoder.finetune
    assert loaded.encoder.digest(written) == encoder.eval().digest(config)
    stored = load_file(tmp_path / "model" / "weights.safetensors")
    assert stored.keys() >= {f"encoder.{name}" for name in encoder.state_dict()}


def test_a_frozen_encoder_stays_as_it_is_and_a_fine_tuned_one_learns():
    frozen = FrameEncoder(image=image()).train()
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not any(m.training for m in frozen.modules())
    learning = FrameEncoder(image=image(), finetune=True, sampling={"frames": 2}).train()
    learning(learning.collate([learning.read(each) for each in CLIPS])).pooled.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning.parameters())


def test_random_frames_differ_by_epoch_in_training_and_nowhere_else():
    world = MovingScenes(train=4, val=1, test=1, unseen=1, size=48)
    encoder = FrameEncoder(image=image(), sampling={"frames": 3, "mode": "segments"})
    examples = world.examples("train")

    def times(epoch, vary):
        data = Examples(examples, world, encoder, None, lambda *_: None, vary=vary)
        return data.collate([(epoch, example) for example in examples]).inputs.times.tolist()

    assert times(0, True) == times(0, True) != times(1, True)
    assert times(0, False) == times(1, False)


def test_parts_that_make_no_frame_encoder_are_named():
    for wrong, words in (
        ({}, "needs image, motion or both"),
        ({"image": FrameEncoder(image=image())}, "encoder.image is FrameEncoder"),
        ({"image": image(), "pool": "cell"}, "encoder.pool is 'cell'"),
        ({"image": image(), "sampling": {"frames": 0}}, "sampling.frames is 0"),
    ):
        with pytest.raises(UserError, match=words):
            FrameEncoder(**wrong)
    with pytest.raises(UserError, match="is it r3d_18"):
        MotionEncoder(backbone="r3d18", weights="none")


def test_regions_of_a_clips_frames_are_those_of_the_frames_as_photos(tmp_path, monkeypatch):
    monkeypatch.setattr(frames_module, "CHUNK", 3)
    torch.manual_seed(0)
    detector = Yolox(file=saved(tmp_path / "tiny.onnx"), class_names=["cat", "dog", "ball"])
    of_photos = RegionEncoder(detector=detector, backbone="test_resnet", weights="none", size=64, regions=[2, 4]).eval()
    encoder = FrameEncoder.around(of_photos, frames=4).eval()
    memory = see(encoder)
    seen, times = CLIPS[0].sample(encoder.sampling)
    alone = see(of_photos, seen)
    wide = memory.tokens.shape[1] // 4
    for frame in range(4):
        here, real = slice(frame * wide, (frame + 1) * wide), alone.mask[frame]
        assert memory.mask[0, here].sum() == real.sum() and (memory.times[0, here] == times[frame]).all()
        for name in ("tokens", "boxes", "classes", "scores"):
            of_clip = getattr(memory, name)[0, here][memory.mask[0, here]]
            assert torch.allclose(of_clip, getattr(alone, name)[frame][real], atol=1e-5), name
    assert torch.allclose(memory.pooled[0], alone.pooled.mean(0), atol=1e-5)
