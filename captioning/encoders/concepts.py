"""Concept tokens: the words of what a detector and a classifier believe to see, beside what an encoder sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from captioning.encoders.base import Composite, Encoder
from captioning.encoders.detectors.base import Detector, Proposals
from captioning.encoders.nouns import ImageNetNouns
from captioning.encoders.regions import suppress
from captioning.errors import UserError
from captioning.layers.positions import grid_cells
from captioning.memory import VisualMemory
from captioning.text.concepts import ANIMALS, animals, concepts

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.example import Example

CANDIDATES = 200  # likeliest proposals of a picture that suppression looks at
LARGE, RULED_OUT = 0.16, 0.05  # a share of a picture's area, a probability


@dataclass(frozen=True)
class Looks:
    """What a `ConceptEncoder` reads of a picture, or of B pictures."""

    own: Any  # for the encoder
    seen: tuple[Tensor, ...]  # for the detector, where there is one

    def to(self, *args, **kwargs) -> Looks:
        """Tensors moved as `Tensor.to` moves them."""
        return Looks(self.own.to(*args, **kwargs), tuple(part.to(*args, **kwargs) for part in self.seen))


class ConceptEncoder(Composite):
    """The memory of `encoder`, followed by concept tokens: at most `most_regions` of a detector, `most_nouns` of a
    classifier.

    Such a token is all zeros, with a class, a score and a box, which a decoder embeds that reads concepts. Of the C
    concepts of `captioning.text.concepts` number c has class c where the detector found it, and class C + c where the
    classifier, which looks at the whole picture, named it. Tokens of `encoder` have class -1, and the boxes of their
    cells where it gives none. A detector's regions are those of at least `region_threshold`, the likeliest and largest
    first (score times the square root of the area); nouns are those of at least `noun_threshold`. With
    `animal_threshold`, from 0 to 1, a large region is left out that the detector, which knows few animals, takes for
    one of these, where the classifier is at least so sure of another animal, and surer (`mistaken_animals`).
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        detector: Detector | None = None,
        classifier: ImageNetNouns | None = None,
        most_regions: int = 8,
        most_nouns: int = 3,
        region_threshold: float = 0.2,
        noun_threshold: float = 0.08,
        nms_threshold: float = 0.5,
        animal_threshold: float | None = None,
        finetune: bool = False,
    ):
        super().__init__([encoder], finetune=finetune)
        if detector is None and classifier is None:
            raise UserError("encoder.detector and encoder.classifier are both null: nothing would name a concept")
        if encoder.takes != "image":
            raise UserError(f"encoder.encoder: {type(encoder).__name__} looks at clips; concepts are named in photos")
        if classifier is not None and classifier.width != encoder.width:
            raise UserError(
                f"encoder.classifier reads {classifier.width} numbers of encoder.encoder, which has {encoder.width}: "
                "name the same backbones in both"
            )
        if animal_threshold is not None and not 0 <= animal_threshold <= 1:
            raise UserError(f"encoder.animal_threshold={animal_threshold}: it is from 0 to 1, or null")
        names = list(concepts())
        if detector is not None and (unknown := [n for n in detector.class_names if n not in names]):
            raise UserError(f"encoder.detector finds {unknown[0]!r}, for which there is no word among the concepts")
        self.encoder, self.detector, self.classifier = encoder, detector, classifier
        self.most_regions, self.most_nouns = most_regions, most_nouns
        self.region_threshold, self.noun_threshold = region_threshold, noun_threshold
        self.nms_threshold, self.animal_threshold = nms_threshold, animal_threshold
        self.width, self.size = encoder.width, encoder.size
        numbers = torch.tensor([] if detector is None else [names.index(n) for n in detector.class_names])
        self.register_buffer("concept_of", numbers.long(), persistent=False)
        for kind, those in (("animal", animals()), ("detected_animal", ANIMALS)):
            self.register_buffer(kind, torch.tensor([name in those for name in names]), persistent=False)  # (C,)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes of concept tokens are called."""
        return (*concepts(), *concepts())

    def read(self, image: Image) -> Looks:
        return Looks(self.encoder.read(image), () if self.detector is None else self.detector.read(image, None))

    def read_annotated(self, image: Image, example: Example) -> Looks:
        seen = () if self.detector is None else self.detector.read(image, example)
        return Looks(self.encoder.read_annotated(image, example), seen)

    def collate(self, pictures: Sequence[Looks]) -> Looks:
        own = self.encoder.collate([picture.own for picture in pictures])
        return Looks(own, self.detector.collate([p.seen for p in pictures]) if self.detector is not None else ())

    def forward(self, pictures: Looks) -> VisualMemory:
        """B pictures -> N = the encoder's tokens and the most concepts of a picture among them."""
        memory = self.encoder(pictures.own)
        with torch.no_grad():
            found = [self.regions(self.detector(*pictures.seen))] if self.detector is not None else []
            if self.classifier is not None:
                likely = self.classifier(memory.pooled)  # (B, C)
                if found and self.animal_threshold is not None:
                    classes, scores, boxes = found[0]
                    mistaken = self.mistaken_animals(classes, scores, boxes, likely)
                    found[0] = classes.masked_fill(mistaken, -1), scores, boxes
                found.append(self.nouns(likely))
        classes, scores, boxes = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return with_concepts(memory, classes, scores, boxes)

    def regions(self, proposals: Proposals) -> tuple[Tensor, Tensor, Tensor]:
        """-> classes (B, most_regions), -1 for none, scores, and boxes (B, most_regions, 4)."""
        scores, index = proposals.scores.topk(min(CANDIDATES, proposals.scores.shape[1]), dim=1)
        boxes = proposals.boxes.gather(1, index[..., None].expand(-1, -1, 4))
        classes = proposals.classes.gather(1, index)
        sides = boxes[..., 2:] - boxes[..., :2]
        real = (scores >= self.region_threshold) & (sides > 0).all(-1)
        kept = suppress(boxes, scores, classes, real, self.nms_threshold)
        weight = (scores * sides.clamp(min=0).prod(-1).sqrt()).masked_fill(~kept, -1.0)
        best = weight.sort(dim=1, descending=True, stable=True).indices[:, : self.most_regions]
        there = kept.gather(1, best)
        classes = self.concept_of[classes.gather(1, best)].masked_fill(~there, -1)
        return classes, scores.gather(1, best), boxes.gather(1, best[..., None].expand(-1, -1, 4))

    def nouns(self, likely: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """likely (B, C) -> classes (B, most_nouns), -1 for none, scores, and the whole picture as boxes."""
        scores, classes = likely.topk(self.most_nouns)
        classes = (classes + len(concepts())).masked_fill(scores < self.noun_threshold, -1)
        return classes, scores, scores.new_tensor([0, 0, 1, 1]).expand(*scores.shape, 4)

    def mistaken_animals(self, classes: Tensor, scores: Tensor, boxes: Tensor, likely: Tensor) -> Tensor:
        """Which of the regions that `regions` returns show another animal than they are called. -> (B, K) bool.

        Those are called one of COCO's animals and cover more than `LARGE` of the picture, where the classifier, which
        finds the concepts `likely` (B, C), is sure of another animal by `animal_threshold`, surer than the detector,
        and nearly rules out the one named.
        """
        surest, animal = likely.masked_fill(~self.animal, -1.0).max(1, keepdim=True)  # (B, 1)
        there = classes.clamp(min=0)
        areas = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)
        other = (classes >= 0) & self.detected_animal[there] & (there != animal) & (areas > LARGE)
        return other & (likely.gather(1, there) < RULED_OUT) & (surest >= self.animal_threshold) & (scores < surest)


def with_concepts(memory: VisualMemory, classes: Tensor, scores: Tensor, boxes: Tensor) -> VisualMemory:
    """The memory, and after its tokens those of `classes` (B, K), -1 for none, with scores and boxes (B, K, 4)."""
    there = classes >= 0
    most = int(there.sum(1).max())
    first = (~there).to(torch.uint8).sort(dim=1, stable=True).indices[:, :most]  # what is there comes first
    classes, scores, there = (part.gather(1, first) for part in (classes, scores, there))
    boxes = boxes.gather(1, first[..., None].expand(-1, -1, 4)) * there[..., None]
    own = grid_cells(memory.mask) if memory.boxes is None else memory.boxes
    before = torch.full_like(memory.mask, -1, dtype=torch.long)
    return replace(
        memory,
        tokens=F.pad(memory.tokens, (0, 0, 0, most)),
        mask=torch.cat([memory.mask, there], 1),
        boxes=torch.cat([own, boxes.to(own.dtype)], 1),
        classes=torch.cat([before, classes.masked_fill(~there, -1)], 1),
        scores=torch.cat([torch.zeros_like(before, dtype=scores.dtype), scores * there], 1),
    )
