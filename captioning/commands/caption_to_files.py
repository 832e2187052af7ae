"""`captioning caption` for many photos: into files, going on where it stopped. Imports torch only for work to do."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from captioning.commands.caption import AttentionStrips, complain, expand
from captioning.commands.caption_files import CaptionFile, Output, Sidecars
from captioning.commands.several_devices import device_names, stream_on
from captioning.errors import UserError
from captioning.runtime.progress import progress_bar

log = logging.getLogger("captioning")


def run(
    paths: Iterable[Path],
    *,
    model: str | None,
    options: dict[str, Any],
    recursive: bool,
    device: str | None,
    batch_size: int,
    output: Path | None = None,
    sidecar: bool = False,
    skip_existing: bool = False,
    overwrite: bool = False,
    attention: Path | None = None,
) -> int:
    """Writes a sentence for every photo. -> exit status: 1 where a photo failed, each named at the end."""
    if skip_existing and overwrite:
        raise UserError("--skip-existing keeps what is there and --overwrite replaces it: give one of them")
    began = time.monotonic()
    files, unfound = expand(paths, recursive)
    outputs: list[Output] = [Sidecars(files)] if sidecar else []
    if output is not None:
        several = options.get("num_captions", 1)
        outputs.append(CaptionFile(output, captions=several, keep=skip_existing, overwrite=overwrite))
    failures: list[str] = []
    todo = []
    for file in dict.fromkeys(files):  # a photo named twice is captioned once
        held = [place for place in outputs if file in place]
        if len(held) == len(outputs) and skip_existing:
            continue
        if held and not skip_existing and not overwrite:
            failures.append(f"{file} has a caption beside it: --skip-existing leaves it, --overwrite replaces it")
            continue
        todo.append(file)
    skipped, done = len(set(files)) - len(todo) - len(failures), 0
    try:
        for file, found in _captions(todo, model, device, batch_size, options, attention):
            try:
                if isinstance(found, UserError):
                    raise found
                for place in outputs:
                    if overwrite or file not in place:
                        place.write(file, found)
                done += 1
            except UserError as error:
                failures.append(str(error))
    finally:
        for failure in failures:
            complain(failure)
        seconds = time.monotonic() - began
        speed = f" in {seconds:.0f} s ({done / seconds:.1f}/s)" if done else ""
        log.info(f"{done:,} captioned{speed}, {skipped:,} had captions, {len(failures) + unfound:,} failed")
    return 1 if failures or unfound else 0


def _captions(todo: list[Path], model, device, batch_size: int, options: dict[str, Any], attention: Path | None):
    """(photo, its captions or the error), with a bar where a person looks on."""
    strips = AttentionStrips(attention) if attention else None
    if not todo:
        return
    from captioning.runtime.allocator import keep_freed_memory

    keep_freed_memory()
    found = stream_on(
        device_names(device), model, todo, batch_size=batch_size, details=strips is not None, options=options
    )
    with progress_bar("captioning", enabled=sys.stderr.isatty()) as report:
        for number, (file, captions) in enumerate(found, 1):
            if strips and not isinstance(captions, UserError):
                try:
                    strips.write(file, captions[0])
                except UserError as error:
                    captions = error
            yield file, captions
            report(number, len(todo))
