"""A model of photos is scored on the clips of a benchmark: on a split, on several, or on whatever is there."""

import json

import pytest
from clip_layouts import MSRVTT2017, MSVDSentences
from test_cli import captioning  # noqa: F401  the command, as a fixture
from tiny_model import saved_model

from captioning.data.benchmarks.msvd import MSVD


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    """MSVD in miniature, without the only clip of its val split and one of train; a tiny model of photos."""
    monkeypatch.setenv("CAPTIONING_DATA", str(tmp_path))
    layout = MSVDSentences(tmp_path / "msvd")
    layout.root.mkdir()
    layout.write()
    for name in ("-w_1201_4_10", "-w_2_4_10"):
        layout.clip(name).unlink()
    saved_model(tmp_path / "model")
    return layout


def test_all_clips_that_are_there_are_scored(captioning, benchmark, tmp_path, monkeypatch, caplog):  # noqa: F811
    common = ["evaluate", "model=model", "data=msvd", "data.on_missing=skip", "store=null"]
    assert MSVD.metrics == ("bleu", "meteor", "rouge", "cider"), "what is published for clips"
    monkeypatch.setattr(MSVD, "metrics", ("bleu", "cider"))  # METEOR would start Java
    status, lines, _ = captioning(*common, "data.split=all")
    assert status == 0
    assert lines[0] == "msvd all, 3 clips, 6 references"
    assert [line.split()[0] for line in lines[1:]] == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "CIDEr"]
    assert "1 of 3 captioned clips is missing (split train)" in caplog.text
    said = json.loads((tmp_path / "evaluations/model-msvd-all/predictions.json").read_text())
    assert [each["image_id"] for each in said] == ["-w_1_4_10", "-w_3_4_10", "-w_1301_4_10"]

    joined, lines, _ = captioning(*common, "data.split=train+test", "metrics=[cider]")
    assert joined == 0 and lines[0] == "msvd train+test, 3 clips, 6 references"
    both = json.loads((tmp_path / "evaluations/model-msvd-train+test/predictions.json").read_text())
    assert both == said
    texts = {str(benchmark.clip(each["image_id"])): each["caption"] for each in said}
    _, lines, _ = captioning("caption", *texts, "--model", "model")
    assert lines == [f"{file}\t{text}" for file, text in texts.items()], "as the command says of the clips themselves"


def test_missing_clips_stop_an_evaluation_with_their_count(captioning, benchmark):  # noqa: F811
    benchmark.clip("-w_1_4_10").unlink()
    arguments = ["evaluate", "model=model", "data=msvd", "data.split=train"]
    status, lines, errors = captioning(*arguments)
    assert status == 2 and lines == [] and "split train has 3 clips where the official one has 1,200" in errors[0]
    status, lines, errors = captioning(*arguments, "data.on_missing=ignore")
    assert status == 2 and lines == []


def test_the_table_of_msrvtt_is_printed(captioning, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("CAPTIONING_DATA", str(tmp_path))
    layout = MSRVTT2017(tmp_path / "msrvtt")
    layout.root.mkdir()
    layout.write()
    saved_model(tmp_path / "model", "show_and_tell")
    options = ["data.split=test", "data.on_missing=skip", "metrics=[bleu,rouge,cider]"]
    status, lines, _ = captioning("evaluate", "model=model", "data=msrvtt", *options)
    assert status == 0 and lines[0] == "msrvtt test, 1 clips, 2 references" and len(lines) == 7
