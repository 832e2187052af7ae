"""Classes of one's own: every verb that loads a model takes `--allow`, and none looks for them without it."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
import typer.main
from tiny_model import pictures, tiny_bundle

from captioning import cli
from captioning.models.bundle import save_bundle

OWN = "from captioning.decoders.show_and_tell import ShowAndTell\n\n\nclass Mine(ShowAndTell):\n    pass\n"
TINY = """data=scenes data.train=6 data.val=2 data.test=2 data.unseen=0 data.size=32 encoder.size=32 progress=false
    encoder.backbone=test_resnet encoder.weights=none batch_size=3 vocabulary.min_count=1 trainer.max_epochs=1
    trainer.accelerator=cpu name=mine""".split()


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The command in a folder, as it is installed: the folder is not where Python looks by itself."""
    package = str(Path(hydra.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(cli.__file__).parents[1]), package])}
    program = [sys.executable, *(["-P"] if sys.version_info >= (3, 11) else [])]
    program += ["-c", "from captioning.cli import main; main()", *arguments]
    return subprocess.run(program, capture_output=True, text=True, env=environment, cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One with beside.py, a model whose decoder it defines, and a photo."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "beside.py").write_text(OWN)
    sys.path.append(str(folder))
    try:
        from beside import Mine

        bundle = tiny_bundle("show_and_tell")
        bundle.task.decoder.__class__ = Mine
        bundle.task.parts["decoder"]["_target_"] = "beside.Mine"
        save_bundle(folder / "model", bundle, card="# Mine")
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("beside", None)
    pictures(1, 96)[0].save(folder / "photo.png")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["caption", "photo.png", "--model", "model"],
        ["caption", "photo.png", "--model", "model", "--output", "{}.jsonl"],
        ["ensemble", "model", "model", "--output", "joined-{}"],
    ],
    ids=["caption", "caption to a file", "ensemble"],
)
def test_a_model_of_own_classes_is_refused_by_name_and_works_where_it_is_allowed(folder, arguments):
    refused, allowed = ([text.format(word) for text in arguments] for word in ("no", "yes"))
    found = command(folder, *refused)
    assert found.returncode in (1, 2) and "beside.Mine" in found.stderr and "allow" in found.stderr
    found = command(folder, *allowed, "--allow", "beside")
    assert found.returncode == 0, found.stderr


def test_every_verb_that_loads_a_model_takes_allow():
    verbs = typer.main.get_command(cli.app).commands
    loading = {name for name, verb in verbs.items() if any(one.name in ("model", "models") for one in verb.params)}
    assert {"caption", "demo", "ensemble", "answer", "search", "classify", "locate"} <= loading
    assert not [name for name in loading if not any(one.name == "allow" for one in verbs[name].params)]
    from captioning.commands.hydra import conf_folder

    for name in ("evaluate", "remember"):
        assert "\nallow:" in (conf_folder() / f"{name}.yaml").read_text()
    assert inspect.isfunction(cli.main)


def test_a_group_of_ones_own_is_a_file_in_a_folder_that_config_dir_names(folder):
    (folder / "groups" / "decoder").mkdir(parents=True, exist_ok=True)
    (folder / "groups" / "decoder" / "mine.yaml").write_text("_target_: beside.Mine\nembedding: 8\nwidth: 8\n")
    found = command(folder, "train", *TINY, "decoder=mine", "--config-dir", "groups")
    assert found.returncode == 0, found.stderr
    config = (folder / "runs" / "mine" / "model" / "config.yaml").read_text()
    assert "beside.Mine" in config and "attention" not in config.split("encoder:")[0]
