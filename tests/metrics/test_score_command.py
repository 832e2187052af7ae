"""`captioning score` reads every layout, refuses what it cannot score fairly, and writes whole files."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from captioning.commands.score import score
from captioning.errors import UserError
from captioning.metrics.caption_scores import score_captions
from captioning.metrics.predictions import merge_predictions, read_predictions
from captioning.metrics.references import read_references

CAPTIONS = {
    1: ["A dog runs on the beach.", "The dog is running"],
    2: ["Two cats sleep under a table", "cats sleeping", "Two kittens"],
    3: ["A red bus stops at a station"],
}
HYPOTHESES = {1: "A dog on the beach", 2: "two cats sleep", 3: "a blue bus"}


def coco(captions, path, **extra):
    annotations = [{"image_id": image, "caption": caption} for image, those in captions.items() for caption in those]
    numbered = [{"id": number, **annotation} for number, annotation in enumerate(annotations)]
    images = [{"id": image, "file_name": f"COCO_{image:012d}.jpg"} for image in captions]
    path.write_text(json.dumps({"images": images, "annotations": numbered, **extra}))
    return path


def karpathy(captions, path):
    images = [
        {"filename": f"{image}.jpg", "cocoid": image, "split": "test", "sentences": [{"raw": one} for one in those]}
        for image, those in captions.items()
    ]
    images.append({"filename": "9.jpg", "cocoid": 9, "split": "restval", "sentences": [{"raw": "a tree"}]})
    path.write_text(json.dumps({"images": images, "dataset": "coco"}))
    return path


def json_lines(captions, path):
    lines = [json.dumps({"image_id": image, "captions": those}) for image, those in captions.items()]
    path.write_text("\n".join(lines) + "\n\n")
    return path


def caption_lines(captions, path):
    rows = [{"id": image, "caption": one} for image, those in captions.items() for one in those]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def flickr8k(captions, path):
    path.write_text(
        "".join(f"{image}.jpg#{i}\t{one}\n" for image, those in captions.items() for i, one in enumerate(those))
    )
    return path


def results(hypotheses, path):
    path.write_text(json.dumps([{"image_id": image, "caption": caption} for image, caption in hypotheses.items()]))
    return path


def result_lines(hypotheses, path, key="image_id"):
    path.write_text("".join(json.dumps({key: image, "caption": one}) + "\n" for image, one in hypotheses.items()))
    return path


@pytest.fixture
def files(tmp_path):
    return coco(CAPTIONS, tmp_path / "refs.json"), results(HYPOTHESES, tmp_path / "res.json")


def written(references, predictions, tmp_path, **options):
    score(references, predictions, json_file=tmp_path / "out" / "scores.json", **options)
    return json.loads((tmp_path / "out" / "scores.json").read_text())


@pytest.mark.parametrize("layout", [coco, karpathy, json_lines, caption_lines])
@pytest.mark.parametrize("answers", [results, result_lines])
def test_every_layout_gives_the_scores_of_its_captions(layout, answers, tmp_path):
    found = written(layout(CAPTIONS, tmp_path / "r"), [answers(HYPOTHESES, tmp_path / "p")], tmp_path)
    assert found["results"][0]["scores"] == score_captions(CAPTIONS, HYPOTHESES).corpus


def test_flickr8k_text_is_scored_by_file_name(tmp_path):
    named = {f"{image}.jpg": caption for image, caption in HYPOTHESES.items()}
    found = written(flickr8k(CAPTIONS, tmp_path / "r.txt"), [results(named, tmp_path / "p.json")], tmp_path)
    assert found["results"][0]["scores"] == score_captions(CAPTIONS, HYPOTHESES).corpus


@pytest.mark.parametrize("name", ["{}", "photos/COCO_{:012d}.jpg"])
def test_an_image_is_found_by_its_id_as_text_and_by_its_file(files, tmp_path, name):
    named = {name.format(image): caption for image, caption in HYPOTHESES.items()}
    found = written(files[0], [result_lines(named, tmp_path / "p.jsonl", key="file")], tmp_path)
    assert found["results"][0]["scores"] == score_captions(CAPTIONS, HYPOTHESES).corpus


def test_line_separators_inside_a_caption_lose_nothing(tmp_path):
    cut = {image: [caption.replace(" ", "\r\u2028", 1) for caption in those] for image, those in CAPTIONS.items()}
    found = written(coco(cut, tmp_path / "r"), [results(HYPOTHESES, tmp_path / "p")], tmp_path)
    assert found["results"][0]["scores"] == score_captions(CAPTIONS, HYPOTHESES).corpus


def test_the_split_of_a_karpathy_file_is_that_of_the_predictions_or_the_one_asked_for(tmp_path):
    path = karpathy(CAPTIONS, tmp_path / "r.json")
    train = results({9: "a tree"}, tmp_path / "train.json")
    both = results({**HYPOTHESES, 9: "a tree"}, tmp_path / "both.json")
    assert written(path, [train], tmp_path)["results"][0]["images"] == 1
    with pytest.raises(UserError, match="holds images of test, train: choose with --split"):
        score(path, [both])
    assert written(path, [both], tmp_path, split="test", allow_missing=True)["results"][0]["images"] == 3
    with pytest.raises(UserError, match="no split 'val', only test, train"):
        score(path, [both], split="val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"image_id": 1, "caption": "a"}], r"2 images of .*refs.json are not in .*p, the first is 2"),
        (
            [{"image_id": i, "caption": "a"} for i in (1, 2, 3, 8)],
            r"1 image of .*p is not in .*refs.json, the first is 8",
        ),
        ([{"image_id": 1, "caption": "a"}] * 2, "1 image occurs more than once, the first is 1 with the same caption"),
        (
            [{"image_id": i, "caption": str(c)} for c in (1, 2) for i in (3, 1)],
            "2 images occur more than once, the first is 3 with two captions",
        ),
        ([], "holds no captions"),
        ([{"image_id": 77, "caption": "a"}], "have no image in common"),
        ([{"image_id": 1}], r"results\[0\].caption should be of type str, found nothing"),
        ([{"image_id": 1, "caption": None}], r"results\[0\].caption should be of type str"),
        (["a dog"], r"results\[0\] is not an object"),
    ],
)
def test_an_unfair_result_is_refused_with_the_first_and_the_count(files, tmp_path, content, message):
    path = tmp_path / "p"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        score(files[0], [path])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"annotations": []}', "holds no reference captions"),
        ('{"annotations": [{"image_id": 1, "caption": 5}]}', r"annotations\[0\].caption should be of type str"),
        ('{"id": 1, "caption": "a"}\n{"caption": "b"}', "line 2 names no image"),
        ('{"id": 1, "caption": "a"}\n{"id": 2}', "line 2 has no caption"),
        ('{"id": 1, "caption": "a"}\n{"id": 2', "line 2 is not valid JSON"),
        ("a.jpg#0\ta dog\nb.jpg a cat\n", "line 2 is not an image name"),
        ("a.jpg#0\ta dog\na.jpg#0\ta cat\n", "1 caption occurs more than once, the first is a.jpg#0"),
        ("[1, 2]", "has no list named annotations"),
        ("{", "is not valid JSON"),
        ("", "holds no reference captions"),
    ],
)
def test_references_that_cannot_be_read_are_named_with_the_place(files, tmp_path, content, message):
    path = tmp_path / "broken"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        score(path, [files[1]])
    assert str(path) in str(caught.value)


def test_a_missing_file_and_an_unknown_metric_are_named(files, tmp_path):
    with pytest.raises(UserError, match=r"nothing\.json does not exist"):
        score(files[0], [tmp_path / "nothing.json"])
    with pytest.raises(UserError, match=r"there is no metric 'bleurt'\. Choose from bleu"):
        score(*files[:1], [files[1]], metrics=["bleu", "bleurt"])


def test_common_images_are_scored_where_allowed_and_the_rest_is_counted(files, tmp_path, capsys):
    partial = results({1: HYPOTHESES[1], 3: HYPOTHESES[3], 8: "a"}, tmp_path / "partial.json")
    found = written(files[0], [partial], tmp_path, allow_missing=True)
    common = {i: CAPTIONS[i] for i in (1, 3)}, {i: HYPOTHESES[i] for i in (1, 3)}
    assert found["results"][0]["scores"] == score_captions(*common).corpus
    assert (found["results"][0]["images"], found["results"][0]["left_out"]) == (2, 2)
    assert "scored 2 images, left out 2" in capsys.readouterr().err


def test_only_the_metrics_asked_for_are_reported(files, tmp_path, capsys):
    found = written(files[0], [files[1]], tmp_path, metrics=["CIDEr-D", "bleu-4"])
    assert list(found["results"][0]["scores"]) == ["BLEU-4", "CIDEr"]
    assert "ROUGE" not in capsys.readouterr().out


def test_several_results_stand_side_by_side(files, tmp_path, capsys):
    perfect = results({image: those[0] for image, those in CAPTIONS.items()}, tmp_path / "perfect.json")
    found = written(files[0], [files[1], perfect], tmp_path)
    header, _, bleu, *_ = capsys.readouterr().out.splitlines()
    assert header.index("perfect.json") > header.index("res.json")
    assert bleu.split()[0] == "BLEU-1" and len(bleu.split()) == 7
    assert found["results"][1]["scores"]["ROUGE-L"] == pytest.approx(1)


def test_the_csv_lists_every_image_worst_first(files, tmp_path):
    score(files[0], [files[1]], per_image=tmp_path / "images.csv")
    rows = list(csv.DictReader((tmp_path / "images.csv").open(encoding="utf-8")))
    expected = score_captions(CAPTIONS, HYPOTHESES)
    assert [float(row["CIDEr"]) for row in rows] == sorted(expected.per_image["CIDEr"].tolist())
    assert {int(row["image_id"]): row["caption"] for row in rows} == HYPOTHESES


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_the_former(files, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        score(files[0], [files[1]], json_file=tmp_path / "file" / "scores.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "refs.json", "res.json"]


def test_nothing_heavy_is_imported(files):
    code = (
        "import sys; from pathlib import Path; from captioning.commands.score import score; "
        f"score(Path({str(files[0])!r}), [Path({str(files[1])!r})]); "
        "assert not {'torch', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_degenerate_captions_score_what_the_official_code_prints(real_data, tmp_path):
    references = real_data / "coco/annotations/captions_val2017.json"
    predictions = real_data / "coco/captions_val2017_fakecap_results.json"
    found = written(references, [predictions], tmp_path, allow_missing=True, samples=0)["results"][0]
    scores = found["scores"]
    assert found["images"] == 4989
    assert f"{scores['BLEU-1']:.11f} {scores['BLEU-2']:.11f}" == "0.14998593879 0.00397698615"
    assert f"{scores['BLEU-3']:.4e} {scores['BLEU-4']:.4e}" == "7.9475e-09 1.6922e-11"
    assert f"{scores['ROUGE-L']:.10f} {scores['CIDEr']:.10f}" == "0.3338280343 0.0002708559"


def test_predictions_of_several_processes_count_once():
    parts = [{1: "a", 3: "c"}, {2: "b", 4: "d"}, {1: "a again", 5: "e"}]
    assert merge_predictions(parts) == {1: "a", 3: "c", 2: "b", 4: "d", 5: "e"}
    split = merge_predictions([{1: HYPOTHESES[1], 2: HYPOTHESES[2]}, {3: HYPOTHESES[3], 1: HYPOTHESES[1]}])
    assert score_captions(CAPTIONS, split).corpus == score_captions(CAPTIONS, HYPOTHESES).corpus


def test_evaluate_refuses_images_of_one_side_only():
    with pytest.raises(UserError, match="1 image of references is not in predictions, the first is 3"):
        score_captions(CAPTIONS, {1: "a", 2: "b"})
    with pytest.raises(UserError, match="1 images have no reference caption, the first is 3"):
        score_captions({**CAPTIONS, 3: []}, HYPOTHESES)


def test_what_is_read_is_what_was_written(files, tmp_path):
    assert read_references(files[0]).captions == CAPTIONS
    assert read_predictions(files[1]) == HYPOTHESES
    unusual = {1: "\u201ca\u201d\tb\n\u2028c \U0001f600", 2: ""}
    assert read_predictions(results(unusual, tmp_path / "u.json")) == unusual
    assert read_predictions(result_lines(unusual, tmp_path / "u.jsonl")) == unusual
    assert np.isfinite(list(score_captions({1: ["x"], 2: [""]}, unusual).corpus.values())).all()
