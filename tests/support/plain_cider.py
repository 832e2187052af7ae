"""CIDEr-D by its formula, one sentence at a time: what the reward must equal, and what it must outrun."""

import math
from collections import Counter

EOS = 2


def ngrams(words):
    """N-gram -> occurrences, for n from 1 to 4."""
    return Counter(tuple(words[i : i + n]) for n in range(1, 5) for i in range(len(words) - n + 1))


class PlainCider:
    """`references` maps image id -> captions as word ids without specials; the end token counts in all sentences."""

    def __init__(self, references):
        self.references = references
        self.frequency = Counter(
            ngram for those in references.values() for ngram in {n for words in those for n in ngrams([*words, EOS])}
        )
        self.log_images = math.log(len(references))

    def vectors(self, words):
        vectors, norms = [{} for _ in range(4)], [0.0] * 4
        for ngram, count in ngrams(words).items():
            weight = count * (self.log_images - math.log(max(1, self.frequency[ngram])))
            vectors[len(ngram) - 1][ngram] = weight
            norms[len(ngram) - 1] += weight**2
        return vectors, [math.sqrt(norm) for norm in norms], max(0, len(words) - 1)

    def score(self, image, words):
        """CIDEr-D of `words`, end token included."""
        vectors, norms, length = self.vectors(words)
        total = 0.0
        for reference in self.references[image]:
            others, other_norms, other_length = self.vectors([*reference, EOS])
            penalty = math.exp(-((length - other_length) ** 2) / 72)
            for vector, norm, other, other_norm in zip(vectors, norms, others, other_norms, strict=True):
                if norm and other_norm:
                    dot = sum(min(weight, other.get(n, 0)) * other.get(n, 0) for n, weight in vector.items())
                    total += dot / (norm * other_norm) * penalty
        return 10 * total / 4 / len(self.references[image])


def cut(words):
    """A sample up to its first end token, or its first padding."""
    words = list(words)
    words = words[: words.index(0)] if 0 in words else words
    return words[: words.index(EOS) + 1] if EOS in words else words


def sampled(references, images, rows, longest, seed):
    """Samples (len(images), rows, longest): references of the image or of another, with words changed."""
    import numpy as np

    generator = np.random.default_rng(seed)
    everything = [words for those in references.values() for words in those]
    most = max(max(words, default=0) for words in everything) + 20
    samples = np.zeros((len(images), rows, longest), dtype=np.int64)
    for image, row in np.ndindex(len(images), rows):
        own = references[images[image]]
        taken = own[row % len(own)] if generator.random() < 0.6 else everything[generator.integers(len(everything))]
        words = [int(generator.integers(3, most)) if generator.random() < 0.2 else word for word in taken]
        words = (words * (2 if generator.random() < 0.2 else 1) + [EOS])[:longest]
        samples[image, row, : len(words)] = words
    return samples
