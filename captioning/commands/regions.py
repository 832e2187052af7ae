"""What a region encoder finds: drawn on photos, or counted against the boxes that people drew."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.ops import box_iou

from captioning.data.source import Source
from captioning.encoders.regions import RegionEncoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.atomic import unused_name
from captioning.media.finding import find_images
from captioning.media.images import open_image
from captioning.reports.region_picture import region_picture
from captioning.runtime.device import working_device
from captioning.runtime.option_checks import require_least
from captioning.runtime.progress import progress_bar

log = logging.getLogger("captioning")

OVERLAP = 0.5  # least IoU of a region with an object that it finds
SMALL = 32 * 32  # pixels; COCO calls an object of no more a small one


class AnnotatedPhotos(Dataset):
    """Examples with their pictures, and what the encoder reads of them."""

    def __init__(self, source: Source, examples: Sequence[Example], encoder: RegionEncoder):
        self.source, self.examples, self.read = source, examples, encoder.read_annotated

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> tuple[Example, tuple[int, int], Any]:
        image = self.source.image(self.examples[i])
        return self.examples[i], image.size, self.read(image, self.examples[i])


def recall(
    encoder: RegionEncoder,
    source: Source,
    examples: Sequence[Example],
    *,
    batch_size: int = 16,
    num_workers: int = 0,
    progress=None,
) -> dict[str, tuple[int, float]]:
    """How many objects of the examples there are, and the share that a region finds, whatever its class.

    An object is found by a region that overlaps its box by an IoU of at least 0.5. -> for "all objects" and for
    those whose box has more than 32 x 32 pixels (of the photo) and no more, their number and recall in [0, 1].
    Raises UserError where the examples have no boxes.
    """
    require_least(1, batch_size=batch_size)
    require_least(0, num_workers=num_workers)
    seen = AnnotatedPhotos(source, [example for example in examples if example.boxes], encoder)
    if not len(seen):
        raise UserError(f"{source.name}: no picture of this split has boxes. For COCO set data.boxes=true")
    found, areas, done = [], [], 0
    for batch in DataLoader(seen, batch_size=batch_size, num_workers=num_workers, collate_fn=list):
        views = encoder.collate([view for _, _, view in batch]).to(next(encoder.buffers()).device)
        with torch.inference_mode():
            boxes, _, classes, mask = (part.cpu() for part in encoder.regions(views))
        mask = mask & (classes != len(encoder.class_names) - 1)  # the whole picture is not proposed
        for (example, (width, height), _), regions, real in zip(batch, boxes, mask, strict=True):
            objects = torch.tensor(example.boxes)
            found.append(overlaps(regions[real], objects) >= OVERLAP)
            areas.append((objects[:, 2:] - objects[:, :2]).prod(1) * width * height)
        done += len(batch)
        if progress:
            progress(done, len(seen))
    hit, area = torch.cat(found), torch.cat(areas)
    parts = {"all objects": area > 0, "above 32x32 pixels": area > SMALL, "up to 32x32 pixels": area <= SMALL}
    return {name: (int(part.sum()), hit[part].float().mean().item()) for name, part in parts.items() if part.any()}


def overlaps(regions: Tensor, objects: Tensor) -> Tensor:
    """The greatest IoU of each object (P, 4) with any of the regions (N, 4), both in [0, 1]. -> (P,)"""
    if not len(regions):
        return torch.zeros(len(objects))
    return box_iou(objects.double(), regions.double()).amax(1)


def draw(encoder: RegionEncoder, files: Sequence[Path], *, credible: float) -> Iterator[tuple[Path, Image.Image]]:
    """(file, its photo with the regions on it), one after the other. Raises UserError for one that cannot be read."""
    for file in files:
        photo = open_image(file)
        views = encoder.collate([encoder.read(photo)]).to(next(encoder.buffers()).device)
        with torch.inference_mode():
            boxes, scores, classes, mask = (part[0].cpu() for part in encoder.regions(views))
        labels = [encoder.class_names[number] for number in classes[mask].tolist()]
        yield file, region_picture(photo, boxes[mask].numpy(), labels, scores[mask].numpy(), credible=credible)


def run(config: DictConfig, folder: Path) -> int:
    """`captioning regions`: prints a table of what is found, or writes drawings. -> exit status."""
    encoder = instantiate(config.encoder)
    if not isinstance(encoder, RegionEncoder):
        raise UserError(f"{config.encoder._target_} has no regions: choose encoder=regions, or another that finds some")
    encoder = encoder.to(working_device(config.device)).eval()
    if config.photos:
        return _write(encoder, find_images(list(config.photos), recursive=False), Path(config.output))
    data = {key: value for key, value in config.data.items() if key != "split"}
    source = instantiate({**data, "boxes": True} if "boxes" in data else data)  # COCO reads them on request only
    examples = source.examples(config.data.split)[: config.limit]
    options = {"batch_size": config.batch_size, "num_workers": config.num_workers}
    with progress_bar(f"{source.name} {config.data.split}") as report:
        found = recall(encoder, source, examples, progress=report, **options)
    print(f"{'objects found at IoU 0.5':<26}{'number':>8}{'recall':>8}")
    for name, (number, share) in found.items():
        print(f"{name:<26}{number:>8,}{share:>8.3f}")
    return 0


def _write(encoder: RegionEncoder, files: Sequence[Path], folder: Path) -> int:
    taken: set[str] = set()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, picture in draw(encoder, files, credible=encoder.score_threshold):
            picture.save(folder / f"{unused_name(file.stem, taken)}.png")
    except OSError as error:
        raise UserError(f"output={folder} cannot be written: {error.strerror}. Choose another folder") from None
    log.info(f"wrote {len(files):,} pictures to {folder}")
    return 0
