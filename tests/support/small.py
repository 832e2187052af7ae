"""Small decoders and small memories, of every kind."""

import torch
from torch import Tensor

from captioning.decoders.att2in import Att2in
from captioning.decoders.attention_on_attention import AttentionOnAttention
from captioning.decoders.base import Decoder
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
from captioning.testing import small_memories
from captioning.testing.decoder_laws import assert_same, steps  # noqa: F401, for the tests that share this file
from captioning.testing.small_memories import COUNTS, IMAGES, LENGTH, ROWS, of  # noqa: F401
from captioning.text.vocabulary import EOS, UNK, Vocabulary

VISUAL_WIDTH, VOCABULARY = 12, 31
CONCEPTS = 9  # kinds of concepts
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
    return small_memories.memory(kind, width=VISUAL_WIDTH, images=images, concepts=CONCEPTS)


def captions(rows: int = ROWS, *, images: int = IMAGES, length: int = LENGTH) -> Tensor:
    """Random words (B, R, T) that begin with BOS."""
    return small_memories.captions(rows, vocabulary_size=VOCABULARY, images=images, length=length)
