"""A run of seconds on the generated world, for tests that interrupt it, repeat it or share it out."""

from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict

from captioning.commands.hydra import conf_folder

TINY = """
    data=scenes data.train=24 data.val=8 data.size=64 encoder.size=64 encoder.backbone=test_resnet.r160_in1k
    encoder.weights=none batch_size=8 captions_per_image=2 vocabulary.min_count=1 progress=false
    trainer.accelerator=cpu trainer.log_every_n_steps=1 seed=3 name=tiny
""".split()
KEPT = ["best.ckpt", "best.ckpt.sha256", "last.ckpt", "last.ckpt.sha256"]  # in checkpoints/ of a run
TINY_DECODER = "decoder=show_and_tell decoder.embedding=16 decoder.width=16".split()


def configuration(*overrides: str) -> DictConfig:
    """conf/train.yaml with the overrides of a tiny run and more, which may name another decoder."""
    decoder = [] if any(one.startswith("decoder=") for one in overrides) else TINY_DECODER
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", [*TINY, *decoder, *overrides])
    with open_dict(config):
        del config["output"]
    return config


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    """Those of a checkpoint of a run."""
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
