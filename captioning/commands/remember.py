"""`captioning remember`: gives a model a memory of captioned photos."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from captioning import __version__
from captioning.data.splits import chosen_examples
from captioning.data.without_photos import read_texts
from captioning.decoders.retrieval import check_options
from captioning.errors import UserError
from captioning.features.stored import stored
from captioning.media.kinds import is_clip
from captioning.memory import VisualMemory
from captioning.models.bundle import Bundle, load_bundle, read_card, require_place, save_bundle
from captioning.models.cards import lowered, without_scores
from captioning.models.shipped import find_model
from captioning.runtime.allocator import keep_freed_memory
from captioning.runtime.device import working_device
from captioning.runtime.progress import progress_bar
from captioning.tasks.captioning.retrieval_memory import gated, remembering, remembering_texts, searching_with
from captioning.tasks.captioning.task import Captioning
from captioning.text.concepts import concepts

log = logging.getLogger("captioning")

AT_ONCE = 256  # pictures whose features are read together


def run(config: DictConfig, folder: Path) -> int:
    """`captioning remember`: writes the model with a memory of a data set's split. -> exit status."""
    keep_freed_memory()
    model, output = find_model(config.model), Path(config.output)
    require_place(output)
    sizes = {name: config[name] for name in ("dimensions", "neighbours", "sharpness")}
    check_options(**sizes)
    if config.kin is not None and (type(config.kin) is not int or config.kin < 1):
        raise UserError(f"kin={config.kin}: it is a number of captions, 1 or more, or null")
    if config.kin is not None and not config.texts:
        raise UserError(f"kin={config.kin} needs texts=[FILE, ...], whose captions say what is seldom named")
    bundle = load_bundle(model, allow=config.allow)
    if not isinstance(bundle.task, Captioning):
        raise UserError(f"{model} writes no captions, so it has nothing to remember: choose a model that does")
    if config.texts:
        return remember_texts(config, bundle, model, output)
    device = working_device(config.device)
    source = instantiate({key: value for key, value in config.data.items() if key != "split"})
    examples = [example for example in chosen_examples(source, str(config.data.split)) if example.captions]
    looks = bundle.encoder.takes == "image" and bundle.encoder.size is not None  # imported features look at nothing
    if looks and any(is_clip(example.file) for example in examples):
        raise UserError(f"{source.name} has clips, which {model} does not read by itself: name a data set of photos")
    look = OmegaConf.to_container(OmegaConf.create(bundle.encoder_config))
    options = {"batch_size": config.batch_size, "num_workers": config.num_workers, "device": device}
    store, readable = stored(config.store, source, bundle.encoder, look, examples, **options)
    if store is None:
        raise UserError("store=null: what the model remembers is read from a store; store=auto makes one")
    examples = [example for example in examples if example.id in readable]
    pooled, found = [], []
    with progress_bar(f"{source.name} {config.data.split}") as report:
        for start in range(0, len(examples), AT_ONCE):
            ids = [example.id for example in examples[start : start + AT_ONCE]]
            memory = store.read(ids)
            pooled.append(memory.pooled.float())
            found.append(believed_kinds(memory, config.sure))
            report(start + len(ids), len(examples))
    changed = remembering(bundle, torch.cat(pooled), examples, learned=config.learned, **sizes)
    if config.gate is not None:
        changed = gated(
            changed, torch.cat(found), threshold=config.gate, sure=config.sure, overlooked=config.overlooked
        )
    changed = searching_with(changed, config.generation)
    said = sum(len(example.captions) for example in examples)
    things = f"{len(examples):,} {source.things} of {source.name}"
    about = f"It remembers {things} and {said:,} captions of them, no others."
    save_bundle(output, changed, card=card(model, output, about), half=config.half, eight_bit=config.eight_bit)
    log.info(f"{output}: remembers {things} and {said:,} captions of them")
    return 0


def believed_kinds(memory: VisualMemory, sure: float) -> torch.Tensor:
    """Which concepts a detector is at least `sure` of in each image. -> (B, C) bool."""
    count = len(concepts())
    found = torch.zeros(len(memory), count + 1, dtype=torch.bool)
    if memory.classes is not None:
        there = memory.mask & (memory.classes >= 0) & (memory.classes < count) & (memory.scores >= sure)
        found.scatter_(1, torch.where(there, memory.classes, count), True)
    return found[:, :-1]


def card(model: Path, output: Path, about: str) -> str:
    """The card of the model with its memory: what that is, and what of the model before still holds, no score of it."""
    before = lowered(without_scores(read_card(model)))
    return (
        f"# {output.name}\n\nMade by captioning {__version__} from {model}. {about} What it says with this memory was "
        f"not scored: `captioning evaluate model={output} ...` does.\n\n## Of the model before\n\n{before}"
    )


def remember_texts(config: DictConfig, bundle: Bundle, model: Path, output: Path) -> int:
    """Writes the model with captions of photos that nobody has, found by what they name. -> exit status."""
    examples = [example for file in config.texts for example in read_texts(Path(file))]
    changed = remembering_texts(bundle, [example.captions for example in examples], kin=config.kin)
    changed = searching_with(changed, config.generation)
    count = sum(len(example.captions) for example in examples)
    files = ", ".join(Path(file).name for file in config.texts)
    about = f"It remembers {count:,} captions without photos, of {files}."
    if config.kin is not None:
        about += f" What fewer than {config.kin} of them name it speaks of like kin that they name more often."
    save_bundle(output, changed, card=card(model, output, about), half=config.half, eight_bit=config.eight_bit)
    log.info(f"{output}: remembers {count:,} captions without photos")
    return 0
