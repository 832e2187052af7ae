"""Writes what the formats of today look like and what is said through them, for tests that hold later versions to it.

    python tests/golden/make_golden.py [NAME ...]     of bundle, lent, store, shipped, training

Nothing here is written again when code moves: a golden file is made once, when a format is new.
"""

import csv
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "support")]
TEXTS = ["a red dog", "the cat sits on grass"]
RUNS = {
    "show_and_tell": [],
    "self_critical": ["objective=self_critical", "objective.num_samples=3"],
    "transformer": "decoder=transformer decoder.width=16 decoder.heads=2 decoder.layers=1".split(),
}


def bundle() -> None:
    """A bundle of format 1, and what it says of six pictures."""
    from tiny_model import pictures, saved_model

    import captioning

    folder = saved_model(HERE / "bundle_1", half=True)
    captions = captioning.load(folder).caption(pictures(6))
    said = [{"caption": one.text, "score": round(one.score, 5)} for one in captions]
    write("bundle_1.json", said)


def lent() -> None:
    """A bundle of format 2 of another task, whose encoder is bundle_1's; where it has pictures and texts."""
    from tiny_embedder import tiny_task
    from tiny_model import pictures

    import captioning
    from captioning.models.bundle import Bundle, load_bundle, save_bundle

    lender = load_bundle(HERE / "bundle_1")
    own = Bundle(lender.encoder, lender.encoder_config, tiny_task())
    shutil.rmtree(HERE / "bundle_2_lent", ignore_errors=True)
    save_bundle(HERE / "bundle_2_lent", own, card="# tiny", half=True, encoder_of="bundle_1")
    embedder = captioning.load(HERE / "bundle_2_lent")
    images, texts = embedder.embed(pictures(3)), embedder.embed_text(TEXTS)
    write("bundle_2_lent.json", {"images": images.round(5).tolist(), "texts": texts.round(5).tolist()})


def store() -> None:
    """A store of format 1 of the pictures of a generated world, with a fingerprint of what it holds."""
    import captioning
    from captioning.data.synthetic.scenes import Scenes
    from captioning.features.extract import fill

    model = captioning.load(HERE / "bundle_1")
    world = Scenes(train=4, val=1, test=1, unseen=1, size=64)
    shutil.rmtree(HERE / "store_1", ignore_errors=True)
    kept, _ = fill(HERE / "store_1", model.encoder, model.bundle.encoder_config, world, world.examples("train"))
    ids = [example.id for example in world.examples("train")]
    memory = kept.read(ids)
    write(
        "store_1.json", {"ids": ids, "pooled": memory.pooled.float()[:, :4].tolist(), "shape": [*memory.tokens.shape]}
    )


def shipped() -> None:
    """What the shipped model says of twenty scenes."""
    import captioning
    from captioning.data.synthetic.scenes import Scenes

    world = Scenes(train=1, val=1, test=20, unseen=1, size=224)
    pictures = [world.image(example) for example in world.examples("test")]
    write("shipped.json", [one.text for one in captioning.load("flickr8k").caption(pictures)])


def training() -> None:
    """Losses of each step and a fingerprint of the last weights of three runs on the generated world."""
    write("training.json", {name: trained(name) for name in RUNS})


def trained(name: str) -> dict:
    """What a run logs, and a fingerprint of its last weights."""
    import tiny_runs

    from captioning.training.train import train

    overrides = RUNS[name]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        train(tiny_runs.configuration("trainer.max_epochs=2", "store=null", *overrides), folder)
        with next(folder.glob("csv/version_*/metrics.csv")).open(newline="") as file:
            rows = list(csv.DictReader(file))
        last = tiny_runs.weights(folder)
    digest = hashlib.sha256()
    for tensor in last.values():
        digest.update(tensor.contiguous().numpy().tobytes())
    return {
        "train/loss": [float(row["train/loss"]) for row in rows if row.get("train/loss")],
        "val/loss": [float(row["val/loss"]) for row in rows if row.get("val/loss")],
        "val/CIDEr": [float(row["val/CIDEr"]) for row in rows if row.get("val/CIDEr")],
        "weights": digest.hexdigest(),
    }


def write(name: str, content) -> None:
    (HERE / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for part in sys.argv[1:] or ("bundle", "lent", "store", "shipped", "training"):
        globals()[part]()
