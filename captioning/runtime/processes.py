"""Several processes, one run: means over all of them, the first one first, and one log."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed

from captioning.errors import UserError

PATIENCE = timedelta(days=14)  # features of a large data set take a while


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of `values`, such that averaging the gradients of all processes gives that of the mean over all values.

    Processes rarely have equally many words, so the mean of their means is not the mean. Without a gradient, as in
    validation, and in a single process it is the plain mean.
    """
    if not (values.requires_grad and distributed.is_available() and distributed.is_initialized()):
        return values.mean()
    count = torch.tensor(float(values.numel()), device=values.device)
    distributed.all_reduce(count)
    return values.sum() * (distributed.get_world_size() / count)


@contextmanager
def first_process_first() -> Iterator[None]:
    """What is inside is done by the first process while those that torchrun or SLURM started beside it wait; then by
    them. A process that Lightning starts itself comes later, when all is done.
    """
    from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    detected = next((kind for kind in (TorchElasticEnvironment, SLURMEnvironment) if kind.detect()), None)
    if detected is None or (environment := detected()).world_size() == 1:
        yield
        return
    rank = environment.global_rank()
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    meeting, _, _ = next(distributed.rendezvous("env://", rank, environment.world_size(), timeout=PATIENCE))
    key = "captioning: the first process is done"
    if rank:
        try:
            meeting.wait([key], PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise UserError("the first process ended, so this one does. What it says is the reason") from error
    yield
    if not rank:
        meeting.set(key, "1")
    _meetings.append(meeting)  # the others ask it until they are through


_meetings: list[distributed.Store] = []


def is_first() -> bool:
    """Whether this process is the one that logs and writes."""
    from pytorch_lightning.utilities import rank_zero_only

    return not getattr(rank_zero_only, "rank", 0)


def one_log() -> None:
    """Leaves saying things to the first process, errors excepted."""
    if not is_first():
        logging.getLogger("captioning").setLevel(logging.ERROR)
