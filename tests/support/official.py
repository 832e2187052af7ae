"""The official code, run as pycocoevalcap runs it, for the tests to compare with."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from captioning.metrics.java import MetricUnavailable, find_java, find_package_file

REMOVED = {"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"}


def needs_java() -> None:
    """Skips the test where there is no Java or no jar to be the judge."""
    try:
        find_java("The judge")
        find_package_file("The judge", "tokenizer/stanford-corenlp-3.4.1.jar")
    except MetricUnavailable as error:
        pytest.skip(str(error))


def official_lines(captions: Sequence[str]) -> list[str]:
    """The tokens of each caption, joined by spaces, after the removal list. No caption may hold a line separator."""
    jar = find_package_file("The judge", "tokenizer/stanford-corenlp-3.4.1.jar")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "captions.txt")
        # One more line, because a clitic at the very end of the file is read in another way.
        file.write_bytes("\n".join([*captions, "the end"]).encode())
        command = [find_java("The judge"), "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
        command += ["-preserveLines", "-lowerCase", str(file)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    lines = done.stdout.decode().split("\n")
    assert len(lines) == len(captions) + 1 + (lines[-1] == ""), "the official tokenizer lost a line"
    return [
        " ".join(word for word in line.rstrip().split(" ") if word not in REMOVED) for line in lines[: len(captions)]
    ]


def official_apart(captions: Sequence[str]) -> list[str]:
    """`official_lines`, with a neutral caption between each two, so that none looks at the next."""
    return official_lines([line for caption in captions for line in (caption, "q")])[::2]
