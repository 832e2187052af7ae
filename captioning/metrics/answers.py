"""How answers to questions are judged: VQA accuracy (Antol et al., ICCV 2015), exact match and WUPS. No torch.

WUPS is the Wu-Palmer similarity of answer sets by Malinowski and Fritz (NIPS 2014).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from captioning.metrics.wordnet import WordNet

ARTICLES = ("a", "an", "the")
NUMBERS = {"none": "0"} | {
    word: str(number) for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
}
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
PERIODS = 32  # the official program says so, by a slip of arguments: an answer's further periods stay
_DIGIT_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
# Each is known by its spellings with one apostrophe left out.
_CONTRACTIONS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
y'all y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()
CONTRACTIONS = {
    word[:at] + word[at + 1 :]: word for word in _CONTRACTIONS for at, letter in enumerate(word) if letter == "'"
} | {"somebody'd": "somebodyd"}


def without_punctuation(answer: str) -> str:
    """Each punctuation mark removed, or turned into a space where letters touch it on both sides.

    A comma between digits makes every mark vanish: "1,000" is "1000". A period stays where a digit follows it.
    """
    joined = bool(_DIGIT_COMMA.search(answer))
    cleaned = answer
    for mark in PUNCTUATION:
        loose = joined or f"{mark} " in answer or f" {mark}" in answer
        cleaned = cleaned.replace(mark, "" if loose else " ")
    return _PERIOD.sub("", cleaned, count=PERIODS)


def normalized(answer: str) -> str:
    """An answer as the official VQA evaluation compares it: lower case, digits for number words, no articles."""
    words = without_punctuation(answer.replace("\n", " ").replace("\t", " ").strip()).lower().split()
    words = [NUMBERS.get(word, word) for word in words]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def vqa_accuracy(answer: str, human: Sequence[str]) -> float:
    """The official accuracy in [0, 1]: a third for each other person who said so, at most 1, averaged over people.

    People's answers lose their punctuation only where they are not all the same, as in the official program.
    """
    said = [without_punctuation(one) for one in human] if len(set(human)) > 1 else list(human)
    agreeing = said.count(normalized(answer))
    # Left out in turn: `agreeing` people who said it leave one fewer, the others leave all of them.
    total = agreeing * min(1.0, (agreeing - 1) / 3) + (len(said) - agreeing) * min(1.0, agreeing / 3)
    return total / len(said)


def soft_targets(human: Sequence[str]) -> dict[str, float]:
    """Each normalised answer of people with the accuracy it would earn, min(1, count / 3): what sigmoids learn."""
    return {answer: min(1.0, count / 3) for answer, count in Counter(map(normalized, human)).items()}


def listed(answer: str) -> list[str]:
    """The parts of an answer that lists several things: "book, scissor"."""
    return [part.strip() for part in answer.split(",") if part.strip()]


def exact_match(answer: str, truth: str) -> float:
    """1 where the same things are listed, in whatever order."""
    return float(sorted(listed(answer)) == sorted(listed(truth)))


class Wups:
    """WUPS at a threshold: similarities below it count a tenth.

    Args:
        wordnet: where similarities come from.
        threshold: 0.9 as in most tables, or 0.0, which changes nothing.
    """

    def __init__(self, wordnet: WordNet, *, threshold: float = 0.9) -> None:
        self.wordnet = wordnet
        self.threshold = threshold

    def __call__(self, answer: str, truth: str) -> float:
        """The smaller of two products: each part of one set with its nearest of the other set. In [0, 1]."""
        ours, theirs = listed(answer), listed(truth)
        if not ours or not theirs:
            return float(ours == theirs)
        return min(self._covered(ours, theirs), self._covered(theirs, ours))

    def _covered(self, ours: Sequence[str], theirs: Sequence[str]) -> float:
        return math.prod(max(self._membership(one, other) for other in theirs) for one in ours)

    def _membership(self, one: str, other: str) -> float:
        if one == other:
            return 1.0
        similarity = self.wordnet.similarity(one, other)
        return similarity if similarity >= self.threshold else 0.1 * similarity
