"""Names that a model has never learned, or hardly, said in the places of words that it knows well."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from captioning.decoders.concepts import ConceptReader
from captioning.errors import UserError
from captioning.text.concepts import concept_namer, concepts, kin, plurals
from captioning.text.tokenizer import tokenize
from captioning.text.vocabulary import SPECIALS, Vocabulary

RARER = 6.0  # nats by which such a name is less likely than its kin, so that it is said only where it is asked for


def seldom_named(groups: Iterable[Sequence[str]], least: int) -> dict[str, str]:
    """The concepts that fewer than `least` captions name, and their kin, of those that have any."""
    find, named = concept_namer(), Counter[str]()
    for group in groups:
        for text in group:
            named.update({name for mention in find(tokenize(text)) for name in mention.names})
    return {name: word for name, word in kin().items() if named[name] < least}


@torch.no_grad()
def speaking_like_kin(
    reader: ConceptReader, vocabulary: Vocabulary, names: dict[str, str]
) -> tuple[ConceptReader, Vocabulary]:
    """A reader of concepts that speaks of each of `names` as it does of its kin, and the vocabulary with these words.

    A name, and its plural, is embedded as its kin is and as likely in the same places, but for `RARER`; the concept is
    read as that of its kin, where that is one. What the decoder says of all else stays as it was but for the small
    share of probability that new words take. A search that is forced to name what is seen (Anderson et al. 2017,
    arXiv:1612.00576, whose novel words are embedded by likeness as well) then finds "a lion in the grass" where it
    knows a bear there. Raises UserError for a decoder whose words have no bias of their own, or a model of subwords.
    """
    if not isinstance(vocabulary, Vocabulary):
        raise UserError("kin= is for models of words: one of subwords spells any name already")
    rows = dict(_rows(vocabulary, names))
    more = [word for word in rows if word not in vocabulary.ids]
    grown = Vocabulary([*vocabulary.words[len(SPECIALS) :], *more], max_words=vocabulary.max_words)
    reader, before = copy.deepcopy(reader), len(vocabulary)
    learned = [*range(before), *(rows[word] for word in more)]  # the row of which each word has a copy
    for word, row in rows.items():
        learned[grown.ids[word]] = row
    rarer = torch.zeros(len(grown))
    rarer[[grown.ids[word] for word in rows]] = RARER
    predicted = False
    for module in reader.modules():
        if getattr(module, "vocabulary_size", None) == before:
            module.vocabulary_size = len(grown)
        if isinstance(module, nn.Embedding) and module.num_embeddings == before and module is not reader.embed:
            module.weight, module.num_embeddings = _copied(module.weight, learned), len(grown)
        if isinstance(module, nn.Linear) and module.out_features == before and module.bias is not None:
            module.weight, module.out_features = _copied(module.weight, learned), len(grown)
            module.bias = _copied(module.bias, learned)
            module.bias -= rarer.to(module.bias)
            predicted = True
    if not predicted:
        raise UserError("kin= is for models that predict words by a layer with a bias, which this one has not")
    _read_alike(reader, names)
    reader.name_concepts((*concepts(), *concepts()), grown)
    return reader, grown


def _rows(vocabulary: Vocabulary, names: dict[str, str]) -> Iterable[tuple[str, int]]:
    """Each name and each plural of it, in one word -> the number of its kin in the vocabulary."""
    for name, word in names.items():
        if " " in name or word not in vocabulary.ids:
            continue
        yield name, vocabulary.ids[word]
        several = next((each for each in plurals(word) if each in vocabulary.ids), None)
        if several is not None and not name.endswith(("fish", "f")):  # whose plurals follow no rule
            yield plurals(name)[-1], vocabulary.ids[several]


def _read_alike(reader: ConceptReader, names: dict[str, str]) -> None:
    """Gives the concepts of `names` the embeddings of their kin, those of regions and those of nouns."""
    numbers, find = {name: i for i, name in enumerate(concepts())}, concept_namer()
    for name, word in names.items():
        for known in {known for mention in find([word]) for known in mention.names}:
            for first in range(0, reader.concepts - len(numbers) + 1, len(numbers)):
                reader.embed.weight[first + numbers[name]] = reader.embed.weight[first + numbers[known]]


def _copied(weight: Tensor, rows: list[int]) -> nn.Parameter:
    return nn.Parameter(weight[rows].clone(), requires_grad=weight.requires_grad)
