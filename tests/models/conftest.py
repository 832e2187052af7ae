"""A finished model, and a copy that a test may spoil."""

import shutil
from pathlib import Path

import pytest
from tiny_model import saved_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return saved_model(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture
def model(whole, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(whole, tmp_path / "model"))
