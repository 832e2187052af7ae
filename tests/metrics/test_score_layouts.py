"""One set of captions has one score in every layout and spelling of ids; a score without meaning says so."""

import json

import pytest
from test_score_command import CAPTIONS, HYPOTHESES, coco, files, karpathy, results, written  # noqa: F401

from captioning.commands.caption_files import CaptionFile
from captioning.commands.score import score
from captioning.data.benchmarks.karpathy import Karpathy
from captioning.errors import UserError
from captioning.metrics.caption_scores import score_captions
from captioning.tasks.captioning.caption import Caption


def dumped(content, path):
    path.write_text(json.dumps(content))
    return path


def ours(hypotheses, path):
    output = CaptionFile(path)
    for image, text in hypotheses.items():
        output.write(image, [Caption(text, -1.0, [])])
    return path


def spreadsheet(hypotheses, path):
    ours(hypotheses, path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    return path


REFERENCES = {
    "{id: [captions]}": lambda path: dumped(CAPTIONS, path),
    "{id: [{caption}]}": lambda path: dumped({k: [{"caption": c} for c in v] for k, v in CAPTIONS.items()}, path),
    "karpathy, cocoid as text": lambda path: dumped(
        {
            "images": [
                {"filename": f"x{k}.jpg", "cocoid": str(k), "split": "test", "sentences": [{"raw": c} for c in v]}
                for k, v in CAPTIONS.items()
            ]
        },
        path,
    ),
}
PREDICTIONS = {
    "{id: caption}": lambda path: dumped(HYPOTHESES, path),
    "{id: [caption]}": lambda path: dumped({k: [v] for k, v in HYPOTHESES.items()}, path),
    "{id: [{caption}]}": lambda path: dumped({k: [{"caption": v}] for k, v in HYPOTHESES.items()}, path),
    "csv of ours": lambda path: ours({f"photos/{k}.jpg": v for k, v in HYPOTHESES.items()}, path.with_suffix(".csv")),
    "csv from a spreadsheet": lambda path: spreadsheet(
        {f"{k:012d}.jpg": v for k, v in HYPOTHESES.items()}, path.with_suffix(".csv")
    ),
    "jsonl of ours": lambda path: ours({f"{k}.png": v for k, v in HYPOTHESES.items()}, path.with_suffix(".jsonl")),
}


@pytest.fixture
def answer(files, tmp_path):  # noqa: F811
    return written(files[0], [files[1]], tmp_path)["results"][0]["scores"]


@pytest.mark.parametrize("layout", REFERENCES)
def test_references_of_every_layout_score_the_same(layout, answer, files, tmp_path):  # noqa: F811
    path = REFERENCES[layout](tmp_path / "other.json")
    assert written(path, [files[1]], tmp_path)["results"][0]["scores"] == answer


@pytest.mark.parametrize("layout", PREDICTIONS)
def test_predictions_of_every_layout_score_the_same(layout, answer, files, tmp_path):  # noqa: F811
    path = PREDICTIONS[layout](tmp_path / "other.json")
    assert written(files[0], [path], tmp_path)["results"][0]["scores"] == answer


@pytest.mark.parametrize(
    "spelling", ["{}", "{:012d}", "COCO_val2014_{:012d}", "COCO_val2014_{:012d}.jpg", "a/{:012d}.jpg"]
)
def test_the_ways_in_which_coco_names_a_photo_are_one(spelling, answer, files, tmp_path):  # noqa: F811
    path = results({spelling.format(k): v for k, v in HYPOTHESES.items()}, tmp_path / "named.json")
    assert written(files[0], [path], tmp_path)["results"][0]["scores"] == answer


def test_one_photo_under_two_spellings_is_refused(files, tmp_path):  # noqa: F811
    path = results({**HYPOTHESES, "000000000001": "a cat"}, tmp_path / "twice.json")
    with pytest.raises(UserError, match="two predictions are of the image 1"):
        score(files[0], [path])


@pytest.mark.parametrize(
    ("content", "place"),
    [({"1": ["a", "b"]}, "2 captions"), ({"1": 3}, "1 should have a text"), ({"1": []}, "1 should have a text")],
)
def test_a_plain_object_that_cannot_be_scored_is_refused_at_its_image(files, tmp_path, content, place):  # noqa: F811
    with pytest.raises(UserError, match=place):
        score(files[0], [dumped(content, tmp_path / "bad.json")])


def test_a_csv_without_the_columns_is_refused(files, tmp_path):  # noqa: F811
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="'a,b'"):
        score(files[0], [tmp_path / "other.csv"])
    (tmp_path / "other.csv").write_text("file,caption\n1,2,3\n")
    with pytest.raises(UserError, match="line 2"):
        score(files[0], [tmp_path / "other.csv"])


def test_a_karpathy_file_with_numbers_as_text_is_a_source(tmp_path):
    REFERENCES["karpathy, cocoid as text"](tmp_path / "dataset_mine.json")
    source = Karpathy(tmp_path / "dataset_mine.json", on_missing="ignore")
    assert [example.id for example in source.examples("test")] == list(CAPTIONS)


MEANINGLESS = {  # kind -> references, predictions, what is said
    "one image": ({1: ["a dog runs"]}, {1: "a dog runs"}, "CIDEr of one image is 0"),
    "the same references everywhere": (
        {1: ["a dog", "a cat"], 2: ["a cat", "a dog"]},
        {1: "a dog", 2: "a cat"},
        "all images have the same references",
    ),
    "Chinese": (
        {1: ["一只狗在草地上奔跑"], 2: ["两个人在海边散步"]},
        {1: "狗在奔跑", 2: "人在海边"},
        "does not split the script",
    ),
    "Thai": ({1: ["สุนัขวิ่งบนหญ้า"], 2: ["แมวนอนบนเตียง"]}, {1: "สุนัขวิ่ง", 2: "แมวนอน"}, "does not split the script"),
    "no words": ({1: ["a dog"], 2: ["two cats"]}, {1: "", 2: "two cats"}, "1 of 2 predictions have no words"),
}


@pytest.mark.parametrize("kind", MEANINGLESS)
def test_a_score_without_meaning_says_why(kind, tmp_path, capsys):
    references, predictions, said = MEANINGLESS[kind]
    assert any(said in remark for remark in score_captions(references, predictions).remarks)
    score(dumped(references, tmp_path / "refs.json"), [dumped(predictions, tmp_path / "res.json")])
    assert sum(said in line for line in capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("spaced", ["一 只 狗 在 草 地 上", "狗 奔跑 草地"])
def test_a_score_with_a_meaning_says_nothing(spaced):
    assert not score_captions(CAPTIONS, HYPOTHESES).remarks
    assert not score_captions({1: [spaced], 2: ["猫 睡觉"]}, {1: spaced, 2: "猫"}).remarks
