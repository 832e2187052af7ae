"""Every group of callbacks and every logger that works without a network trains a run and leaves what it says."""

import importlib.util

import pytest
from tiny_runs import configuration

from captioning.commands.hydra import conf_folder, groups_of
from captioning.errors import UserError
from captioning.training.callbacks import read_curves
from captioning.training.train import train

GROUPS = groups_of(conf_folder())
LEFT = {
    "tensorboard": "tensorboard/events.out.*",
    "csv": "csv/version_0/metrics.csv",
    "wandb": "wandb/offline-run-*",
    "mlflow": "mlflow.db",
}
OPTIONS = {"wandb": ["logger.wandb.offline=true"]}
SHORT = ["debug=few_steps", "trainer.limit_train_batches=2", "name=tiny"]


@pytest.mark.parametrize("name", GROUPS["logger"])
def test_a_logger_leaves_its_log_beside_the_csv(tmp_path, monkeypatch, name):
    if name in ("wandb", "mlflow") and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    train(configuration(*SHORT, f"logger={name}", *OPTIONS.get(name, [])), tmp_path / "run")
    assert list((tmp_path / "run").glob(LEFT[name])), sorted((tmp_path / "run").iterdir())
    assert read_curves(tmp_path / "run")["train/loss"]


@pytest.mark.parametrize("name", GROUPS["callbacks"])
def test_a_group_of_callbacks_goes_with_those_of_every_run(tmp_path, name):
    model = train(configuration(*SHORT, f"callbacks={name}"), tmp_path)
    assert (model / "weights.safetensors").exists()
    assert name != "every_epoch" or (tmp_path / "checkpoints/epoch-0.ckpt").exists()


def test_a_logger_whose_package_is_not_there_names_it(tmp_path):
    with pytest.raises(UserError, match="pip install"):
        train(configuration(*SHORT, "+logger.other._target_=loggers_of_nobody.Logger"), tmp_path)
