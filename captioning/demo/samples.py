"""Pictures to try the page with: drawn ones, and photos that packages carry which happen to be installed."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from captioning.data.synthetic.scenes import Scenes

PHOTOS = {  # package -> its pictures, each free to be shown
    "skimage": ("data/chelsea.png", "data/coffee.png", "data/rocket.jpg", "data/astronaut.png"),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}
SCENES = 3


def sample_pictures(folder: Path) -> list[Path]:
    """Files in `folder` to choose from, copied and drawn into it, photos first."""
    found = []
    for package, names in PHOTOS.items():
        spec = find_spec(package)
        home = Path(spec.origin).parent if spec and spec.origin else None
        there = [home / name for name in names if home and (home / name).is_file()]
        found += [Path(shutil.copy(path, folder)) for path in there]
    world = Scenes(test=SCENES, size=224)
    for example in world.examples("test"):
        path = folder / f"scene-{example.id % 1000 + 1}.png"
        world.image(example).save(path)
        found.append(path)
    return found
