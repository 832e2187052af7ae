"""A store is a cache of those very pictures: what changed is computed anew, what only moved is not."""

import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from captioning.data.crops import Views
from captioning.data.synthetic.moving_scenes import MovingScenes
from captioning.data.synthetic.scenes import Scenes
from captioning.data.table import Table
from captioning.encoders.base import Encoder
from captioning.features.convert import import_features
from captioning.features.store import FeatureStore
from captioning.features.stored import default_folder, stored
from captioning.memory import VisualMemory

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
OPTIONS = {"batch_size": 2, "num_workers": 1}


class Mean(Encoder):
    """The mean colour of a picture; counts how many it looked at."""

    width, size = 3, 8

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.looks = 0
        self.freeze()

    def read(self, image):
        self.looks += 1
        return torch.tensor(np.asarray(image).mean((0, 1)) / 255, dtype=torch.float32)

    def forward(self, pictures):
        return VisualMemory(pictures[:, None], torch.ones(len(pictures), 1, dtype=torch.bool), pictures * self.scale)


CONFIG = {"_target_": "test_identity.Mean"}


def project(folder, *colours):
    """A table `photos.csv` of photos 0.png, 1.png, ... of these colours."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,caption,split"]
    for i, colour in enumerate(colours):
        Image.new("RGB", (8, 8), COLOURS[colour]).save(folder / f"{i}.png")
        lines.append(f"{i}.png,a {colour} photo,train")
    (folder / "photos.csv").write_text("\n".join(lines) + "\n")
    return Table(folder / "photos.csv")


def colours_of(source, where):
    """What a training run reads from the store, as names, and how many pictures were looked at for it."""
    encoder, examples = Mean(), source.examples("train")
    store, usable = stored(str(where), source, encoder, CONFIG, examples, **OPTIONS)
    assert usable == {example.id for example in examples}
    again = pickle.loads(pickle.dumps(store))  # as a worker process opens it
    for one in (store, again):
        pooled = one.read([example.id for example in examples]).pooled.float()
        found = [
            min(COLOURS, key=lambda name, v=v: (torch.tensor(COLOURS[name]) / 255 - v).abs().sum()) for v in pooled
        ]
    return found, encoder.looks - (encoder.looks > 0)  # one look is for the room that is needed


@pytest.mark.parametrize("where", ["auto", "asked"])
def test_two_projects_of_one_name_never_share_features(tmp_path, monkeypatch, where):
    monkeypatch.setenv("CAPTIONING_CACHE", str(tmp_path / "cache"))
    store = "auto" if where == "auto" else tmp_path / "store"
    assert colours_of(project(tmp_path / "a", "red", "green"), store)[0] == ["red", "green"]
    assert colours_of(project(tmp_path / "b", "blue", "red"), store)[0] == ["blue", "red"]
    assert colours_of(Table(tmp_path / "a" / "photos.csv"), store) == (["red", "green"], 0)  # and both stay


def test_a_photo_replaced_under_its_name_is_looked_at_again_and_no_other(tmp_path):
    source = project(tmp_path / "a", "red", "green", "blue")
    assert colours_of(source, tmp_path / "store") == (["red", "green", "blue"], 3)
    Image.new("RGB", (8, 8), COLOURS["blue"]).save(tmp_path / "a" / "0.png")
    assert colours_of(source, tmp_path / "store") == (["blue", "green", "blue"], 1)
    assert colours_of(source, tmp_path / "store") == (["blue", "green", "blue"], 0)


def test_photos_that_were_copied_elsewhere_or_touched_are_still_those(tmp_path):
    colours_of(project(tmp_path / "a", "red", "green"), tmp_path / "store")
    shutil.copytree(tmp_path / "a", tmp_path / "moved")
    os.utime(tmp_path / "moved" / "0.png")
    assert colours_of(Table(tmp_path / "moved" / "photos.csv"), tmp_path / "store") == (["red", "green"], 0)


def test_photos_that_are_gone_are_believed(tmp_path):
    source = project(tmp_path / "a", "red", "green")
    colours_of(source, tmp_path / "store")
    (tmp_path / "a" / "1.png").unlink()
    ignoring = Table(tmp_path / "a" / "photos.csv", on_missing="ignore")
    assert colours_of(ignoring, tmp_path / "store") == (["red", "green"], 0)


def test_views_have_the_identity_of_their_photo(tmp_path):
    views = Views(source=project(tmp_path / "a", "red", "green"), views=2)
    assert colours_of(views, tmp_path / "store") == (["red", "green"] * 2, 4)
    Image.new("RGB", (8, 8), COLOURS["blue"]).save(tmp_path / "a" / "0.png")
    assert colours_of(views, tmp_path / "store") == (["blue", "green"] * 2, 2)


def test_generated_worlds_are_told_apart_by_all_that_they_show(tmp_path):
    worlds = [Scenes(train=2, size=32), Scenes(train=2, size=32, seed=1), Scenes(train=2, size=64)]
    worlds += [MovingScenes(train=2, size=32), MovingScenes(train=2, size=32, fps=8.0)]
    example = worlds[0].examples("train")[0]
    assert len({world.fingerprint(example) for world in worlds}) == len(worlds)


def test_the_caches_folder_tells_places_apart_and_not_spellings_of_one(tmp_path):
    def folder(source):
        return default_folder(source, CONFIG, "0" * 64)

    one, other = project(tmp_path / "a", "red"), project(tmp_path / "b", "red")
    spelt = Table(tmp_path / "a" / ".." / "a" / "photos.csv")
    assert folder(one) == folder(spelt) != folder(other)
    assert folder(Scenes(train=2)) == folder(Scenes(train=5)) != folder(Scenes(train=2, seed=1))


def test_imported_features_that_were_made_anew_are_imported_again(tmp_path):
    (tmp_path / "npy").mkdir()
    for name, value in (("a", 1.0), ("b", 2.0)):
        np.save(tmp_path / "npy" / f"{name}.npy", np.full((1, 4), value, np.float32))
    import_features(tmp_path / "npy", tmp_path / "store")
    np.save(tmp_path / "npy" / "a.npy", np.full((1, 4), 3.0, np.float32))
    import_features(tmp_path / "npy", tmp_path / "store")
    store = FeatureStore(tmp_path / "store")
    assert store.read(["a", "b"]).pooled[:, 0].tolist() == [3.0, 2.0]
    assert [len(part) for part in store.parts] == [2, 1]


def test_a_damaged_origin_costs_a_second_look_and_is_never_believed(tmp_path):
    source = project(tmp_path / "a", "red", "green")
    colours_of(source, tmp_path / "store")
    path = next((tmp_path / "store").glob("part-*/origins.bin"))
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    assert colours_of(source, tmp_path / "store") == (["red", "green"], 1)
