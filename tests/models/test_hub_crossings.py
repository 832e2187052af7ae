"""Whatever a finished model is good for, a captioner of the model hub is: folders, clips, subtitles, scores, pages."""

import csv
import json
from pathlib import Path

import pytest
from test_cli import captioning  # noqa: F401  the command, as a fixture
from tiny_clips import write_clip
from tiny_model import pictures

from captioning.demo.tabs import captioning as tab
from captioning.tasks.load import load

pytest.importorskip("transformers")
import generating_models  # noqa: E402
import hub_models  # noqa: E402

KINDS = {name: hub_models.KINDS[name] for name in ("blip", "vit_bert", "swin_gpt2", "git")}
KINDS["blip-2"] = generating_models.blip_2
AS_IT_IS = ("blip-2",)  # by transformers' own generate


@pytest.fixture(scope="module", params=KINDS)
def model(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / request.param
    KINDS[request.param](folder)
    return folder


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    (tmp_path / "photos").mkdir()
    files = [tmp_path / "photos" / f"{i}.png" for i in range(3)]
    for file, picture in zip(files, pictures(3, 40), strict=True):
        picture.save(file)
    return files


def test_a_folder_is_captioned_beside_its_photos_and_goes_on_where_it_stopped(captioning, model, photos):  # noqa: F811
    said = [one.text for one in load(model).caption(photos, max_words=6)]
    common = ["caption", photos[0].parent, "--model", model, "--max-words", 6, "--sidecar", "--skip-existing"]
    photos[1].with_suffix(".txt").write_text("my own")
    assert captioning(*common)[0] == 0
    assert [photo.with_suffix(".txt").read_text().strip() for photo in photos] == [said[0], "my own", said[2]]
    table = photos[0].parent.parent / "captions.csv"
    common = ["caption", *photos, "--model", model, "--max-words", 6, "--output", table]
    assert captioning(*common[:2], *common[4:])[0] == 0
    assert captioning(*common, "--skip-existing")[0] == 0
    with table.open() as file:
        rows = {Path(row["file"]).name: row["caption"] for row in csv.DictReader(file)}
    assert rows == {photo.name: text for photo, text in zip(photos, said, strict=True)}


def test_where_it_looked_is_drawn_if_it_looks_at_places(captioning, model, photos):  # noqa: F811
    status, lines, errors = captioning("caption", photos[0], "--model", model, "--max-words", 4, "--attention", "looks")
    if model.name in AS_IT_IS:
        assert "this model does not look at parts of a photo" in " ".join(errors)
    else:
        assert status == 0 and errors == [] and (photos[0].parent.parent / "looks/0.png").stat().st_size > 500


def test_a_clip_has_subtitles_and_a_page(captioning, model, tmp_path):  # noqa: F811
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, fps=4)
    common = ["caption", clip, "--model", model, "--max-words", 4, "--every", 1, "--format", "srt"]
    status, _, errors = captioning(*common, "--into", tmp_path / "subtitles", "--page", tmp_path / "page.html")
    assert (status, errors) == (0, [])
    assert (tmp_path / "subtitles/clip.srt").read_text().count("-->") == 2
    assert "clip.mp4" in (tmp_path / "page.html").read_text()


def test_it_is_scored_on_a_split_with_intervals_and_a_page(captioning, model, photos, tmp_path):  # noqa: F811
    with (tmp_path / "photos.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "caption", "split"])
        rows.writerows([f"photos/{photo.name}", f"a dog number {photo.stem}", "val"] for photo in photos)
    common = ["evaluate", f"model={model}", "data=table", "data.file=photos.csv", "data.split=val", "metrics=[cider]"]
    status, lines, errors = captioning(*common, "output=evaluated", "report=true")
    assert status == 0, errors
    said = json.loads((tmp_path / "evaluated/predictions.json").read_text())
    texts = [one.text for one in load(model).caption(photos)]
    assert [row["caption"] for row in said] == texts
    assert "0.png" in (tmp_path / "evaluated/report.html").read_text()
    references = [{"image_id": row["image_id"], "caption": "a dog"} for row in said]
    file = tmp_path / "references.jsonl"
    file.write_text("\n".join(map(json.dumps, references)))
    status, lines, _ = captioning("score", file, tmp_path / "evaluated/predictions.json", "--metrics", "cider")
    assert status == 0 and "CIDEr" in "".join(lines) and "[" in "".join(lines)


def test_the_page_answers_an_upload(model, photos):
    found = tab.answer(load(model), str(photos[0]), "beam search", 2, None)
    assert 'class="answer"' in found and "captioning-card" in found and 'role="alert"' not in found
    assert 'role="alert"' in tab.answer(load(model), str(photos[0]), "guessing", 2, None)
