"""A model trained on photos says sentences of clips and of their parts, in every format, whatever lies beside them."""

import html
import json
import re

import pytest
from test_cli import captioning, model, photos  # noqa: F401  the command, a tiny model and three photos
from test_subtitles import read_back
from tiny_clips import write_clip

from captioning.commands.caption_clips import cuts
from captioning.tasks.load import load


@pytest.fixture
def clips(tmp_path):
    (tmp_path / "films").mkdir()
    return [write_clip(tmp_path / f"films/clip{i}.mp4", seconds=2, fps=4, seed=i) for i in range(3)]


def test_one_clip_gives_its_sentence_and_nothing_else(captioning, model, clips):  # noqa: F811
    expected = load(model).caption(clips[0]).text
    assert captioning("caption", clips[0], "--model", model) == (0, [expected], [])
    assert captioning("caption", clips[0], "--model", model, "--format", "text") == (0, [expected], [])


def test_photos_and_clips_of_a_folder_are_said_in_order(captioning, model, clips, photos, tmp_path):  # noqa: F811
    for photo in photos:
        photo.rename(tmp_path / "films" / photo.name)
    status, lines, errors = captioning("caption", tmp_path / "films", "--model", model)
    files = sorted((tmp_path / "films").iterdir())
    expected = [f"{file}\t{caption}" for file, caption in zip(files, load(model).caption(files), strict=True)]
    assert (status, lines, errors) == (0, expected, []) and len(lines) == 6
    assert captioning("caption", tmp_path / "films", "--model", model, "--format", "text") == (0, expected, [])
    alone = [load(model).caption(file).text for file in files]
    assert [line.split("\t")[1] for line in lines] == alone, "company changes nothing"


def test_every_so_many_seconds_have_a_sentence_with_its_times(captioning, model, clips):  # noqa: F811
    status, lines, _ = captioning("caption", clips[0], "--model", model, "--every", 0.5)
    assert status == 0
    assert [line.split("\t")[0] for line in lines] == [
        "00:00:00.000-00:00:00.500",
        "00:00:00.500-00:00:01.000",
        "00:00:01.000-00:00:01.500",
        "00:00:01.500-00:00:02.000",
    ]
    status, found, _ = captioning("caption", clips[0], "--model", model, "--every", 0.5, "--format", "json")
    found = [json.loads(line) for line in found]
    assert [(each["begin"], each["end"]) for each in found] == [(0, 0.5), (0.5, 1), (1, 1.5), (1.5, 2)]
    assert [each["caption"] for each in found] == [line.split("\t")[1] for line in lines]
    assert {each["file"] for each in found} == {str(clips[0])} and all(each["score"] <= 0 for each in found)
    assert len({each["caption"] for each in found}) > 1, "the parts must differ for this to mean anything"
    status, both, _ = captioning("caption", *clips[:2], "--model", model, "--every", 0.5)
    assert both[:4] == [f"{clips[0]}\t{line}" for line in lines] and len(both) == 8


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_say_what_the_json_says(captioning, model, clips, tmp_path, kind):  # noqa: F811
    options = ["--model", model, "--every", "0.5"]
    _, said, _ = captioning("caption", *clips, *options, "--json")
    said = [json.loads(line) for line in said]
    expected = {
        clip: [(1000 * c["begin"], 1000 * c["end"], c["caption"]) for c in said if c["file"] == str(clip)]
        for clip in clips
    }
    status, lines, errors = captioning("caption", clips[1], *options, "--format", kind)
    assert (status, errors) == (0, [])
    assert read_back("\n".join(lines) + "\n", kind) == expected[clips[1]]
    status, lines, errors = captioning("caption", *clips, *options, "--format", kind, "--into", "subs")
    assert (status, lines, errors) == (0, [], [])
    for clip in clips:
        assert read_back((tmp_path / f"subs/{clip.stem}.{kind}").read_text(), kind) == expected[clip]


