"""Senses bound to images end up beside each other; what is bound is what is said, and frozen towers stay."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from PIL import Image
from tiny_binding import saved_binding, tiny_binding
from tiny_clips import write_clip
from tiny_embedder import saved_embedder, tiny_task
from tiny_model import ENCODER, pictures

from captioning import cli
from captioning.commands.hydra import conf_folder
from captioning.data.synthetic.sensed_scenes import SensedScenes
from captioning.encoders.grid import GridEncoder
from captioning.errors import UserError
from captioning.media.sound import Sound
from captioning.memory import VisualMemory
from captioning.tasks.load import load
from captioning.training.initial_weights import read_start
from captioning.training.model_parts import part_of
from captioning.training.train import train

SUPPORT = Path(__file__).parents[2] / "support"
WORLD = SensedScenes(train=12, val=8, test=8, unseen=0, size=32, frames=4)


def memory(count: int, seed: int = 0) -> VisualMemory:
    tokens = torch.randn(count, 4, 16, generator=torch.Generator().manual_seed(seed))
    return VisualMemory(tokens, torch.ones(count, 4, dtype=torch.bool), tokens.mean(1))


def learned(task, seen, targets, steps=100):
    step = torch.optim.Adam([p for p in task.parameters() if p.requires_grad], lr=5e-3)
    for _ in range(steps):
        task.train()
        step.zero_grad(), task.loss(seen, targets, [])[0].backward(), step.step()
    return task.eval()


def test_what_was_never_paired_finds_each_other_through_images():
    examples = WORLD.examples("val")
    task = tiny_binding(examples, dropout=0.0, width=16, vocabulary={"min_count": 1})
    task.read_from(WORLD)
    seen, targets = memory(8), task.targets(examples, 0)
    task = learned(task, seen, targets)
    predictions = dict(zip([e.id for e in examples], task.predict(seen, targets), strict=True))
    corpus = task.score(predictions, examples, metrics=("binding", "chance")).corpus
    for pair in ("sound-text", "text-sound", "sound-motion", "depth-text"):
        assert corpus[f"{pair} R@1"] >= 0.5, corpus  # by chance 0.125
    assert corpus["p sound-text"] < 0.01 and corpus["emergent"] > 0.5
    fresh = tiny_binding()
    fresh.read_from(WORLD)
    blank = dict(zip([e.id for e in examples], fresh.predict(seen, fresh.targets(examples, 0)), strict=True))
    assert fresh.score(blank, examples, metrics=("binding", "chance")).corpus["p sound-text"] > 0.01


def test_only_the_pairs_that_are_named_learn():
    task, examples = tiny_binding(pairs=[["image", "depth"]]), WORLD.examples("val")
    task.read_from(WORLD)
    task.loss(memory(8), task.targets(examples, 0), [])[0].backward()
    learns = {name.split(".")[1] for name, p in task.named_parameters() if p.grad is not None and name[:6] == "senses"}
    assert learns == {"depth"} and task.text.embed.weight.grad is None


def test_an_example_without_a_sense_changes_nothing_for_those_that_have_it_but_as_a_wrong_image():
    task, examples = tiny_binding(pairs=[["image", "sound"]]), WORLD.examples("train")
    assert [e.senses for e in examples[:4]] == [(), ("sound",), ("depth",), ("motion",)]
    assert [bool(e.captions) for e in examples[:4]] == [True, False, False, False]
    task.read_from(WORLD)
    targets = task.targets(examples, 0)
    assert targets.senses["sound"][1].tolist() == [1, 5, 9] and len(targets.senses["sound"][0]) == 3
    only = task.targets([examples[i] for i in (1, 5, 9)], 0)
    torch.testing.assert_close(only.senses["sound"][0], targets.senses["sound"][0])


def test_sounds_of_one_name_are_no_wrong_answers_to_each_other():
    task = tiny_binding(pairs=[["sound", "text"]])
    task.read_from(WORLD)
    examples = WORLD.examples("val")[:4]
    same = [replace(one, captions=("a dog",)) for one in examples]
    loss, _ = task.loss(memory(4), task.targets(same, 0), [])
    assert float(loss) == pytest.approx(0, abs=1e-6)  # one text, of which all are right
    other = [
        replace(one, captions=(text,)) for one, text in zip(examples, ["a dog", "water", "a dog", "a cat"], strict=True)
    ]
    assert float(task.loss(memory(4), task.targets(other, 0), [])[0]) > 0.01


def test_two_processes_have_the_gradients_of_one_on_the_whole_batch():
    done = subprocess.run([sys.executable, SUPPORT / "binding_processes.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [float(line) for line in done.stdout.split()]
    assert len(found) == 2 and max(found) < 1e-9, found


def test_frozen_towers_are_those_of_the_start_and_stay(tmp_path):
    start = read_start(saved_embedder(tmp_path / "start"))
    width = tiny_task().image.pooled.weight.shape[1]
    task = tiny_binding(frozen=True, pairs=[["image", "depth"]])
    encoder = GridEncoder(**ENCODER, weights="none")
    torch.manual_seed(8)
    task.vocabulary = tiny_task().vocabulary
    task.build(encoder, part_of)
    before = {name: tensor.clone() for name, tensor in task.senses.state_dict().items()}
    start.fill("task", task.eval())
    same = tiny_task()
    torch.testing.assert_close(task.embed_texts(["a dog"]), same.embed_texts(["a dog"]))
    for name, tensor in task.senses.state_dict().items():
        assert torch.equal(tensor, before[name])
    task.read_from(WORLD)
    seen = memory(8)
    wide = VisualMemory(seen.tokens.repeat(1, 1, -(-width // 16))[..., :width], seen.mask, torch.randn(8, width))
    examples = WORLD.examples("val")
    learned(task, wide, task.targets(examples, 0), steps=3)
    torch.testing.assert_close(task.embed_texts(["a dog"]), same.embed_texts(["a dog"]))
    torch.testing.assert_close(task.embed_images(wide), same.embed_images(wide))
    assert any(not torch.equal(t, before[name]) for name, t in task.senses.state_dict().items())


def test_a_run_binds_senses_and_ends_with_a_model_that_says_the_same_when_it_is_loaded(tmp_path):
    small = """task=binding encoder=small encoder.size=32 encoder.widths=[8,16] data=sensed_scenes data.size=32
        data.train=16 data.val=6 data.frames=4 task.text.width=16 task.text.heads=2 task.width=16 task.image.heads=2
        task.vocabulary.min_count=1 task.senses.sound.bins=16 task.senses.sound.widths=[8,16] task.senses.depth.size=16
        task.senses.depth.widths=[8] task.senses.motion.frames=3 task.senses.motion.size=16
        task.senses.motion.widths=[8] batch_size=8 store=null trainer.max_epochs=2 trainer.accelerator=cpu
        progress=false seed=3 name=tiny""".split()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", small)
    with open_dict(config):
        del config["output"]
    folder = train(config, tmp_path / "run")
    head = next((tmp_path / "run" / "csv").rglob("metrics.csv")).read_text().splitlines()[0]
    assert {"train/image-sound", "val/recall", "val/emergent", "val/sound-text R@1"} <= set(head.split(","))
    model, again = load(folder), load(folder)
    tone = (np.sin(np.arange(16_000) / 20), 16_000)
    assert model.embed_sound(tone).shape == (16,)
    np.testing.assert_allclose(model.embed_sound([tone, tone])[1], again.embed_sound(tone), atol=1e-6)
    examples, predictions = model.predict_split(WORLD, "test", store=None)
    assert len(examples) == 8 and {"image", "texts", "sound", "depth", "motion"} == predictions[examples[0].id].keys()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_binding(tmp_path_factory.mktemp("model") / "bound")


def write_sound(path: Path, seed: int = 0, seconds: float = 1.0) -> Path:
    samples = (np.sin(np.arange(int(16_000 * seconds)) * (0.05 + 0.04 * seed)) * 9000).astype(np.int16)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le" if path.suffix == ".wav" else "flac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        file.mux(stream.encode(frame)), file.mux(stream.encode())
    return path


def test_a_file_says_what_its_samples_say(model, tmp_path):
    binder = load(model)
    wav = write_sound(tmp_path / "a.wav")
    samples = (np.sin(np.arange(16_000) * 0.05) * 9000).astype(np.int16)
    np.testing.assert_allclose(binder.embed_sound(wav), binder.embed_sound((samples, 16_000)), atol=1e-5)
    np.testing.assert_allclose(binder.embed_sound([wav, Sound.open(wav)])[1], binder.embed_sound(wav), atol=1e-6)
    metres = np.round(np.random.default_rng(0).uniform(0.5, 9, (20, 30)) * 25.5)
    Image.fromarray(metres.astype(np.uint8)).save(tmp_path / "d.png")
    np.testing.assert_allclose(
        binder.embed_depth(tmp_path / "d.png"), binder.embed_depth(metres / np.float32(25.5)), atol=1e-3
    )
    assert binder.embed_motion(write_clip(tmp_path / "c.mp4")).shape == (8,)
    for wrong, verb in (("nothing", binder.embed_sound), (tmp_path / "a.wav", binder.embed_depth)):
        with pytest.raises(UserError):
            verb(wrong)
    with pytest.raises(UserError, match="no smell"):
        binder.embed_sense("smell", wav)


def test_a_folder_of_photos_and_sounds_is_searched_by_text_photo_and_sound(model, tmp_path, capsys, monkeypatch):
    binder, folder = load(model), tmp_path / "mixed"
    folder.mkdir()
    for i, picture in enumerate(pictures(3)):
        picture.save(folder / f"{i}.png")
        write_sound(folder / f"{i}.{'wav' if i else 'flac'}", i)
    found = binder.search(folder, "a red dog", top=10)
    assert len(found) == 6
    vectors = {f"{i}.png": binder.embed(folder / f"{i}.png") for i in range(3)}
    vectors |= {name: binder.embed_sound(folder / name) for name in ("0.flac", "1.wav", "2.wav")}
    text = binder.embed_text("a red dog")
    assert [each.name for each in found] == sorted(vectors, key=lambda name: -float(vectors[name] @ text))
    assert binder.search(folder, like=folder / "1.wav", top=1)[0].name == "1.wav"
    (folder / "broken.ogg").write_bytes(b"OggS nothing")
    monkeypatch.setattr(
        "sys.argv",
        ["captioning", "search", str(folder), "--like", str(folder / "2.wav"), "--model", str(model), "--json"]
        + ["--page", str(tmp_path / "page.html"), "--top", "2"],
    )
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    assert stop.value.code == 1 and "broken.ogg" in err
    assert os.path.basename(json.loads(out.splitlines()[0])["file"]) == "2.wav"
    assert (tmp_path / "page.html").read_text().count("<figure") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"senses": {"smell": {}}}, "smell"),
        ({"pairs": [["image", "image"]]}, "pairs"),
        ({"pairs": [["image", "smell"]]}, "pairs"),
        ({"judged_by": "luck"}, "judged_by"),
        (
            {
                "senses": {"sound": {"_target_": "captioning.encoders.convolutional.DepthEncoder"}},
                "pairs": [["image", "sound"]],
            },
            "reads a depth",
        ),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        tiny_binding(**options)
