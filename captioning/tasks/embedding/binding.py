"""Further senses in the space of images and words: sound, depth, motion, each bound to one that is there already.

What is bound to images only ends up beside the texts of such images as well, though no text ever came with it
(ImageBind, Girdhar et al. 2023, arXiv:2305.05665).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captioning.data.senses import SENSES
from captioning.data.source import Source
from captioning.encoders.base import Encoder
from captioning.encoders.reading import read_example
from captioning.errors import UserError
from captioning.example import Example
from captioning.memory import VisualMemory
from captioning.metrics.bootstrap import Resamplable, mean_of
from captioning.metrics.classification import accuracy_table, class_ranks
from captioning.metrics.retrieval import chance_of, ranks, recall_per_image, recall_table, resamplable
from captioning.metrics.scores import Scores
from captioning.tasks.base import Build, Parts
from captioning.tasks.embedding.objectives import Matching, gathered, in_chunks
from captioning.tasks.embedding.task import METRICS, Embedding, rows_of

BOUND = (("image", "text"), ("image", "sound"), ("image", "depth"), ("image", "motion"))
REMEMBERED = 2**29  # bytes of what encoders read, which is read once


@dataclass(frozen=True)
class SensedBatch:
    """What a batch of B examples has beside images. Of each sense what its encoder reads, and of which example."""

    words: Tensor  # (B, R, T)
    senses: Mapping[str, tuple[Any, Tensor]]  # (what `collate` makes of n readings, (n,) numbers in the batch)

    def to(self, *args: Any, **kwargs: Any) -> SensedBatch:
        """Tensors moved as `Tensor.to` moves them."""
        moved = {name: tuple(part.to(*args, **kwargs) for part in pair) for name, pair in self.senses.items()}
        return replace(self, words=self.words.to(*args, **kwargs), senses=moved)


class Binding(Embedding):
    """An `Embedding` that also hears, measures or sees motion.

    Args:
        senses: sound, depth, motion: the configuration of the encoder of each, which learns from scratch.
        pairs: which of image, text and these learn to find each other, with a temperature of their own each. In a
            batch a pair learns from the examples that have both.
        frozen: images and texts stay where the model that training starts from has them, and only further senses
            learn.
        judged_by: "binding", how well all pairs find each other, or "names", how often a sense finds its label.
        others: those of `Embedding`.
    """

    needs = ()
    columns = ("recall", "emergent")
    metrics = ("binding",)
    fresh = ("senses.", "projections.", "matchings.")

    def __init__(
        self,
        *,
        senses: Mapping[str, Mapping[str, Any]],
        pairs: Sequence[Sequence[str]] = BOUND,
        frozen: bool = False,
        judged_by: str = "binding",
        **embedding: Any,
    ):
        super().__init__(**embedding)
        senses = {name: config for name, config in senses.items() if config is not None}
        known = ("image", "text", *senses)
        if unknown := [name for name in senses if name not in SENSES]:
            raise UserError(f"senses: {unknown[0]!r} is none of {', '.join(SENSES)}")
        if not pairs or any(len(set(pair)) != 2 or len(pair) != 2 or not set(pair) <= set(known) for pair in pairs):
            raise UserError(f"pairs: two different ones of {', '.join(known)} each")
        if judged_by not in ("binding", "names"):
            raise UserError(f"judged_by={judged_by}: it is binding or names")
        self.parts |= {"senses": senses, "pairs": [list(pair) for pair in pairs]}
        self.pairs = [(a, b) if a != "text" else (b, a) for a, b in pairs]  # texts may be several of an example
        self.frozen, self.metrics = frozen, (judged_by,)
        self.source: Source | None = None
        self.read: dict[tuple[str, int | str], Any] = {}
        self.room = REMEMBERED

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        super().build(encoder, instantiate)
        self.senses = nn.ModuleDict()
        self.projections = nn.ModuleDict()
        for name, config in self.parts["senses"].items():
            sense: Encoder = instantiate(config, kind=Encoder)
            wanted = "clip" if name == "motion" else name
            if sense.takes != wanted:
                raise UserError(f"task.senses.{name}: {type(sense).__name__} reads a {sense.takes}, not a {wanted}")
            self.senses[name] = sense
            sizes = {"visual_width": sense.width, "width": self.width}
            self.projections[name] = instantiate(self.parts["image"], kind=nn.Module, **sizes)
        others = [pair for pair in self.pairs if pair != ("image", "text")]  # whose temperature is the objective's
        make = self.parts["objective"]
        self.matchings = nn.ModuleDict({"-".join(pair): instantiate(make, kind=Matching) for pair in others})
        if self.frozen:
            for part in self.towers():
                part.requires_grad_(False)

    def towers(self) -> list[nn.Module]:
        """What makes vectors of images and texts."""
        return [self.image, self.text, self.project_text, self.objective]

    def train(self, mode: bool = True) -> Binding:
        """Frozen towers stay in eval mode."""
        super().train(mode)
        if self.frozen and hasattr(self, "image"):
            for part in self.towers():
                part.eval()
        return self

    def read_from(self, source: Source) -> None:
        if source is not self.source:
            self.source, self.room = source, REMEMBERED
            self.read.clear()

    def targets(self, examples: Sequence[Example], epoch: int) -> SensedBatch:
        """All captions, and of each sense what its encoder reads of the examples that have it."""
        senses = {}
        for name, encoder in self.senses.items():
            there = [i for i, example in enumerate(examples) if name in getattr(example, "senses", ())]
            if there:
                readings = [self.reading(name, examples[i]) for i in there]
                senses[name] = (encoder.collate(readings), torch.tensor(there))
        return SensedBatch(super().targets(examples, epoch), senses)

    def reading(self, name: str, example: Example) -> Any:
        """What a sense's encoder reads of an example; kept as long as there is room."""
        key = (name, example.id)
        if key in self.read:
            return self.read[key]
        if self.source is None:
            raise UserError(f"the {name} of an example is read by its source: Task.read_from comes first")
        found = read_example(self.senses[name], self.source, example)
        if isinstance(found, Tensor) and (size := found.numel() * found.element_size()) <= self.room:
            self.read[key], self.room = found, self.room - size
        return found

    def embed_sense(self, name: str, memory: VisualMemory) -> Tensor:
        """What a sense's encoder made -> (n, W) of unit length."""
        return self.projections[name](memory)

    def vectors(self, memory: VisualMemory, targets: SensedBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """Of images, texts and senses: unit vectors (n, W), and which example each is of (n,)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            words, owner = rows_of(targets.words, self.captions_per_image if self.training else None)
            images = self.embed_images(memory)
            found = {"image": (images, torch.arange(len(images), device=images.device))}
            if len(words):
                found["text"] = (in_chunks(self.embed_words, words, self.chunk), owner)
        for name, (batch, places) in targets.senses.items():
            found[name] = (self.embed_sense(name, self.senses[name](batch)), places)
        return found

    def loss(self, memory: VisualMemory, targets: SensedBatch, ids: Sequence[int | str]) -> tuple[Tensor, Parts]:
        found = self.vectors(memory, targets)
        none = (memory.tokens.new_zeros(0, self.width), torch.zeros(0, dtype=torch.long, device=memory.tokens.device))
        losses: dict[str, Tensor] = {}
        for pair in self.pairs:
            (anchors, at), (rows, owner) = (found.get(name, none) for name in pair)
            place = at.new_full((len(memory),), -1)
            place[at] = torch.arange(len(at), device=at.device)
            inside = place[owner] >= 0
            rows, owner = rows[inside], place[owner[inside]]
            if pair[1] == "text" and len(rows) == len(anchors):
                anchors, rows, owner = by_text(anchors, rows, owner)
            together = gathered(anchors, rows, owner)
            if len(together[1]):
                name = "-".join(pair)
                objective = self.matchings[name] if name in self.matchings else self.objective
                losses[name] = objective(*together)
        total = torch.stack(list(losses.values())).mean() if losses else memory.tokens.sum() * 0
        return total, {"loss": total.detach()} | {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def predict(self, memory: VisualMemory, targets: SensedBatch) -> list[dict[str, Any]]:
        """Of each example the vector of its image (W,), those of its texts (R, W), and of each sense that it has."""
        predictions = super().predict(memory, targets.words)
        for name, (batch, places) in targets.senses.items():
            vectors = self.embed_sense(name, self.senses[name](batch)).cpu().numpy()
            for place, vector in zip(places.tolist(), vectors, strict=True):
                predictions[place][name] = vector
        return predictions

    def score(
        self, predictions: Mapping[int | str, Any], examples: Sequence[Example], *, metrics: Sequence[str] = ()
    ) -> Scores:
        """ "binding": recall at 1 of each by each other, "sound-text R@1" being texts found by sounds. "recall" is the
        mean of recall at 1, 5 and 10 over the pairs that learned, "emergent" that of recall at 1 over those that never
        did. "chance" adds how probable it is that vectors that know nothing rank as well, "p sound-text".
        "names": how often a sense finds its label's prompt among all labels that occur, for examples of one label.
        Others are those of `Embedding`.
        """
        wanted = tuple(metrics or self.metrics)
        if set(wanted) <= set(METRICS):
            return super().score(predictions, examples, metrics=wanted)
        if unknown := [name for name in wanted if name not in ("binding", "chance", "names")]:
            raise UserError(f"there is no metric {unknown[0]!r}. Choose from binding, chance, names.")
        if "names" in wanted:
            return self._names(predictions, examples)
        senses = [
            name for name in ("image", "text", *self.senses) if any(_has(one, name) for one in predictions.values())
        ]
        keys = [one.id for one in examples if all(_has(predictions[one.id], name) for name in senses)]
        if len(keys) < 2 or len(senses) < 2:
            raise UserError("binding: two examples at least that have two senses are compared")
        corpus: dict[str, float] = {}
        per_image: dict[str, Any] = {}
        ready: dict[str, Resamplable] = {}
        learned, emergent = [], []
        for a, b in combinations(sorted(senses, key=lambda name: name == "text"), 2):
            first = np.stack([predictions[key][a] for key in keys])
            many = [np.atleast_2d(predictions[key]["texts" if b == "text" else b]) for key in keys]
            found = ranks(first, np.concatenate(many), np.repeat(np.arange(len(keys)), [len(each) for each in many]))
            table, values, sums = recall_table(found), recall_per_image(found), resamplable(found)
            for name, way in ((f"{a}-{b} R@1", "i2t"), (f"{b}-{a} R@1", "t2i")):
                corpus[name], per_image[name], ready[name] = (part[f"{way} R@1"] for part in (table, values, sums))
            direct = (a, b) in self.pairs or (b, a) in self.pairs
            learned += [value for name, value in table.items() if "R@" in name] if direct else []
            emergent += [] if direct else [corpus[f"{a}-{b} R@1"], corpus[f"{b}-{a} R@1"]]
            if "chance" in wanted:
                corpus[f"p {a}-{b}"] = chance_of(first, np.stack([each[0] for each in many]))
        corpus |= {"recall": float(np.mean(learned))} if learned else {}
        corpus |= {"emergent": float(np.mean(emergent))} if emergent else {}
        return Scores(tuple(keys), corpus, per_image, ready)

    def _names(self, predictions: Mapping[int | str, Any], examples: Sequence[Example]) -> Scores:
        if [example for example in examples if len(example.labels) != 1 or not len(predictions[example.id]["texts"])]:
            raise UserError("names: each example needs one label, and prompts of it as captions")
        names, classes = self._classes(predictions, examples)
        corpus: dict[str, float] = {"chance": 1 / len(names)}
        per_image, ready, firsts = {}, {}, []
        for sense in [name for name in self.senses if all(name in predictions[one.id] for one in examples)]:
            cosines = np.stack([predictions[example.id][sense] for example in examples]) @ classes.T
            labels = np.array([names.index(example.labels[0]) for example in examples])
            corpus |= {f"{sense} {name}": value for name, value in accuracy_table(cosines, labels).items()}
            right = (class_ranks(cosines, labels) == 1).astype(np.float64)
            per_image[f"{sense} top-1"], ready[f"{sense} top-1"] = right, mean_of(right)
            firsts.append(float(right.mean()))
        if not firsts:
            raise UserError(f"names: no example has any of {', '.join(self.senses)}")
        corpus["recall"] = float(np.mean(firsts))
        return Scores(tuple(example.id for example in examples), corpus, per_image, ready)

    def usual_metrics(self, source: Any) -> tuple[str, ...]:
        if tuple(source.metrics) == ("binding",):
            return ("binding", "chance")
        return ("names",) if tuple(source.metrics) == ("names",) else super().usual_metrics(source)

    def summary(self) -> str:
        return f"{super().summary()}; {', '.join('-'.join(pair) for pair in self.pairs)}"

    def predictor(self, bundle: Any, device: str | torch.device | None = None) -> Any:
        """A `Binder`."""
        from captioning.tasks.embedding.binder import Binder

        return Binder(bundle, device=device)


def by_text(anchors: Tensor, texts: Tensor, owner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of anchors with one text each, where some have the same one: each text once, all anchors, the text of each.

    What is called alike is then no wrong answer to each other. Otherwise everything stays as it is.
    """
    alone, which = texts.detach().unique(dim=0, return_inverse=True)
    if len(alone) == len(texts):
        return anchors, texts, owner
    first = torch.full((len(alone),), len(texts), device=which.device)
    first.scatter_reduce_(0, which, torch.arange(len(which), device=which.device), "amin")
    of_anchor = torch.empty_like(which)
    of_anchor[owner] = which
    return texts[first], anchors, of_anchor


def _has(prediction: Mapping[str, Any], name: str) -> bool:
    return len(prediction["texts"]) > 0 if name == "text" else name in prediction
