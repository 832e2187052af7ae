"""Arrows point down: a room imports what lies below it, and no two modules import each other, not even by name only."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import captioning

PACKAGE = Path(captioning.__file__).parent
FLOORS = [  # from the top; rooms of one floor may use each other as long as there is no circle of modules
    {"cli"},
    {"commands"},
    {"training", "demo"},
    {"tasks"},
    {"batches", "reports"},
    {"models", "features"},
    {"generation", "encoders", "testing"},
    {"decoders", "heads", "data"},
    {"metrics"},
    {"layers", "text", "media", "files", "runtime", "shards"},
    {"memory", "example", "boxes", "errors", "__init__"},
]
FLOOR = {room: len(FLOORS) - i for i, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("captioning", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> dict[str, set[str]]:
    """What each module names in an import, wherever in it."""
    known = modules()
    found: dict[str, set[str]] = {name: set() for name in known}
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                asked = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively"
                asked = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for one in asked:
                while one and one not in known:
                    one = one.rpartition(".")[0]
                if one and one != name:
                    found[name].add(one)
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def test_every_room_has_its_floor():
    assert {room(name) for name in modules()} <= FLOOR.keys()


def test_arrows_point_down():
    allowed = {
        ("captioning", "captioning.tasks.captioning.captioner")
    }  # what `import captioning` offers, when asked for
    wrong = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if FLOOR[room(other)] > FLOOR[room(name)] and (name, other) not in allowed and name != "captioning"
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle():
    arrows = {name: {other for other in others if other != "captioning"} for name, others in imports().items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(arrows[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


def test_what_scores_files_needs_no_torch():
    arrows, todo, seen = imports(), ["captioning.commands.score"], set()
    while todo:
        if (name := todo.pop()) not in seen:
            seen.add(name)
            todo += arrows[name]
    heads = {}
    for name in seen:
        tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
        tops = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        heads[name] = {(getattr(node, "module", None) or node.names[0].name).split(".")[0] for node in tops}
    assert not [name for name, names in heads.items() if "torch" in names]


def test_a_module_is_a_screen_or_two():
    assert importlib.util.find_spec("captioning") is not None
    long = {name: lines for name, path in modules().items() if (lines := path.read_text().count("\n")) > 400}
    assert not long
