"""`captioning evaluate ... against=MODEL`: a further model on the same split, and whether the two differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example
from captioning.metrics.bootstrap import Difference, paired_difference, resampled
from captioning.metrics.scores import Scores
from captioning.tasks.base import Rival
from captioning.tasks.load import load
from captioning.tasks.predictor import Predictor

SAMPLES, SEED = 1000, 0  # of the bootstrap


def rival(
    config: DictConfig,
    predictor: Predictor,
    source: Source,
    examples: Sequence[Example],
    metrics: Sequence[str],
    options: Mapping[str, Any],
) -> Rival:
    """What the model of `against=` says of the examples. Raises UserError for one of another kind, or where it cannot
    say something of all of them. `options` are those of `predict_split`."""
    name = str(config.against)
    other = load(name, device=config.device, allow=config.allow, precision=str(config.precision))
    if type(other) is not type(predictor):
        kinds = (type(other).__name__, type(predictor).__name__)
        raise UserError(f"against={name} is a {kinds[0]}, and model={config.model} a {kinds[1]}: compare two of a kind")
    _, predictions = other.predict_split(source, str(config.data.split), **options)
    missing = [example.id for example in examples if example.id not in predictions]
    if missing:
        raise UserError(f"against={name}: it says nothing of {len(missing):,} of the pictures, such as {missing[0]}")
    kept = {example.id: predictions[example.id] for example in examples}
    return Rival(short_names(str(config.model), name)[1], kept, other.task.score(kept, examples, metrics=metrics))


def short_names(one: str, other: str) -> tuple[str, str]:
    """Two models as a page calls them: by the last part of their places that tells them apart."""
    parts = [[part for part in Path(name).parts if part not in ("model", "/", ".")] for name in (one, other)]
    for part in zip(*(reversed(those) for those in parts), strict=False):
        if part[0] != part[1]:
            return part[0], part[1]
    return one, other


def differences(ours: Scores, theirs: Scores) -> dict[str, Difference]:
    """The first minus the second, for each metric that can be drawn again, on the same draws."""
    names = [name for name in ours.resamplable if name in theirs.resamplable]
    if ours.images != theirs.images or not names:
        return {}
    count = len(ours.images)
    drawn = [resampled({name: one.resamplable[name] for name in names}, count, SAMPLES, SEED) for one in (ours, theirs)]
    return {
        name: paired_difference(drawn[0][name], drawn[1][name], ours.corpus[name] - theirs.corpus[name])
        for name in names
    }


def lines(found: Mapping[str, Difference], against: str) -> str:
    """The differences as a table, x100."""
    width = max(map(len, found), default=0)
    head = f"minus {against}, paired bootstrap (95%):"
    rows = []
    for name, one in found.items():
        value, low, high = (f"{100 * each:+.2f}" for each in (one.value, one.low, one.high))
        rows.append(f"  {name:<{width}}  {value} [{low}, {high}]  p = {one.p_value:.3f}")
    return "\n".join([head, *rows])


def as_json(other: Rival, found: Mapping[str, Difference]) -> dict[str, Any]:
    """The comparison in metrics.json."""
    return {"scores": other.scores.corpus, "differences": {name: asdict(one) for name, one in found.items()}}
