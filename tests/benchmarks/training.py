"""How much of a training step is the model's: python tests/benchmarks/training.py

Cross-entropy and self-critical steps of Show, Attend and Tell and of a Transformer, and steps of both heads that answer
questions, through Lightning with its loggers and from a feature store, as `captioning train` takes them: time in the
model (both passes and the optimiser) over the whole time from step to step, and the processor time of the reward over
that of the step. Peak memory is that of the process.
`--compile` measures the step with and without torch.compile instead.
"""

from __future__ import annotations

import logging
import resource
import statistics
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from harness import Figure, report
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from captioning.batches import Examples, TaskData
from captioning.data.questions import Question, QuestionedExample
from captioning.decoders.base import Decoder
from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.decoders.transformer import Transformer
from captioning.encoders.base import Encoder
from captioning.example import Example
from captioning.features.store import FeatureStore
from captioning.generation.greedy import greedy
from captioning.heads.answers import AnswerHead, CoAttention, UpDownAnswers
from captioning.memory import VisualMemory
from captioning.tasks.base import Task
from captioning.tasks.captioning.objectives import CrossEntropy, Objective
from captioning.tasks.captioning.self_critical import SelfCritical
from captioning.tasks.captioning.task import Captioning
from captioning.tasks.question_answering.classification import AnswerClassification
from captioning.text.vocabulary import EOS, Vocabulary
from captioning.training.callbacks import SeedEveryStep
from captioning.training.module import TrainingModule
from captioning.training.schedules import constant

PICTURES, TOKENS, WIDTH, WORDS, BATCH = 256, 49, 1280, 2500, 16
QUESTIONS, ANSWERS = 5, 1000
STEPS, WARM = 10, 3
KNOWN = [f"w{i}" for i in range(WORDS)]


class Stored(Encoder):
    """Stands for the encoder whose memories are in the store."""

    width, size = WIDTH, 224


class Clock(pl.Callback):
    """When each step ended, and the processor time of the process by then."""

    def __init__(self):
        self.ends: list[tuple[float, float]] = []

    def on_train_batch_end(self, *_: object) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))


class TimedModule(TrainingModule):
    """Counts the seconds of each optimiser step, both passes in it, and those of them that are spent on logging."""

    def __init__(self, *args: object, **options: object):
        super().__init__(*args, **options)
        self.in_model: list[float] = []
        self.logging = 0.0

    def optimizer_step(self, *args: object, **options: object) -> None:
        before, start = self.logging, time.perf_counter()
        super().optimizer_step(*args, **options)
        self.in_model.append(time.perf_counter() - start - (self.logging - before))

    def log(self, *args: object, **options: object) -> None:
        start = time.perf_counter()
        super().log(*args, **options)
        self.logging += time.perf_counter() - start


class TimedReward:
    """Counts the processor seconds of the thread that rewards are computed in."""

    def __init__(self, reward):
        self.reward, self.seconds = reward, []

    def __call__(self, ids, samples):
        start = time.thread_time()
        try:
            return self.reward(ids, samples)
        finally:
            self.seconds.append(time.thread_time() - start)


def invented(folder: Path) -> FeatureStore:
    """A store of random memories."""
    dice = np.random.default_rng(0)
    store = FeatureStore.create(folder, encoder={}, digest="", width=WIDTH, columns=["tokens", "pooled"])
    tokens = torch.from_numpy(dice.standard_normal((PICTURES, TOKENS, WIDTH), np.float32))
    mask = torch.ones(PICTURES, TOKENS, dtype=torch.bool)
    store.append(list(range(PICTURES)), VisualMemory(tokens, mask, tokens.mean(1)))
    return store


def sentence(dice: np.random.Generator, fewest: int, most: int) -> str:
    return " ".join(KNOWN[i % WORDS] for i in dice.zipf(1.3, dice.integers(fewest, most + 1)))


def captioned() -> list[Example]:
    """Five captions of 8 to 13 words for each picture."""
    dice = np.random.default_rng(0)
    return [Example(i, None, tuple(sentence(dice, 8, 13) for _ in range(5))) for i in range(PICTURES)]


def questioned() -> list[Example]:
    """Questions of 5 to 9 words for each picture, whose answers are any of ANSWERS."""
    dice = np.random.default_rng(0)
    asked = [
        tuple(
            Question(f"{i}/{n}", sentence(dice, 5, 9), (answer,), answer)
            for n, answer in enumerate(f"a{one}" for one in dice.integers(0, ANSWERS, QUESTIONS))
        )
        for i in range(PICTURES)
    ]
    return [QuestionedExample(i, None, (), questions=those) for i, those in enumerate(asked)]


