"""Captioning a split and scoring it: what `captioning evaluate` does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from PIL import Image

from captioning.batches import EpochSampler, Examples, loader
from captioning.data.source import Source
from captioning.data.splits import chosen_examples
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.stored import stored
from captioning.media.kinds import is_clip
from captioning.memory import VisualMemory
from captioning.reports.caption_card import THUMBNAIL
from captioning.reports.page import Panel
from captioning.runtime.prefetch import chunks_of
from captioning.runtime.progress import progress_bar
from captioning.tasks.captioning.caption import Caption, describe
from captioning.tasks.captioning.captioner import Captioner

log = logging.getLogger("captioning")


def caption_split(
    captioner: Captioner,
    source: Source,
    split: str,
    *,
    generation=None,
    store: str | None = "auto",
    batch_size: int = 32,
    num_workers: int = 0,
) -> tuple[dict[int | str, list[str]], dict[int | str, str]]:
    """References and hypotheses of every picture of a split, by id. Splits are joined as in `chosen_examples`.

    A model of photos looks at several frames of each clip where the source has clips.
    """
    examples = chosen_examples(source, split)
    encoder, config = captioner.encoder, captioner.bundle.config["encoder"]
    looks = encoder.takes == "image" and encoder.size is not None  # imported features look at nothing
    if looks and any(is_clip(example.file) for example in examples):
        encoder, config = captioner.clip_encoder, captioner.clip_config
    features, readable = stored(store, source, encoder, config, examples, device=captioner.device)
    examples = [example for example in examples if example.id in readable]
    data = Examples(examples, source, encoder, features, None)
    hypotheses: dict[int | str, str] = {}
    with progress_bar(f"{source.name} {split}") as report:
        for batch in loader(data, EpochSampler(len(data), shuffle=False), batch_size, num_workers):
            seen = batch.inputs.to(captioner.device)
            memory = seen if isinstance(seen, VisualMemory) else encoder(seen)
            captions = describe(captioner.decoder, memory, captioner.vocabulary, generation or captioner.strategy({}))
            hypotheses |= {key: best[0].text for key, best in zip(batch.ids, captions, strict=True)}
            report(len(hypotheses), len(examples))
    return {example.id: list(example.captions) for example in examples}, hypotheses


BATCH = 16


def looked_at(
    captioner: Captioner,
    source: Source,
    examples: Iterable[Example],
    hypotheses: Mapping[int | str, str],
    generation: Callable,
) -> dict[int | str, Panel]:
    """The cards of the page by picture. A picture that cannot be read, or is none, is a grey one."""
    panels = {}
    for chunk in chunks_of(examples, BATCH):
        pictures = {example.id: picture_of(source, example) for example in chunk}
        seen = {key: captioner._read(picture) for key, picture in pictures.items() if picture is not None}
        found = captioner._describe(list(seen.values()), generation, True) if seen else []
        again = {key: captions[0] for key, captions in zip(seen, found, strict=True)}
        for example in chunk:
            text = hypotheses[example.id]
            panels[example.id] = panel(example, text, pictures[example.id], again.get(example.id))
    return panels


def picture_of(source: Source, example: Example) -> Image.Image | None:
    try:
        return source.image(example)
    except UserError:
        return None


def panel(example: Example, text: str, picture: Image.Image | None, again: Caption | None) -> Panel:
    picture = picture.copy() if picture is not None else Image.new("RGB", (THUMBNAIL, THUMBNAIL // 2), "grey")
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    attended = again is not None and again.text == text and again.attention is not None
    words, attention, boxes = (again.words, again.attention, again.boxes) if attended else ((), None, None)
    return Panel(
        picture, {"model": text or "(nothing)"}, example.captions, words, attention, boxes=boxes, name=str(example.id)
    )
