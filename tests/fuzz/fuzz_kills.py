"""Kills a tiny run at random moments (SIGKILL), resumes it, and compares where it ends with a run never killed.

PYTHONPATH=tests/support python tests/fuzz/fuzz_kills.py [KILLS=50] [FOLDER] [SEED=0]
Each attempt is a fork, so that PyTorch is imported once.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("CAPTIONING_CACHE", tempfile.mkdtemp())

import torch  # noqa: E402
from tiny_runs import configuration, same, weights  # noqa: E402

import captioning.training.train  # noqa: E402

EPOCHS = 4


def attempt(folder: Path) -> int:
    """Starts or goes on with the run in `folder`, in a process of its own. -> its id."""
    child = os.fork()
    if child:
        return child
    try:
        torch.set_num_threads(1)
        captioning.training.train.train(configuration(f"trainer.max_epochs={EPOCHS}", "resume=auto"), folder)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def finished(child: int, seconds: float) -> bool:
    """Waits so long for a process, then kills it. -> whether it had ended well by itself."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                raise SystemExit("a resumed run failed")
            return True
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def main(kills: int, folder: Path, seed: int) -> None:
    noise, done, runs = random.Random(seed), 0, 0
    start = time.monotonic()
    if not finished(attempt(folder / "whole"), 3600):
        raise SystemExit("the run that nobody kills did not end")
    duration = time.monotonic() - start
    expected = weights(folder / "whole")
    while done < kills:
        run = folder / f"run{runs}"
        while True:
            # a run that has been killed often enough is left alone; the last run always is in the end
            limit = noise.uniform(0, 1.2 * duration) if done < kills else 3600
            if finished(attempt(run), limit):
                break
            done += 1
            assert not [path.name for path in run.glob("model/*.part")], "half a bundle"
        for name in ("best", "last"):
            assert same(weights(folder / "whole", name), weights(run, name)), f"{run}: other weights ({name})"
        assert (run / "model" / "weights.safetensors").read_bytes() == (
            folder / "whole/model/weights.safetensors"
        ).read_bytes()
        assert expected
        shutil.rmtree(run)
        runs += 1
    print(f"{done} kills, {runs} runs resumed to the weights of a run never killed ({duration:.1f} s a run)")


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv[1:]))
    place = Path(arguments.get(1) or tempfile.mkdtemp())
    main(int(arguments.get(0, 50)), place, int(arguments.get(2, 0)))
