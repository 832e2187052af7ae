"""Load models whose configuration asks for other files, the network and numbers without measure: make fuzz, or
PYTHONPATH=tests/support python tests/fuzz/fuzz_bundles.py [N] [SEED]

Each is loaded or refused in a sentence; none opens a file that is not its own, or asks the network.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
import yaml
from hostile_bundles import invented_configs
from safetensors.torch import save_file
from tiny_model import saved_model
from watched import watched

from captioning.errors import UserError
from captioning.models.bundle import load_bundle

PATIENCE = 20.0  # seconds of work
MEMORY = 1 << 10  # MB more than before


def wrong_with(model: Path, secret: str) -> str | None:
    """What is wrong with how a model is loaded, or refused."""
    began = time.thread_time()
    with watched() as (files, sockets):
        try:
            load_bundle(model)
        except UserError as error:
            if "\n" in str(error) or str(model) not in str(error):
                return f"says {str(error)!r}"
        except Exception as error:
            return f"raises {error!r}"
    if sockets or os.path.realpath(secret) in files or "/dev/zero" in files:
        return f"opens {secret if not sockets else sockets}"
    return f"takes {time.thread_time() - began:.0f} s" if time.thread_time() - began > PATIENCE else None


def fuzz(folder: Path, count: int, seed: int) -> list[str]:
    """What is not as it should be."""
    warnings.simplefilter("ignore")
    model, secret = saved_model(folder / "model"), str(folder / "secret.safetensors")
    save_file({"a": torch.zeros(1)}, secret)
    config = yaml.safe_load((model / "config.yaml").read_text())
    load_bundle(model)
    before, wrong = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for name, changed in invented_configs(config, secret, count, seed):
        (model / "config.yaml").write_text(yaml.safe_dump(changed))
        if found := wrong_with(model, secret):
            wrong.append(f"{name}: {found}")
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return wrong + ([f"{more} MB more memory"] if more > MEMORY else [])


def main(count: int = 1000, seed: int | None = None) -> int:
    """-> exit status: 1 where a model is not loaded as it should be."""
    seed = int(time.time()) if seed is None else seed
    wrong = fuzz(Path(tempfile.mkdtemp(prefix="fuzz-bundles-")), count, seed)
    print("\n".join(wrong[:20]))
    print(f"bundles: {count:,} configurations (seed {seed}), {len(wrong)} not as they should be")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
