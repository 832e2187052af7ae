"""Every encoder meets every input in every verb, every source every option: it works, or says in one sentence why not.

The parts are tested elsewhere, each by itself; the worst bugs stood where two of them meet.
"""

import re
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from onnx_detector import saved
from source_layouts import Flickr8kLayout
from tiny_clips import write_clip
from tiny_model import pictures, tiny_bundle

from captioning.commands import evaluate, extract, regions, remember
from captioning.commands.hydra import conf_folder
from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.encoders.detectors.yolox import Yolox
from captioning.encoders.frames import FrameEncoder
from captioning.encoders.grid import GridEncoder
from captioning.encoders.imported import Imported
from captioning.encoders.motion import MotionEncoder
from captioning.encoders.regions import RegionEncoder
from captioning.encoders.side_by_side import SideBySide
from captioning.errors import UserError
from captioning.features.convert import import_features
from captioning.models.bundle import Bundle
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.ensemble import join
from captioning.tasks.captioning.task import Captioning

GRID = {"_target_": "captioning.encoders.grid.GridEncoder", "backbone": "test_resnet", "size": 32, "weights": "none"}
ENCODERS = ("grid", "pair", "regions", "frames", "motion", "imported")
INPUTS = ("photo", "clip", "mixed")
VERBS = ("caption", "evaluate", "report", "extract", "remember", "ensemble", "regions")
WIDTH = 6  # of imported features
WORKS = None


def why_not(encoder: str, given: str, verb: str) -> str | None:
    """What the sentence says where a cell does not work."""
    if verb == "regions" and encoder != "regions":
        return "has no regions"
    if verb == "regions" and given != "photo":
        return r"could not be read|is a clip|no picture|not a|cannot|clip"
    if encoder == "imported" and verb == "caption":
        return "has no encoder"
    if encoder == "imported" and verb == "extract":
        return "import"
    if encoder in ("grid", "pair", "regions") and verb == "remember" and given != "photo":
        return "has clips, which"
    return WORKS


