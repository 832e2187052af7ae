"""A sample of tests/benchmarks/shard_deaths.py, which does ten thousand shards: workers and drivers die, and in the
end every row is there once."""

import os
import subprocess
import sys
from pathlib import Path


def test_nothing_is_lost_and_nothing_is_there_twice():
    script = Path(__file__).parents[1] / "benchmarks/shard_deaths.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(script.parents[2]), *filter(None, sys.path)])}
    command = [sys.executable, script, "300", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 shards of 5 rows" in done.stdout and " 0 workers" not in done.stdout
