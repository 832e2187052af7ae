"""A Transformer that two processes keep in shards learns what a whole one learns, with half of the weights in each."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "support/sharded_steps.py"


@pytest.mark.skipif(
    find_spec("torch.distributed.fsdp._fully_shard") is None, reason=f"torch {torch.__version__} has no fully_shard"
)
def test_losses_gradients_and_weights_in_shards_are_those_of_the_whole():
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", SCRIPT]
    path = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 4, "tied or not, at the root alone or part by part"
    for apart in found:
        assert max(apart["loss"], apart["norm"], apart["weights"]) < 1e-4, apart
        assert 0.5 <= apart["held"] < 0.55, apart