def sentence(error: UserError) -> str:
    text = str(error)
    assert text and text.count("\n") <= 1 and len(text) < 600, text
    return text


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with photos, clips, a table of each and of both, a detector, and features that others made."""
    root = tmp_path_factory.mktemp("crossings")
    photos = [f"p{i}.png" for i in range(3)]
    clips = [f"c{i}.avi" for i in range(3)]
    for name, image in zip(photos, pictures(3, size=32), strict=True):
        image.save(root / name)
    for i, name in enumerate(clips):
        write_clip(root / name, seconds=0.5, seed=i)
    for given, names in (("photo", photos), ("clip", clips), ("mixed", [photos[0], clips[0], photos[2]])):
        rows = [
            f"{name},a red dog {i},{split}"
            for i, (name, split) in enumerate(zip(names, ("train", "train", "test"), strict=False))
        ]
        (root / f"{given}.csv").write_text("\n".join(["file,caption,split", *rows]) + "\n")
    (root / "npy").mkdir()
    for i, name in enumerate([*photos, *clips]):
        np.save(root / "npy" / f"{Path(name).stem if name in photos else name}.npy", np.full((2, WIDTH), i, np.float32))
    import_features(root / "npy", root / "imported")
    saved(root / "tiny.onnx")
    return root


@cache
def encoder_of(name: str, root: Path) -> tuple[torch.nn.Module, dict]:
    """A tiny encoder and its configuration, as extract is given it."""
    torch.manual_seed(0)
    grid = partial(GridEncoder, backbone="test_resnet", size=32, weights="none")
    detector = {"_target_": "captioning.encoders.detectors.yolox.Yolox", "file": str(root / "tiny.onnx")}
    detector["class_names"] = ["cat", "dog", "ball"]
    seen = {"_target_": "captioning.encoders.regions.RegionEncoder", "detector": detector, "regions": [2, 4]}
    seen |= {"backbone": "test_resnet", "weights": "none", "size": 32}
    moving = {"_target_": "captioning.encoders.motion.MotionEncoder", "weights": "none", "frames": 2, "size": 32}
    frames = {"_target_": "captioning.encoders.frames.FrameEncoder", "sampling": {"frames": 2}}
    if name == "pair":
        config = {"_target_": "captioning.encoders.side_by_side.SideBySide", "encoders": [GRID, GRID]}
        return SideBySide(encoders=[grid(), grid()]).eval(), config
    if name == "regions":
        yolox = Yolox(file=detector["file"], class_names=detector["class_names"])
        return RegionEncoder(
            detector=yolox, **{k: v for k, v in seen.items() if k not in ("_target_", "detector")}
        ), seen
    if name == "frames":
        return FrameEncoder(image=grid(), sampling={"frames": 2}).eval(), {**frames, "image": GRID}
    if name == "motion":
        motion = MotionEncoder(weights="none", frames=2, size=32)
        return FrameEncoder(motion=motion, sampling={"frames": 2}).eval(), {**frames, "motion": moving}
    if name == "imported":
        config = {"_target_": "captioning.encoders.imported.Imported", "width": WIDTH, "name": "imported"}
        return Imported(width=WIDTH, name="imported"), config
    return grid().eval(), GRID


def bundle_of(name: str, root: Path, seed: int = 0) -> Bundle:
    encoder, look = encoder_of(name, root)
    simple = tiny_bundle().task
    torch.manual_seed(seed)
    sizes = {"embedding": 8, "width": 8, "visual": 8, "attention": 8}
    decoder = ShowAttendTell(visual_width=encoder.width, vocabulary_size=len(simple.vocabulary), **sizes)
    kind = {"_target_": "captioning.decoders.show_attend_tell.ShowAttendTell", **sizes}
    task = Captioning.of(decoder, simple.vocabulary, simple.generation, {**simple.parts, "decoder": kind})
    return Bundle(encoder.eval(), look, task.eval())


def table_of(root: Path, given: str, **more) -> dict:
    return {"_target_": "captioning.data.table.Table", "file": str(root / f"{given}.csv"), **more}


def defaults(verb: str) -> dict:
    """What `conf/` says where a user says nothing, of the verb itself."""
    known = OmegaConf.to_container(OmegaConf.load(conf_folder() / f"{verb}.yaml"))
    return {key: value for key, value in known.items() if key not in ("defaults", "hydra", "output")}


def evaluated(bundle: Bundle, data: dict, folder: Path, monkeypatch, *, report: bool = False, store=None):
    monkeypatch.setattr(evaluate, "load", lambda *args, **options: Captioner(bundle, device="cpu"))
    config = defaults("evaluate") | {"model": "tiny", "device": "cpu", "data": data, "metrics": ["cider"]}
    config |= {"store": store, "batch_size": 2, "report": report}
    assert evaluate.run(OmegaConf.create(config), folder) == 0
    assert (folder / "predictions.json").exists() and (folder / "report.html").exists() == report


def do(verb: str, encoder: str, given: str, root: Path, folder: Path, monkeypatch) -> None:
    bundle, data = bundle_of(encoder, root), table_of(root, given)
    store = str(root / "imported") if encoder == "imported" else str(folder / "store")
    common = {"device": "cpu", "precision": "32", "batch_size": 2, "num_workers": 1}
    if verb in ("caption", "ensemble"):
        files = [root / line.split(",")[0] for line in (root / f"{given}.csv").read_text().splitlines()[1:]]
        if verb == "ensemble":
            bundle = join([bundle, bundle_of(encoder, root, seed=1)], ["one", "other"])
            if encoder == "imported":  # which sees nothing by itself
                return evaluated(bundle, {**data, "split": "all"}, folder, monkeypatch, store=store)
        found = Captioner(bundle, device="cpu").caption(files, details=True)
        assert len(found) == 3 and all(one.text is not None for one in found)
    elif verb in ("evaluate", "report"):
        evaluated(bundle, {**data, "split": "all"}, folder, monkeypatch, report=verb == "report", store=store)
    elif verb == "extract":
        config = defaults("extract") | {"data": data, **common}
        config |= {"encoder": bundle.encoder_config, "store": str(folder / "store")}
        assert extract.run(OmegaConf.create(config), folder) == 0 and (folder / "store/store.json").exists()
    elif verb == "remember":
        made = []
        monkeypatch.setattr(remember, "find_model", Path)
        monkeypatch.setattr(remember, "load_bundle", lambda *args, **options: bundle)
        monkeypatch.setattr(remember, "read_card", lambda folder: "")
        monkeypatch.setattr(remember, "save_bundle", lambda folder, bundle, **options: made.append(bundle))
        config = defaults("remember") | {"model": "tiny", "output": str(folder / "model"), **common}
        config |= {"data": {**data, "split": "train"}, "dimensions": 2, "neighbours": 2}
        assert remember.run(OmegaConf.create({**config, "store": store}), folder) == 0 and made
    else:
        file = root / {"photo": "p0.png", "clip": "c0.avi", "mixed": "c0.avi"}[given]
        config = {"encoder": bundle.encoder_config, "photos": [str(file)], "output": str(folder / "drawn"), **common}
        assert regions.run(OmegaConf.create(config), folder) == 0 and list((folder / "drawn").iterdir())


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_encoder_an_input_and_a_verb(world, tmp_path, monkeypatch, encoder, given, verb):
    reason = why_not(encoder, given, verb)
    if reason is WORKS:
        do(verb, encoder, given, world, tmp_path, monkeypatch)
    else:
        with pytest.raises(UserError) as caught:
            do(verb, encoder, given, world, tmp_path, monkeypatch)
        assert re.search(reason, sentence(caught.value)), caught.value


SCENES = {"train": 3, "val": 1, "test": 2, "unseen": 1, "size": 32}
SOURCES = ("table", "views", "clips", "mixed", "scenes", "moving_scenes", "benchmark")
OPTIONS = ("joined", "all", "auto", "report", "missing", "skip")


def source_of(name: str, root: Path, folder: Path, **more) -> dict:
    if name == "scenes":
        return {"_target_": "captioning.data.synthetic.scenes.Scenes", **SCENES}
    if name == "moving_scenes":
        return {"_target_": "captioning.data.synthetic.moving_scenes.MovingScenes", **SCENES}
    if name == "benchmark":
        layout = Flickr8kLayout(folder / "flickr8k")
        layout.write()
        return {"_target_": "captioning.data.benchmarks.flickr8k.Flickr8k", "root": str(layout.root), **more}
    if name == "views":
        inner = source_of("benchmark", root, folder, **more)
        return {"_target_": "captioning.data.crops.Views", "views": 2, "source": inner}
    return table_of(root, {"table": "photo", "clips": "clip", "mixed": "mixed"}[name], **more)


def without_one(data: dict, folder: Path) -> dict:
    """The same data, one of its files not there."""
    inner = data.get("source", data)
    if "root" in inner:
        (Path(inner["root"]) / "Images/a.jpg").unlink()
        return data
    table = folder / "gone.csv"
    root = Path(inner["file"]).parent
    table.write_text(Path(inner["file"]).read_text() + "gone.png,a dog,train\n")
    return {**inner, "file": str(table), "root": str(root)}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_source_and_an_option(world, tmp_path, monkeypatch, source, option):
    monkeypatch.setenv("CAPTIONING_CACHE", str(tmp_path / "cache"))
    generated = source in ("scenes", "moving_scenes")
    if generated and option in ("missing", "skip"):
        with pytest.raises(TypeError):  # which Hydra says by name: a world has no files that could be missing
            __import__("captioning.data.synthetic.scenes", fromlist=["Scenes"]).Scenes(on_missing="skip")
        return
    data = source_of(source, world, tmp_path, **({"on_missing": "skip"} if option == "skip" else {}))
    bundle = bundle_of("grid" if source != "moving_scenes" else "frames", world)
    split = {"joined": "train+test", "report": "train+test", "all": "all"}.get(option, "train")
    run = partial(evaluated, bundle, folder=tmp_path / "out", monkeypatch=monkeypatch, report=option == "report")
    if option in ("missing", "skip"):
        data = without_one(data, tmp_path)
    if option == "missing":
        with pytest.raises(UserError, match=r"missing.*(a\.jpg|gone\.png)"):
            run({**data, "split": split})
        return
    run({**data, "split": split}, store="auto" if option == "auto" else None)
    assert (tmp_path / "cache").exists() == (option == "auto")
