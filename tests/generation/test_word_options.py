"""Laws of options given in words."""

from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from table_decoder import TableDecoder

from captioning.decoders.base import Decoder
from captioning.decoders.retrieval import RetrievalDecoder
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.greedy import greedy
from captioning.generation.word_options import with_vocabulary, word_ids
from captioning.memory import VisualMemory
from captioning.text.vocabulary import UNK, Vocabulary

VOCABULARY = Vocabulary(["a", "dog", "dogs", "red", "ball", "on", "of", "photo"])
CONFIGS = sorted(
    path
    for path in (Path(__file__).parents[2] / "conf" / "generation").glob("*.yaml")
    if path.stem != "generate"  # which drives a model that brings its own search, and knows no decoder of ours
)


def test_words_become_ids_and_ids_stay():
    options = {
        "forbidden_words": ["red", 5],
        "forbidden_endings": "a on",
        "forced_prefix": "A photo of",
        "forced_words": ["ball", ["dog", "dogs"], "red ball", 7],
        "beam_size": 3,
    }
    assert word_ids(options, VOCABULARY) == {
        "forbidden_words": [7, 5],
        "forbidden_endings": [4, 9],
        "forced_prefix": [4, 11, 10],
        "forced_words": [[[8]], [[5], [6]], [[7, 8]], [[7]]],
        "beam_size": 3,
    }


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"forced_words": ["frisbee"]}, "frisbee"),
        ({"forced_words": [["dog", "red frisbee"]]}, "frisbee"),
        ({"forbidden_words": ["Frisbee"]}, "frisbee"),
        ({"forbidden_words": ["<pad>"]}, "pad"),
        ({"forced_prefix": ["..."]}, r"\.\.\."),
        ({"forbidden_endings": [True]}, "quote"),
    ],
    ids=str,
)
def test_a_word_that_the_model_does_not_know_is_named(options, named):
    with pytest.raises(UserError, match=named):
        word_ids(options, VOCABULARY)


def test_a_strategy_with_words_says_them():
    decoder = TableDecoder(len(VOCABULARY))
    search = with_vocabulary(partial(beam, forced_words=[["dog", "dogs"], "red ball"]), VOCABULARY)
    for caption in search(decoder, decoder.prepare(torch.arange(5))).words[:, 0].tolist():
        said = " ".join(VOCABULARY.decode(caption))
        assert "dog" in said and "red ball" in said


def test_a_plain_function_stays_what_it_is():
    assert with_vocabulary(greedy, VOCABULARY) is greedy


class OfAnyMemory(Decoder):
    """A table for images of any kind."""

    def __init__(self, table):
        super().__init__()
        self.table, self.start, self.step = table, table.start, table.step

    def prepare(self, memory):
        return self.table.prepare(torch.arange(len(memory)))


def reminded(table: TableDecoder) -> RetrievalDecoder:
    """The table with a memory of four photos, of each of which somebody said one word."""
    decoder = RetrievalDecoder(OfAnyMemory(table), visual_width=4, vocabulary_size=len(VOCABULARY))
    return decoder.index_captions(torch.eye(4), [[[UNK + 1 + i]] for i in range(4)])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_runs_as_it_stands_and_takes_words(path):
    config = OmegaConf.load(path)
    config.forbidden_words, config.forbidden_endings = ["red"], ["a", "on"]
    decoder, images = TableDecoder(len(VOCABULARY)), torch.arange(9)
    if path.stem == "consensus":
        decoder = reminded(decoder)
        images = VisualMemory(torch.zeros(9, 1, 4), torch.ones(9, 1, dtype=torch.bool), torch.eye(9)[:, :4])
    search = with_vocabulary(instantiate(config), VOCABULARY)
    for caption in search(decoder, decoder.prepare(images), max_words=6).words[:, 0].tolist():
        said = VOCABULARY.decode(caption)
        assert said and "red" not in said and said[-1] not in ("a", "on")
