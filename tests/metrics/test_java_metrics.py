"""METEOR and SPICE are the official numbers through their jars, and a missing program stops nothing else."""

import json
import math
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from official import needs_java

from captioning.errors import UserError
from captioning.metrics import java
from captioning.metrics.caption_scores import score_captions
from captioning.metrics.java import JavaProcess, MetricUnavailable, find_package_file
from captioning.metrics.meteor import Meteor, meteor_of
from captioning.metrics.spice import CORENLP_JARS, Spice, read_spice
from captioning.text.tokenizer import tokenize_all

REFERENCES = [
    ["a man rides a red motorcycle", "someone on a motorbike"],
    ["two dogs play"],
    [""],
    ["un caf\xe9 noir", "a cup of coffee on a table"],
    ["the bus stops", "a bus at a stop", "people wait"],
]
HYPOTHESES = ["a person riding a motorcycle", "two dogs play", "a cat", "caf\xe9 \u4e2d\u6587 3\xa01/2", ""]


@pytest.fixture(scope="module")
def meteor():
    needs_java()
    program = Meteor()
    yield program
    program.close()


@pytest.fixture(scope="module")
def of_coco(meteor, coco_last_against_others):
    """References and hypotheses of 150 images of COCO, as joined words, and their METEOR."""
    references, hypotheses = coco_last_against_others
    images = list(references)[:150]
    lines = [[" ".join(words) for words in tokenize_all(references[image])] for image in images]
    ours = [" ".join(words) for words in tokenize_all([hypotheses[image] for image in images])]
    return lines, ours, meteor.score(lines, ours)


def test_meteor_is_the_official_one(meteor, of_coco):
    official = pytest.importorskip("pycocoevalcap.meteor.meteor").Meteor()
    references, hypotheses = of_coco[0] + REFERENCES, of_coco[1] + HYPOTHESES
    corpus, per_image = official.compute_score(
        dict(enumerate(references)), {i: [line] for i, line in enumerate(hypotheses)}
    )
    ours = meteor.score(references, hypotheses)
    assert ours.corpus == corpus
    assert ours.per_image.tolist() == per_image


def test_summed_counts_give_the_corpus_value_and_single_ones_the_images(of_coco):
    scores = of_coco[2]
    assert meteor_of(scores.statistics.sum(axis=0)) == pytest.approx(scores.corpus, rel=1e-12)
    np.testing.assert_allclose(meteor_of(scores.statistics), scores.per_image, rtol=1e-12, atol=1e-15)


def test_the_same_program_answers_again(meteor, of_coco):
    before = meteor.process.process.pid
    again = meteor.score(*of_coco[:2])
    assert meteor.process.process.pid == before
    assert again.per_image.tolist() == of_coco[2].per_image.tolist()


def test_a_caption_cannot_break_the_protocol(meteor):
    plain = meteor.score([["a dog on a beach", "a dog"], ["a cat"]], ["a dog runs", "a cat"])
    broken = meteor.score([["a dog\non a ||| beach", "a\rdog"], ["a\u2028cat"]], ["a dog\n|||runs", "a cat"])
    np.testing.assert_allclose(broken.per_image, plain.per_image)


def test_meteor_works_from_a_path_with_spaces_and_in_any_locale(of_coco, tmp_path, monkeypatch):
    jar = find_package_file("METEOR", "meteor/meteor-1.5.jar")
    folder = tmp_path / "a path \xe9 with spaces"
    folder.mkdir()
    (folder / jar.name).write_bytes(jar.read_bytes())  # a link would lead Java to the place without spaces
    (folder / "data").symlink_to(jar.parent / "data")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
    monkeypatch.setenv("LC_ALL", "C")
    program = Meteor(folder / jar.name)
    try:
        assert program.score(*of_coco[:2]).per_image.tolist() == of_coco[2].per_image.tolist()
    finally:
        program.close()


def a_java(tmp_path, monkeypatch, code):
    """A `java` in JAVA_HOME that is a Python program."""
    program = tmp_path / "java home" / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}\n{code}")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java home"))


def test_a_program_that_was_ended_starts_again(tmp_path, monkeypatch):
    zeros = " ".join(["0"] * 23)
    code = f"""import sys
for line in sys.stdin:
    print({zeros!r} if line.startswith("SCORE") else "0.5\\n0.25", flush=True)
"""
    a_java(tmp_path, monkeypatch, code)
    (tmp_path / "data").mkdir()
    for name in ("meteor-1.5.jar", "data/paraphrase-en.gz"):
        (tmp_path / name).touch()
    program = Meteor(tmp_path / "meteor-1.5.jar")

    def die():
        program.process.process.kill()
        program.process.process.wait()

    for end in (program.close, die, program.close):
        scores = program.score([["a dog"]], ["a dog"])
        assert (scores.corpus, scores.per_image.tolist()) == (0.25, [0.5])
        end()


def talker(tmp_path, code, seconds=5.0):
    program = tmp_path / "talker.py"
    program.write_text(code)
    return JavaProcess([sys.executable, "-u", str(program)], metric="METEOR", folder=tmp_path, seconds=seconds)