def test_a_bad_clip_is_named_and_the_others_are_done(captioning, model, clips, photos, tmp_path):  # noqa: F811
    (tmp_path / "text.mp4").write_text("no clip")
    (tmp_path / "cut.mp4").write_bytes(clips[0].read_bytes()[:700])
    (tmp_path / "empty.avi").write_bytes(b"")
    bad = [tmp_path / name for name in ("text.mp4", "cut.mp4", "empty.avi", "gone.mkv")]
    mixed = [bad[0], clips[0], bad[1], photos[0], bad[2], bad[3], clips[1]]
    for options in [], ["--every", "1"], ["--format", "srt", "--into", "subs"], ["--page", "page.html"]:
        status, lines, errors = captioning("caption", *mixed, "--model", model, *options)
        assert status == 1, options
        assert sum("Traceback" in error for error in errors) == 0
        for file in bad:
            assert sum(file.name in error for error in errors) == 1, (options, errors)
        if "srt" in options:
            assert sum("photo0.png is a photo" in error for error in errors) == 1
            assert {file.name for file in (tmp_path / "subs").iterdir()} == {"clip0.srt", "clip1.srt"}
        else:
            done = list(dict.fromkeys(line.split("\t")[0] for line in lines))
            assert done == [str(clips[0]), str(photos[0]), str(clips[1])]


def test_a_clip_given_twice_is_said_twice(captioning, model, clips):  # noqa: F811
    _, once, _ = captioning("caption", clips[0], "--model", model, "--every", "1", "--json")
    _, twice, _ = captioning("caption", clips[0], clips[0], "--model", model, "--every", "1", "--json")
    alone, together = ([json.loads(line) for line in lines] for lines in (once * 2, twice))
    scores, others = ([said.pop("score") for said in lines] for lines in (alone, together))
    assert together == alone
    assert scores == pytest.approx(others, abs=1e-4), "company in a batch may change the last bits of a product"


def test_the_page_has_eight_frames_and_the_sentences_of_each_clip(captioning, model, clips, photos, tmp_path):  # noqa: F811
    status, lines, errors = captioning("caption", *clips, photos[0], "--model", model, "--page", "new/page.html")
    assert (status, errors) == (0, [])
    page = (tmp_path / "new/page.html").read_text()
    cards = page.split('<article class="clip">')[1:]
    assert [card.count("<img ") for card in cards] == [8, 8, 8, 1]
    assert not re.findall(r"https?:|//\w|<link|<script", re.sub(r"base64,[\w+/=]+", "", page))
    for card, line in zip(cards, lines, strict=True):
        file, text = line.split("\t")
        assert file in html.unescape(card) and f">{text}</p>" in html.unescape(card)
    captioning("caption", clips[0], "--model", model, "--every", "1", "--page", "page.html")
    assert (tmp_path / "page.html").read_text().count('<p class="said"><time>') == 2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--every", "0"], "every"),
        (["--every", "-1"], "every"),
        (["--every", "inf"], "every"),
        (["--every", "nan"], "every"),
        (["--every", "often"], "every"),
        (["--format", "doc"], "format"),
        (["--format", "srt"], "--into"),
        (["--into", "subs"], "into"),
        (["--page", "films"], "films"),
        (["--attention", "maps", "--every", "1"], "attention"),
        (["--json", "--format", "srt", "--into", "subs"], "json"),
    ],
    ids=" ".join,
)
def test_an_option_that_makes_no_sense_is_status_2(captioning, model, clips, options, word):  # noqa: F811
    status, _, errors = captioning("caption", *clips, "--model", model, *options)
    assert status == 2 and word in errors[-1]


def test_attention_is_drawn_for_photos_and_refused_for_clips(captioning, model, clips, photos, tmp_path):  # noqa: F811
    status, lines, errors = captioning("caption", clips[0], photos[0], "--model", model, "--attention", "maps")
    assert status == 1 and len(lines) == 2 and len(errors) == 1 and "is a clip" in errors[0]
    assert [file.name for file in (tmp_path / "maps").iterdir()] == ["photo0.png"]


@pytest.mark.parametrize("duration", [0.0, 0.04, 4.9, 5, 5.9, 6.1, 10.0, 3600.5])
@pytest.mark.parametrize("every", [None, 5, 0.7])
def test_the_parts_of_a_clip_join_and_cover_it(duration, every):
    parts = list(cuts(duration, every))
    assert parts[0][0] == 0 and parts[-1][1] == duration
    assert all(before[1] == after[0] for before, after in zip(parts, parts[1:], strict=False))
    if every:
        assert all(0.2 * every < end - begin <= 1.2 * every + 1e-9 for begin, end in parts) or len(parts) == 1