def decoder(kind: str) -> Decoder:
    """The sizes of the Flickr8k experiments. Ends are likely enough for captions of about ten words."""
    torch.manual_seed(0)
    sizes = {"visual_width": WIDTH, "vocabulary_size": WORDS + 4}
    if kind == "transformer":
        made = Transformer(**sizes, width=384, layers=2, heads=6, feed_forward=1536, encoder_layers=1, dropout=0.3)
    else:
        made = ShowAttendTell(**sizes, attention=256)
    with torch.no_grad():
        made.predict.bias[EOS] += np.log(WORDS / 10)
    return made


def captioning_task(kind: str, objective: Objective) -> Task:
    vocabulary = Vocabulary(KNOWN)
    objective.setup(vocabulary, {example.id: example.captions for example in captioned()})
    task = Captioning.of(decoder(kind), vocabulary, greedy, {"decoder": {}, "generation": {}})
    task.objective = objective
    return task


def answering_task(head: type[AnswerHead]) -> Task:
    torch.manual_seed(0)
    task = AnswerClassification(head={}, objective="softmax")
    task.fit(questioned())
    task.build(Stored(), lambda part, kind, **sizes: head(**sizes))
    return task


def measured(task: Task, examples: list[Example]) -> tuple[float, float, float]:
    """Seconds of a step, the model's share of it, and the reward's (0 where there is none)."""
    objective = getattr(task, "objective", None)
    reward = getattr(objective, "reward", None)
    if objective is not None and reward is not None:
        objective.reward = reward = TimedReward(reward)
    with tempfile.TemporaryDirectory() as folder:
        store, encoder = invented(Path(folder) / "store"), Stored()
        module = TimedModule(
            encoder,
            task,
            optimizer=partial(torch.optim.AdamW, lr=0.0),  # the captions stay as long as they are
            schedule=constant,
            val_examples=(),
        )
        data = TaskData(Examples(examples, None, encoder, store, task.targets), None, batch_size=BATCH)
        clock, logs = Clock(), [CSVLogger(folder), TensorBoardLogger(folder)]
        pl.Trainer(
            max_steps=WARM + STEPS,
            max_epochs=-1,
            limit_val_batches=0,
            callbacks=[clock, SeedEveryStep(1)],
            logger=logs,
            log_every_n_steps=20,
            gradient_clip_val=1.0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, data)
    steps, processor = np.diff(clock.ends, axis=0)[WARM - 1 :].T
    shares = np.array(module.in_model[WARM:]) / steps
    step = statistics.median(steps)
    counted = statistics.median(reward.seconds[WARM:]) if reward else 0.0
    return step, 100 * statistics.median(shares), 100 * counted / statistics.median(processor)


def main() -> int:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    figures = []
    if "--compile" in sys.argv:
        for kind in ("show_attend_tell", "transformer"):
            tasks = [captioning_task(kind, CrossEntropy()) for _ in range(2)]
            tasks[1].compile()
            plain, fused = (measured(task, captioned())[0] for task in tasks)
            figures.append(Figure(f"{kind}, compiled", BATCH / fused, "images/s", 1.0, peer=BATCH / plain, higher=True))
        return report("training_compiled", figures)
    for kind in ("show_attend_tell", "transformer"):
        for name, objective in (("cross-entropy", CrossEntropy()), ("self-critical", SelfCritical())):
            step, model, reward = measured(captioning_task(kind, objective), captioned())
            figures.append(Figure(f"{kind}, {name}, time in the model", model, "%", 90, higher=True))
            figures.append(Figure(f"{kind}, {name}", BATCH / step, "images/s", 0, higher=True))
            if reward:
                figures.append(Figure(f"{kind}, {name}, reward", reward, "%", 5))
    for name, head in (("up_down answers", UpDownAnswers), ("co-attention answers", CoAttention)):
        step, model, _ = measured(answering_task(head), questioned())
        figures.append(Figure(f"{name}, time in the model", model, "%", 90, higher=True))
        figures.append(Figure(name, BATCH / step, "images/s", 0, higher=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    figures.append(Figure("peak memory of all", peak / 2**30, "GiB", 8))
    return report("training", figures)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
