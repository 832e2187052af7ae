"""Compare our tokenizer with the official one: make fuzz, or
PYTHONPATH=tests/support python tests/fuzz/fuzz_tokenizer.py [N] [SEED]"""

import sys
import time

from invented_captions import invented_captions
from official import official_apart, official_lines

from captioning.text.tokenizer import tokenize, tokenize_all


def differences(captions: list[str]) -> list[tuple[str, str, str]]:
    """(caption, official, ours) where they differ, each caption by itself and all as one file."""
    apart = zip(captions, official_apart(captions), map(tokenize, captions), strict=True)
    together = zip(captions, official_lines(captions), tokenize_all(captions), strict=True)
    pairs = [(caption, official, " ".join(ours)) for both in (apart, together) for caption, official, ours in both]
    return [pair for pair in pairs if pair[1] != pair[2]]


def main(count: int = 20_000, seed: int | None = None) -> int:
    """-> exit status: 1 where a caption is cut in another way."""
    seed = int(time.time()) if seed is None else seed
    found = differences(invented_captions(count, seed))
    for caption, official, ours in found[:20]:
        print(f"{caption!a}\n  official {official!a}\n  ours     {ours!a}")
    print(f"tokenizer: {count:,} invented captions (seed {seed}), {len(found)} differ from the official tokenizer")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
