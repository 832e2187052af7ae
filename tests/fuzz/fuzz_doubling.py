"""Double the length of texts that were made to hold up the tokenizer, and look at the time: make fuzz, or
PYTHONPATH=tests/support python tests/fuzz/fuzz_doubling.py [N] [SEED]"""

from __future__ import annotations

import sys
import time

from adversarial_texts import adversarial, growth

LENGTH = 4000
MOST = 2.5  # times as long for twice the text


def main(count: int = 1000, seed: int | None = None) -> int:
    """-> exit status: 1 where a text takes more than its share."""
    seed = int(time.time()) if seed is None else seed
    both = (adversarial(length, pairs=count, seed=seed) for length in (LENGTH, 2 * LENGTH))
    grown = [(growth(short, long), name) for (name, short), (_, long) in zip(*both, strict=True)]
    wrong = sorted((found for found in grown if found[0] > MOST), reverse=True)
    for factor, name in wrong[:20]:
        print(f"{factor:.1f} times as long: {name}")
    print(f"doubling: {len(grown):,} texts (seed {seed}), {len(wrong)} take more than {MOST} times as long")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
