"""Whatever is left out, replaced or cannot mean anything is said in one line or refused, by every verb."""

import json
import shutil

import pytest
from test_cli import captioning, model, photos  # noqa: F401

HALF = "file,caption,split\nphoto0.png,a dog,{split}\nphoto1.png,a cat,{split}\ngone.png,a bird,{split}\n"


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
    ("train", "replaced"): ("train data=scenes name=old", 2, "holds a run already"),
    ("train", "refused"): ("train data=scenes name=old resume=auto", 2, "last.ckpt is empty"),
}


@pytest.mark.parametrize("cell", TABLE, ids=" ".join)
def test_one_line_says_what_is_not_done_as_it_might_be_thought(captioning, model, prepared, caplog, cell):  # noqa: F811
    arguments, expected, said = TABLE[cell]
    status, _, errors = captioning(*arguments.replace("MODEL", str(model)).split())
    assert status == expected, errors
    lines = [*errors, *(record.getMessage() for record in caplog.records)]
    assert sum(said in line for line in lines) == 1, lines
