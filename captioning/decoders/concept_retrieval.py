"""A decoder that remembers captions by what they name, and knows what of a caption nothing in the image supports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput
from captioning.decoders.salience import salience
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.metrics.reward import CiderReward
from captioning.runtime.option_checks import require_number, require_whole
from captioning.text.concepts import coco_objects, concept_namer, concepts
from captioning.text.tokenizer import tokenize
from captioning.text.vocabulary import EOS, PAD, Vocabulary

MEMORY = ("named", "shares", "captions", "caption_counts", "phrases", "phrase_names")
MOST_NAMED = 8  # concepts kept of a group of captions
FULL = 3  # captions of a group that have to say a concept for it to count in full
RAREST = 7.0  # log of how rare a concept may count as
MOST_SURE = 0.99  # that one region or noun makes of a concept
WORTH_NAMING = 0.3  # how much a concept has to count for a caption to gain by naming it, where nothing else is said


@dataclass
class ConceptRetrievalContext(Context):
    """What the decoder itself prepared, the groups of captions that fit an image best, and what is believed of it."""

    own: Context
    groups: Tensor  # (B, N) their numbers, the best first
    trust: Tensor  # (B, N) how much each counts, rows sum to one
    belief: Tensor  # (B, C) how sure detector or classifier are of each concept, 0 to 1
    weight: Tensor  # (B, C) how much each concept counts, by belief and size, 0 to 1

    def keep(self, images: Tensor) -> ConceptRetrievalContext:
        parts = {name: getattr(self, name)[images] for name in ("groups", "trust", "belief", "weight")}
        return replace(self, own=self.own.keep(images), **parts)


class ConceptRetrievalDecoder(Decoder[ConceptRetrievalContext, State]):
    """Speaks as `decoder` does, and knows the captions that name what detector and classifier believe to see.

    Captions come in groups, each of one photo that nobody needs to have. A group fits an image by the cosine of what
    both name, a rare concept counting for more; of an image a region counts by its score and size, a noun of the whole
    picture by its score. The `neighbours` that fit best count in proportion to exp(`sharpness` x cosine). Empty until
    `index_captions` is called or a finished model's file is read. `generation=consensus` makes use of it.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        visual_width: int,
        vocabulary_size: int,
        neighbours: int = 30,
        sharpness: float = 8.0,
    ):
        super().__init__()
        if not isinstance(decoder, Decoder) or isinstance(decoder, ConceptRetrievalDecoder):
            raise UserError("decoder.decoder: name a decoder there, one that remembers no captions by concepts yet")
        require_whole("", neighbours=neighbours)
        require_number("", sharpness=sharpness)
        if neighbours < 1 or sharpness < 0:
            raise UserError(f"neighbours is {neighbours} (1 or more) and sharpness is {sharpness} (0 or more)")
        self.decoder, self.neighbours, self.sharpness = decoder, neighbours, sharpness
        self.vocabulary_size = vocabulary_size
        small = torch.int16 if vocabulary_size < 2**15 else torch.int32
        kinds = {"shares": torch.uint8, "captions": small, "caption_counts": torch.int32, "phrases": small}
        for name in MEMORY:
            self.register_buffer(name, torch.zeros(0, dtype=kinds.get(name, torch.int16)))

    def index_captions(self, groups: Sequence[Sequence[str]], vocabulary: Vocabulary) -> ConceptRetrievalDecoder:
        """Remembers groups of captions, those left out that name nothing, whatever was there before. -> itself.

        Raises UserError where none names anything.
        """
        number = {name: i for i, name in enumerate(concepts())}
        find, named, kept = concept_namer(), [], []
        for group in groups:
            mentions = [{n for mention in find(tokenize(text)) for n in mention.names} for text in group]
            if counts := Counter(number[name] for names in mentions for name in sorted(names)):
                named.append(counts.most_common(MOST_NAMED))
                kept.append(group)
        if not kept:
            raise UserError("there is nothing to remember: no caption names anything")
        phrases = {
            tuple(vocabulary.ids[word] for word in phrase): [number[name] for name in sorted(names)]
            for phrase, names in concept_namer().phrases.items()
            if all(word in vocabulary.ids for word in phrase) and phrase != ("orange",)  # which is mostly a colour
        }
        rows = {
            "named": ([[concept for concept, _ in each] for each in named], -1),
            "shares": ([[min(count, FULL) for _, count in each] for each in named], 0),
            "captions": ([vocabulary.encode(text) for group in kept for text in group], PAD),
            "phrases": (list(map(list, phrases)), PAD),
            "phrase_names": (list(phrases.values()), -1),
        }
        for name, (lists, fill) in rows.items():
            tensors = [torch.tensor(each, dtype=getattr(self, name).dtype) for each in lists]
            setattr(self, name, nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=fill))
        self.caption_counts = torch.tensor([len(group) for group in kept], dtype=self.caption_counts.dtype)
        self.check()
        return self

    def check(self) -> None:
        """Raises UserError unless the parts of the memory fit each other and the vocabulary."""
        groups, words, known = len(self.caption_counts), self.vocabulary_size, len(concepts())
        fits = (
            groups > 0
            and self.named.dim() == self.captions.dim() == self.phrases.dim() == self.phrase_names.dim() == 2
            and self.named.shape == self.shares.shape
            and len(self.named) == groups
            and int(self.caption_counts.min()) > 0
            and int(self.caption_counts.sum()) == len(self.captions)
            and len(self.phrases) == len(self.phrase_names)
            and all(0 <= int(ids.min()) <= int(ids.max()) < words for ids in (self.captions, self.phrases))
            and all(-1 <= int(ids.min()) <= int(ids.max()) < known for ids in (self.named, self.phrase_names))
        )
        if not fits:
            raise UserError("what the decoder remembers by concepts does not fit together: copy the folder again")
        for name in ("reward", "rarity", "keys", "naming"):
            self.__dict__.pop(name, None)

    @cached_property
    def reward(self) -> CiderReward:
        """CIDEr-D with the captions of a group, each n-gram as rare as it is among all of them."""
        captions, ends = self.captions.cpu().numpy(), self.caption_counts.cpu().cumsum(0).tolist()
        return CiderReward({i: list(captions[a:b]) for i, (a, b) in enumerate(zip([0, *ends[:-1]], ends, strict=True))})

    @cached_property
    def rarity(self) -> Tensor:
        """log(1 / share of the groups that name it) of each concept, at most `RAREST`. (C,)"""
        there = self.named[self.named >= 0].long()
        share = torch.bincount(there, minlength=len(concepts())) / len(self.named)
        return -share.clamp(min=1e-4).log().clamp(min=-RAREST)

    @cached_property
    def keys(self) -> Tensor:
        """What each group names, as a unit vector. (G, C)"""
        weights = torch.zeros(len(self.named), len(concepts()) + 1, device=self.named.device)
        places = torch.where(self.named < 0, len(concepts()), self.named).long()
        weights.scatter_(1, places, self.shares.float() / FULL)
        return F.normalize(weights[:, :-1] * self.rarity, dim=1)

    @cached_property
    def naming(self) -> dict[tuple[int, ...], list[int]]:
        """Word ids of a phrase -> the concepts that it may name."""
        ids, names = self.phrases.tolist(), self.phrase_names.tolist()
        return {
            tuple(i for i in phrase if i != PAD): [name for name in named if name >= 0]
            for phrase, named in zip(ids, names, strict=True)
        }

    def believed(self, memory: VisualMemory) -> tuple[Tensor, Tensor]:
        """How much each concept counts in an image, and how sure it is that it is there. -> (B, C) each.

        It counts by all that speaks for it: several regions, or a region and a noun, make it count for more than one.
        """
        count = len(concepts())
        weight = memory.tokens.new_zeros(len(memory), count + 1, dtype=torch.float32)
        belief = torch.zeros_like(weight)
        if memory.classes is None:
            return weight[:, :-1], belief[:, :-1]
        there = (memory.classes >= 0) & memory.mask
        counts, scores = salience(memory), memory.scores.float()
        places = torch.where(there, memory.classes % count, count)
        weight.scatter_add_(1, places, torch.log1p(-counts.clamp(max=MOST_SURE)))  # what each leaves open multiplies
        weight = 1 - weight.exp()
        belief.scatter_reduce_(1, places, scores, "amax")
        return weight[:, :-1], belief[:, :-1]

    def prepare(self, memory: VisualMemory) -> ConceptRetrievalContext:
        """Raises UserError where there is nothing to remember."""
        if not len(self.captions):
            raise UserError("the decoder remembers no captions: captioning remember texts=[FILE] makes one that does")
        weight, belief = self.believed(memory)
        likeness = F.normalize(weight * self.rarity, dim=1) @ self.keys.T
        likeness, groups = likeness.topk(min(self.neighbours, len(self.keys)))
        trust = (self.sharpness * likeness).softmax(-1)
        return ConceptRetrievalContext(self.decoder.prepare(memory), groups, trust, belief, weight)

    def agreement(self, context: ConceptRetrievalContext, words: Tensor) -> Tensor:
        """The mean CIDEr-D, 0 to 10, of captions with those of the groups that fit best. words (B, K, T) -> (B, K).

        Of an image in which nothing is believed to be no captions fit: there it is 0.
        """
        images, neighbours = context.groups.shape
        samples = words.repeat_interleave(neighbours, 0).cpu().numpy()  # (B * N, K, T)
        scores = torch.from_numpy(self.reward(context.groups.flatten().tolist(), samples)).to(context.trust)
        known = (context.belief > 0).any(1, keepdim=True)
        return (scores.view(images, neighbours, -1) * context.trust[..., None]).sum(1) * known

    def unsupported(self, context: ConceptRetrievalContext, words: Tensor) -> Tensor:
        """How many of COCO's objects captions name which nobody believes to see. words (B, K, T) -> (B, K).

        Each mention counts one less how sure detector or classifier are of what it may stand for, and one where the
        caption has named the same before, a person left out.
        """
        counts = [
            [doubt(self.mentions(ids), sure) for ids in captions]
            for sure, captions in zip(context.belief.tolist(), words.tolist(), strict=True)
        ]
        return torch.tensor(counts, device=words.device, dtype=torch.float32).view(words.shape[:2])

    def salience(self, context: ConceptRetrievalContext, words: Tensor, least: float = WORTH_NAMING) -> Tensor:
        """How much the two weightiest concepts other than a person count that captions name. (B, K, T) -> (B, K).

        A concept counts 1 if it is certain, and less the less certain it is, below `least` nothing.
        """
        gains = [
            [sum(sorted(self.named_weights(ids, known, least))[-2:]) for ids in captions]
            for known, captions in zip(context.weight.tolist(), words.tolist(), strict=True)
        ]
        return torch.tensor(gains, device=words.device, dtype=torch.float32).view(words.shape[:2])

    def named_weights(self, ids: Sequence[int], known: Sequence[float], least: float) -> list[float]:
        """What each concept other than a person that a caption names counts by `known` (C,), each concept once."""
        named = {max(names, key=known.__getitem__) for names in self.mentions(ids)}
        return [known[name] for name in named if name and known[name] >= least]

    def weightiest(self, context: ConceptRetrievalContext, count: int = 1) -> tuple[Tensor, Tensor]:
        """The `count` concepts other than a person that count most in each image, and how much. -> (B, count) each."""
        weights, kinds = context.weight[:, 1:].topk(count, dim=1)
        return kinds + 1, weights

    def names_any(self, words: Tensor, kinds: Tensor) -> Tensor:
        """Whether any caption of an image names the concept `kinds` (B,) has for it. words (B, K, T) -> (B,) bool."""
        there = [
            any(kind in names for ids in captions for names in self.mentions(ids))
            for kind, captions in zip(kinds.tolist(), words.tolist(), strict=True)
        ]
        return torch.tensor(there, device=words.device, dtype=torch.bool)

    def names_all(self, ids: Sequence[int], kinds: Sequence[int]) -> bool:
        """Whether a caption of word ids names every one of these concepts."""
        named = self.mentions(ids)
        return all(any(kind in names for names in named) for kind in kinds)

    def phrases_of(self, kind: int) -> list[tuple[int, ...]]:
        """The phrases, as word ids, that name this concept and nothing else."""
        return [phrase for phrase, names in self.naming.items() if names == [kind]]

    def mentions(self, ids: Sequence[int]) -> list[list[int]]:
        """The concepts that each mention in a caption may stand for, the longest phrase first."""
        found, start, longest = [], 0, self.phrases.shape[1]
        while start < len(ids) and ids[start] not in (EOS, PAD):
            for length in range(longest, 0, -1):
                names = self.naming.get(tuple(ids[start : start + length]))
                if names:
                    found.append(names)
                    start += length - 1
                    break
            start += 1
        return found

    def forward_features(self, context: ConceptRetrievalContext, words: Tensor) -> DecoderFeatures:
        return self.decoder.forward_features(context.own, words)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.decoder.forward_head(features)

    def start(self, context: ConceptRetrievalContext, rows: int) -> State:
        return self.decoder.start(context.own, rows)

    def step(self, context: ConceptRetrievalContext, state: State, words: Tensor) -> StepOutput:
        return self.decoder.step(context.own, state, words)

    def _load_from_state_dict(self, state: dict, prefix: str, *rest: Any) -> None:
        for name in MEMORY:  # as large as the file says
            if (there := state.get(f"{prefix}{name}")) is not None:
                mine = getattr(self, name)
                if there.is_floating_point() or not torch.equal(there.to(mine).to(there), there):
                    raise UserError(f"{prefix}{name} has other numbers than it may: copy the model's folder again")
                setattr(self, name, mine.new_empty(there.shape))
        super()._load_from_state_dict(state, prefix, *rest)
        if all(f"{prefix}{name}" in state for name in MEMORY):
            self.check()


def doubt(mentions: Sequence[Sequence[int]], sure: Sequence[float]) -> float:
    """How much of what a caption names of COCO's objects is not believed to be there, or named twice."""
    known, total, before = len(coco_objects()), 0.0, set()
    for names in mentions:
        if any(name < known for name in names):
            total += 1 - max(sure[name] for name in names)
            total += before.issuperset(names) and 0 not in names
            before.update(names)
    return total


def without_captions(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a model as they were before its decoder, task.decoder.*, remembered captions by concepts."""
    decoder, inside = "task.decoder.", "task.decoder.decoder."
    if f"{decoder}phrase_names" not in weights:
        return weights
    kept = {name: tensor for name, tensor in weights.items() if name not in {f"{decoder}{part}" for part in MEMORY}}
    return {f"{decoder}{n.removeprefix(inside)}" if n.startswith(inside) else n: t for n, t in kept.items()}
