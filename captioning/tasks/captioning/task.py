"""Captioning: sentences about pictures and clips, learned by an objective, said by a search, judged by CIDEr."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captioning.data.source import Source
from captioning.decoders.base import Decoder
from captioning.decoders.concepts import ConceptReader
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.generation.word_options import with_vocabulary
from captioning.memory import VisualMemory
from captioning.metrics.caption_scores import METRICS, score_captions
from captioning.metrics.chair import main_object
from captioning.metrics.remarks import same_everywhere, unsplit
from captioning.metrics.scores import Scores
from captioning.tasks.base import Build, Parts, Task
from captioning.tasks.captioning.augmentation import Augmentation
from captioning.tasks.captioning.caption import Caption, describe
from captioning.tasks.captioning.confidence import check_curve, confidence_of
from captioning.tasks.captioning.objectives import CrossEntropy, Objective, target_mask
from captioning.text.subwords import Subwords
from captioning.text.tokenizer import tokenize
from captioning.text.vocabularies import read_vocabulary
from captioning.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

log = logging.getLogger("captioning")

MUCH = 0.1  # of the words unknown, or of the captions cut: above it a model learns half sentences
MAX_WORDS = 1000  # of a caption; a search sets memory aside for the longest


class Captioning(Task):
    """A decoder writes captions; in training `objective` says what is minimised.

    Args:
        decoder: configuration of a `Decoder`, without the sizes that follow from encoder and vocabulary.
        generation: configuration of the search with which a finished model speaks.
        validation: that of the search of validation; None for `generation`.
        objective: configuration of an `Objective`; None for cross-entropy.
        augmentation: configuration of what is done to memories in training only; None for nothing.
        vocabulary: `min_count` and `max_words` of the words that are taken from the training captions.
        confidence: slope and offset of the curve that makes a probability of a caption's score; None for none.
        captions_per_image: rows of each picture; of more captions others are taken in each epoch.
        seed: what that choice depends on, besides epoch and picture.
    """

    needs = ("captions",)
    monitor = ("val/CIDEr", "max")
    columns = ("CIDEr", "BLEU-4")
    things = "captions"
    usage = "caption PHOTO"
    metrics = ("bleu", "cider")
    files = ("vocabulary.json",)

    def __init__(
        self,
        *,
        decoder: Mapping[str, Any],
        generation: Mapping[str, Any],
        validation: Mapping[str, Any] | None = None,
        objective: Mapping[str, Any] | None = None,
        augmentation: Mapping[str, Any] | None = None,
        vocabulary: Mapping[str, Any] | None = None,
        confidence: Mapping[str, float] | None = None,
        captions_per_image: int = 5,
        seed: int = 0,
    ):
        super().__init__()
        self.confidence = None if confidence is None else check_curve(confidence)
        if captions_per_image < 1:
            raise UserError(f"captions_per_image={captions_per_image}: it is 1 or more")
        self.parts = {"decoder": decoder, "generation": generation}
        self.in_training = {"validation": validation, "objective": objective, "augmentation": augmentation}
        self.vocabulary_options = dict(vocabulary or {})
        self.captions_per_image, self.seed = captions_per_image, seed
        self.vocabulary: Vocabulary | Subwords | None = None
        self.decoder: Decoder | None = None
        self.generation: Callable | None = None
        self.validation: Callable | None = None
        self.objective: Objective = CrossEntropy()
        self.augmentation: Augmentation | None = None
        self.known: dict[str, list[int]] = {}

    @classmethod
    def of(cls, decoder: Decoder, vocabulary: Vocabulary, generation: Callable, parts: Mapping[str, Any]) -> Captioning:
        """The task with parts that are there already; `parts` has their configurations, decoder and generation."""
        task = cls(decoder=parts["decoder"], generation=parts["generation"])
        task.decoder, task.vocabulary, task.generation = decoder, vocabulary, generation
        return task

    def fit(self, examples: Sequence[Example]) -> None:
        captions = (caption for example in examples for caption in example.captions)
        self.vocabulary = Vocabulary.build(captions, **self.vocabulary_options)

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        sizes = {"visual_width": encoder.width, "vocabulary_size": len(self.vocabulary)}
        self.decoder = instantiate(self.parts["decoder"], kind=Decoder, **sizes)
        if isinstance(self.decoder, ConceptReader):
            self.decoder.name_concepts(getattr(encoder, "class_names", ()), self.vocabulary)
        self.generation = instantiate(self.parts["generation"], kind=Callable)
        if (validation := self.in_training["validation"]) is not None:
            self.validation = with_vocabulary(instantiate(validation, kind=Callable), self.vocabulary)
        if (objective := self.in_training["objective"]) is not None:
            self.objective = instantiate(objective)
        if (augmentation := self.in_training["augmentation"]) is not None:
            self.augmentation = instantiate(augmentation, vocabulary=self.vocabulary)

    def begin(self, examples: Sequence[Example]) -> None:
        with_vocabulary(self.generation, self.vocabulary)  # words that the model does not know are refused now
        self.objective.setup(self.vocabulary, {example.id: example.captions for example in examples})
        self._say_what_is_lost(examples)

    def _say_what_is_lost(self, examples: Sequence[Example]) -> None:
        """The share of words and captions that the vocabulary cannot hold, as a warning where it is large."""
        words = unknown = captions = cut = 0
        for example in examples:
            for caption in example.captions:
                ids = self.ids(caption)
                words, unknown = words + sum(one != EOS for one in ids), unknown + ids.count(UNK)
                captions, cut = captions + 1, cut + (not ids or ids[-1] != EOS)
        if not words:
            return
        unknown, cut = unknown / words, cut / captions
        what = (
            f"of the training captions {100 * unknown:.1f}% of the words are unknown to the vocabulary, "
            f"{100 * cut:.1f}% of the captions are cut at {self.vocabulary.max_words} words"
        )
        remedies = []
        if unsplit([tokenize(caption) for example in examples[:200] for caption in example.captions]):
            remedies.append("their script has no blanks between words: put some between its words or characters")
        elif unknown > MUCH:
            remedies.append("lower vocabulary.min_count, or learn from more captions")
        if cut > MUCH:
            remedies.append("raise vocabulary.max_words")
        if remedies:
            log.warning(f"{what}: {'; '.join(remedies)}")
        else:
            log.info(what)

    def undecided(self, examples: Sequence[Example]) -> str:
        if len(examples) == 1:
            return "CIDEr of one validation picture is 0 whatever is said of it"
        references = [[tokenize(caption) for caption in example.captions] for example in examples[:1000]]
        if self.monitor[0] == "val/CIDEr" and references and same_everywhere(references):
            return "CIDEr is 0 whatever is said, for all validation pictures have the same captions"
        return ""

    def end(self) -> None:
        self.validation = None  # a finished model speaks by `generation`, which is what its configuration says
        self.augmentation = None

    def set_epoch(self, epoch: int) -> None:
        self.objective.set_epoch(epoch)
        if not self.objective.dropout:
            from captioning.layers.without_dropout import without_dropout

            without_dropout(self.decoder)

    def targets(self, examples: Sequence[Example], epoch: int) -> Tensor:
        """-> word ids (B, R, T+1) from BOS to EOS, then PAD."""
        return pad_words([self.captions(example, epoch) for example in examples])

    def captions(self, example: Example, epoch: int) -> list[list[int]]:
        """At most `captions_per_image` captions as ids; which ones, where there are more, changes with the epoch."""
        chosen = list(example.captions)
        if len(chosen) > self.captions_per_image:
            chosen = random.Random(f"{self.seed} {epoch} {example.id}").sample(chosen, self.captions_per_image)
        return [self.ids(caption) for caption in chosen]

    def ids(self, caption: str) -> list[int]:
        """The caption's ids, which it has from the first time on: words are counted once, not once an epoch."""
        if caption not in self.known:
            self.known[caption] = self.vocabulary.encode(caption)
        return self.known[caption]

    def loss(self, memory: VisualMemory, targets: Tensor, ids: Sequence[int | str]) -> tuple[Tensor, Parts]:
        unmirror = None
        if self.augmentation is not None:
            memory, targets, unmirror = self.augmentation(memory, targets)
        return self.objective(self.decoder, self.decoder.prepare(memory), targets, ids, unmirror=unmirror)

    def validation_loss(
        self, memory: VisualMemory, targets: Tensor, ids: Sequence[int | str]
    ) -> tuple[float, int] | None:
        """The mean over words that are to be learned, and how many these are."""
        words = int(target_mask(targets[:, :, 1:]).sum())
        if not words:
            return None
        return float(self.objective.validate(self.decoder, self.decoder.prepare(memory), targets)), words

    def predict(self, memory: VisualMemory, targets: Any) -> list[str]:
        """The best caption of each image, by the search of validation where there is one."""
        return [found[0].text for found in self.describe(memory, self.validation or self.generation)]

    def predict_with_confidence(self, memory: VisualMemory, targets: Any) -> list[tuple[str, float | None]]:
        """The best caption of each image, and how sure it is to be right; None of a model that was not calibrated."""
        return [(found[0].text, found[0].confidence) for found in self.describe(memory, self.generation)]

    def describe(self, memory: VisualMemory, generation: Callable, **options: Any) -> list[list[Caption]]:
        """The captions of every image, best first, with a confidence where this way of searching was calibrated."""
        same = getattr(generation, "func", generation) is getattr(self.generation, "func", self.generation)
        sure = partial(confidence_of, curve=self.confidence) if self.confidence and same else None
        return describe(self.decoder, memory, self.vocabulary, generation, confidence=sure, **options)

    def score(
        self, predictions: Mapping[int | str, str], examples: Sequence[Example], *, metrics: Sequence[str] = ()
    ) -> Scores:
        """BLEU, METEOR, ROUGE-L, CIDEr and SPICE, as the official evaluation computes them; CHAIR, and how many of the
        main objects are named."""
        references = {example.id: list(example.captions) for example in examples}
        labels = {example.id: example.labels for example in examples}
        main = {e.id: main_object(e.boxes, e.labels) if e.boxes else None for e in examples}
        return score_captions(references, predictions, metrics=tuple(metrics or self.metrics), labels=labels, main=main)

    def usual_metrics(self, source: Any) -> tuple[str, ...]:
        own = tuple(source.metrics)
        return own if METRICS.intersection(own) else Source.metrics  # of phrases, say, which have captions as well

    def tally(self, examples: Sequence[Example]) -> str:
        return f"{sum(len(example.captions) for example in examples):,} references"

    def results(self, predictions: Mapping[int | str, str]) -> list[dict[str, Any]]:
        return [{"image_id": key, "caption": text} for key, text in predictions.items()]

    def check(self, encoder: Encoder) -> None:
        with torch.inference_mode():
            self.decoder.prepare(VisualMemory.blank(encoder.width))

    def rehearse(self, encoder: Encoder) -> None:
        """Says a caption of nothing by the search of validation and by that of the finished model."""
        training = self.training
        memory = VisualMemory.blank(encoder.width)
        self.eval()
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            for generate in filter(None, (self.validation, with_vocabulary(self.generation, self.vocabulary))):
                try:
                    describe(self.decoder, memory, self.vocabulary, generate)
                except (TypeError, ValueError) as error:
                    raise UserError(f"generation: {' '.join(str(error).split())}") from None
        self.train(training)

    def grow(self, examples: Sequence[Example]) -> int:
        """Words that are often enough in new captions, behind those that were read."""
        if not isinstance(self.vocabulary, Vocabulary):
            raise UserError("grow=true: a model of subwords spells any word already")
        before = self.vocabulary
        captions = (caption for example in examples for caption in example.captions)
        found = Vocabulary.build(captions, min_count=self.vocabulary_options.get("min_count", 5))
        more = [word for word in found.words if word not in before.ids]
        self.vocabulary = Vocabulary([*before.words[len(SPECIALS) :], *more], max_words=before.max_words)
        return len(before)

    def compile(self) -> None:
        """The teacher-forced pass only: captions are generated step by step by the same code as ever."""
        # a recurrent decoder is unrolled, which makes one program for each length of captions
        torch._dynamo.config.cache_size_limit = max(64, torch._dynamo.config.cache_size_limit)
        self.decoder.forward_features = torch.compile(self.decoder.forward_features)

    def texts(self) -> dict[str, str]:
        return {"vocabulary.json": self.vocabulary.to_json()}

    def read_texts(self, texts: Mapping[str, str], where: str) -> None:
        place = f"{where}/vocabulary.json"
        if "vocabulary.json" not in texts:
            raise UserError(f"{place} is missing: the model folder is incomplete")
        self.vocabulary = read_vocabulary(texts["vocabulary.json"], place)
        if not 1 <= self.vocabulary.max_words <= MAX_WORDS:
            raise UserError(f"{place}: max_words is {self.vocabulary.max_words}, not within 1 to {MAX_WORDS}")

    def config(self) -> dict[str, Any]:
        return {**super().config(), **self.parts, **({"confidence": self.confidence} if self.confidence else {})}

    def summary(self) -> str:
        return f"{len(self.vocabulary):,} words; {type(self.decoder).__name__}"

    def generate_with(self, generation: Mapping[str, Any], instantiate: Build) -> None:
        self.parts["generation"] = generation
        self.generation, self.validation = instantiate(generation, kind=Callable), None

    def calibrated(self, predictor: Any, source: Any, split: str, **options: Any) -> tuple[Any, Any]:
        """The model with a confidence of its captions: the share of those that name what is there and nothing else."""
        from captioning.tasks.captioning.calibration import calibrated

        return calibrated(predictor, source, split, **options)

    def report(
        self,
        path: Path,
        predictor: Any,
        examples: Sequence[Example],
        source: Any,
        predictions: Mapping[int | str, str],
        scores: Scores,
        *,
        title: str,
        confidence: Mapping[int | str, float] | None = None,
    ) -> Path:
        """Best and worst captions by each metric, what all are like, and how often they are as right as they are sure.

        `confidence` is that of each caption, of a model that was calibrated."""
        from captioning.tasks.captioning.evaluation import write_gallery

        options = {"title": title, "confidence": confidence}
        return write_gallery(path, predictor, examples, source, predictions, scores, **options)

    def predictor(self, bundle: Any, device: str | torch.device | None = None) -> Any:
        """A `Captioner`."""
        from captioning.tasks.captioning.captioner import Captioner

        return Captioner(bundle, device=device)


def pad_words(captions: list[list[list[int]]]) -> Tensor:
    """Ids of B images' captions -> (B, R, T+1) with BOS in front and PAD behind; an image with fewer rows is padded."""
    rows = max(map(len, captions))
    lengths = torch.tensor([[*map(len, image), *[0] * (rows - len(image))] for image in captions])  # (B, R)
    words = torch.full((*lengths.shape, int(lengths.max()) + 1), PAD)
    words[:, :, 0] = BOS
    inside = torch.arange(words.shape[2] - 1) < lengths[..., None]
    words[:, :, 1:][inside] = torch.tensor(
        [i for image in captions for caption in image for i in caption], dtype=torch.long
    )
    return words
