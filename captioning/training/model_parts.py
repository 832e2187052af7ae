"""The encoder and the task of a run, with the words and weights that they begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig

from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.convert import described
from captioning.tasks.base import Task
from captioning.training.graph_parts import fill_graphs, with_graphs
from captioning.training.initial_weights import Start, read_start
from captioning.training.low_rank import add_low_rank


def built(
    config: DictConfig,
    source: Any,
    task: Task,
    examples: Sequence[Example],
    resumed: tuple[Path | None, Mapping[str, str] | None],
) -> Encoder:
    """The encoder of a run, the task being fitted, built for it and filled from the start, if there is one.

    `resumed` is the checkpoint that the run goes on from, and the texts of the task in it: the words of the weights,
    whatever others the data would give today. Raises UserError for parts that do not go together.
    """
    share = config.get("start_share") or 0
    if not 0 <= share <= 1 or (share and not config.start):
        raise UserError(f"start_share={share}: it is a share of the weights of start=, from 0 to 1")
    start = read_start(config.start) if config.start else None
    grown = fit_words(config, source, task, examples, start)
    checkpoint, texts = resumed
    if texts:
        task.read_texts(texts, str(checkpoint))
    config.encoder, finder = with_graphs(described(config.encoder, config.store), examples)
    encoder = instantiate(config.encoder)
    fill_graphs(encoder, finder)
    task.build(encoder, part_of)
    if start:
        start = start.seeing_more(encoder).with_concepts(encoder, task)
        start.fill("encoder", encoder)
        (start.with_words(grown, task) if grown else start).fill("task", task)
    if config.lora.rank:
        if not hasattr(task, "decoder"):
            raise UserError(f"lora.rank={config.lora.rank}: {type(task).__name__} has no decoder to learn beside")
        add_low_rank(task.decoder, **{name: config.lora[name] for name in ("rank", "alpha", "dropout")})
    return encoder


def fit_words(config: DictConfig, source: Any, task: Task, examples: Sequence[Example], start: Start | None) -> int:
    """Gives the task its words: those of the start, or those of the data. -> how many the start had, where it grew."""
    if not start:
        task.fit(source.distinct(examples))
        return 0
    task.read_texts(start.texts, str(start.path))
    return task.grow(source.distinct(examples)) if config.get("grow") else 0


def part_of(config: Any, kind: type = object, **sizes: Any) -> Any:
    """What a task's configuration of a part describes. A user's own: Hydra makes whatever it names.

    Numbers among the `sizes` go to parts inside it as well, such as a decoder inside another, if they take them.
    """
    return instantiate(_with_sizes(config, {key: value for key, value in sizes.items() if type(value) is int}), **sizes)


def _with_sizes(config: Any, sizes: dict[str, int]) -> Any:
    if isinstance(config, (list, ListConfig)):
        return [_with_sizes(value, sizes) for value in config]
    if not isinstance(config, (dict, DictConfig)):
        return config
    inside = {key: _with_sizes(value, sizes) for key, value in config.items()}
    if "_target_" not in inside:
        return inside
    takes = signature(get_object(inside["_target_"])).parameters
    return {**{key: value for key, value in sizes.items() if key in takes}, **inside}
