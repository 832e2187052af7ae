"""Visual grounding: an image and phrases in, the boxes of what they mean out."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.ops import box_iou, nms

from captioning.boxes import union_box
from captioning.data.phrases import OtherPhrases, Phrase, all_phrases
from captioning.encoders.base import Encoder
from captioning.encoders.text import TextEncoder, padded
from captioning.errors import UserError
from captioning.example import Example
from captioning.heads.grounding import GroundingHead, Located
from captioning.memory import VisualMemory
from captioning.metrics.box_scores import METRICS, Place, Truth, score_places
from captioning.metrics.scores import Scores
from captioning.tasks.base import Build, Parts, Task
from captioning.tasks.captioning.augmentation import SIDES, reflected, seen_in_mirror
from captioning.tasks.captioning.confidence import AS_IT_IS, check_curve
from captioning.tasks.grounding.objectives import Phrases, Weights, grounding_losses
from captioning.text.vocabulary import EOS, PAD, UNK, Vocabulary

WORDS = "vocabulary.json"
MAX_WORDS = 100  # of a phrase; what comes after is not read
SAME = 0.5  # IoU from which two boxes are of one thing
BELIEF: tuple[str, Literal["max", "min"]] = ("val/absent AUC", "max")
ENOUGH = 0.5  # probability from which a token shows a thing, and something is there at all


class Grounding(Task):
    """Rows are the phrases about an image; a head says where they are. Judged by accuracy at an IoU of one half.

    Args:
        text: configuration of a `TextEncoder` that tells of single words.
        head: configuration of a `GroundingHead`, without the sizes that follow from encoder and text.
        weights: what the parts of the loss count, see `Weights`.
        vocabulary: `min_count` and `max_words` of the words that are taken from the training phrases.
        phrases_per_image: rows of each image in training; of more phrases others are taken in each epoch. None for all.
        absent: further rows of each image in training, about other images' things, which are not there; others in each
            epoch. Those that the source gives (`data.absent`) are then left to validation.
        mirror: how likely an image is seen in a mirror in training, left and right in its phrases with it.
        learns: beginnings of the names of weights that learn, such as ["head.sure"], whether something is there and its
            box right; the others stay as they are. None for all.
        seed: what the choice of rows and mirrors depends on, besides epoch and image.
        presence: slope and offset of the log-odds that something is there, as `calibrated` fits them.
    """

    needs = ("phrases",)
    monitor = ("val/acc@0.5", "max")
    columns = ("acc@0.5", "pointing")
    things = "boxes"
    usage = "locate PHOTO PHRASE"
    metrics = ("boxes",)
    files = (WORDS,)
    compares = True

    def __init__(
        self,
        *,
        text: Mapping[str, Any],
        head: Mapping[str, Any],
        weights: Mapping[str, float] | None = None,
        vocabulary: Mapping[str, Any] | None = None,
        phrases_per_image: int | None = 12,
        absent: int = 0,
        mirror: float = 0.0,
        learns: Sequence[str] | None = None,
        seed: int = 0,
        presence: Mapping[str, float] | None = None,
    ):
        super().__init__()
        if phrases_per_image is not None and phrases_per_image < 1:
            raise UserError(f"task.phrases_per_image={phrases_per_image}: it is 1 or more, or null")
        self.parts = {"text": dict(text), "head": dict(head)}
        try:
            self.weights = Weights(**(weights or {}))
        except TypeError:
            raise UserError(f"task.weights: they are {', '.join(asdict(Weights()))}") from None
        self.vocabulary_options = {"min_count": 2, "max_words": 16, **(vocabulary or {})}
        if not 1 <= self.vocabulary_options["max_words"] <= MAX_WORDS:
            raise UserError(f"task.vocabulary.max_words: it is 1 to {MAX_WORDS}")
        if not 0 <= mirror <= 1:
            raise UserError(f"task.mirror={mirror}: it is a probability, from 0 to 1")
        if absent < 0:
            raise UserError(f"task.absent={absent}: it is 0 or more")
        self.phrases_per_image, self.absent, self.mirror, self.seed = phrases_per_image, absent, mirror, seed
        self.others: OtherPhrases | None = None  # while it learns, what is not there is drawn from
        self.learns = None if learns is None else tuple(learns)
        if learns and all(one.startswith("head.sure") for one in learns):
            self.monitor = BELIEF  # no box moves
        self.presence = check_curve(presence or AS_IT_IS)
        self.vocabulary: Vocabulary | None = None
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))  # what log-odds are multiplied by, and added

    def fit(self, examples: Sequence[Example]) -> None:
        texts = [phrase.text for phrase in all_phrases(examples)]
        self.vocabulary = Vocabulary.build(texts, **self.vocabulary_options)

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        self.text: TextEncoder = instantiate(self.parts["text"], kind=TextEncoder)
        self.text.use(self.vocabulary)
        sizes = {"visual_width": encoder.width, "text_width": self.text.state_width}
        self.head: GroundingHead = instantiate(self.parts["head"], kind=GroundingHead, **sizes)
        if self.learns is not None:
            names = [name for name, _ in self.named_parameters()]
            if missing := [one for one in self.learns if not any(name.startswith(one) for name in names)]:
                raise UserError(f"task.learns: no weight's name begins with {', '.join(missing)}. Try head or text")
            for name, weight in self.named_parameters():
                weight.requires_grad_(name.startswith(self.learns))

    def train(self, mode: bool = True) -> Grounding:
        """What does not learn has no dropout."""
        super().train(mode)
        if mode and self.learns is not None:
            for name, module in self.named_modules():
                module.training = not name or f"{name}.".startswith(tuple(f"{one}." for one in self.learns))
        return self

    def undecided(self, examples: Sequence[Example]) -> str:
        if self.monitor == BELIEF and all(phrase.boxes for phrase in all_phrases(examples)):
            return "no phrase of validation is about what is not there (data.absent=3), and no box moves"
        return ""

    def begin(self, examples: Sequence[Example]) -> None:
        self.others = OtherPhrases(examples) if self.absent else None

    def end(self) -> None:
        self.others = None

    def rows(self, example: Example, epoch: int) -> list[Phrase]:
        """The phrases of an image that are learned from in an epoch, each once; all where nothing is learned."""
        phrases = list(getattr(example, "phrases", ()))
        if not self.training:
            return phrases
        chance = f"{self.seed} {epoch} {example.id}"
        absent = self.others.drawn(example, self.absent, f"absent {chance}") if self.others else []
        if self.others:
            phrases = [phrase for phrase in phrases if not phrase.absent]
        phrases = list({(phrase.text.lower(), phrase.boxes): phrase for phrase in phrases}.values())
        most = self.phrases_per_image
        if most is not None and len(phrases) > most:
            phrases = random.Random(chance).sample(phrases, most)
        return [*phrases, *absent]

    def encode(self, phrase: str) -> list[int]:
        """The numbers of a phrase's words, at least one."""
        ids = [i for i in self.text.encode(phrase) if i != EOS or not hasattr(self.text, "vocabulary")]
        return ids or [UNK]

    def ask(self, phrases: Sequence[Sequence[str]]) -> Phrases:
        """The phrases of B images, with nothing to be learned."""
        return Phrases(padded([[self.encode(one) for one in those] for those in phrases]), tuple(map(len, phrases)))

    def targets(self, examples: Sequence[Example], epoch: int) -> Phrases:
        """-> the phrases of a batch, with their boxes."""
        chosen = [self.rows(example, epoch) for example in examples]
        mirrored = [self.in_mirror(example, epoch) for example in examples]
        texts = [[in_mirror(one.text) if m else one.text for one in c] for m, c in zip(mirrored, chosen, strict=True)]
        asked = self.ask(texts)
        most = max((len(one.boxes) for those in chosen for one in those), default=0)
        boxes = torch.zeros(*asked.words.shape[:2], max(1, most), 4)
        counts = torch.zeros(asked.words.shape[:2], dtype=torch.long)
        for b, those in enumerate(chosen):
            for r, one in enumerate(those):
                counts[b, r] = len(one.boxes)
                if one.boxes:
                    boxes[b, r, : len(one.boxes)] = torch.tensor(one.boxes)
        mirror = torch.tensor(mirrored)
        boxes = torch.where(mirror[:, None, None, None], reflected(boxes), boxes) if any(mirrored) else boxes
        return Phrases(asked.words, asked.rows, boxes, counts, mirror if any(mirrored) else None)

    def in_mirror(self, example: Example, epoch: int) -> bool:
        """Whether an image is learned from in a mirror in this epoch."""
        return self.training and random.Random(f"mirror {self.seed} {epoch} {example.id}").random() < self.mirror

    def locate(self, memory: VisualMemory, words: Tensor) -> tuple[Any, Located]:
        """What the head prepared of the images, and where it finds phrases (B, R, T)."""
        states, real = self.text.word_states(words)
        context = self.head.prepare(memory)
        rows = words.shape[:2]
        return context, self.head(context, states.unflatten(0, rows), real.unflatten(0, rows))

    def losses(self, memory: VisualMemory, targets: Phrases) -> tuple[dict[str, Tensor], int]:
        """The parts of the loss, and of how many phrases."""
        if targets.mirrored is not None:
            memory = seen_in_mirror(memory, targets.mirrored)
        context, found = self.locate(memory, targets.words)
        real = targets.words[..., 0] != PAD  # (B, R)
        image, _ = real.nonzero(as_tuple=True)
        boxes, counts = targets.boxes[real].float(), targets.counts[real]
        parts = grounding_losses(self.head, found.rows(real), context.places.float()[image], boxes, counts)
        parts["loss"] = sum(weight * parts[name] for name, weight in asdict(self.weights).items())
        return parts, len(counts)

    def loss(self, memory: VisualMemory, targets: Phrases, ids: Sequence[int | str]) -> tuple[Tensor, Parts]:
        parts, _ = self.losses(memory, targets)
        return parts["loss"], {**{name: part.detach() for name, part in parts.items()}, "right": 100 * parts["right"]}

    def validation_loss(
        self, memory: VisualMemory, targets: Phrases, ids: Sequence[int | str]
    ) -> tuple[float, int] | None:
        parts, count = self.losses(memory, targets)
        return float(parts["loss"]), count

    @torch.no_grad()
    def predict(self, memory: VisualMemory, targets: Phrases) -> list[list[dict[str, Any]]]:
        """Of each image and phrase what `found` says."""
        context, located = self.locate(memory, targets.words)
        places = context.places.float().cpu()
        return [[self.found(located, places[b], b, r) for r in range(rows)] for b, rows in enumerate(targets.rows)]

    def found(self, located: Located, places: Tensor, b: int, r: int) -> dict[str, Any]:
        """One phrase as plain data: the `box` around all that is meant, the single `boxes` where these are several, how
        likely it is that the box is right (`score`, and before it was fitted, as log-odds, `odds`) and that anything is
        meant at all (`there`), and the `point`, the middle of the token that shows it most."""
        there = self.presence["slope"] * located.there[b, r].double() + self.presence["offset"]
        odds = both(there, located.sure[b, r].double())
        tokens = located.tokens[b, r].float().cpu()
        x1, y1, x2, y2 = places[int(tokens.argmax())].tolist()
        box = located.boxes[b, r].float().cpu()
        boxes = several(box, located.parts[b, r].float().cpu(), tokens.sigmoid())
        whole = union_box(boxes.tolist()) if bool((boxes == box).all(1).any()) else box.tolist()
        return {
            "box": list(whole),
            "boxes": boxes.tolist(),
            "score": float(self.probability(odds)),
            "odds": float(odds),
            "there": float(there.sigmoid()),
            "point": [(x1 + x2) / 2, (y1 + y2) / 2],
        }

    def probability(self, odds: Tensor) -> Tensor:
        """Log-odds of a box being right -> its probability (Platt 1999)."""
        factor, shift = self.calibration.to(odds.dtype)
        return (factor * odds + shift).sigmoid()

    def score(
        self, predictions: Mapping[int | str, Any], examples: Sequence[Example], *, metrics: Sequence[str] = ()
    ) -> Scores:
        """Accuracy at IoU 0.5 with the box around all that is meant, and the pointing game; where `metrics` are named
        also by kind of phrase, and how well the score tells what is not there."""
        truth, places = {}, {}
        for example in examples:
            for phrase, found in zip(getattr(example, "phrases", ()), predictions[example.id], strict=True):
                truth[phrase.id] = Truth(phrase.boxes, phrase.kind)
                box, point = tuple(found["box"]), tuple(found["point"])
                places[phrase.id] = Place(box, point, found["score"], found["there"])
        return score_places(truth, places, metrics=tuple(metrics or self.metrics), kinds=bool(metrics))

    def usual_metrics(self, source: Any) -> tuple[str, ...]:
        return tuple(METRICS)

    def tally(self, examples: Sequence[Example]) -> str:
        return f"{sum(1 for phrase in all_phrases(examples) if phrase.boxes):,} located"

    def results(self, predictions: Mapping[int | str, Any]) -> list[dict[str, Any]]:
        """Images with what was found of their phrases, in the order in which they are asked."""
        return [{"image_id": key, "phrases": value} for key, value in predictions.items()]

    def check(self, encoder: Encoder) -> None:
        memory = VisualMemory.blank(encoder.width)
        training = self.training
        self.eval()
        with torch.inference_mode():
            self.predict(memory, self.ask([["thing"]]))
        self.train(training)

    def texts(self) -> dict[str, str]:
        return {WORDS: self.vocabulary.to_json()}

    def read_texts(self, texts: Mapping[str, str], where: str) -> None:
        if WORDS not in texts:
            raise UserError(f"{where}/{WORDS} is missing: the model folder is incomplete")
        self.vocabulary = Vocabulary.from_json(texts[WORDS], f"{where}/{WORDS}")
        if not 1 <= self.vocabulary.max_words <= MAX_WORDS:
            raise UserError(f"{where}/{WORDS}: max_words is not within 1 to {MAX_WORDS}")

    def config(self) -> dict[str, Any]:
        fitted = {"presence": self.presence} if self.presence != AS_IT_IS else {}
        return {**super().config(), **self.parts, **fitted}

    def summary(self) -> str:
        return f"{type(self.text).__name__}, {type(self.head).__name__}"

    def calibrated(self, predictor: Any, source: Any, split: str, **options: Any) -> tuple[Any, Any]:
        """The model with scores that are as high as boxes are often right on a split, and things there."""
        from captioning.tasks.grounding.calibration import calibrated

        return calibrated(predictor, source, split, **options)

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
        **compared: Any,
    ) -> Path:
        """Scores by kind, and photos with what was found beside what people drew, failures among them; `compared` with
        another model where its `name` and the one `against` it are given."""
        from captioning.tasks.grounding.evaluation import write_boxes

        return write_boxes(path, examples, source, predictions, scores, title=title, **compared)

    def predictor(self, bundle: Any, device: str | torch.device | None = None) -> Any:
        """A `Locator`."""
        from captioning.tasks.grounding.locator import Locator

        return Locator(bundle, device=device)


