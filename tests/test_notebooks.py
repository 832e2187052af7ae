"""Every notebook runs from top to bottom, and is kept without its outputs."""

import json
from pathlib import Path

import pytest
from tiny_model import saved_model

from captioning.models import shipped

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def code_cells(notebook: Path) -> list[dict]:
    return [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(autouse=True)
def _a_model_in_the_box(tmp_path, monkeypatch):
    """A checkout without shipped models has a tiny one for the time of a test."""
    if not shipped.shipped_models():
        saved_model(tmp_path / "box" / shipped.DEFAULT)
        monkeypatch.setattr(shipped, "shipped_folders", lambda: (tmp_path / "box",))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(notebook)):
        exec(compile("".join(cell["source"]), f"{notebook.name}, code cell {number}", "exec"), names)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(notebook):
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code_cells(notebook))
