"""`captioning evaluate`: what a model predicts of a split, scored as its task is."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from captioning.commands.cluster import Answer, Cluster, begun, cluster_of, done_by_actors, pieces, plain
from captioning.data.source import Source
from captioning.data.splits import chosen_examples
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.atomic import write_whole
from captioning.runtime.allocator import keep_freed_memory
from captioning.tasks.captioning.options import RERANKING
from captioning.tasks.load import load
from captioning.tasks.predictor import usable, whole_batches

log = logging.getLogger("captioning")


def run(config: DictConfig, folder: Path) -> int:
    """Prints the table, writes metrics.json and predictions.json. -> exit status."""
    keep_freed_memory()
    predictor, source = opened(config)
    task, split, cluster = predictor.task, str(config.data.split), cluster_of(config)
    if config.against and config.report and not task.compares:
        raise UserError(f"report=true shows {task.things} of one model: leave out against=, or the report")
    if config.calibrate:
        if cluster is not None:
            raise UserError("calibrate=DIR and cluster=ray do not go together: leave one out")
        if reranking_of(config):
            raise UserError("calibrate= fits a confidence to the scores of the model's own search: leave out rerank")
        return calibrate(predictor, source, config, options_of(config))
    if cluster is not None:
        examples, predictions = evaluate_on_cluster(config, cluster, predictor, source)
    else:
        examples, predictions = predicted(config, predictor, source)
    more: dict[str, Any] = {}
    if sure_of_itself(config, task):
        more["confidence"] = {key: sure for key, (_, sure) in predictions.items()}
        predictions = {key: text for key, (text, _) in predictions.items()}
    scores = task.score(predictions, examples, metrics=tuple(config.metrics or task.usual_metrics(source)))
    if config.embedder:
        from captioning.tasks.embedding.judging import add_clip_scores, require_captions, source_vectors
        from captioning.tasks.embedding.load import load_embedder

        judge = load_embedder(config.embedder, config.device, config.allow, option="embedder=")
        require_captions(list(predictions.values()))
        vectors = source_vectors(judge, source, split, **of_another_model(options_of(config)))
        add_clip_scores(scores, judge, vectors, predictions, {example.id: example.captions for example in examples})
    if config.locator:
        from captioning.tasks.grounding.judging import add_grounding_scores, load_locator

        locator = load_locator(config.locator, predictor, config.device, config.allow)
        add_grounding_scores(
            scores, locator, source, split, predictions, examples, **of_another_model(options_of(config))
        )
    counts = ", ".join(filter(None, (f"{len(predictions):,} {source.things}", task.tally(examples))))
    print(table(scores.corpus, f"{source.name} {split}, {counts}"))
    compared: dict[str, Any] = {}
    if config.against:
        from captioning.commands import evaluate_against as comparison

        names = tuple(config.metrics or task.usual_metrics(source))
        options = of_another_model(options_of(config))
        other = comparison.rival(config, predictor, source, examples, names, options)
        found = comparison.differences(scores, other.scores)
        print(table(other.scores.corpus, f"{config.against}:"))
        print(comparison.lines(found, str(config.against)))
        compared = {"against": {"model": str(config.against), **comparison.as_json(other, found)}}
        more |= {"name": comparison.short_names(str(config.model), str(config.against))[0], "against": other}
    for remark in scores.remarks:
        log.warning(f"{source.name} {split}: {remark}")
    described = (task.captioner if config.attention else task).config()
    about = {
        "model": str(config.model),
        "attention": config.attention,
        "task": described,
        "data": source.name,
        "split": split,
    }
    about |= {"pictures": len(predictions), "unavailable": scores.unavailable, "remarks": scores.remarks}
    write_json(folder / "metrics.json", {**about, "scores": scores.corpus, **compared})
    write_json(folder / "predictions.json", task.result_file(predictions, examples))
    log.info(f"wrote {folder / 'metrics.json'} and {folder / 'predictions.json'}")
    if config.report:
        title = f"{source.name} {split}: what {config.model} says"
        page = task.report(
            folder / "report.html", predictor, examples, source, predictions, scores, title=title, **more
        )
        log.info(f"wrote {page}: open it in a browser")
    return 0


def opened(config: DictConfig) -> tuple[Any, Source]:
    """The model, which searches as it is told to, and the data."""
    predictor = load(config.model, device=config.device, allow=config.allow, precision=str(config.precision))
    if config.attention:
        predictor = looking(predictor, config)
    source = instantiate({key: value for key, value in config.data.items() if key != "split"})
    generation = OmegaConf.to_container(config.generation, resolve=True)
    if search := {name: value for name, value in generation.items() if name not in RERANKING}:
        if "_target_" not in search:
            raise UserError("generation.KEY=VALUE changes a search that is named: generation=beam generation.alpha=1.4")
        predictor.task.generate_with(search, lambda part, kind: instantiate(part))
    return predictor, source


def looking(predictor: Any, config: DictConfig) -> Any:
    """The captioner as a model that locates by where it looks. Raises UserError for what writes no captions."""
    from captioning.tasks.captioning.captioner import Captioner
    from captioning.tasks.grounding.attention import by_attention

    if not isinstance(predictor, Captioner):
        raise UserError("attention=true is for models that write captions: others locate without")
    if config.calibrate:
        raise UserError("attention=true and calibrate= do not go together: where a captioner looks has no confidence")
    return by_attention(predictor)


def reranking_of(config: DictConfig) -> dict[str, Any]:
    """What is said of ranking captions anew by an embedder; nothing where they are not."""
    return {name: config.generation[name] for name in RERANKING if config.generation[name] is not None}


def options_of(config: DictConfig) -> dict[str, Any]:
    """Those of `Predictor.predict_split`."""
    return {name: config[name] for name in ("store", "batch_size", "num_workers")}


def sure_of_itself(config: DictConfig, task: Any) -> bool:
    """Whether predictions come with a confidence: for a report of a model that writes captions and was calibrated."""
    return bool(config.report and getattr(task, "confidence", None))


def predicted(
    config: DictConfig, predictor: Any, source: Source, part: tuple[int, int] = (1, 1)
) -> tuple[list[Example], dict[int | str, Any]]:
    """The examples that can be used, and what is predicted of each, of a part of the split."""
    task, split = predictor.task, str(config.data.split)
    options = {**options_of(config), "part": part}
    if rerank := reranking_of(config):
        return reranked(predictor, source, split, rerank, options, sure=sure_of_itself(config, task))
    predict = task.predict_with_confidence if sure_of_itself(config, task) else None
    return predictor.predict_split(source, split, predict=predict, **options)


def reranked(
    predictor: Any, source: Source, split: str, rerank: dict[str, Any], options: dict[str, Any], *, sure: bool
) -> tuple[list[Example], dict[int | str, Any]]:
    """As `predicted`, of captions that an embedder ranks anew."""
    from captioning.tasks.captioning.captioner import Captioner
    from captioning.tasks.captioning.reranking import reranked_split
    from captioning.tasks.embedding.judging import source_vectors

    if not isinstance(predictor, Captioner):
        raise UserError("generation.rerank is for models that write captions")
    candidates, ranking = predictor.reranking(rerank)
    vectors = source_vectors(ranking.embedder, source, split, **of_another_model(options))
    search = predictor.strategy(candidates)
    examples, best = reranked_split(predictor, search, ranking, source, split, vectors=vectors, **options)
    return examples, {key: (one.text, one.confidence) if sure else one.text for key, one in best.items()}


def evaluate_on_cluster(
    config: DictConfig, cluster: Cluster, predictor: Any, source: Source
) -> tuple[list[Example], dict[int | str, Any]]:
    """As `predicted`, by actors: they get parts of whole batches, so that predictions are those of one process."""
    examples = usable(chosen_examples(source, str(config.data.split)), predictor.task, source.name)
    several = pieces(len(examples), whole_batches(config.batch_size))
    told = {**plain(config), "precision": predictor.precision}  # "auto" is one and the same on all machines
    keywords = {"config": told, "threads": cluster.threads, "gpu": bool(cluster.gpus)}
    predictions: dict[int | str, Any] = {}
    for answer in done_by_actors(cluster, EvaluatingActor, keywords, several):
        predictions |= answer["answer"].content
    examples = [example for example in examples if example.id in predictions]
    return examples, {example.id: predictions[example.id] for example in examples}


class EvaluatingActor:
    """Holds the model, and predicts the parts of a split that it is handed."""

    def __init__(self, *, config: Mapping[str, Any], threads: int, gpu: bool):
        self.config = begun(config, threads, gpu)
        self.predictor, self.source = opened(self.config)

    def __call__(self, piece: Mapping[str, Any]) -> dict[str, Any]:
        part = int(piece["part"]), int(piece["of"])
        return {"answer": Answer(predicted(self.config, self.predictor, self.source, part)[1])}


def of_another_model(options: dict[str, Any]) -> dict[str, Any]:
    """How a further model looks at the split: with a store of its own where the first one has any."""
    return {**options, "store": None if options["store"] is None else "auto"}


def calibrate(predictor: Any, source: Any, config: DictConfig, options: dict[str, Any]) -> int:
    """Writes the model with a confidence that is right on a split, and prints how right it is. -> exit status."""
    from captioning.models.bundle import read_card, require_place, save_bundle
    from captioning.models.shipped import find_model

    require_place(Path(config.calibrate))
    bundle, bins = predictor.task.calibrated(predictor, source, str(config.data.split), **options)
    things = predictor.task.things
    print(f"{source.name} {config.data.split}: confidence, share of {things} that are right, {things}")
    print("\n".join(f"  {sure:6.2f}  {right:6.2f}  {count:6.0f}" for sure, right, count in bins))
    card = read_card(find_model(config.model))
    save_bundle(config.calibrate, bundle, card=card, half=config.half, eight_bit=config.eight_bit)
    log.info(f"wrote {config.calibrate}: its {things} tell how sure they are")
    return 0


def table(scores: dict[str, float], title: str) -> str:
    """One line a metric, x100; ranks as they are."""
    width = max(map(len, scores))
    shown = {name: value if name.endswith("rank") else 100 * value for name, value in scores.items()}
    return "\n".join([title, *(f"  {name:<{width}}  {value:6.2f}" for name, value in shown.items())])


def write_json(path: Path, content: Any) -> None:
    """Writes a file whole or not at all."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
