"""One space for images and words: an image and a text that belong together have similar vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captioning.encoders.base import Encoder
from captioning.encoders.text import TextEncoder, padded
from captioning.errors import UserError
from captioning.example import Example
from captioning.heads.projection import ResidualProjection
from captioning.memory import VisualMemory
from captioning.metrics.bootstrap import mean_of
from captioning.metrics.classification import accuracy_table, class_ranks
from captioning.metrics.retrieval import in_folds, ranks, recall_per_image, recall_table, resamplable
from captioning.metrics.scores import Scores
from captioning.models.bundle import load_bundle
from captioning.models.shipped import find_model
from captioning.runtime.progress import progress_bar
from captioning.tasks.base import Build, Parts, Task
from captioning.tasks.embedding.objectives import Matching, gathered, in_chunks
from captioning.text.vocabulary import PAD, Vocabulary

WORDS = "vocabulary.json"
SHOWN = 60  # photos on a page
AT_ONCE = 256  # captions that a teacher is asked for
METRICS = ("recall", "rank", "folds", "zero_shot")


class Embedding(Task):
    """Images and texts as unit vectors, learned by matching; judged by finding each other.

    Args:
        text: configuration of a `TextEncoder`.
        image: configuration of what makes a vector of a memory (`VisualProjection`), without the sizes.
        objective: configuration of a `Matching`.
        width: that of the space.
        dropout: in the projection of texts.
        vocabulary: `min_count` and `max_words` of the words that are taken from the training captions.
        captions_per_image: of each image in a training step, drawn anew in every one; validation reads all.
        chunk: texts read at once in training; the others are read again for their gradients. None for all.
        teacher: in training, a finished model with the same encoder and width. Its projection of images is taken
            over as it is, and texts learn from photos and, `teach` times as much, to be where the teacher has them.
        teach: how much that counts.
    """

    needs = ("captions",)
    monitor = ("val/recall", "max")
    columns = ("i2t R@1", "t2i R@1", "i2t R@10", "t2i R@10")
    things = "embeddings"
    usage = "search FOLDER TEXT"
    metrics = ("recall",)
    files = (WORDS,)

    def __init__(
        self,
        *,
        text: Mapping[str, Any],
        image: Mapping[str, Any],
        objective: Mapping[str, Any],
        width: int = 512,
        dropout: float = 0.3,
        vocabulary: Mapping[str, Any] | None = None,
        captions_per_image: int = 2,
        chunk: int | None = None,
        teacher: str | None = None,
        teach: float = 4.0,
    ):
        super().__init__()
        if captions_per_image < 1:
            raise UserError(f"captions_per_image={captions_per_image}: it is 1 or more")
        if chunk is not None and chunk < 1:
            raise UserError(f"chunk={chunk}: it is 1 or more, or null")
        self.parts = {"text": text, "image": image, "objective": objective, "width": width, "dropout": dropout}
        self.width, self.dropout = width, dropout
        self.vocabulary_options = {"min_count": 3, "max_words": 30, **(vocabulary or {})}
        self.captions_per_image, self.chunk = captions_per_image, chunk
        self.vocabulary: Vocabulary | None = None
        self.teacher, self.teach = teacher, teach
        self.taught: dict[tuple[int, ...], Tensor] = {}  # a text's numbers, and where the teacher has it (W,)
        self.known: dict[str, list[int]] = {}

    def fit(self, examples: Sequence[Example]) -> None:
        captions = (caption for example in examples for caption in example.captions)
        self.vocabulary = Vocabulary.build(captions, **self.vocabulary_options)

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        self.text: TextEncoder = instantiate(self.parts["text"], kind=TextEncoder)
        self.text.use(self.vocabulary)
        self.project_text = ResidualProjection(self.text.width, self.width, dropout=self.dropout)
        sizes = {"visual_width": encoder.width, "width": self.width}
        self.image: nn.Module = instantiate(self.parts["image"], kind=nn.Module, **sizes)
        self.objective: Matching = instantiate(self.parts["objective"], kind=Matching)

    def begin(self, examples: Sequence[Example]) -> None:
        if self.teacher is None:
            return
        theirs = load_bundle(find_model(self.teacher)).task
        if not isinstance(theirs, Embedding) or theirs.width != self.width:
            raise UserError(f"task.teacher={self.teacher} is no embedding model with vectors of {self.width} numbers")
        try:
            self.image.load_state_dict(theirs.image.state_dict())
        except RuntimeError:
            raise UserError(f"task.teacher={self.teacher} looks at images by another encoder or projection") from None
        self.image.requires_grad_(False)
        captions = list(dict.fromkeys(caption for example in examples for caption in example.captions))
        with progress_bar("asking the teacher") as report, torch.no_grad():
            for start in range(0, len(captions), AT_ONCE):
                part = captions[start : start + AT_ONCE]
                vectors = theirs.embed_texts(part)
                self.taught |= {tuple(self.ids(c)): vector for c, vector in zip(part, vectors, strict=True)}
                report(start + len(part), len(captions))

    def train(self, mode: bool = True) -> Embedding:
        """What was taken over from a teacher stays in eval mode."""
        super().train(mode)
        if self.taught:
            self.image.eval()
        return self

    def targets(self, examples: Sequence[Example], epoch: int) -> Tensor:
        """-> words (B, R, T) of all captions, rows and words padded with PAD."""
        return padded([[self.ids(caption) for caption in example.captions] for example in examples])

    def ids(self, caption: str) -> list[int]:
        """The caption's numbers, which it has from the first time on."""
        if caption not in self.known:
            self.known[caption] = self.text.encode(caption)
        return self.known[caption]

    def embed_images(self, memory: VisualMemory) -> Tensor:
        """-> (B, W) of unit length."""
        return self.image(memory)

    def embed_words(self, words: Tensor) -> Tensor:
        """words (n, T), a text a row -> (n, W) of unit length."""
        return self.project_text(self.text(words[None])[0])

    def embed_texts(self, texts: Sequence[str], device: torch.device | str = "cpu") -> Tensor:
        """-> (len(texts), W) of unit length."""
        return self.embed_words(self.text.rows(texts)[0].to(device))

    def loss(self, memory: VisualMemory, targets: Tensor, ids: Sequence[int | str]) -> tuple[Tensor, Parts]:
        words, owner = rows_of(targets, self.captions_per_image if self.training else None)
        images, texts = self.embed_images(memory), in_chunks(self.embed_words, words, self.chunk)
        loss = self.objective(*gathered(images, texts, owner))
        if self.taught and self.training:
            keys = [tuple(number for number in row if number != PAD) for row in words.tolist()]
            there = torch.stack([self.taught[key] for key in keys]).to(texts)
            loss = loss + self.teach * (1 - (texts * there).sum(-1)).mean()
        return loss, {"loss": loss.detach(), "scale": self.objective.logits(torch.ones(())).detach()}

    @torch.no_grad()
    def predict(self, memory: VisualMemory, targets: Tensor) -> list[dict[str, Any]]:
        """Of each image its vector (W,) and those of its texts (R, W)."""
        images = self.embed_images(memory).cpu().numpy()
        words, owner = rows_of(targets)
        texts = self.embed_words(words).cpu().numpy() if len(words) else np.zeros((0, self.width), np.float32)
        owner = owner.cpu().numpy()
        return [{"image": image, "texts": texts[owner == b]} for b, image in enumerate(images)]

    def score(
        self, predictions: Mapping[int | str, Any], examples: Sequence[Example], *, metrics: Sequence[str] = ()
    ) -> Scores:
        """Recall at 1, 5 and 10 both ways among all `predictions`, and "recall", the mean of these six.

        "rank" adds median and mean ranks, "folds" the recalls averaged over folds of 1,000 images, as COCO's 1k
        figures are. "zero_shot" is for examples of one label each, whose captions are prompts of it: the accuracies
        of the class whose mean prompt is nearest, among all labels that occur or that examples choose from.
        """
        wanted = tuple(metrics or self.metrics)
        if unknown := [name for name in wanted if name not in METRICS]:
            raise UserError(f"there is no metric {unknown[0]!r}. Choose from {', '.join(METRICS)}.")
        keys = [example.id for example in examples]
        images = np.stack([predictions[key]["image"] for key in keys])
        texts = np.concatenate([predictions[key]["texts"] for key in keys])
        owner = np.repeat(np.arange(len(keys)), [len(predictions[key]["texts"]) for key in keys])
        if wanted == ("zero_shot",):
            return self._zero_shot(predictions, examples)
        found = ranks(images, texts, owner)
        table = recall_table(found)
        recalls = {name: value for name, value in table.items() if "R@" in name}
        corpus = {**recalls, "recall": float(np.mean(list(recalls.values())))}
        if "rank" in wanted:
            corpus |= {name: value for name, value in table.items() if name.endswith("rank")}
        if "folds" in wanted:
            folds = in_folds(images, texts, owner)
            corpus |= {f"1k {name}": value for name, value in folds.items() if "R@" in name}
        return Scores(tuple(keys), corpus, recall_per_image(found), resamplable(found))

    def _classes(
        self, predictions: Mapping[int | str, Any], examples: Sequence[Example]
    ) -> tuple[list[str], np.ndarray]:
        """The labels that occur, or those that examples have to choose from, and of each the unit vector of its mean
        prompt, (C, W)."""
        choices = {getattr(example, "choices", ()) for example in examples}
        if len(choices) > 1 or any(
            example.labels[0] not in those for example in examples for those in choices if those
        ):
            raise UserError("zero_shot: all photos have the same names to choose from, their own among them")
        if names := list(choices.pop()):
            texts = predictions[examples[0].id]["texts"]  # of every one the prompts of all names
            prompts = dict(zip(names, texts.reshape(len(names), -1, texts.shape[-1]).mean(1), strict=True))
        else:
            prompts = {example.labels[0]: predictions[example.id]["texts"].mean(0) for example in examples}
            names = sorted(prompts)
        return names, np.stack([prompts[name] / np.linalg.norm(prompts[name]) for name in names])

    def _zero_shot(self, predictions: Mapping[int | str, Any], examples: Sequence[Example]) -> Scores:
        if [example for example in examples if len(example.labels) != 1]:
            raise UserError("zero_shot: each photo needs one label, as data=labelled_folders has it")
        names, classes = self._classes(predictions, examples)
        cosines = np.stack([predictions[example.id]["image"] for example in examples]) @ classes.T
        labels = np.array([names.index(example.labels[0]) for example in examples])
        right = (class_ranks(cosines, labels) == 1).astype(np.float64)
        table = {**accuracy_table(cosines, labels), "chance": 1 / len(names)}
        keys = tuple(example.id for example in examples)
        return Scores(keys, table, {"top-1": right}, {"top-1": mean_of(right)})

    def usual_metrics(self, source: Any) -> tuple[str, ...]:
        return ("zero_shot",) if tuple(source.metrics) == ("zero_shot",) else ("recall", "rank")

    def tally(self, examples: Sequence[Example]) -> str:
        return f"{sum(len(example.captions) for example in examples):,} texts"

    def results(self, predictions: Mapping[int | str, Any]) -> list[dict[str, Any]]:
        return [
            {"image_id": key, "vector": [round(number, 5) for number in value["image"].tolist()]}
            for key, value in predictions.items()
        ]

    def report(
        self,
        path: Path,
        predictor: Any,
        examples: Sequence[Example],
        source: Any,
        predictions: Mapping[int | str, Any],
        scores: Scores,
        *,
        title: str,
    ) -> Path:
        """Photos with labels: each with its most probable ones as bars, and where the correct one stands, `SHOWN` of
        them drawn by lot. Photos with captions: the sentences that are nearest to each, its own marked."""
        import random

        from captioning.reports.photo_page import PhotoPage

        page = PhotoPage(title)
        shown = random.Random(0).sample(list(examples), min(SHOWN, len(examples)))
        if "top-1" in scores.corpus:
            names, classes = self._classes(predictions, examples)
            for example in shown:
                found = predictor.probabilities(predictions[example.id]["image"][None], classes)[0]
                order = np.argsort(-found, kind="stable").tolist()
                labels = {names[i]: float(found[i]) for i in order}
                page.add_classified(str(example.id), source.image(example), labels, example.labels[0])
            return page.write(path)
        texts = np.concatenate([predictions[example.id]["texts"] for example in examples])
        sentences = [(caption, example.id) for example in examples for caption in example.captions]
        for example in shown:
            cosines = texts @ predictions[example.id]["image"]
            nearest = [(*sentences[i], float(cosines[i])) for i in np.argsort(-cosines, kind="stable")[:5].tolist()]
            lines = [(caption, value, owner == example.id) for caption, owner, value in nearest]
            page.add_sentences(str(example.id), source.image(example), lines)
        return page.write(path)

    def check(self, encoder: Encoder) -> None:
        with torch.inference_mode():
            seen = self.embed_images(VisualMemory.blank(encoder.width))
        if seen.shape != (1, self.width):
            raise UserError(f"its images have {seen.shape[-1]} numbers, its texts {self.width}")

    def texts(self) -> dict[str, str]:
        return {WORDS: self.vocabulary.to_json()}

    def read_texts(self, texts: Mapping[str, str], where: str) -> None:
        if WORDS not in texts:
            raise UserError(f"{where}/{WORDS} is missing: the model folder is incomplete")
        self.vocabulary = Vocabulary.from_json(texts[WORDS], f"{where}/{WORDS}")

    def config(self) -> dict[str, Any]:
        return {**super().config(), **self.parts}

    def summary(self) -> str:
        return f"{type(self.text).__name__}, {type(self.objective).__name__}, {self.width} numbers a vector"

    def predictor(self, bundle: Any, device: str | torch.device | None = None) -> Any:
        """An `Embedder`."""
        from captioning.tasks.embedding.embedder import Embedder

        return Embedder(bundle, device=device)


def rows_of(words: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Texts of B images (B, R, T) -> the real ones (n, T), and the image that each belongs to (n,).

    Of an image that has more than `most`, so many are drawn.
    """
    if not words.numel():
        return words.new_zeros(0, 1), words.new_zeros(0)
    real = words[..., 0] != PAD  # (B, R)
    if most is not None and most < words.shape[1]:
        lots = torch.rand(real.shape, device=real.device).masked_fill(~real, 2.0)
        real = real & (lots.argsort(1).argsort(1) < most)
    owner, row = real.nonzero(as_tuple=True)
    return words[owner, row], owner
