"""A folder of photos into files: nothing is lost, nothing is done twice, nothing of the user's is overwritten."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from tiny_model import pictures, saved_model

from captioning import cli
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.load import load

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return saved_model(tmp_path_factory.mktemp("bulk") / "model")


@pytest.fixture
def photos(tmp_path, monkeypatch) -> list[Path]:
    """In the working folder: photos/0.png ... photos/3.png, photos/deep/4.png and one that is none."""
    monkeypatch.chdir(tmp_path)
    Path("photos/deep").mkdir(parents=True)
    files = [Path("photos", "deep" if i == 4 else "", f"{i}.png") for i in range(5)]
    for file, image in zip(files, pictures(5), strict=True):
        image.save(file)
    Path("photos/bad.jpg").write_text("no picture")
    return files


@pytest.fixture
def captioning(capsys, monkeypatch, model):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["captioning", "caption", *map(str, arguments), "--model", str(model)])
        capsys.readouterr()
        with warnings.catch_warnings(), pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err and out == ""
        return stop.value.code or 0, err.splitlines()

    return run


def test_every_photo_gets_its_sentence_and_the_unreadable_are_named_at_the_end(captioning, photos, model):
    status, errors = captioning("photos", "-r", "--sidecar", "--output", "out/captions.jsonl")
    expected = {str(file): caption.text for file, caption in zip(photos, load(model).caption(photos), strict=True)}
    lines = [json.loads(line) for line in Path("out/captions.jsonl").read_text().splitlines()]
    assert status == 1 and {line["file"]: line["caption"] for line in lines} == expected
    assert {str(file): file.with_suffix(".txt").read_text().strip() for file in photos} == expected
    assert "bad.jpg" in errors[0] and not Path("photos/bad.txt").exists() and len(errors) <= 2


def test_a_second_run_costs_nothing(photos, model):
    Path("photos/bad.jpg").unlink()
    program = (
        "import sys; from captioning.cli import main\n"
        "sys.argv = ['captioning', 'caption', 'photos', '-r', '--sidecar', '--skip-existing', '--output', 'c.csv',"
        f" '--model', {str(model)!r}]\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print('torch' in sys.modules)"
    )
    for torch_needed in ("True", "False"):
        done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True)
        assert done.stdout.split() == [torch_needed], done.stderr
    assert "0 captioned, 5 had captions" in done.stderr


def test_an_interrupted_run_goes_on_where_it_stopped(captioning, photos, monkeypatch):
    Path("photos/bad.jpg").unlink()
    options = ("photos", "-r", "--sidecar", "--batch-size", 2, "--skip-existing")
    assert captioning(*options, "--output", "whole.jsonl")[0] == 0
    for file in photos:
        file.with_suffix(".txt").unlink()
    described, usual = [], Captioner._describe

    def interrupted(self, seen, *rest):
        described.append(len(seen))
        if len(described) == 2:
            raise KeyboardInterrupt
        return usual(self, seen, *rest)

    monkeypatch.setattr(Captioner, "_describe", interrupted)
    assert captioning(*options, "--output", "c.jsonl")[0] == 130
    with open("c.jsonl", "a") as file:
        file.write('{"file": "photos/2.p')
    assert captioning(*options, "--output", "c.jsonl")[0] == 0
    assert Path("c.jsonl").read_text() == Path("whole.jsonl").read_text()
    assert described == [2, 2, 2, 1] and all(file.with_suffix(".txt").is_file() for file in photos)


def test_nothing_is_overwritten_unless_it_is_said(captioning, photos):
    Path("photos/0.txt").write_text("my own notes")
    Path("photos/1.txt").symlink_to("gone")
    status, errors = captioning(*photos[:3], "--sidecar")
    assert status == 1 and Path("photos/0.txt").read_text() == "my own notes" and Path("photos/1.txt").is_symlink()
    assert sum("--overwrite" in error for error in errors) == 2 and Path("photos/2.txt").is_file()
    assert captioning(*photos[:3], "--sidecar", "--overwrite")[0] == 0
    assert Path("photos/0.txt").read_text() != "my own notes"
    assert captioning(photos[0], "--output", "c.jsonl")[0] == 0
    status, errors = captioning(photos[0], "--output", "c.jsonl")
    assert status == 2 and "--skip-existing" in errors[-1]


@pytest.mark.parametrize("wrong", [["--sidecar", "--overwrite", "--skip-existing"], ["--output", "c.txt"]])
def test_options_that_do_not_go_together_are_status_2(captioning, photos, wrong):
    status, errors = captioning(photos[0], *wrong)
    assert status == 2 and len(errors) == 1


def test_a_folder_that_cannot_be_written_costs_only_its_own_photos(captioning, photos):
    Path("photos/0.txt").mkdir()
    status, errors = captioning(*photos[:2], "--sidecar", "--overwrite")
    assert status == 1 and "0.txt" in errors[0] and Path("photos/1.txt").is_file()


def test_several_devices_give_what_one_gives(captioning, photos):
    assert captioning("photos", "-r", "--output", "one.jsonl", "--batch-size", 1)[0] == 1
    assert captioning("photos", "-r", "--output", "two.jsonl", "--batch-size", 1, "--device", "cpu,cpu")[0] == 1
    one, two = (list(map(json.loads, Path(name).read_text().splitlines())) for name in ("one.jsonl", "two.jsonl"))
    assert [(line["file"], line["caption"]) for line in one] == [(line["file"], line["caption"]) for line in two]
