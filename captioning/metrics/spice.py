"""SPICE (Anderson et al. 2016) through its jar, where the user has put the Stanford CoreNLP jars that it needs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from captioning.files.new_file import private_folder
from captioning.metrics.java import (
    LOCALE_OPTIONS,
    MetricUnavailable,
    environment,
    find_java,
    find_package_file,
    first_complaint,
)

CORENLP_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
_SECONDS = 3600.0
# Its serializer looks into Java's own classes, which Java 17 forbids by default. Java 8 ignores this variable.
_OPENED = ("lang", "math", "net", "text", "util", "util.concurrent")
_ENVIRONMENT = {"JDK_JAVA_OPTIONS": " ".join(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED)}


class Spice:
    """The SPICE program. It reads and writes files, so each call is a process; parsed captions are kept in a cache."""

    def __init__(self, jar: Path | None = None, *, cache: Path | None = None, seconds: float = _SECONDS):
        """`jar` is spice-1.0.jar with its `lib` beside it; by default the one of pycocoevalcap.

        `cache` holds parsed captions between calls, by default below ~/.cache. A call may take `seconds`.
        """
        self.jar = jar
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.cache = cache or caches / "captioning" / "spice"
        self.seconds = seconds

    def score(self, references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        """The F score of each image, 0 to 1, (I,), NaN where SPICE gives none. Raises MetricUnavailable."""
        java = find_java("SPICE")
        jar = self._checked_jar()
        entries = [
            {"image_id": image, "test": hypothesis, "refs": list(those)}
            for image, (those, hypothesis) in enumerate(zip(references, hypotheses, strict=True))
        ]
        private_folder(self.cache)
        with tempfile.TemporaryDirectory(prefix="spice") as folder:
            asked, answered = Path(folder, "captions.json"), Path(folder, "scores.json")
            asked.write_text(json.dumps(entries), encoding="utf-8")
            self._run(spice_command(java, jar, asked, self.cache, answered), jar.parent)
            return read_spice(answered, len(entries))

    def _checked_jar(self) -> Path:
        jar = self.jar or find_package_file("SPICE", "spice/spice-1.0.jar")
        missing = [name for name in CORENLP_JARS if not (jar.parent / "lib" / name).is_file()]
        if missing:
            raise MetricUnavailable(
                f"SPICE needs {' and '.join(missing)} in {jar.parent / 'lib'}: "
                "take them out of stanford-corenlp-full-2015-12-09.zip, from stanfordnlp.github.io/CoreNLP."
            )
        return jar

    def _run(self, command: list[str], folder: Path) -> None:
        try:
            variables = {**environment(), **_ENVIRONMENT}
            done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, timeout=self.seconds)
        except subprocess.TimeoutExpired:
            raise MetricUnavailable(f"SPICE took more than {self.seconds:g} seconds and was ended.") from None
        if done.returncode:
            said = first_complaint(done.stderr) or f"exit status {done.returncode}"
            raise MetricUnavailable(f"SPICE failed: {said}")


def spice_command(java: str, jar: Path, asked: Path, cache: Path, answered: Path) -> list[str]:
    """The command line, as pycocoevalcap gives it, with a fixed locale."""
    files = [str(asked), "-cache", str(cache), "-out", str(answered)]
    return [java, *LOCALE_OPTIONS, "-Xmx8G", "-jar", str(jar), *files, "-subset", "-silent"]


def read_spice(path: Path, images: int) -> NDArray[np.float64]:
    """The F scores in a SPICE result file, by image. Raises MetricUnavailable where an image has none."""
    scores = {item["image_id"]: item["scores"]["All"]["f"] for item in json.loads(path.read_text(encoding="utf-8"))}
    if sorted(scores) != list(range(images)):
        raise MetricUnavailable(f"SPICE scored {len(scores)} of {images} images.")
    return np.array([math.nan if scores[image] is None else float(scores[image]) for image in range(images)])
