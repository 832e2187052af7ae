"""Whatever is left out, replaced or cannot mean anything is said in one line or refused, by every verb."""

import json
import shutil

import pytest
from test_cli import captioning, model, photos  # noqa: F401
from tiny_answers import answering_bundle
from tiny_embedder import tiny_embedder
from tiny_graphs import Detection, SceneGraphs, thing_bundle
from tiny_grounding import grounding_bundle

from captioning.models.bundle import save_bundle

HALF = "file,caption,split\nphoto0.png,a dog,{split}\nphoto1.png,a cat,{split}\ngone.png,a bird,{split}\n"


SVG = "left out 1 file (1 SVG), the first is 'drawing.svg'"


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory):
    """Tiny models of the other tasks, in a folder each, named after the verb that they are for."""
    folder = tmp_path_factory.mktemp("neighbours")
    bundles = {
        "answer": answering_bundle("up_down"), "search": tiny_embedder(), "locate": grounding_bundle(),
        "detect": thing_bundle(Detection), "graph": thing_bundle(SceneGraphs),
    }  # fmt: skip
    for verb, bundle in bundles.items():
        save_bundle(folder / verb, bundle, card="# tiny")
    return folder


@pytest.fixture
def prepared(photos, tmp_path):  # noqa: F811
    """In the working folder: three photos, what is no photo, tables, references and results."""
    (tmp_path / "folder").mkdir()
    shutil.copy(photos[0], tmp_path / "folder")
    (tmp_path / "folder/drawing.svg").write_text("<svg/>")
    (tmp_path / "half.csv").write_text(HALF.format(split="test"))
    (tmp_path / "one.csv").write_text("file,caption,split\nphoto0.png,a dog,test\n")
    (tmp_path / "refs.json").write_text(json.dumps({"1": ["a dog"], "2": ["a cat"]}))
    (tmp_path / "part.json").write_text(json.dumps({"1": "a dog"}))
    (tmp_path / "photo1.txt").write_text("mine")
    (tmp_path / "runs/old/checkpoints").mkdir(parents=True)
    (tmp_path / "runs/old/checkpoints/last.ckpt").write_bytes(b"")


TABLE = {  # verb, kind -> arguments, exit status, what is said in one line
    ("caption", "left out"): ("caption folder --model MODEL", 0, "left out 1 file (1 SVG), the first is 'drawing.svg'"),
    ("caption", "replaced"): ("caption photo1.png --sidecar --model MODEL", 1, "--overwrite replaces it"),
    ("caption", "meaningless"): ("caption photo1.png --overwrite --model MODEL", 2, "are about files that are written"),
    ("score", "left out"): ("score refs.json part.json --allow-missing", 0, "scored 1 images, left out 1"),
    ("score", "refused"): ("score refs.json part.json", 2, "1 image of refs.json is not in part.json"),
    ("score", "meaningless"): ("score refs.json part.json --allow-missing", 0, "CIDEr of one image is 0"),
    ("evaluate", "left out"): (
        "evaluate model=MODEL data=table data.file=half.csv data.split=test data.on_missing=skip metrics=[cider]",
        0,
        "1 of 3 captioned photos is missing",
    ),
    ("evaluate", "meaningless"): (
        "evaluate model=MODEL data=table data.file=one.csv data.split=test metrics=[cider] store=null",
        0,
        "CIDEr of one image is 0",
    ),
    ("answer", "left out"): ("answer folder what? --model NEIGHBOURS/answer", 0, SVG),
    ("locate", "left out"): ("locate folder dogs --model NEIGHBOURS/locate", 0, SVG),
    ("detect", "left out"): ("detect folder --model NEIGHBOURS/detect", 0, SVG),
    ("graph", "left out"): ("graph folder --model NEIGHBOURS/graph", 0, SVG),
    ("search", "left out"): ("search folder dogs --model NEIGHBOURS/search", 0, SVG),
    ("classify", "left out"): ("classify folder --labels cat,dog --model NEIGHBOURS/search", 0, SVG),
    ("answer", "refused"): ("answer folder --model NEIGHBOURS/answer", 2, "no question"),
    ("locate", "refused"): ("locate folder dogs --model NEIGHBOURS/graph", 2, "does not locate phrases"),
    ("graph", "refused"): ("graph folder --model NEIGHBOURS/answer", 2, "writes no graphs"),
    ("search", "refused"): ("search folder dogs --model NEIGHBOURS/graph", 2, "NEIGHBOURS/graph"),
    ("classify", "refused"): ("classify folder --labels cat,dog --model MODEL", 2, "MODEL"),
    ("train", "replaced"): ("train data=scenes name=old", 2, "holds a run already"),
    ("train", "refused"): ("train data=scenes name=old resume=auto", 2, "last.ckpt is empty"),
}


@pytest.mark.parametrize("cell", TABLE, ids=" ".join)
def test_one_line_says_what_is_not_done_as_it_might_be_thought(captioning, model, neighbours, prepared, caplog, cell):  # noqa: F811
    arguments, expected, said = (
        text.replace("MODEL", str(model)).replace("NEIGHBOURS", str(neighbours)) if isinstance(text, str) else text
        for text in TABLE[cell]
    )
    status, _, errors = captioning(*arguments.split())
    assert status == expected, errors
    lines = [*errors, *(record.getMessage() for record in caplog.records)]
    assert sum(said in line for line in lines) == 1, lines
