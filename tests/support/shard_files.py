"""Shards for tests: a tar as img2dataset writes it, and tables."""

import io
import tarfile
from pathlib import Path

from tiny_model import pictures


def photo(number: int) -> bytes:
    """A small PNG, of another picture for each number below 16."""
    file = io.BytesIO()
    pictures(16)[number].save(file, "PNG")
    return file.getvalue()


def tar(path: Path, files: list[tuple[str, bytes]]) -> Path:
    """A tar with these files in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            shard.addfile(info, io.BytesIO(content))
    return path


def samples(numbers, folder: str = "") -> list[tuple[str, bytes]]:
    """A photo and its caption for each number."""
    return [
        (f"{folder}{n:05d}.{ending}", content)
        for n in numbers
        for ending, content in (("png", photo(n)), ("txt", f"a dog number {n}".encode()))
    ]
