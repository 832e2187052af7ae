"""A run that was interrupted ends where it would have ended, and what it leaves is a whole model."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from captioning.commands.hydra import conf_folder
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.models.bundle import save_bundle, whole_weights
from captioning.tasks.load import load
from captioning.training.callbacks import read_curves
from captioning.training.train import train

TINY = """
    data=scenes data.train=24 data.val=8 data.size=64 encoder.size=64 encoder.backbone=test_resnet.r160_in1k
    encoder.weights=none batch_size=8 captions_per_image=2 vocabulary.min_count=1 progress=false
    trainer.accelerator=cpu trainer.log_every_n_steps=1 seed=3 name=tiny
""".split()
DECODERS = {
    "show_and_tell": "decoder=show_and_tell decoder.embedding=16 decoder.width=16".split(),
    "show_attend_tell": "decoder=show_attend_tell decoder.visual=16 decoder.width=16 decoder.attention=16".split(),
}


def configuration(*overrides):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", [*TINY, *overrides])
    with open_dict(config):
        del config["output"]
    return config


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_resumed_run_ends_at_the_weights_of_one_never_interrupted(tmp_path, decoder):
    options = [*DECODERS[decoder], "trainer.max_epochs=3"]
    train(configuration(*options), tmp_path / "whole")

    broken, steps = configuration(*options), 7  # in the middle of the third epoch of three steps each
    with pytest.raises(KeyboardInterrupt):
        train(broken, tmp_path / "broken", callbacks=[stop_at(steps)])
    train(configuration(*options, "resume=auto"), tmp_path / "broken")

    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert read_curves(tmp_path / "whole")["val/CIDEr"] == read_curves(tmp_path / "broken")["val/CIDEr"]


def test_a_run_folder_that_was_moved_goes_on_and_keeps_its_best_epoch(tmp_path):
    options = [*DECODERS["show_and_tell"], "trainer.max_epochs=2"]
    train(configuration(*options), tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    model = train(configuration(*options, "resume=auto"), tmp_path / "there")
    assert model == tmp_path / "there/model" and load(model)
    found = torch.load(tmp_path / "there/checkpoints/last.ckpt", weights_only=True)["callbacks"]
    best = next(state for key, state in found.items() if "val/CIDEr" in key and key.startswith("ModelCheckpoint"))
    further = train(
        configuration(*DECODERS["show_and_tell"], "trainer.max_epochs=3", "resume=auto"), tmp_path / "there"
    )
    curve = dict(read_curves(tmp_path / "there")["val/CIDEr"])
    assert best["best_model_score"] == pytest.approx(max(curve[0], curve[1]), abs=1e-3)
    assert f"{max(curve.values()):.1f} (x100)" in (further / "README.md").read_text()
    (tmp_path / "there/checkpoints/best.ckpt").unlink()
    with pytest.raises(UserError, match=r"best\.ckpt.* is gone"):
        train(configuration(*DECODERS["show_and_tell"], "trainer.max_epochs=3", "resume=auto"), tmp_path / "there")


def test_the_last_epoch_is_kept_where_that_is_asked_for_however_well_it_does(tmp_path):
    options = [*DECODERS["show_and_tell"], "trainer.max_epochs=3", "ema=0.5", "keep=last", "patience=1"]

    class Worse(pl.Callback):
        def on_validation_end(self, trainer, module):
            trainer.callback_metrics["val/CIDEr"] = torch.tensor(-float(trainer.current_epoch))

    model = train(configuration(*options), tmp_path, callbacks=[Worse()])
    last, kept = weights(tmp_path), whole_weights(model)
    assert all(torch.equal(kept[name].float(), last[name].float()) for name in kept if name.startswith("task."))
    curve = read_curves(tmp_path)["val/CIDEr"]
    assert len(curve) == 3, "patience has no say"
    assert f"| last epoch | CIDEr: {curve[-1][1]:.1f} (x100)" in (model / "README.md").read_text()
    card = (model / "README.md").read_text()
    assert train(configuration(*options, "resume=auto"), tmp_path) == model, "a finished run is finished again"
    assert (model / "README.md").read_text() == card
    with pytest.raises(UserError, match="keep=first"):
        train(configuration(*options, "keep=first"), tmp_path / "never")


def test_a_bundle_at_the_end_of_training_speaks_as_its_configuration_says(tmp_path, monkeypatch):
    """And not as validation did, which here finds no word."""
    made = []

    def noted(folder, bundle, **options):
        made.append(bundle)
        return save_bundle(folder, bundle, **options)

    monkeypatch.setattr("captioning.training.finishing.save_bundle", noted)
    options = ["trainer.max_epochs=1", "+validation.generation.max_words=1"]
    model = train(configuration(*DECODERS["show_attend_tell"], *options), tmp_path)
    (bundle,), loaded = made, load(model)
    search = bundle.task.config()["generation"]
    assert search["_target_"] == f"{bundle.task.generation.func.__module__}.{bundle.task.generation.func.__name__}"
    width = bundle.encoder.width
    memory = VisualMemory(torch.rand(3, 4, width), torch.ones(3, 4).bool(), torch.rand(3, width))
    ours, theirs = (task.eval().predict(memory, None) for task in (bundle.task, loaded.task))
    assert ours == theirs and any(len(text.split()) > 1 for text in ours)


def test_the_bundle_of_a_run_says_what_the_run_said(tmp_path):
    model = train(configuration(*DECODERS["show_attend_tell"], "trainer.max_epochs=1"), tmp_path)
    captioner = load(model)
    assert captioner.task.parts["decoder"]["width"] == 16
    assert "scenes" in (model / "README.md").read_text()
    from captioning.data.synthetic.scenes import Scenes

    source = Scenes(train=2, val=2, size=64)
    pictures = [source.image(example) for example in source.examples("val")]
    assert all(caption.text for caption in captioner.caption(pictures))


def test_a_second_run_does_not_overwrite_the_first(tmp_path):
    train(configuration(*DECODERS["show_and_tell"], "trainer.max_epochs=1"), tmp_path)
    before = weights(tmp_path)
    with pytest.raises(UserError, match="resume=auto"):
        train(configuration(*DECODERS["show_and_tell"]), tmp_path)
    assert all(torch.equal(before[name], weight) for name, weight in weights(tmp_path).items())


def test_a_learning_encoder_runs_on_pictures_and_changes(tmp_path):
    learning = ["encoder.finetune=true", "encoder_lr=0.1", *DECODERS["show_and_tell"], "trainer.max_epochs=1"]
    train(configuration(*learning), tmp_path)
    from hydra.utils import instantiate

    torch.manual_seed(3)
    fresh = instantiate(configuration().encoder).state_dict()
    changed = [name for name, tensor in fresh.items() if not torch.equal(tensor, weights(tmp_path)[f"encoder.{name}"])]
    assert changed


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        train(configuration(), blocked)


def stop_at(step: int):
    """A callback that interrupts training after so many steps, as a person would with Ctrl-C."""
    import pytorch_lightning as pl

    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == step:
                raise KeyboardInterrupt

    return Stop()


def test_an_average_of_the_weights_leaves_a_frozen_encoder_as_it_was(tmp_path):
    train(configuration(*DECODERS["show_and_tell"], "trainer.max_epochs=2", "ema=0.7"), tmp_path)
    from hydra.utils import instantiate

    torch.manual_seed(3)
    fresh = instantiate(configuration().encoder).state_dict()
    kept = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert all(torch.equal(tensor, kept["state_dict"][f"encoder.{name}"]) for name, tensor in fresh.items())
    averaged = [
        name for name, now in kept["current_model_state"].items() if not torch.equal(now, kept["state_dict"][name])
    ]
    assert averaged and all(name.startswith("task.decoder.") for name in averaged)


def test_an_average_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="ema=1.5"):
        train(configuration(*DECODERS["show_and_tell"], "ema=1.5"), tmp_path)
