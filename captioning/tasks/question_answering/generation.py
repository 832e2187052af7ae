"""Question answering by writing: the question is a decoder's prompt, the answer what it says next."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from captioning.data.questions import all_questions
from captioning.decoders.base import Decoder
from captioning.decoders.prompted import Prompted, PromptedContext
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.generation.beam import beam
from captioning.generation.output import Generated
from captioning.memory import VisualMemory
from captioning.tasks.base import Build, Parts
from captioning.tasks.question_answering.task import Asked, QuestionAnswering, canonical, frequent_answers, padded
from captioning.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

Found = list[list[tuple[str, float, Tensor | None]]]  # of each image and question the best answers: see `search`


class AnswerGeneration(QuestionAnswering):
    """Any decoder reads the question, then writes the answer word by word; only the answer is learned.

    A row is the question's words, BOS, the answer's words and EOS: with no question it is a caption's.

    Args:
        decoder: configuration of a `Decoder`, without the sizes that follow from encoder and words.
        generation: configuration of the search that writes answers.
        max_answer_words: words of an answer that are learned and written at most.
    """

    files = ("vocabulary.json",)

    def __init__(
        self,
        *,
        decoder: Mapping[str, Any],
        generation: Mapping[str, Any],
        max_answer_words: int = 10,
        **options: Any,
    ):
        super().__init__(**options)
        if not 1 <= max_answer_words <= 100:
            raise UserError(f"task.max_answer_words={max_answer_words}: it is 1 to 100")
        self.parts = {"decoder": dict(decoder), "generation": dict(generation)}
        self.max_answer_words = max_answer_words
        self.decoder: Decoder | None = None
        self.generation: Callable[..., Generated] | None = None

    def fit(self, examples: Sequence[Example]) -> None:
        """Words of questions that are frequent enough, and all words of answers."""
        asked = self.fitted_words([one.text for one in all_questions(examples)])
        said = {word: None for answer in frequent_answers(examples, 1) for word in answer_words(answer)}
        known = asked.words[UNK + 1 :]
        self.vocabulary = Vocabulary(
            [*known, *(word for word in said if word not in asked.ids)], max_words=asked.max_words
        )

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        sizes = {"visual_width": encoder.width, "vocabulary_size": len(self.vocabulary)}
        self.decoder = instantiate(self.parts["decoder"], kind=Decoder, **sizes)
        self.generation = instantiate(self.parts["generation"], kind=Callable)

    def targets(self, examples: Sequence[Example], epoch: int) -> Asked:
        """-> rows of question, BOS, answer and EOS (B, R, L), and where a word is learned (B, R, L - 1).

        `words` of the `Asked` are the questions alone; a question without a known answer teaches nothing.
        """
        chosen = [self.rows(example, epoch) for example in examples]
        questions = [[self.encode(one.text) for one in those] for those in chosen]
        answers = [[self.encode_answer(canonical(one)) if one.answers else [] for one in those] for those in chosen]
        whole = [
            [[*question, BOS, *answer] for question, answer in zip(*pair, strict=True)]
            for pair in zip(questions, answers, strict=True)
        ]
        rows = padded(whole)
        learned = torch.zeros(*rows.shape[:2], rows.shape[2] - 1)
        for b, those in enumerate(questions):
            for r, question in enumerate(those):
                learned[b, r, len(question) : len(question) + len(answers[b][r])] = 1
        behind = torch.cat([learned, learned.new_zeros(*learned.shape[:2], 1)], -1)
        both = torch.stack([rows, behind.to(rows.dtype)])  # (2, B, R, L)
        return Asked(padded(questions), tuple(map(len, chosen)), both)

    def encode_answer(self, answer: str) -> list[int]:
        """The numbers of an answer's words, and EOS where nothing was cut."""
        ids = [self.vocabulary.ids.get(word, UNK) for word in answer_words(answer)]
        return [*ids, EOS] if len(ids) <= self.max_answer_words else ids[: self.max_answer_words]

    def loss(self, memory: VisualMemory, targets: Asked, ids: Sequence[int | str]) -> tuple[Tensor, Parts]:
        logits, wanted = self._learned(memory, targets)
        loss = F.cross_entropy(logits, wanted)
        right = (logits.argmax(-1) == wanted).float().mean()
        return loss, {"loss": loss, "word_accuracy": 100 * right}

    def validation_loss(
        self, memory: VisualMemory, targets: Asked, ids: Sequence[int | str]
    ) -> tuple[float, int] | None:
        logits, wanted = self._learned(memory, targets)
        return (float(F.cross_entropy(logits, wanted)), len(wanted)) if len(wanted) else None

    def _learned(self, memory: VisualMemory, targets: Asked) -> tuple[Tensor, Tensor]:
        """Logits (M, V) of the words of answers that are to be learned, and these words (M,)."""
        rows, behind = targets.answers
        wanted = rows[:, :, 1:]
        learned = (behind[:, :, :-1] > 0) & (wanted != UNK)
        features = self.decoder.forward_features(self.decoder.prepare(memory), rows[:, :, :-1]).features
        return self.decoder.forward_head(features[learned]), wanted[learned]

    def search(
        self, memory: VisualMemory, targets: Asked, generate: Callable[..., Generated], *, details: bool
    ) -> Found:
        """(answer, its probability, attention (N,)) of each question, best first; questions of one length go together.

        The image is prepared once. A row that is padding has no answer.
        """
        context, prompted = self.decoder.prepare(memory), Prompted(self.decoder)
        rows = [(b, r) for b, count in enumerate(targets.counts) for r in range(count)]
        lengths = (targets.words != PAD).sum(-1).tolist()
        found: Found = [[() for _ in range(count)] for count in targets.counts]
        for length in sorted({lengths[b][r] for b, r in rows}):
            mine = [(b, r) for b, r in rows if lengths[b][r] == length]
            prompt = torch.stack([targets.words[b, r, :length] for b, r in mine])  # (M, P)
            own = context.keep(torch.tensor([b for b, _ in mine], device=prompt.device))
            made = generate(
                prompted, PromptedContext(own, prompt), max_words=self.max_answer_words + 1, details=details
            )
            words, scores = made.words.tolist(), made.scores.tolist()
            for m, (b, r) in enumerate(mine):
                found[b][r] = [
                    (
                        self.text(words[m][k]),
                        math.exp(min(0.0, score)),
                        None if made.attention is None else _mean_word(made.attention[m, k]),
                    )
                    for k, score in enumerate(scores[m])
                    if k == 0 or score > -math.inf
                ]
        return found

    def text(self, ids: Sequence[int]) -> str:
        """An answer as people wrote it."""
        return " ".join(self.vocabulary.decode(ids)).replace(" ,", ",")

    def predict(self, memory: VisualMemory, targets: Asked) -> list[list[str]]:
        """The best answer to each question of each image, by the task's search."""
        with torch.inference_mode():
            found = self.search(memory, targets, self.generation, details=False)
        return [[ranked[0][0] for ranked in those] for those in found]

    def answer(
        self, memory: VisualMemory, questions: Sequence[Sequence[str]], *, top: int = 1
    ) -> tuple[list[list[list[tuple[str, float]]]], Tensor | None]:
        """(answer, probability), best first, `top` for each question of each image; and where the decoder looked.

        The probability of an answer is that of all its words and of ending there.
        """
        generate = self.generation
        if top > 1:
            generate = partial(beam, beam_size=max(top, 5), num_captions=top)
        found = self.search(memory, self.ask(questions).to(memory.tokens.device), generate, details=True)
        ranked = [[[(text, value) for text, value, _ in one] for one in those] for those in found]
        looked = [[one[0][2] for one in those] for those in found]
        if any(part is None for those in looked for part in those):
            return ranked, None
        attention = memory.tokens.new_zeros(len(found), max(map(len, found)), memory.tokens.shape[1])
        for b, those in enumerate(looked):
            for r, part in enumerate(those):
                attention[b, r] = part
        return ranked, attention

    def check(self, encoder: Encoder) -> None:
        with torch.inference_mode():
            self.decoder.prepare(VisualMemory.blank(encoder.width))

    def config(self) -> dict[str, Any]:
        own = {"judged_by": self.judged_by, "max_answer_words": self.max_answer_words}
        return {**super().config(), **self.parts, **own}

    def summary(self) -> str:
        return f"{len(self.vocabulary):,} words; {type(self.decoder).__name__}"

    def generate_with(self, generation: Mapping[str, Any], instantiate: Build) -> None:
        self.parts["generation"] = generation
        self.generation = instantiate(generation, kind=Callable)


def answer_words(answer: str) -> list[str]:
    """The words of an answer, a comma being one: "book, lamp" is three."""
    return answer.lower().replace(",", " , ").split()


def _mean_word(attention: Tensor) -> Tensor:
    """attention (T, N), 0 on padding -> its mean over words (N,)."""
    return attention.sum(0) / attention.sum().clamp(min=1e-6)