def test_lines_are_answered_in_order_even_when_they_fill_every_pipe(tmp_path):
    program = talker(tmp_path, "import sys\nfor line in sys.stdin: print(len(line) - 1)")
    lines = ["x" * (i % 7) * 1000 for i in range(2000)]
    assert program.ask(lines, len(lines)) == [str(len(line)) for line in lines]
    program.close()
    assert program.process.poll() == 0


def test_a_program_that_is_silent_is_ended_in_time(tmp_path):
    program = talker(tmp_path, "import sys\nfor line in sys.stdin: pass", seconds=0.5)
    with pytest.raises(MetricUnavailable, match=r"METEOR gave no answer for 0\.5 seconds"):
        program.ask(["hello"], 1)
    assert program.process.poll() is not None and not program.alive


def test_a_program_that_ignores_its_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(java, "_SECONDS_TO_END", 0.3)
    program = talker(tmp_path, "import time\nwhile True: time.sleep(1)")
    program.close()
    assert program.process.poll() is not None


def test_a_program_that_dies_is_quoted(tmp_path):
    program = talker(tmp_path, "import sys\nsys.exit('no table')")
    with pytest.raises(MetricUnavailable, match="METEOR ended before it answered: no table"):
        program.ask(["hello"], 1)


@pytest.mark.parametrize("metric", ["meteor", "spice"])
def test_without_java_the_other_metrics_go_on(monkeypatch, metric):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("captioning.metrics.caption_scores.resident_meteor", Meteor)
    scores = score_captions({1: ["a dog"]}, {1: "a dog"}, metrics=["bleu", metric])
    assert list(scores.corpus) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"]
    assert scores.unavailable[metric.upper()] == (
        f"{metric.upper()} needs Java 8 or newer: install it, or set JAVA_HOME to where it is."
    )


def test_without_a_jar_one_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs meteor-1\.5\.jar, which comes with `pip install pycocoevalcap`"):
        find_package_file("METEOR", "meteor/meteor-1.5.jar")


@pytest.fixture
def spice_that_answers(tmp_path, monkeypatch):
    """A SPICE folder, and a `java` that writes down how it was called and gives each image its number as a score."""
    code = f"""import json, sys
arguments = sys.argv[1:]
entries = json.load(open(arguments[arguments.index("-jar") + 2]))
json.dump([arguments, entries], open({str(tmp_path / "called.json")!r}, "w"))
f = [0.25, None, 1]
out = [{{"image_id": e["image_id"], "scores": {{"All": {{"f": f[e["image_id"]]}}}}}} for e in reversed(entries)]
json.dump(out, open(arguments[arguments.index("-out") + 1], "w"))
"""
    a_java(tmp_path, monkeypatch, code)
    lib = tmp_path / "spice folder" / "lib"
    lib.mkdir(parents=True)
    jar = lib.parent / "spice-1.0.jar"
    jar.touch()
    return jar, tmp_path / "called.json"


def test_spice_names_the_files_it_lacks_and_their_place(spice_that_answers):
    jar, _ = spice_that_answers
    (jar.parent / "lib" / CORENLP_JARS[0]).touch()
    with pytest.raises(MetricUnavailable) as caught:
        Spice(jar).score([["a dog"]], ["a dog"])
    assert f"needs {CORENLP_JARS[1]} in {jar.parent / 'lib'}" in str(caught.value)


def test_spice_is_asked_as_the_official_code_asks_and_read_by_image(spice_that_answers, tmp_path):
    jar, called = spice_that_answers
    for name in CORENLP_JARS:
        (jar.parent / "lib" / name).touch()
    references = [["a dog", "the \u201cdog\u201d\nbarks"], ["b"], ["c ||| d"]]
    scores = Spice(jar, cache=tmp_path / "parsed captions").score(references, ["a", "", "c"])
    assert scores[[0, 2]].tolist() == [0.25, 1.0] and math.isnan(scores[1])
    arguments, entries = json.loads(called.read_text())
    expected = zip(range(3), ["a", "", "c"], references, strict=True)
    assert [(e["image_id"], e["test"], e["refs"]) for e in entries] == list(expected)
    assert arguments[arguments.index("-jar") + 1] == str(jar)
    assert arguments[arguments.index("-cache") + 1] == str(tmp_path / "parsed captions")
    assert arguments[-2:] == ["-subset", "-silent"] and "-Xmx8G" in arguments
    assert not Path(arguments[arguments.index("-jar") + 2]).exists(), "the question stays behind"


def test_spice_that_fails_or_skips_an_image_is_unavailable(spice_that_answers, tmp_path):
    jar, _ = spice_that_answers
    for name in CORENLP_JARS:
        (jar.parent / "lib" / name).touch()
    with pytest.raises(MetricUnavailable, match="SPICE failed"):
        Spice(jar, cache=tmp_path / "cache").score([["a"]] * 4, ["a"] * 4)
    half = tmp_path / "half.json"
    half.write_text(json.dumps([{"image_id": 0, "scores": {"All": {"f": 1}}}]))
    with pytest.raises(MetricUnavailable, match="SPICE scored 1 of 2 images"):
        read_spice(half, 2)
