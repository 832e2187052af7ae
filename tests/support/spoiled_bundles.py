"""Changing a model's configuration, and the sentence with which it is refused."""

from pathlib import Path

import pytest
import yaml

from captioning.errors import UserError
from captioning.models.bundle import load_bundle


def changed(model: Path, part: str, values: dict) -> Path:
    """The model with other values in a part of its configuration."""
    config = yaml.safe_load((model / "config.yaml").read_text())
    (config if part in config else config["task"])[part] |= values
    (model / "config.yaml").write_text(yaml.safe_dump(config))
    return model


def refusal(model: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        load_bundle(model, **options)
    assert "\n" not in str(error.value) and str(model) in str(error.value)
    return str(error.value)
