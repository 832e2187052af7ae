"""Nothing that somebody made is replaced without being asked for, whatever kind of output it is; and every option of
generation that the library has can be given to the command."""

from pathlib import Path

import pytest
from test_cli import captioning, model, photos  # noqa: F401  the command, a tiny model and three photos
from tiny_clips import write_clip

from captioning.tasks.load import load


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "films/clip.mp4", seconds=1, fps=4)


OUTPUTS = {  # option of the command -> the file it writes
    "--into": (["--format", "srt", "--into", "out"], "out/clip.srt"),
    "--page": (["--page", "out/page.html"], "out/page.html"),
    "--attention": (["--attention", "out"], "out/photo0.png"),
    "--sidecar": (["--sidecar"], "photo0.txt"),
    "--sidecar-ending": (["--sidecar-ending", ".caption"], "photo0.caption"),
    "--output": (["--output", "out/c.jsonl"], "out/c.jsonl"),
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_what_is_there_is_replaced_only_where_that_is_said(captioning, model, clip, photos, tmp_path, output):  # noqa: F811
    options, name = OUTPUTS[output]
    seen = clip if output == "--into" else photos[0]
    command = ["caption", seen, "--model", model, *options]
    assert captioning(*command)[0] == 0
    made = (tmp_path / name).read_bytes()
    mine = made[:-1] if output == "--output" else b"edited by hand"
    (tmp_path / name).write_bytes(mine)

    status, _, errors = captioning(*command)
    assert status in (1, 2) and "--overwrite" in errors[-1] and Path(name).stem in "".join(errors)
    assert (tmp_path / name).read_bytes() == mine
    if output not in ("--page", "--output"):  # which hold many files
        assert captioning(*command, "--skip-existing")[0] == 0
        assert (tmp_path / name).read_bytes() == mine
    assert captioning(*command, "--overwrite")[0] == 0
    assert (tmp_path / name).read_bytes() == made
    assert captioning(*command, "--overwrite", "--skip-existing")[0] == 2


def test_clips_of_one_name_do_not_take_each_others_subtitles(captioning, model, clip, tmp_path):  # noqa: F811
    other = write_clip(tmp_path / "others/clip.mp4", seconds=2, fps=4, seed=1)
    options = ["--model", model, "--format", "srt", "--into", "subs"]
    assert captioning("caption", clip, *options)[0] == 0
    first = (tmp_path / "subs/clip.srt").read_text()
    status, _, errors = captioning("caption", other, *options)
    assert status == 1 and str(other) in errors[0] and (tmp_path / "subs/clip.srt").read_text() == first
    status, _, errors = captioning("caption", clip, other, *options, "--skip-existing")
    assert status == 0 and "1 left" in errors[0]
    assert (tmp_path / "subs/clip.srt").read_text() == first != (tmp_path / "subs/clip-2.srt").read_text()


@pytest.mark.parametrize("option", ["--skip-existing", "--overwrite"])
def test_an_option_about_files_without_any_is_refused(captioning, model, photos, option):  # noqa: F811
    status, lines, errors = captioning("caption", photos[0], "--model", model, option)
    assert (status, lines) == (2, []) and option in errors[0]


@pytest.mark.parametrize(
    ("options", "same"),
    [
        (["--prefix", "the dog"], {"forced_prefix": ["the dog"]}),
        (["--word", "water", "--word", "big ball"], {"forced_words": ["water", "big ball"]}),
        (["--min-words", 5], {"min_words": 5}),
        (["--max-words", 2], {"max_words": 2}),
        (["--samples", 3, "--seed", 1], {"num_samples": 3, "seed": 1}),
        (["--temperature", 0.5, "--seed", 1], {"temperature": 0.5, "seed": 1}),
        (["--top-p", 0.5, "--seed", 2], {"top_p": 0.5, "seed": 2}),
    ],
    ids=lambda part: " ".join(map(str, part)),
)
def test_the_command_says_what_the_library_says_under_the_same_options(captioning, model, photos, options, same):  # noqa: F811
    status, lines, errors = captioning("caption", photos[0], "--model", model, *options)
    found = load(model).caption(photos[0], **same)
    expected = [one.text for one in found] if isinstance(found, list) else [found.text]
    assert (status, errors) == (0, [])
    assert [line.partition("\t")[2] or line for line in lines] == expected


@pytest.mark.parametrize(
    "options", [["--prefix", "zebra"], ["--word", "zebra"], ["--temperature", "0"], ["--top-p", "2"]]
)
def test_a_word_or_number_that_the_model_cannot_take_is_status_2(captioning, model, photos, options):  # noqa: F811
    status, lines, errors = captioning("caption", photos[0], "--model", model, *options)
    assert (status, lines, len(errors)) == (2, [], 1) and (options[1] in errors[0])


def test_one_limit_on_words_does_not_fall_over_the_models_own_other_one(model, photos):  # noqa: F811
    captioner = load(model)
    captioner.task.generation = type(captioner.task.generation)(captioner.task.generation, min_words=6, max_words=8)
    assert len(captioner.caption(photos[0], max_words=2).text.split()) <= 2
    assert len(captioner.caption(photos[0], min_words=12).text.split()) >= 12
