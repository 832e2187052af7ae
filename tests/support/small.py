"""Small decoders and small memories, of every kind."""

from dataclasses import replace

import torch
from torch import Tensor

from captioning.decoders.att2in import Att2in
from captioning.decoders.attention_on_attention import AttentionOnAttention
from captioning.decoders.base import Context, Decoder, State
from captioning.decoders.concept_retrieval import ConceptRetrievalDecoder
from captioning.decoders.concepts import ConceptReader
from captioning.decoders.domain_gate import DomainGate
from captioning.decoders.ensemble import Ensemble
from captioning.decoders.hierarchical_attention import HierarchicalAttention
from captioning.decoders.mean_pool import MeanPool
from captioning.decoders.meshed_memory import MeshedMemory
from captioning.decoders.prefix_transformer import PrefixTransformer
from captioning.decoders.retrieval import RetrievalDecoder
from captioning.decoders.routed import RoutedDecoder
from captioning.decoders.s2vt import S2VT
from captioning.decoders.show_and_tell import ShowAndTell
from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.decoders.temporal_attention import TemporalAttention
from captioning.decoders.transformer import Transformer
from captioning.decoders.up_down import UpDown
from captioning.memory import VisualMemory
from captioning.text.vocabulary import BOS, EOS, UNK, Vocabulary

IMAGES, ROWS, LENGTH, VISUAL_WIDTH, VOCABULARY = 3, 2, 5, 12, 31
CONCEPTS = 9  # kinds of concepts
COUNTS = (7, 4, 1)  # real tokens of each image
SIZES = {"visual_width": VISUAL_WIDTH, "vocabulary_size": VOCABULARY}
SMALL_TRANSFORMER = {**SIZES, "width": 16, "layers": 2, "heads": 4, "feed_forward": 24}
POST_NORM = {
    "pre_norm": False,
    "activation": "gelu",
    "scaled": False,
    "embedding_norm": True,
    "final_norm": False,
    "token_norm": False,
    "token_positions": False,
    "head_transform": True,
    "norm_eps": 1e-12,
}
SMALL_LSTM = {**SIZES, "embedding": 16, "width": 16}
SMALL_ATTENTION = {**SMALL_LSTM, "visual": 10, "attention": 8}

SINGLE = {
    "show_and_tell": lambda: ShowAndTell(**SMALL_LSTM),
    "show_attend_tell": lambda: ShowAttendTell(**SMALL_LSTM, attention=8),
    "up_down": lambda: UpDown(**SMALL_LSTM, attention=8),
    "up_down_projected": lambda: UpDown(**SMALL_LSTM, attention=8, visual=10, token_positions=True),
    "transformer": lambda: Transformer(**SMALL_TRANSFORMER),
    "transformer_of_many_options": lambda: Transformer(
        **SMALL_TRANSFORMER, encoder_layers=2, positions="learned", longest=8, tied=True
    ),
    "prefix_transformer": lambda: PrefixTransformer(**SMALL_TRANSFORMER, longest=64),
    "meshed_memory": lambda: MeshedMemory(**SMALL_TRANSFORMER, encoder_layers=2, slots=3),
    "meshed_memory_with_places": lambda: MeshedMemory(**SMALL_TRANSFORMER, token_positions=True),
    "attention_on_attention": lambda: AttentionOnAttention(**SIZES, width=16, heads=4, refining_layers=2),
    "fc": lambda: ShowAndTell(**SMALL_LSTM, cell="maxout", batch_norm=False),
    "att2in": lambda: Att2in(**SMALL_LSTM, visual=10, attention=8),
    "show_attend_tell_of_the_tutorial": lambda: ShowAttendTell(
        **SMALL_LSTM, visual=None, attention=8, deep=False, activation="relu", first="linear"
    ),
    "show_attend_tell_begun_by_the_pooled": lambda: ShowAttendTell(
        **SMALL_LSTM, attention=8, gated=False, deep=False, first="pooled"
    ),
    "up_down_of_two_projections": lambda: UpDown(**SMALL_LSTM, attention=8, visual=10, pooled="own"),
    "up_down_pooling_tokens": lambda: UpDown(**SMALL_LSTM, attention=8, visual=10, pooled="tokens"),
    "transformer_post_norm": lambda: Transformer(
        **SMALL_TRANSFORMER, **POST_NORM, projection="none", positions="learned", longest=8, tied=True
    ),
    "transformer_rectified": lambda: Transformer(
        **SMALL_TRANSFORMER, encoder_layers=2, projection="rectified", token_positions=False
    ),
    "meshed_memory_of_normed_levels": lambda: MeshedMemory(
        **SMALL_TRANSFORMER, encoder_layers=2, slots=3, norm="levels", positions="learned", longest=8, zero_tokens=9
    ),
    "attention_on_attention_pre_norm": lambda: AttentionOnAttention(
        **SIZES, width=16, heads=4, refining_layers=2, pre_norm=True, query_norm=True, norm_by="deviation"
    ),
    "mean_pool": lambda: MeanPool(**SMALL_LSTM),
    "s2vt": lambda: S2VT(**SMALL_LSTM),
    "temporal_attention": lambda: TemporalAttention(**SMALL_ATTENTION),
    "temporal_attention_by_times": lambda: TemporalAttention(**SMALL_ATTENTION, order="times"),
    "hierarchical_attention": lambda: HierarchicalAttention(**SMALL_ATTENTION),
}
EVERY = {
    **SINGLE,
    "ensemble": lambda: Ensemble([UpDown(**SMALL_LSTM, attention=8), Transformer(**SMALL_TRANSFORMER)]),
    "recall": lambda: recall(Transformer(**SMALL_TRANSFORMER)),
    "concept_reader": lambda: ConceptReader(Transformer(**SMALL_TRANSFORMER), **SIZES, concepts=CONCEPTS, rank=6),
    "routed": lambda: routed(),
    "gated": lambda: gated(),
    "concept_copier": lambda: copier(UpDown(**SMALL_LSTM, attention=8)),
}


