"""A run from shards is a run: words from them, the end of an uninterrupted one when it goes on, and two processes by
torchrun that read photos of their own and end at one model."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from shard_files import tar
from tiny_runs import same, weights

from captioning.training.interruption import Preempted
from captioning.training.train import train

WORDS = "dog cat bird cow horse sheep goat fox".split()
TINY = """
    encoder.size=64 encoder.backbone=test_resnet.r160_in1k encoder.weights=none batch_size=4 captions_per_image=2
    vocabulary.min_count=1 progress=false trainer.accelerator=cpu trainer.max_epochs=2 seed=3 data=webdataset
    data.buffer=4 decoder=show_and_tell decoder.embedding=16 decoder.width=16 store=null trainer.log_every_n_steps=1
""".split()


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Four shards of 5, 5, 5 and 4 photos to learn from, one of 4 for validation."""
    import io

    folder = tmp_path_factory.mktemp("shards")
    number = 0
    for shard, size in enumerate((5, 5, 5, 4, 4)):
        files = []
        for _ in range(size):
            file, noise = io.BytesIO(), np.random.default_rng(number).integers(0, 256, (48, 48, 3), dtype=np.uint8)
            Image.fromarray(noise).save(file, "JPEG")
            text = f"a {WORDS[number % 8]} runs\nthe {WORDS[number % 8]} sits"
            files += [(f"{number:04d}.jpg", file.getvalue()), (f"{number:04d}.txt", text.encode())]
            number += 1
        tar(folder / f"{shard}.tar", files)
    return [f"data.shards={folder}/{{0..3}}.tar", f"data.val_shards={folder}/4.tar"]


def configuration(*overrides):
    from hydra import compose, initialize_config_dir
    from omegaconf import open_dict

    from captioning.commands.hydra import conf_folder, usual_name

    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", [*TINY, "name=tiny", *map(usual_name, overrides)])
    with open_dict(config):
        del config["output"]
    return config


@pytest.mark.parametrize("more", [[], ["num_workers=2"]])
def test_a_run_that_was_told_to_end_ends_where_an_uninterrupted_one_does(tmp_path, shards, more):
    import pytorch_lightning as pl

    class AtStep(pl.Callback):
        def on_train_batch_end(self, trainer, *rest):
            if trainer.global_step == 7:  # two steps into the second epoch of five
                os.kill(os.getpid(), signal.SIGTERM)

    train(configuration(*shards, *more), tmp_path / "whole")
    with pytest.raises(Preempted):
        train(configuration(*shards, *more), tmp_path / "told", callbacks=[AtStep()])
    train(configuration(*shards, "resume=auto"), tmp_path / "told")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "told"))
    words = json.loads((tmp_path / "whole/model/vocabulary.json").read_text())
    assert set(WORDS) <= set(words["words"] if isinstance(words, dict) else words)


NOTING = """
import json, os, sys
from captioning.batches import Examples
collate = Examples.collate
def noted(self, items):
    if self.vary:
        with open(f"seen-{os.environ['RANK']}.jsonl", "a") as file:
            file.write(json.dumps([[epoch, one.id] for epoch, one in items]) + "\\n")
    return collate(self, items)
Examples.collate = noted
from captioning.cli import main
sys.exit(main())
"""


def test_two_processes_by_torchrun_share_every_epoch_out_and_end_at_one_model(tmp_path, shards):
    (tmp_path / "noting.py").write_text(NOTING)
    overrides = [*TINY, *shards, "output=run", "trainer.devices=2", "trainer.strategy=ddp", "batch_size=2"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "noting.py"]
    path = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        [*command, "train", *overrides], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run/model/weights.safetensors").is_file()
    for epoch in range(2):
        dealt = []
        for rank in range(2):
            lines = (tmp_path / f"seen-{rank}.jsonl").read_text().splitlines()
            dealt.append([one for line in lines for at, one in json.loads(line) if at == epoch])
        assert [len(part) for part in dealt] == [10, 10], "19 photos, one twice to fill up the last step"
        assert set(dealt[0]) | set(dealt[1]) == {f"{n:04d}" for n in range(19)}
