"""Nothing that a command prints, or writes into lines, holds a character that commands a terminal or a table."""

import csv

import pytest
from PIL import Image
from test_cli import captioning, model  # noqa: F401  the command, and a tiny model

from captioning.files.terminal import cell, has_controls
from captioning.reports.subtitles import Cue, subtitles

WILD = "a\x1b[31mred\x07"
OUTPUTS = {
    "caption": ["--model", "MODEL"],
    "caption to lines": ["--model", "MODEL", "--output", "out.csv"],
    "classify": ["--labels", "cat,dog"],
    "search": ["a dog"],
}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / WILD
    place.mkdir()
    Image.new("RGB", (32, 32), "red").save(place / "good.png")
    (place / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    return place


@pytest.mark.parametrize("verb", OUTPUTS)
def test_a_folders_name_reaches_no_terminal_as_it_is(captioning, model, folder, tmp_path, verb):  # noqa: F811
    options = [str(model) if option == "MODEL" else option for option in OUTPUTS[verb]]
    options = [str(tmp_path / option) if option == "out.csv" else option for option in options]
    _, lines, errors = captioning(verb.split()[0], str(folder), *options)
    assert errors and any("broken.png" in line for line in errors)
    assert not any(has_controls(line.replace("\t", "")) for line in (*lines, *errors))


def test_a_cell_that_a_spreadsheet_would_compute_is_text(captioning, model, tmp_path):  # noqa: F811
    assert [cell(text) for text in ("=1+1", "+1", "-1", "@x", "a dog", 0.5)] == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@x",
        "a dog",
        0.5,
    ]
    Image.new("RGB", (32, 32), "red").save(tmp_path / "=cmd.png")
    captioning("caption", "=cmd.png", "--model", str(model), "--output", "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[1][0] == "'=cmd.png"


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_a_subtitle_is_the_lines_of_its_format_and_no_more(kind):
    text = "".join(subtitles([Cue(0.0, 1.0, "a dog\x1b[2J\n\n2\n00:00:00,000 --> 00:00:09,000\nan advert")], kind))
    assert not has_controls(text.replace("\n", ""))
    assert text.count("-->") <= 2 and sum(" --> " in line and line[0].isdigit() for line in text.splitlines()) == 1
