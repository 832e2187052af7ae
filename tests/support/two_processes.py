"""Trains a tiny run in one process and in two, on the same batches.

python tests/support/two_processes.py FOLDER [KEY=VALUE ...]

The two are started as torchrun starts them, but as forks, so that PyTorch is imported once.
"""

import os
import socket
import sys
import traceback
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402
from tiny_runs import configuration  # noqa: E402

import captioning.training.train  # noqa: E402
from captioning.features.store import FeatureStore  # noqa: E402

# a decoder without batch norm, which looks at the pictures of one process only
OPTIONS = """
    data.train=40 data.val=9 decoder=show_attend_tell decoder.visual=16 decoder.attention=8 decoder.dropout=0
    trainer.max_epochs=2
""".split()


def run(folder: Path, *options: str) -> None:
    """One process's part of a run; notes who filled the store."""
    append = FeatureStore.append

    def noted(self, *arguments):
        with (folder.parent / "filled.txt").open("a") as file:
            file.write(os.environ.get("RANK", "alone") + "\n")
        append(self, *arguments)

    FeatureStore.append = noted
    config = configuration(*OPTIONS, *options, f"store={folder.parent}/{folder.name}-store")
    captioning.training.train.train(config, folder)


def forked(environment: dict[str, str], folder: Path, *options: str) -> int:
    """A process of its own that runs with these variables. -> its id."""
    child = os.fork()
    if not child:
        try:
            from pytorch_lightning.utilities import rank_zero_only

            os.environ.update(environment)
            rank_zero_only.rank = int(environment.get("RANK", 0))
            torch.set_num_threads(1)
            run(folder, *options)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def main(folder: Path, *options: str) -> int:
    """With `options` in two processes alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    two = ["batch_size=4", "trainer.devices=2", "trainer.strategy=ddp"]
    children = [] if options else [forked({}, folder / "one")]
    for rank in "01":
        children.append(forked({**shared, "RANK": rank, "LOCAL_RANK": rank}, folder / "two", *two, *options))
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
