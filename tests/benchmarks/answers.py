"""What further questions about a photo cost: python tests/benchmarks/answers.py [MODEL]

A photo with twenty questions beside the same photo with one, in turns, in processor time of one thread. MODEL is one
that answers; without it, every head of random weights behind the default encoder.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from harness import Figure, report

from captioning.data.synthetic.scene_questions import SceneQuestions
from captioning.encoders.grid import GridEncoder
from captioning.models.bundle import Bundle
from captioning.tasks.load import load
from captioning.tasks.question_answering.answerer import Answerer
from captioning.tasks.question_answering.classification import AnswerClassification
from captioning.training.model_parts import part_of

QUESTIONS, TURNS, GOAL = 20, 9, 1.3
HEADS = {
    "up_down": {"_target_": "captioning.heads.answers.UpDownAnswers"},
    "co_attention": {"_target_": "captioning.heads.answers.CoAttention"},
    "film": {"_target_": "captioning.heads.film.FiLMAnswers"},
    "film_without_convolutions": {"_target_": "captioning.heads.film.FiLMAnswers", "kernel": 1, "pool": "sum"},
}


def untrained(head: dict) -> Answerer:
    """A head of random weights behind the default encoder."""
    torch.manual_seed(0)
    encoder = GridEncoder()
    task = AnswerClassification(head=head)
    task.fit(SceneQuestions(train=50).examples("train"))
    task.build(encoder, part_of)
    return Answerer(Bundle(encoder, {}, task), device="cpu")


def cost(answerer: Answerer) -> float:
    """Time with all questions over time with one."""
    world = SceneQuestions(train=20, size=224)
    examples = world.examples("train")
    photo = world.image(examples[0])
    asked = [one.text for example in examples for one in example.questions][:QUESTIONS]
    spent: dict[int, list[float]] = {1: [], QUESTIONS: []}
    for _ in range(TURNS):
        for count, times in spent.items():
            start = time.process_time()
            answerer.answer(photo, asked[:count])
            times.append(time.process_time() - start)
    one, many = (statistics.median(times[1:]) for times in spent.values())
    return many / one


def main() -> None:
    torch.set_num_threads(1)
    models = {"model": load(sys.argv[1])} if len(sys.argv) > 1 else {n: untrained(h) for n, h in HEADS.items()}
    figures = [Figure(f"answers_{QUESTIONS}_for_1_{name}", cost(one), "x", GOAL) for name, one in models.items()]
    report("answers", figures)


if __name__ == "__main__":
    main()
