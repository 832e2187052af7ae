"""Features that lie in files of other programs are what importing them would have stored, without a copy."""

import pickle

import numpy as np
import pytest
import torch
from clip_layouts import MSVDSentences
from source_layouts import refusal

from captioning.commands.hydra import run
from captioning.features.convert import import_features
from captioning.features.foreign_store import FeaturesInPlace, open_store

WIDTH = 6


def frames(ids, width=WIDTH):
    """Id -> (F, D), a different number of frames each."""
    dice = np.random.default_rng(0)
    return {key: dice.standard_normal((3 + i, width), np.float32) for i, key in enumerate(ids)}


def npy(folder, content):
    (folder / "features").mkdir()
    for key, array in content.items():
        np.save(folder / "features" / f"{key}.npy", array)
    return folder / "features"


def hdf5(folder, content):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "features.h5", "w") as file:
        for key, array in content.items():
            file[key] = array
    return folder / "features.h5"


@pytest.fixture(params=[npy, hdf5], ids=["npy", "hdf5"])
def kind(request):
    return request.param


def test_reading_in_place_is_reading_what_was_imported(kind, tmp_path):
    content = frames(["video3", "vid12", "-w_1_4_10"])
    path = kind(tmp_path, content)
    here = open_store(path)
    imported, _ = import_features(path, tmp_path / "store")
    assert isinstance(here, FeaturesInPlace) and type(open_store(tmp_path / "store")) is type(imported)
    assert (len(here), here.width, sorted(here.ids())) == (3, WIDTH, sorted(content))
    ids = ["-w_1_4_10", "video3"]
    ours, theirs = here.read(ids), imported.read(ids).float()
    assert torch.equal(ours.mask, theirs.mask)
    for name in ("tokens", "pooled"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=2e-3, rtol=2e-3)
    np.testing.assert_array_equal(ours.tokens[1, :3], content["video3"])
    assert ours.times[0].tolist() == [0, 1, 2, 3, 4], "frames in their order"
    assert here.about["digest"] == imported.about["digest"], "a model trained on the one takes the other"


def test_ids_that_are_not_there_are_named(kind, tmp_path):
    here = open_store(kind(tmp_path, frames(["video1", "video2"])))
    assert here.missing(["video2", "video9", "video7"]) == ["video9", "video7"] and "video1" in here
    refusal(lambda: here.read(["video1", "video9"]), "no features for 1 clips", "video9")


def test_another_process_opens_the_file_itself(kind, tmp_path):
    here = open_store(kind(tmp_path, frames(["video1"])))
    there = pickle.loads(pickle.dumps(here))
    assert torch.equal(here.read(["video1"]).tokens, there.read(["video1"]).tokens)


def test_a_clip_of_another_width_is_named(kind, tmp_path):
    content = frames(["video1", "video2"])
    content["video2"] = content["video2"][:, :4]
    here = open_store(kind(tmp_path, content))
    wide = "video1" if here.width == WIDTH else "video2"
    refusal(lambda: here.read([{"video1": "video2", "video2": "video1"}[wide]]), "values a frame", "the others have")
    refusal(lambda: here.made_by({"width": 9, "name": "mine"}, "0" * 64), "features of", "the 9 called 'mine'")


def test_damaged_features_are_named(tmp_path):
    path = npy(tmp_path, frames(["video1", "video2"]))
    (path / "video2.npy").write_bytes((path / "video2.npy").read_bytes()[:90])
    refusal(lambda: open_store(path).read(["video2"]), "video2.npy is damaged")
    refusal(lambda: open_store(tmp_path / "gone"), "gone")
    (tmp_path / "empty").mkdir()
    refusal(lambda: open_store(tmp_path / "empty"), "empty")


def test_a_model_learns_and_is_scored_from_features_without_clips(kind, tmp_path, monkeypatch, capsys):
    layout = MSVDSentences(tmp_path / "msvd")
    layout.root.mkdir()
    layout.write_text()
    path = kind(tmp_path, frames([name for name in layout.names if name != "-w_2_4_10"]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("captioning.data.benchmarks.msvd.MSVD.official", {"train": 3, "val": 1, "test": 1})
    monkeypatch.setenv("CAPTIONING_DATA", str(tmp_path))
    small = "decoder=show_attend_tell decoder.visual=8 decoder.width=8 decoder.embedding=8 decoder.attention=8".split()
    common = ["data=msvd", "data.on_missing=ignore", f"store={path}"]
    options = [*small, "encoder=imported", "vocabulary.min_count=1", "progress=false", "trainer.max_epochs=1",
               "trainer.accelerator=cpu", "name=mine"]  # fmt: skip
    assert run("train", [*common, *options]) == 2, "a clip has no features"
    assert "1 of 4 pictures is not in" in capsys.readouterr().err
    np.save(path / "-w_2_4_10.npy", frames(["x"])["x"]) if kind is npy else hdf5(tmp_path, frames(layout.names))
    assert run("train", [*common, *options]) == 0
    assert run("evaluate", ["model=mine", *common, "data.split=test", "metrics=[bleu,cider]"]) == 0
    assert "msvd test, 1 clips, 2 references" in capsys.readouterr().out
