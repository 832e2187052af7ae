"""How fast the scores are: pycocoevalcap and ours in one process, the reward and its formula, and the command.

CAPTIONING_DATA names the folder that holds coco/; COCO val2017 is scored, the last caption against the others.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "metrics")]

from harness import Figure, report, seconds  # noqa: E402
from plain_cider import PlainCider, cut, sampled  # noqa: E402

from captioning.metrics.bleu import bleu  # noqa: E402
from captioning.metrics.cider import cider  # noqa: E402
from captioning.metrics.ngrams import corpus_of  # noqa: E402
from captioning.metrics.report import tokenized  # noqa: E402
from captioning.metrics.reward import CiderReward  # noqa: E402
from captioning.metrics.rouge import rouge_l  # noqa: E402

Captions = dict[int, list[str]]
SCORE = "import sys; from captioning.cli import app; sys.exit(app())"


def coco(folder: Path) -> Captions:
    """Image id -> captions, in the order of the images."""
    document = json.loads((folder / "coco/annotations/captions_val2017.json").read_text())
    captions: Captions = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        captions[annotation["image_id"]].append(annotation["caption"])
    return captions


def official(captions: Captions) -> dict[str, float]:
    """Seconds that pycocoevalcap takes for each step."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    references = {image: [{"caption": one} for one in those[:-1]] for image, those in captions.items()}
    hypotheses = {image: [{"caption": those[-1]}] for image, those in captions.items()}
    tokenizer = PTBTokenizer()
    taken = {}
    with contextlib.redirect_stdout(io.StringIO()):
        taken["tokenizer"], words = seconds(
            lambda: (tokenizer.tokenize(references), tokenizer.tokenize(hypotheses)), repeat=1
        )
        taken["BLEU"], _ = seconds(lambda: Bleu(4).compute_score(*words), repeat=1)
        taken["ROUGE-L"], _ = seconds(lambda: Rouge().compute_score(*words), repeat=1)
        taken["CIDEr"], _ = seconds(lambda: Cider().compute_score(*words), repeat=1)
    return taken


def ours(captions: Captions) -> dict[str, float]:
    """Seconds that each step takes by itself, from words on, with nothing left over from another step."""
    references = {image: those[:-1] for image, those in captions.items()}
    hypotheses = {image: those[-1] for image, those in captions.items()}
    taken = {}
    taken["tokenizer"], words = seconds(lambda: tokenized(list(captions), references, hypotheses), repeat=1)
    for name, metric in {"BLEU": bleu, "ROUGE-L": rouge_l, "CIDEr": cider}.items():
        taken[name], _ = seconds(lambda metric=metric: metric(corpus_of(*words)))
    return taken


def reward_figures(captions: Captions) -> list[Figure]:
    """The reward against the formula, on samples of 60, 300 and 600 sentences."""
    numbers: dict[str, int] = {}
    images = list(captions)
    references = dict(enumerate([[line.lower().split() for line in captions[image][:5]] for image in images]))
    for words in (words for those in references.values() for words in those):
        words[:] = [numbers.setdefault(word, len(numbers) + 4) for word in words]
    fast, plain = CiderReward(references), PlainCider(references)
    figures = []
    for sentences in (60, 300, 600):
        chosen = np.random.default_rng(sentences).integers(len(references), size=sentences // 5).tolist()
        samples = sampled(references, chosen, 5, 20, seed=sentences)
        rows = list(zip(chosen, samples, strict=True))
        formula, expected = seconds(
            lambda rows=rows: [[plain.score(image, cut(words)) for words in row] for image, row in rows]
        )
        taken, rewards = seconds(lambda chosen=chosen, samples=samples: fast(chosen, samples), repeat=9)
        np.testing.assert_allclose(rewards, expected, rtol=1e-9, atol=1e-9)
        name = f"reward: CIDEr-D of {sentences} sampled sentences"
        figures.append(Figure(name, 1000 * taken, "ms", 10, peer=1000 * formula))
    return figures


def command_figures(captions: Captions, folder: Path) -> list[Figure]:
    """`captioning score` from a cold shell: wall time, memory, and that torch stays away."""
    annotations = [{"image_id": image, "caption": one} for image, those in captions.items() for one in those[:-1]]
    results = [{"image_id": image, "caption": those[-1]} for image, those in captions.items()]
    references, predictions = folder / "references.json", folder / "results.json"
    references.write_text(json.dumps({"annotations": annotations, "images": [{"id": image} for image in captions]}))
    predictions.write_text(json.dumps(results))
    arguments = ["score", str(references), str(predictions), "--metrics", "bleu,rouge,cider"]
    taken, _ = seconds(lambda: _run([sys.executable, "-c", SCORE, *arguments]))
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    imported = _run([sys.executable, "-X", "importtime", "-c", SCORE, *arguments]).stderr.decode()
    torch = sum(line.split("|")[-1].strip().split(".")[0] == "torch" for line in imported.splitlines())
    return [
        Figure("captioning score, 5,000 images, cold", taken, "s", 2.5),
        Figure("captioning score, 5,000 images, peak memory", memory, "MB", 500),
        Figure("captioning score, modules of torch imported", float(torch), "", 0),
    ]


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, check=True, capture_output=True)


def measured(captions: Captions, step: Callable[[Captions], dict[str, float]]) -> dict[str, float]:
    """The seconds of each step, the best of two rounds, which a busy machine disturbs least."""
    first, second = step(captions), step(captions)
    return {name: min(first[name], second[name]) for name in first}


def run() -> int:
    """Measure, print and keep everything. -> how many figures fall short."""
    data = os.environ.get("CAPTIONING_DATA")
    if not data:
        sys.exit("metrics: set CAPTIONING_DATA to the folder that holds coco/")
    captions = coco(Path(data))
    cold: dict[str, Any] = ours(captions)
    theirs, fast = measured(captions, official), measured(captions, ours)
    fast["tokenizer"] = cold["tokenizer"]  # later rounds find the words of the first
    figures = [
        Figure("tokenizer + BLEU + ROUGE-L + CIDEr, 5,000 images", sum(fast.values()), "s", 10, sum(theirs.values())),
        *(
            Figure(name, fast[name], "s", {"CIDEr": 15, "tokenizer": 1}.get(name, 5), theirs[name])
            for name in ("tokenizer", "BLEU", "ROUGE-L", "CIDEr")
        ),
        *reward_figures(captions),
    ]
    with tempfile.TemporaryDirectory() as folder:
        figures += command_figures(captions, Path(folder))
    return report("metrics", figures)


if __name__ == "__main__":
    start = time.perf_counter()
    short = run()
    print(f"metrics: {short} short, in {time.perf_counter() - start:.0f} s")
