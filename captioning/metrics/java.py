"""One resident Java process that answers lines with lines, and ends when nobody needs it any more."""

from __future__ import annotations

import importlib.util
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from captioning.errors import UserError

# An English locale keeps the decimal point, UTF-8 keeps the captions, whatever the user's locale says.
LOCALE_OPTIONS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8")
_SECONDS_TO_END = 5.0


# What Java says about the variables it has read.
_REMARKS = ("Picked up ", "NOTE: Picked up ")


class MetricUnavailable(UserError):
    """A metric cannot be computed here; the message says in one sentence what is missing. Other metrics go on."""


def find_java(metric: str) -> str:
    """The `java` program, from JAVA_HOME or the PATH. Raises MetricUnavailable."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=os.path.join(home, "bin")) if home else None
    found = found or shutil.which("java")
    if found is None:
        raise MetricUnavailable(f"{metric} needs Java 8 or newer: install it, or set JAVA_HOME to where it is.")
    return found


def find_package_file(metric: str, name: str) -> Path:
    """A file of the pycocoevalcap package, such as "meteor/meteor-1.5.jar". Raises MetricUnavailable."""
    spec = importlib.util.find_spec("pycocoevalcap")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder).resolve() / name
        if path.is_file():
            return path
    raise MetricUnavailable(f"{metric} needs {Path(name).name}, which comes with `pip install pycocoevalcap`.")


def environment() -> dict[str, str]:
    """The variables of a Java process: ours, with a locale in which it can open any path."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def first_complaint(output: bytes) -> str:
    """The first line that a Java program wrote to say what is wrong, or an empty text."""
    lines = (line.strip() for line in output.decode(errors="replace").splitlines())
    return next((line for line in lines if line and not line.startswith(_REMARKS)), "")


class JavaProcess:
    """A Java program that reads lines from its input and answers each with one line, kept alive between calls."""

    def __init__(self, command: Sequence[str], *, metric: str, folder: Path, seconds: float):
        """Start `command` in `folder`. It may take `seconds` for any one answer before it is ended."""
        self.metric = metric
        self.seconds = seconds
        self.lock = threading.Lock()
        self.complaints = tempfile.TemporaryFile()
        self.answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.complaints,
        )
        threading.Thread(target=_read, args=(self.process.stdout, self.answers), daemon=True).start()
        self.close = weakref.finalize(self, _end, self.process)

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self.close.alive and self.process.poll() is None

    def ask(self, lines: Sequence[str], answers: int) -> list[str]:
        """Send all lines at once and collect the answers. Raises MetricUnavailable when one does not come."""
        with self.lock:
            # A second thread writes, so that neither side waits for the other with its pipe full.
            threading.Thread(target=_write, args=(self.process.stdin, lines), daemon=True).start()
            return [self._answer() for _ in range(answers)]

    def _answer(self) -> str:
        try:
            answer = self.answers.get(timeout=self.seconds)
        except queue.Empty:
            self.close()
            message = f"{self.metric} gave no answer for {self.seconds:g} seconds and was ended."
            raise MetricUnavailable(message) from None
        if answer is None:
            self.close()
            self.complaints.seek(0)
            said = first_complaint(self.complaints.read()) or f"exit status {self.process.returncode}"
            raise MetricUnavailable(f"{self.metric} ended before it answered: {said}")
        return answer


def _read(stream: IO[bytes], answers: queue.SimpleQueue[str | None]) -> None:
    with stream:
        for line in stream:
            answers.put(line.decode(errors="replace").rstrip("\r\n"))
    answers.put(None)


def _write(stream: IO[bytes], lines: Sequence[str]) -> None:
    try:
        stream.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))
        stream.flush()
    except (BrokenPipeError, ValueError):
        return  # the program has ended or was ended; the reader says so


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close its input, which asks it to stop, and make sure that it does."""
    try:
        if process.stdin:
            process.stdin.close()
    except BrokenPipeError:
        pass
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
