"""One kill of each kind that `make fuzz` does by the ten: of the command at work, and of a cluster's actor."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'captioning[cluster]'")
def test_a_killed_command_and_a_killed_actor_leave_the_outputs_of_an_undisturbed_run():
    command = [sys.executable, Path(__file__).parent / "fuzz/fuzz_cluster_kills.py", "1", "3"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 drivers and 1 actors killed" in done.stdout
