"""Whatever a person types ends in the answer or in a line that says what to do, and in the right exit status."""

import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_model import pictures, saved_model

from captioning import cli
from captioning.models import shipped
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.load import load

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return saved_model(tmp_path_factory.mktemp("cli") / "model")


@pytest.fixture
def captioning(capsys, monkeypatch, tmp_path):
    """Runs the command in an empty folder. -> status, lines of standard output, lines of standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["captioning", *map(str, arguments)])
        capsys.readouterr()
        with warnings.catch_warnings(), pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stop.value.code or 0, out.splitlines(), err.splitlines()

    yield run
    logging.getLogger("captioning").setLevel(logging.NOTSET)


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    files = [tmp_path / f"photo{i}.png" for i in range(3)]
    for file, image in zip(files, pictures(3), strict=True):
        image.save(file)
    return files


def test_one_photo_gives_its_sentence_and_nothing_else(captioning, model, photos):
    expected = load(model).caption(photos[0]).text
    assert captioning("caption", photos[0], "--model", model) == (0, [expected], [])


def test_several_photos_give_a_line_each_in_order(captioning, model, photos):
    expected = [f"{file}\t{caption}" for file, caption in zip(photos, load(model).caption(photos), strict=True)]
    assert captioning("caption", *photos, "--model", model) == (0, expected, [])
    assert captioning("caption", photos[0].parent, "--model", model) == (0, expected, [])


def test_json_gives_one_object_a_line(captioning, model, photos):
    status, lines, _ = captioning("caption", *photos, "--model", model, "--json", "--beam-size", 4, "--num-captions", 2)
    found = [json.loads(line) for line in lines]
    assert status == 0 and [each["file"] for each in found] == [str(file) for file in photos for _ in range(2)]
    assert all(set(each) == {"file", "caption", "score"} and each["score"] <= 0 for each in found)


def save_odd_pictures(folder: Path) -> list[Path]:
    """Photos as they come, all of which can be read."""
    image = pictures(1)[0]
    alpha = image.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    alpha.save(folder / "alpha.png")
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16).save(folder / "grey16.png")
    image.convert("L").save(folder / "grey.jpg")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.resize((64, 32)).save(folder / "turned.jpg", exif=exif)
    image.convert("P").save(folder / "moving.gif", save_all=True, append_images=[image.rotate(90).convert("P")])
    image.resize((30_000, 40)).save(folder / "wide.png")
    image.resize((30_000, 500)).save(folder / "wide.jpg")
    Image.new("L", (1, 1)).save(folder / "dot.png")
    return sorted(folder.iterdir())


def test_photos_of_every_kind_are_captioned(captioning, model, tmp_path):
    (tmp_path / "odd").mkdir()
    files = save_odd_pictures(tmp_path / "odd")
    status, lines, errors = captioning("caption", *files, "--model", model)
    assert (status, errors) == (0, []) and len(lines) == len(files) == 9
    assert all(line.startswith(f"{file}\t") and line[-1] != "\t" for line, file in zip(lines, files, strict=True))


def test_what_cannot_be_read_is_named_and_the_rest_is_done(captioning, model, photos, tmp_path):
    bad = {name: tmp_path / name for name in ("cut.jpg", "empty.jpg", "text.jpg", "gone.jpg", "nothing", "pipe.jpg")}
    bad["nothing"].mkdir()
    os.mkfifo(bad["pipe.jpg"])
    Image.effect_noise((300, 300), 60).convert("RGB").save(bad["cut.jpg"])
    bad["cut.jpg"].write_bytes(bad["cut.jpg"].read_bytes()[:5000])
    bad["empty.jpg"].write_bytes(b"")
    bad["text.jpg"].write_text("a dog")
    mixed = [photo for pair in zip([*photos, *photos], bad.values(), strict=True) for photo in pair]
    status, lines, errors = captioning("caption", *mixed, "--model", model)
    assert status == 1
    assert [line.split("\t")[0] for line in lines] == [str(photo) for photo in [*photos, *photos]]
    assert len(errors) == len(bad) and all(error.startswith("captioning: ") for error in errors)
    for name in bad:
        assert sum(name in error for error in errors) == 1


def test_nothing_but_bad_photos_is_status_1_without_a_sentence(captioning, model, tmp_path):
    status, lines, errors = captioning("caption", tmp_path / "gone.jpg", "--model", model)
    assert (status, lines, len(errors)) == (1, [], 1)


@pytest.mark.parametrize("damage", ["config.yaml", "weights.safetensors", "vocabulary.json", "newer", "absent", "none"])
def test_a_model_that_cannot_be_used_is_status_2_and_one_line(captioning, photos, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(shipped, "shipped_folders", lambda: ())
    model = saved_model(tmp_path / "m")
    if damage == "newer":
        (model / "config.yaml").write_text((model / "config.yaml").read_text().replace("format: 2", "format: 9"))
    elif damage not in ("absent", "none"):
        (model / damage).unlink()
    options = [] if damage == "none" else ["--model", tmp_path / "gone" if damage == "absent" else model]
    status, lines, errors = captioning("caption", *photos, *options)
    assert (status, lines, len(errors)) == (2, [], 1) and errors[0].startswith("captioning: ")


@pytest.mark.parametrize(
    "options",
    [
        ["--beam-size", "0"],
        ["--beam-size", "many"],
        ["--beam-size", "1000000000"],
        ["--num-captions", "0"],
        ["--num-captions", "-3"],
        ["--num-captions", "three"],
        ["--device", "nonsense"],
        ["--device", "cuda:99"],
        ["--nonsense"],
        ["--attention", "photo0.png"],
        ["--attention", "photo0.png/deeper"],
    ],
    ids=" ".join,
)
def test_an_option_that_makes_no_sense_is_status_2_and_says_which(captioning, model, photos, options):
    status, lines, errors = captioning("caption", *photos, "--model", model, *options)
    assert status == 2 and lines == []
    assert options[0].strip("-").split("-")[0] in errors[-1]


def test_no_arguments_at_all_give_help(captioning):
    verbs = ("caption", "score", "train", "evaluate", "extract")
    for arguments in [], ["--help"], *([verb, "--help"] for verb in verbs):
        status, lines, errors = captioning(*arguments)
        assert status in (0, 2) and any("Usage: " in line for line in [*lines, *errors])
    assert captioning("nonsense")[0] == 2


def test_more_captions_than_beams_widen_the_beam(captioning, model, photos):
    status, lines, _ = captioning("caption", photos[0], "--model", model, "--num-captions", 7)
    assert status == 0 and len(set(lines)) == 7


def test_photos_of_one_name_have_each_a_picture_of_attention(captioning, model, tmp_path):
    files = [tmp_path / name for name in ("a/dog.png", "b/dog.png", "b/dog.jpg", "b/dog-2.png", "a/Dog.bmp")]
    for file, image in zip(files, pictures(5), strict=True):
        file.parent.mkdir(exist_ok=True)
        image.save(file)
    files.append(tmp_path / "gone.jpg")
    status, lines, errors = captioning("caption", *files, "--model", model, "--attention", "new/maps")
    strips = sorted((tmp_path / "new/maps").iterdir())
    assert status == 1 and len(lines) == 5 and len(errors) == 1
    assert len(strips) == len({strip.name.lower() for strip in strips}) == 5
    assert len({strip.read_bytes() for strip in strips}) == 5 and Image.open(strips[0]).width > 100


def test_a_strip_that_cannot_be_written_is_named_and_the_rest_is_done(captioning, model, photos, tmp_path):
    (tmp_path / "maps/photo1.png").mkdir(parents=True)
    status, lines, errors = captioning("caption", *photos, "--model", model, "--attention", "maps")
    assert status == 1 and len(lines) == 3 and len(errors) == 1 and "photo1.png" in errors[0]
    assert (tmp_path / "maps/photo2.png").is_file()


def test_a_model_that_attends_to_nothing_says_so_once(captioning, photos, tmp_path):
    model = saved_model(tmp_path / "m", "show_and_tell")
    status, lines, errors = captioning("caption", *photos, "--model", model, "--attention", "maps")
    assert status == 0 and len(lines) == 3 and len(errors) == 1 and "attention" in errors[0]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_file_of_any_name_has_one_line(captioning, model, tmp_path, as_json):
    names = [os.fsdecode(b"caf\xe9.png"), "new\nline.png", "tab\there.png", "Hündchen.png", "-dash.png"]
    for name, image in zip(names, pictures(5), strict=True):
        image.save(tmp_path / name)
    options = ["--json"] if as_json else []
    status, lines, errors = captioning("caption", "--model", model, *options, "--", *names)
    assert status == 0 and errors == [] and len(lines) == len(names)
    "\n".join(lines).encode()
    if as_json:
        assert [json.loads(line)["file"] for line in lines] == names
    else:
        assert lines[3].startswith("Hündchen.png\t") and all(line.count("\t") == 1 for line in lines)


def test_an_interruption_is_one_line(captioning, model, photos, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Captioner, "_describe", interrupted)
    assert captioning("caption", photos[0], "--model", model) == (130, [], ["captioning: interrupted"])


def test_a_bug_ends_in_a_traceback(monkeypatch, model, photos):
    monkeypatch.setattr(Captioner, "_describe", lambda *_: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["captioning", "caption", str(photos[0]), "--model", str(model)])
    with warnings.catch_warnings(), pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.fixture
def captions(tmp_path) -> tuple[Path, Path]:
    """References in COCO's layout, and results."""
    texts = ["a dog runs on the grass", "two cats sleep under a red chair", "a boy throws a ball"]
    results = [{"image_id": i, "caption": text} for i, text in enumerate(texts)]
    annotations = [{"id": 7 + result["image_id"], **result} for result in results]
    references = {"images": [{"id": i} for i in range(3)], "annotations": annotations}
    (tmp_path / "references.json").write_text(json.dumps(references))
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path / "references.json", tmp_path / "results.json"


