"""A run that starts from a model begins with its weights and its words, whatever the objective."""

import pytest
import torch
from test_train import DECODERS, configuration, stop_at, weights
from tiny_model import ENCODER, pictures, saved_model

from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.encoders.grid import GridEncoder
from captioning.encoders.side_by_side import SideBySide
from captioning.errors import UserError
from captioning.models.bundle import load_bundle
from captioning.tasks.captioning.retrieval_memory import replaced
from captioning.tasks.captioning.self_critical import SelfCritical
from captioning.text.vocabulary import Vocabulary
from captioning.training.callbacks import read_curves
from captioning.training.initial_weights import read_start
from captioning.training.train import train

SELF_CRITICAL = ["objective=self_critical", "objective.num_samples=2", "optimizer=adam", "schedule=constant"]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    train(configuration(*DECODERS["show_attend_tell"], "trainer.max_epochs=1"), folder)
    return folder


@pytest.mark.parametrize("kind", ["model", "checkpoints/last.ckpt"])
def test_a_start_is_where_training_begins(first, tmp_path, kind):
    still = [*DECODERS["show_attend_tell"], *SELF_CRITICAL, "optimizer.lr=0.0", "trainer.max_epochs=1"]
    train(configuration(*still, f"start={first / kind}", "data.train=16", "vocabulary.min_count=9"), tmp_path)
    before, after = weights(first), weights(tmp_path)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert Vocabulary.load(tmp_path / "model/vocabulary.json") == Vocabulary.load(first / "model/vocabulary.json")


def test_a_resumed_self_critical_run_ends_where_one_never_interrupted_does(first, tmp_path):
    options = [*DECODERS["show_attend_tell"], *SELF_CRITICAL, f"start={first / 'model'}", "trainer.max_epochs=2"]
    options += ["trainer.precision=bf16-mixed"]
    train(configuration(*options), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(configuration(*options), tmp_path / "broken", callbacks=[stop_at(4)])
    train(configuration(*options, "resume=auto"), tmp_path / "broken")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    curves = read_curves(tmp_path / "whole")
    assert {"train/reward", "train/baseline", "train/words", "train/unfinished", "val/loss"} <= curves.keys()


def test_a_run_that_goes_on_within_an_epoch_knows_its_epoch(first, tmp_path):
    import pytorch_lightning as pl

    class SaveThenStop(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 4:  # the first of three steps of the second epoch
                trainer.save_checkpoint(tmp_path / "checkpoints/last.ckpt")
                raise KeyboardInterrupt

    class Look(pl.Callback):
        def on_train_batch_end(self, trainer, module, *_):
            seen.append((module.task.decoder.training, module.task.objective.epoch))

    options = [*DECODERS["show_attend_tell"], *SELF_CRITICAL, f"start={first / 'model'}", "trainer.max_epochs=2"]
    options += ["objective._target_=test_initial_weights.Remembering"]
    seen = []
    with pytest.raises(KeyboardInterrupt):
        train(configuration(*options), tmp_path, callbacks=[SaveThenStop()])
    train(configuration(*options, "resume=auto"), tmp_path, callbacks=[Look()])
    assert seen and set(seen) == {(False, 1)}


class Remembering(SelfCritical):
    """Keeps what it was told."""

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def test_a_start_of_another_shape_is_refused_by_name(first, tmp_path):
    other = [*DECODERS["show_attend_tell"], "decoder.width=8", f"start={first / 'model'}"]
    with pytest.raises(UserError, match=r"start=.*decoder\.\S+ is \[.*\] there and \[.*\] here"):
        train(configuration(*other), tmp_path)


def test_a_start_that_is_none_is_refused(tmp_path):
    for bad in ("absent", str(tmp_path / "file.ckpt")):
        (tmp_path / "file.ckpt").write_bytes(b"\x00 nothing")
        with pytest.raises(UserError, match="start="):
            train(configuration(f"start={bad}"), tmp_path / "run")


def test_a_second_phase_goes_on_from_the_best_of_the_first(tmp_path):
    from captioning.commands.train import run

    options = [*DECODERS["show_attend_tell"], "then=self_critical", "objective.attention_penalty=0.1"]
    options += ["trainer.max_epochs=1", "then.trainer.max_epochs=1", "then.objective.num_samples=2"]
    assert run(configuration(*options, "then.optimizer.lr=0.0"), tmp_path) == 0
    first, second = weights(tmp_path), weights(tmp_path / "then")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert "train/reward" in read_curves(tmp_path / "then") and (tmp_path / "then/model/config.yaml").exists()
    assert run(configuration(*options, "resume=auto", "then.trainer.max_epochs=2"), tmp_path) == 0
    assert len(read_curves(tmp_path / "then")["train/reward"]) == 2
    assert len(read_curves(tmp_path)["train/loss"]) == 1


@torch.no_grad()
def test_a_model_goes_on_with_a_second_backbone_beside_its_own(tmp_path):
    """At first the decoder hears nothing of it, so it says what it said before."""
    before = load_bundle(saved_model(tmp_path / "before"))
    torch.manual_seed(9)
    both = SideBySide(encoders=[GridEncoder(**ENCODER, weights="none") for _ in range(2)]).eval()
    start = read_start(tmp_path / "before").seeing_more(both)
    start.fill("encoder", both)
    options = {key: value for key, value in before.task.parts["decoder"].items() if key != "_target_"}
    after = ShowAttendTell(visual_width=both.width, vocabulary_size=len(before.task.vocabulary), **options).eval()
    start.fill("task", replaced(before.task, decoder=after, config={}))
    seen, words = (
        torch.stack([before.encoder.read(picture) for picture in pictures(3)]),
        torch.tensor([[[1, 5, 7]]] * 3),
    )
    expected = before.task.decoder(before.task.decoder.prepare(before.encoder(seen)), words)
    torch.testing.assert_close(after(after.prepare(both(seen)), words), expected)


def test_an_encoder_that_is_no_pair_leaves_the_start_as_it_is(tmp_path):
    start = read_start(saved_model(tmp_path / "before"))
    assert start.seeing_more(GridEncoder(**ENCODER, weights="none")) is start
