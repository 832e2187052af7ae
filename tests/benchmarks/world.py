"""What every decoder learns of the generated world: python tests/benchmarks/world.py [decoder ...]

A figure a decoder: CIDEr (x100) on new scenes after some epochs on frozen features of the default backbone, beam 3. The
goal is what a captioner reaches that names everything rightly but does not see how things lie to each other: a person's
caption of each picture whose sides are exchanged by the toss of a coin, scored against the other four.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from harness import Figure, report
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import open_dict

from captioning.commands.hydra import conf_folder
from captioning.data.synthetic.scenes import Scenes
from captioning.metrics.caption_scores import score_captions
from captioning.runtime.allocator import keep_freed_memory
from captioning.tasks.load import load
from captioning.training.train import train

EPOCHS = 10
LSTM = "decoder.embedding=128 decoder.width=256"
TRANSFORMER = "decoder.width=256 decoder.layers=2 decoder.heads=4 decoder.feed_forward=512"
PLACES = "decoder.token_positions=true"
DECODERS = {
    "show_and_tell": LSTM,
    "show_attend_tell": f"{LSTM} decoder.visual=256 decoder.attention=128",
    "up_down": f"{LSTM} decoder.visual=256 decoder.attention=128",
    "transformer": f"{TRANSFORMER} decoder.encoder_layers=1",
    "meshed_memory": f"{TRANSFORMER} decoder.encoder_layers=2 {PLACES}",
    "attention_on_attention": f"decoder.width=256 decoder.heads=4 decoder.refining_layers=2 {PLACES}",
}
SHARED = f"""
    data=scenes data.train=2000 data.val=100 data.test=200 data.size=224 batch_size=32 vocabulary.min_count=2
    objective.label_smoothing=0 trainer.max_epochs={EPOCHS} trainer.precision=bf16-mixed decoder.dropout=0.2
    optimizer.lr=1.5e-3 patience=null progress=false name=world
""".split()
OPPOSITES = {"left": "right", "above": "below", "over": "under", "top": "bottom"}
OPPOSITES |= {other: word for word, other in OPPOSITES.items()}


def blind_to_relations(source: Scenes) -> float:
    """CIDEr of captions by people that say left or right, above or below, by chance."""
    references, hypotheses = {}, {}
    for example in source.examples("test"):
        toss = random.Random(example.id)
        turned = toss.random() < 0.5
        words = example.captions[0].split()
        hypotheses[example.id] = " ".join(OPPOSITES.get(word, word) if turned else word for word in words)
        references[example.id] = list(example.captions[1:])
    return score_captions(references, hypotheses, metrics=("cider",)).corpus["CIDEr"]


def learned(decoder: str, folder: Path) -> float:
    """CIDEr on new scenes of a decoder that was trained in `folder`."""
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", [*SHARED, f"decoder={decoder}", *DECODERS[decoder].split()])
    with open_dict(config):
        del config["output"]
    captioner = load(train(config, folder))
    captioner.task.generation = captioner.strategy({"beam_size": 3})
    examples, hypotheses = captioner.predict_split(instantiate(config.data), "test")
    return captioner.task.score(hypotheses, examples, metrics=("cider",)).corpus["CIDEr"]


def main() -> int:
    keep_freed_memory()
    source = Scenes(train=2000, val=100, test=200, size=224)
    goal = 100 * blind_to_relations(source)
    figures = []
    for decoder in sys.argv[1:] or DECODERS:
        with tempfile.TemporaryDirectory() as folder:
            figure = Figure(f"{decoder}, new scenes", 100 * learned(decoder, Path(folder)), "CIDEr", goal, higher=True)
        print(figure.line(), flush=True)
        figures.append(figure)
    report("world", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
