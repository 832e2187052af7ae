"""A run goes on with the words and the data it began with, or one line says what is not as it was; and a score that
cannot tell epochs apart chooses none."""

import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import configuration

from captioning.errors import UserError
from captioning.training.train import train

TINY_TABLE = "data=table data.test_fraction=0 trainer.max_epochs=1".split()
WORDS = "dog cat bird cow horse sheep goat fox".split()


def table(folder, texts, *, split=None):
    folder.mkdir(exist_ok=True)
    lines = ["file,caption" + (",split" if split else "")]
    for number, text in enumerate(texts):
        file = f"{number}.png"
        if not (folder / file).exists():
            noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / file)
        lines.append(f"{file},{text}" + (f",{split[number]}" if split else ""))
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


def own(file, *overrides):
    """A tiny run on a table: the keys of the generated world go."""
    from hydra import compose, initialize_config_dir
    from omegaconf import open_dict

    from captioning.commands.hydra import conf_folder

    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose(
            "train",
            """encoder.size=64 encoder.backbone=test_resnet.r160_in1k encoder.weights=none batch_size=8
            captions_per_image=2 vocabulary.min_count=1 progress=false trainer.accelerator=cpu seed=3 name=tiny
            decoder=show_and_tell decoder.embedding=16 decoder.width=16""".split()
            + [*TINY_TABLE, f"data.file={file}", *overrides],
        )
    with open_dict(config):
        del config["output"]
    return config


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A finished run of one epoch on a table of 8 photos. -> its folder, its table."""
    folder = tmp_path_factory.mktemp("begun")
    file = table(folder / "data", [f"a {word} runs" for word in WORDS])
    train(own(file), folder / "run")
    return folder / "run", file


@pytest.fixture
def run(begun, tmp_path):
    """A copy of the run and of its table, to be changed."""
    folder, file = begun
    shutil.copytree(folder, tmp_path / "run")
    shutil.copytree(file.parent, tmp_path / "data")
    return tmp_path / "run", tmp_path / "data/t.csv"


def test_a_run_whose_table_changed_is_refused_though_it_has_as_many_words(run):
    folder, file = run
    file.write_text(file.read_text().replace("dog", "yak"))
    with pytest.raises(UserError, match="resume: the (train|val) data are not those .*other captions.* start="):
        train(own(file, "resume=auto", "trainer.max_epochs=2"), folder)


def test_a_run_whose_table_grew_is_refused_with_the_numbers(run):
    folder, file = run
    table(file.parent, [f"a {word} runs" for word in [*WORDS, "hen"]])
    with pytest.raises(UserError, match=r"resume: .* pictures then, \d now"):
        train(own(file, "resume=auto", "trainer.max_epochs=2"), folder)


@pytest.mark.parametrize(
    "override",
    ["decoder.width=24", "vocabulary.min_count=2", "optimizer=adam", "encoder.size=32", "decoder.dropout=0.3"],
)
def test_another_model_is_refused_by_the_names_of_its_settings(run, override):
    folder, file = run
    with pytest.raises(UserError, match=override.partition("=")[0].split(".")[0]) as caught:
        train(own(file, "resume=auto", override), folder)
    assert "resume:" in str(caught.value) and " was " in str(caught.value)


def test_what_may_differ_is_said_and_the_run_goes_on(run, caplog):
    folder, file = run
    with caplog.at_level(logging.WARNING, "captioning"):
        train(own(file, "resume=auto", "trainer.max_epochs=2", "patience=null"), folder)
    (line,) = [one.getMessage() for one in caplog.records if one.getMessage().startswith("resume:")]
    assert "trainer.max_epochs was 1 and is 2" in line and "patience was 4 and is None" in line
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 1


def test_a_run_that_is_what_it_was_says_nothing(run, caplog):
    folder, file = run
    with caplog.at_level(logging.WARNING, "captioning"):
        train(own(file, "resume=auto"), folder)
    assert not any(one.getMessage().startswith("resume:") for one in caplog.records)


@pytest.mark.parametrize("damage", [0, 10, 1000, "text", "other"])
def test_a_damaged_checkpoint_is_named_in_one_line(run, damage):
    folder, file = run
    path = folder / "checkpoints/last.ckpt"
    if damage == "text":
        path.write_text("no checkpoint")
    elif damage == "other":
        torch.save({"weights": torch.zeros(1)}, path)
    else:
        path.write_bytes(path.read_bytes()[:damage])
    with pytest.raises(UserError, match="last.ckpt is"):
        train(own(file, "resume=auto"), folder)


@pytest.mark.parametrize("kind", ["one picture", "the same captions"])
def test_a_score_that_cannot_choose_does_not(tmp_path, caplog, kind):
    texts = [f"a {word} runs" for word in WORDS]
    split = ["train"] * 7 + ["val"]
    if kind == "the same captions":
        texts[-2:], split[-2:] = ["a fox runs"] * 2, ["val"] * 2
    with caplog.at_level(logging.WARNING, "captioning"):
        train(
            own(table(tmp_path / "data", texts, split=split), "trainer.max_epochs=4", "optimizer.lr=0.01"),
            tmp_path / "run",
        )
    assert "chosen by val/loss instead of val/CIDEr" in caplog.text
    best = torch.load(tmp_path / "run/checkpoints/best.ckpt", weights_only=True)
    losses = (tmp_path / "run/finished.json").read_text()
    assert '"monitor": [\n    "val/loss"' in losses
    assert best["epoch"] > 0, "the loss falls, so a later epoch is the best"
    assert "(x100)" not in (tmp_path / "run/model/README.md").read_text()


def test_a_score_that_can_choose_does(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "captioning"):
        train(configuration("trainer.max_epochs=1"), tmp_path)
    assert "instead of val/CIDEr" not in caplog.text


LOST = {  # kind -> texts, overrides, what the warning names
    "rare words": ([f"a {word} runs" for word in WORDS], ["vocabulary.min_count=3"], None),
    "nearly all words rare": (
        [f"a {word} {word}ly {word}ing" for word in WORDS],
        ["vocabulary.min_count=3"],
        "min_count",
    ),
    "long captions": ([f"a {word} " * 15 for word in WORDS], [], "vocabulary.max_words"),
    "Chinese": ([f"一只狗在草地上奔跑{i}次" for i in range(8)], [], "blanks between"),
}


@pytest.mark.parametrize("kind", LOST)
def test_captions_that_the_vocabulary_cannot_hold_are_counted(tmp_path, caplog, kind):
    texts, overrides, remedy = LOST[kind]
    with caplog.at_level(logging.INFO, "captioning"):
        train(own(table(tmp_path / "data", texts), *overrides), tmp_path / "run")
    (record,) = [one for one in caplog.records if "unknown to the vocabulary" in one.getMessage()]
    if kind != "rare words":  # a third of whose words are rare
        assert record.levelno == logging.WARNING and remedy in record.getMessage()
    assert "% of the captions are cut" in record.getMessage()
