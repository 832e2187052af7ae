"""`make demo`: the whole path on the generated world in a few minutes, ending with a page to look at.

Trains on pictures that are drawn as they are needed, captions unseen ones greedily and by beam search, scores both,
and writes one HTML file. Nothing is downloaded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import OmegaConf

from captioning.commands.evaluate import table
from captioning.commands.hydra import run
from captioning.data.source import Source
from captioning.data.synthetic.scenes import Scenes
from captioning.errors import UserError
from captioning.example import Example
from captioning.metrics.caption_scores import DEFAULT_METRICS
from captioning.reports.page import Panel, write_page
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.load import load
from captioning.training.callbacks import read_curves

EXAMPLES = 12  # on the page
STRATEGIES = {"greedy": {"beam_size": 1}, "beam 5": {"beam_size": 5}}


def tour(folder: Path, overrides: Sequence[str] = ()) -> Path:
    """Trains in `folder` (or goes on there) and writes its page. -> the page's path.

    `overrides` change conf/experiment/scenes.yaml, as on the command line.
    """
    if run("train", ["experiment=scenes", f"output={folder}", "resume=auto", *overrides]):
        raise UserError(f"the training in {folder} failed: mend what is said above, and begin again")
    captioner = load(folder / "model")
    source: Scenes = instantiate(OmegaConf.load(folder / ".hydra" / "config.yaml").data)
    scores = {}
    for name, options in STRATEGIES.items():
        for split, label in (("test", "new scenes"), ("unseen", "new pairs of colour and shape")):
            captioner.task.generation = captioner.strategy(options)
            examples, hypotheses = captioner.predict_split(source, split)
            found = captioner.task.score(hypotheses, examples, metrics=DEFAULT_METRICS).corpus
            scores[f"{name}, {label}"] = {metric: 100 * value for metric, value in found.items()}
            print(table(found, f"{name}, {label}: {len(hypotheses)} pictures"))
    return write_page(
        folder / "index.html",
        title="What a captioner learned about coloured shapes",
        examples=[panel(captioner, source, example) for example in source.examples("test")[:EXAMPLES]],
        scores=scores,
        curves=read_curves(folder),
    )


def panel(captioner: Captioner, source: Source, example: Example) -> Panel:
    """One picture of the page, with a caption by each strategy and the attention of the first."""
    picture = source.image(example)
    captions = {name: captioner.caption(picture, details=True, **options) for name, options in STRATEGIES.items()}
    first = next(iter(captions.values()))
    return Panel(
        picture,
        {name: caption.text for name, caption in captions.items()},
        example.captions,
        first.words,
        first.attention,
        name=example.file,
    )


if __name__ == "__main__":
    try:
        page = tour(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"))
    except UserError as error:
        sys.exit(f"captioning: {error}")
    print(f"\nOpen {page.resolve()} in a browser.")