def recall(decoder: Decoder, *, photos: int = 9, **options) -> RetrievalDecoder:
    """The decoder with a memory of random photos, of which the first has one caption, the second two, ..."""
    generator = torch.Generator().manual_seed(2)
    pooled = torch.randn(photos, VISUAL_WIDTH, generator=generator)
    words = torch.randint(UNK + 1, VOCABULARY, (photos, photos, LENGTH), generator=generator).tolist()
    said = [[[*caption[: 2 + n % 4], EOS] for n, caption in enumerate(each[: i + 1])] for i, each in enumerate(words)]
    return RetrievalDecoder(decoder, **SIZES, **options).index_captions(pooled, said, dimensions=8)


def routed() -> RoutedDecoder:
    """A decoder with a third of the words for images of whatever it takes for familiar, beside one for the others."""
    words = VOCABULARY // 3
    inside = Transformer(**{**SMALL_TRANSFORMER, "vocabulary_size": words})
    known = RetrievalDecoder(inside, visual_width=VISUAL_WIDTH, vocabulary_size=words)
    pooled = torch.randn(9, VISUAL_WIDTH, generator=torch.Generator().manual_seed(2))
    known.index_captions(pooled, [[[5, EOS]]] * 9, dimensions=8)
    groups = [["A dog."], ["A cat and a dog."], ["A man on a horse."]]
    other = ConceptReader(Transformer(**SMALL_TRANSFORMER), **SIZES, concepts=CONCEPTS, rank=6)
    other = ConceptRetrievalDecoder(other, **SIZES).index_captions(groups, Vocabulary(["a", "dog", "cat", "horse"]))
    return RoutedDecoder(known, other, **SIZES, known_words=words, threshold=0.0)


def gated() -> DomainGate:
    """A decoder that reads concepts, to which some random photos are familiar."""
    groups = [["A dog."], ["A cat and a dog."], ["A man on a horse."]]
    inside = ConceptReader(Transformer(**SMALL_TRANSFORMER), **SIZES, concepts=CONCEPTS, rank=6)
    inside = ConceptRetrievalDecoder(inside, **SIZES).index_captions(groups, Vocabulary(["a", "dog", "cat", "horse"]))
    return DomainGate(recall(inside), **SIZES, threshold=0.0)


def copier(decoder: Decoder) -> ConceptReader:
    """The decoder, to which concept number c is word number UNK + 1 + c, and may be copied."""
    reader = ConceptReader(decoder, **SIZES, concepts=CONCEPTS, rank=6, copy=True)
    reader.words.copy_(UNK + 1 + torch.arange(CONCEPTS))
    return reader


def build(name: str) -> Decoder:
    """A decoder of random weights, in evaluation mode."""
    torch.manual_seed(0)
    return EVERY[name]().eval()


def memory(kind: str, *, images: int = IMAGES) -> VisualMemory:
    """Images of unequal numbers of tokens. kind: grid, regions, clips, or concepts, which are every other token."""
    generator = torch.Generator().manual_seed(5)
    counts = torch.tensor(COUNTS)[torch.arange(images) % len(COUNTS)]
    mask = torch.arange(max(COUNTS)) < counts[:, None]  # (B, N)
    tokens = torch.randn(*mask.shape, VISUAL_WIDTH, generator=generator) * mask[..., None]
    corners = torch.rand(*mask.shape, 4, generator=generator) * mask[..., None]
    pooled = torch.randn(images, VISUAL_WIDTH, generator=generator)
    places, classes = torch.arange(max(COUNTS)), torch.randint(0, CONCEPTS, mask.shape, generator=generator)
    return VisualMemory(
        tokens,
        mask,
        pooled,
        boxes=corners.sort(-1).values if kind in ("regions", "concepts") else None,
        times=places * 0.5 * mask if kind == "clips" else None,
        classes=torch.where(places % 2 == 0, classes, -1) if kind == "concepts" else None,
        scores=torch.rand(mask.shape, generator=generator) if kind == "concepts" else None,
    )


def of(memory: VisualMemory, images: list[int], *, tokens: int | None = None) -> VisualMemory:
    """These of the images, cut to so many tokens."""
    parts = {name: part[images] for name, part in vars(memory).items() if part is not None}
    return replace(memory, **{name: part if name == "pooled" else part[:, :tokens] for name, part in parts.items()})


def captions(rows: int = ROWS, *, images: int = IMAGES, length: int = LENGTH) -> Tensor:
    """Random words (B, R, T) that begin with BOS."""
    words = torch.randint(UNK + 1, VOCABULARY, (images, rows, length), generator=torch.Generator().manual_seed(7))
    words[..., 0] = BOS
    return words


def steps(decoder: Decoder, context: Context, state: State, words: Tensor) -> tuple[Tensor, Tensor | None, State]:
    """words (B, R, T) one at a time -> logits (B, R, T, V), attention (B, R, T, N), and the last state."""
    logits, attentions = [], []
    for now in words.unbind(2):
        output = decoder.step(context, state, now)
        logits.append(output.logits)
        attentions.append(output.attention)
        state = output.state
    return torch.stack(logits, 2), None if attentions[0] is None else torch.stack(attentions, 2), state


def assert_same(ours: Tensor, theirs: Tensor, within: float = 1e-5) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=within)
