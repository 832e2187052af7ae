"""What a run learns from and is validated on: pictures with their features, and captions that have no picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from captioning.batches import Examples, TaskData
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.imagined import ImaginedMemories
from captioning.features.stored import stored
from captioning.runtime.processes import first_process_first
from captioning.tasks.base import Task


@dataclass(frozen=True)
class RunExamples:
    """The training and the validation examples of a run."""

    train: list[Example]
    val: list[Example]

    def seen(self, config: DictConfig, source: Any, encoder: Encoder) -> tuple[RunExamples, Any]:
        """Those whose pictures can be read, and those that have none; and the store of their features, if any."""
        plain = OmegaConf.to_container(config.encoder, resolve=True)
        with first_process_first():
            pictures = [example for example in (*self.train, *self.val) if example.file or not source.has_texts]
            store, readable = stored(config.store, source, encoder, plain, pictures)
        readable |= {example.id for example in self.train if without_picture(source, example)}
        train, val = ([example for example in part if example.id in readable] for part in (self.train, self.val))
        return RunExamples(train, val), store

    def first_batches(self, overfit: int | float, batch_size: int) -> RunExamples:
        """What trainer.overfit_batches leaves, to learn and to validate on: so many batches, or a share of all."""
        few = int(overfit * len(self.train)) if isinstance(overfit, float) else overfit * batch_size
        some = self.train[: max(1, few)]
        return RunExamples(some, some)

    def loaded(self, config: DictConfig, source: Any, encoder: Encoder, task: Task, store: Any) -> TaskData:
        """The batches of a run. Captions without a picture get an imagined one (`ImaginedMemories`)."""
        shown = {"source": source, "encoder": encoder, "store": store, "targets": task.targets, "seed": config.seed}
        imagine = self.imagined(config, source, encoder, store)
        return TaskData(
            Examples(self.train, **shown, imagine=imagine, vary=True),
            Examples(self.val, **shown),
            batch_size=config.batch_size,
            num_workers=config.num_workers,
            seed=config.seed,
        )

    def imagined(self, config: DictConfig, source: Any, encoder: Encoder, store: Any) -> ImaginedMemories | None:
        """What stands for the pictures of captions that have none; None where all have. Raises UserError."""
        if not any(without_picture(source, example) for example in self.train):
            return None
        if store is None:
            raise UserError("store=null: captions without photos learn from stored ones how detectors err; store=auto")
        photos = [example for example in self.train if example.file]
        most = {name: getattr(encoder, name) for name in ("most_regions", "most_nouns") if hasattr(encoder, name)}
        options = {"strangers": config.strangers, "alike": config.strangers_alike, "hidden": config.hidden_concepts}
        return ImaginedMemories(store, photos, **options, seed=config.seed, **most)


def without_picture(source: Any, example: Example) -> bool:
    """Whether an example of a source that has such is a caption of a photo that nobody has."""
    return bool(source.has_texts) and not example.file