def in_mirror(phrase: str) -> str:
    """A phrase about an image as it is about its mirror image: left and right change places."""
    opposite = {one: other for pair in SIDES for one, other in (pair, pair[::-1])}
    return re.sub(r"[A-Za-z]+", lambda word: opposite.get(word[0].lower(), word[0]), phrase)


def both(there: Tensor, sure: Tensor) -> Tensor:
    """Log-odds of two things, one after the other -> those of both being so."""
    return there + sure - torch.log1p(there.exp() + sure.exp())


def several(whole: Tensor, parts: Tensor, shown: Tensor) -> Tensor:
    """The single things of a phrase, likeliest first (n, 4): the box around all (4,) alone where they are one.

    parts (N, 4) with the probability of each token to show one, `shown` (N,). They are several where what tokens of at
    least one half show are different boxes, none of which is the one around all; unless that is the best of them, as it
    is where regions are scored and none is around all.
    """
    likely = shown >= ENOUGH
    if int(likely.sum()) < 2:
        return whole[None]
    boxes = parts[likely][nms(parts[likely], shown[likely], SAME)]
    best = bool((boxes == whole).all(1).any())
    return boxes if len(boxes) > 1 and (best or bool((box_iou(boxes, whole[None]) < SAME).all())) else whole[None]
