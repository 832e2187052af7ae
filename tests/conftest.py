"""What several tests need: real data where it is at hand, and a small model that takes no time to build."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(tmp_path, monkeypatch):
    """Feature stores of the tests stay out of the user's cache."""
    monkeypatch.setenv("CAPTIONING_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with flickr8k/, coco/, msvd/ and msrvtt/."""
    folder = os.environ.get("CAPTIONING_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set CAPTIONING_DATA to the folder that holds flickr8k/ and coco/ to run the tests on real data")
    return Path(folder)
