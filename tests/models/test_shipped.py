"""A model in the box is found by its name, after everything that is the user's own."""

import sys
from pathlib import Path

import pytest
from tiny_model import pictures, saved_model

import captioning
from captioning import cli
from captioning.errors import UserError
from captioning.models import shipped


@pytest.fixture
def box(tmp_path, monkeypatch) -> Path:
    """An empty box, and a working folder without runs."""
    folder = tmp_path / "box"
    folder.mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(shipped, "shipped_folders", lambda: (tmp_path / "absent", folder))
    return folder


def test_the_only_model_in_the_box_captions_without_being_named(box, tmp_path, monkeypatch, capsys):
    saved_model(box / "small")
    image = pictures(1)[0]
    image.save(tmp_path / "photo.png")
    monkeypatch.setattr(sys, "argv", ["captioning", "caption", str(tmp_path / "photo.png")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == captioning.load("small").caption(image).text
    assert captioning.load().caption(image).text == captioning.load("small").caption(image).text


def test_of_several_models_the_default_is_taken_or_one_has_to_be_named(box):
    for name in ("a", "b"):
        (box / name).mkdir()
        (box / name / "config.yaml").write_text("")
    with pytest.raises(UserError, match="a, b"):
        shipped.default_model()
    (box / shipped.DEFAULT).mkdir()
    (box / shipped.DEFAULT / "config.yaml").write_text("")
    assert shipped.default_model() == shipped.DEFAULT


def test_what_is_the_users_own_comes_before_what_is_shipped(box):
    places = [Path("mine"), Path("mine/model"), Path("runs/mine"), Path("runs/mine/model"), box / "mine"]
    for place in reversed(places):  # each is looked at before those that are there already
        place.mkdir(parents=True, exist_ok=True)
        (place / "config.yaml").write_text("")
        assert shipped.find_model("mine") == place


def test_an_empty_box_says_what_to_name(box):
    with pytest.raises(UserError, match="--model"):
        captioning.load()


def test_the_wheel_takes_the_models_along():
    root = Path(__file__).parents[2]
    if sys.version_info >= (3, 11):
        import tomllib

        wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
        assert {"data/models": "captioning/models/box", "conf": "captioning/conf"} == wheel["force-include"]
    assert (root / "data/models").is_dir() and shipped.shipped_folders()[1] == root / "data/models"
