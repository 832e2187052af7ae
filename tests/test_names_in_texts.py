"""What docstrings, README and docs name is where they say."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
DOTTED = re.compile(r"(?<![\w./-])captioning(?:\.[A-Za-z_]\w*)+(?![\w/])")
PLACES = re.compile(r"(?<![\w./$}>-])(?:captioning|conf|tests|docs|notebooks)/[\w./-]*\w\.(?:py|yaml|md|ipynb)\b")
MODULE = re.compile(r"(?<![\w./-])[a-z_]+\.py\b")


def docstrings():
    """(where, text) of every docstring and comment of the package."""
    for path in sorted((ROOT / "captioning").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (found := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}", found


def texts():
    yield from docstrings()
    for path in TEXTS:
        if path.exists():
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if error.name and not error.name.startswith("captioning"):
                return True  # an extra that is not installed here
            continue
        for attribute in parts[end:]:
            if not hasattr(found, attribute):
                return attribute in getattr(found, "__annotations__", {})
            found = getattr(found, attribute)
        return True
    return False


def test_every_dotted_name_exists():
    named = {name: where for where, text in texts() for name in DOTTED.findall(text)}
    assert len(named) > 20
    gone = {name: where for name, where in named.items() if not exists(name)}
    assert not gone


def test_every_path_of_the_repository_exists():
    named = {name: where for where, text in texts() for name in PLACES.findall(text)}
    assert named
    gone = {name: where for name, where in named.items() if not (ROOT / name).exists()}
    assert not {name: where for name, where in gone.items() if not Path(name).stem.isupper()}  # NAME.yaml is any


def test_every_module_that_a_docstring_names_by_its_file_exists():
    there = {path.name for folder in ("captioning", "tests") for path in (ROOT / folder).rglob("*.py")}
    named = {name: where for where, text in docstrings() for name in MODULE.findall(text)}
    assert named
    assert not {name: where for name, where in named.items() if name not in there}


@pytest.mark.parametrize("name", ["captioning.nowhere", "captioning.errors.Nothing", "captioning.data.coco"])
def test_a_name_that_is_gone_is_found_out(name):
    assert not exists(name)
