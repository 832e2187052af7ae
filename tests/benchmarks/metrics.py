"""How fast the scores are: pycocoevalcap and ours in one process, the reward and its formula, and the command.

CAPTIONING_DATA names the folder that holds coco/; COCO val2017 is scored, the last caption against the others.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

from harness import Figure, report, seconds  # noqa: E402
from plain_cider import PlainCider, cut, sampled  # noqa: E402

from captioning.metrics.bleu import bleu  # noqa: E402
from captioning.metrics.caption_scores import score_captions, tokenized  # noqa: E402
from captioning.metrics.cider import cider  # noqa: E402
from captioning.metrics.ngrams import corpus_of  # noqa: E402
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
    """Seconds that all takes together, the first time, and that each metric takes by itself from words on."""
    references = {image: those[:-1] for image, those in captions.items()}
    hypotheses = {image: those[-1] for image, those in captions.items()}
    taken = {}
    taken["all"], _ = seconds(lambda: score_captions(references, hypotheses), repeat=1)
    taken["tokenizer"], words = seconds(lambda: tokenized(list(captions), references, hypotheses))
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
    taken, memory = seconds(lambda: _peak_memory([sys.executable, "-c", SCORE, *arguments]))
    listing = [sys.executable, "-X", "importtime", "-c", SCORE, *arguments]
    imported = subprocess.run(listing, check=True, capture_output=True, text=True).stderr
    torch = sum(line.split("|")[-1].strip().split(".")[0] == "torch" for line in imported.splitlines())
    return [
        Figure("captioning score, 5,000 images, cold", taken, "s", 2.5),
        Figure("captioning score, 5,000 images, peak memory", memory, "MB", 500),
        Figure("captioning score, modules of torch imported", float(torch), "", 0),
    ]


def _peak_memory(command: list[str]) -> float:
    """Run a command to its end. -> the most memory it held, in MB"""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def run() -> int:
    """Measure, print and keep everything. -> how many figures fall short."""
    data = os.environ.get("CAPTIONING_DATA")
    if not data:
        sys.exit("metrics: set CAPTIONING_DATA to the folder that holds coco/")
    captions = coco(Path(data))
    fast, theirs = ours(captions), official(captions)
    figures = [
        Figure("tokenizer + BLEU + ROUGE-L + CIDEr, first time", fast["all"], "s", 10, sum(theirs.values())),
        Figure("CIDEr alone", fast["CIDEr"], "s", 15, theirs["CIDEr"]),
        Figure("BLEU alone", fast["BLEU"], "s", 5, theirs["BLEU"]),
        Figure("ROUGE-L alone", fast["ROUGE-L"], "s", 5, theirs["ROUGE-L"]),
        Figure("tokenizer alone, words met before", fast["tokenizer"], "s", 2, theirs["tokenizer"]),
        *reward_figures(captions),
    ]
    with tempfile.TemporaryDirectory() as folder:
        figures += command_figures(captions, Path(folder))
    return report("metrics", figures)


if __name__ == "__main__":
    start = time.perf_counter()
    short = run()
    print(f"metrics: {short} short, in {time.perf_counter() - start:.0f} s")
