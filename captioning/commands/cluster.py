"""Work on all machines of a cluster, by Ray Data: it places the actors, hands out the work, and does again what was
lost with a worker. Nothing of that is ours: a piece of work is a row, an actor is called with it, and answers a row.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from captioning.errors import UserError

KINDS = ("ray",)
PIECES = 64  # at most, of a data set that is handed out


@dataclass(frozen=True)
class Cluster:
    """Where work is done, and by how many."""

    kind: str
    address: str = "local"  # local: this machine alone; auto: the cluster that this machine is of; or HOST:PORT
    actors: int | None = None  # None: as many as the cluster has room for
    cpus: float = 1.0  # cores of each actor
    gpus: float = 0.0  # 1, or a fraction that actors share

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"cluster {self.kind}: the engine is one of {', '.join(KINDS)}")
        if self.actors is not None and self.actors < 1:
            raise UserError(f"actors {self.actors}: it is 1 or more")
        if self.cpus < 0 or self.gpus < 0 or not (self.cpus or self.gpus):
            raise UserError(f"cpus {self.cpus:g} and gpus {self.gpus:g}: an actor has some of either")

    @property
    def threads(self) -> int:
        """That an actor computes with: its cores, one at least."""
        return max(1, int(self.cpus))


def cluster_of(config: Any) -> Cluster | None:
    """The cluster that a configuration names, None where it names none. Raises UserError for one without sense."""
    if config.cluster is None:
        return None
    return Cluster(str(config.cluster), *(config[name] for name in ("address", "actors", "cpus", "gpus")))


@dataclass(frozen=True)
class Answer:
    """What an actor says, as it is: what is no object is made columns of, which have no tuples and no missing keys."""

    content: Any


def pieces(count: int, batch_size: int) -> list[dict[str, int]]:
    """The parts that so many examples are handed out in, of whole batches: enough for nobody to wait for long."""
    number = max(1, min(-(-count // batch_size), PIECES))
    return [{"part": part, "of": number} for part in range(1, number + 1)]


def plain(config: Any) -> dict[str, Any]:
    """A configuration as actors are told it, references followed."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config, resolve=True)


def begun(config: Mapping[str, Any], threads: int, gpu: bool) -> Any:
    """What every actor begins with: its share of the machine. -> its configuration."""
    import torch
    from omegaconf import OmegaConf

    from captioning.commands.own_packages import own_packages
    from captioning.runtime.allocator import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()
    own_packages(config.get("allow"))
    made = OmegaConf.create(dict(config))
    made.device = made.device or ("cuda" if gpu else "cpu")
    return made


def ray_data() -> Any:
    """Ray with its Data, silent and telling nobody. Raises UserError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before it is imported: nothing is reported to anyone
    os.environ.setdefault("RAY_worker_niceness", "0")  # of a cluster that is started here: its actors are the work
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "ERROR")  # its plan and its times are in the session's log
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # which else remarks on how its own Data start actors
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("--cluster ray takes another package: pip install 'captioning[cluster]'") from None
    return ray


@contextmanager
def connected(cluster: Cluster) -> Iterator[Any]:
    """Ray, connected to the cluster while the block runs; one that was connected before stays so."""
    ray = ray_data()
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"include_dashboard": False} if cluster.address == "local" else {}
    try:
        address = cluster.address
        if address == "local":
            wanted = None if cluster.actors is None else max(1, round(cluster.actors * cluster.cpus))
            options["num_cpus"] = max(wanted or 1, len(os.sched_getaffinity(0)) if wanted is None else 1)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"the Ray cluster at {cluster.address} cannot be reached ({said}). Start one, or --address local"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def done_by_actors(
    cluster: Cluster, actor: type, keywords: Mapping[str, Any], pieces: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Each piece of work through an actor, `actor(**keywords)(piece)`. -> what they answer, as it comes, in no order.

    A piece whose worker is lost is done again by another, so that to do one twice must do no harm.
    """
    with connected(cluster) as ray:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = False
        fit = cluster.actors or _room(ray, cluster)
        size = max(1, min(fit, len(pieces)))
        resources: dict[str, Any] = {"num_cpus": cluster.cpus}
        if cluster.gpus:
            resources["num_gpus"] = cluster.gpus
        rows = ray.data.from_items([dict(piece) for piece in pieces], override_num_blocks=len(pieces))
        answers = rows.map(
            actor, fn_constructor_kwargs=dict(keywords), compute=ray.data.ActorPoolStrategy(size=size), **resources
        )
        try:
            yield from answers.iter_rows()
        except ray.exceptions.RayError as error:
            if (cause := _user_error(error)) is not None:
                raise UserError(cause) from None
            print(f"captioning: an actor failed: {' '.join(str(error).split())[-300:]}", file=sys.stderr)
            raise


def _room(ray: Any, cluster: Cluster) -> int:
    """How many actors the cluster has room for."""
    there = ray.cluster_resources()
    rooms = [int(there.get("CPU", 1) / cluster.cpus)] if cluster.cpus else []
    rooms += [int(there.get("GPU", 0) / cluster.gpus)] if cluster.gpus else []
    return max(1, min(rooms))


def _user_error(error: BaseException | None) -> str | None:
    """What a person can mend, where that is why an actor failed."""
    while error is not None:
        if isinstance(error, UserError):
            return str(error)
        inner = getattr(error, "cause", None)
        error = inner if isinstance(inner, BaseException) and inner is not error else error.__cause__
    return None