def test_results_that_are_the_references_score_in_full(captioning, captions, tmp_path):
    status, lines, _ = captioning("score", *captions, "--metrics", "bleu,rouge", "--json", "scores.json")
    assert status == 0 and any("BLEU-4" in line and "100.0" in line for line in lines)
    assert json.loads((tmp_path / "scores.json").read_text())


@pytest.mark.parametrize("wrong", [["--metrics", "blue"], ["--against", "gone.json"], ["--json", "results.json/here"]])
def test_scores_that_cannot_be_had_are_status_2(captioning, captions, wrong):
    status, _, errors = captioning("score", *captions, *wrong)
    assert status == 2 and len(errors) >= 1 and any(wrong[1].split("/")[0] in error for error in errors)


def test_scoring_starts_without_torch(captions):
    program = (
        "import sys; from captioning.cli import main\n"
        f"sys.argv = ['captioning', 'score', *{[str(file) for file in captions]!r}, '--metrics', 'bleu,cider']\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(sorted({'torch', 'hydra', 'nltk', 'timm', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_help_starts_cold_without_anything_heavy():
    program = (
        "import sys; from captioning.cli import main; sys.argv = ['captioning', '--help']\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'hydra', 'numpy', 'PIL', 'pytorch_lightning', 'rich', 'yaml', 'nltk'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_a_reader_who_leaves_early_is_no_error_and_captioning_needs_no_trainer(model, tmp_path):
    for i, image in enumerate(pictures(40)):
        image.save(tmp_path / f"{i:02}.png")
    (tmp_path / "00.png").rename(tmp_path / os.fsdecode(b"00-caf\xe9.png"))
    program = (
        "import atexit, sys; from captioning.cli import main\n"
        "heavy = {'pytorch_lightning', 'matplotlib', 'tensorboard', 'hydra', 'torchmetrics'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        f"sys.argv = ['captioning', 'caption', {str(tmp_path)!r}, '--model', {str(model)!r}]\n"
        "main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/"
    ) as process:
        first = process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert b"00-caf\\udce9.png\t" in first
    assert errors.splitlines() == ["[]"] and process.returncode in (0, 1)
