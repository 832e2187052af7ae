"""Search finds what the vectors say, in a folder as it is now; probabilities are those of cosines and temperature."""

import json
import math
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_embedder import saved_embedder, tiny_embedder
from tiny_model import pictures

from captioning.errors import UserError
from captioning.tasks.embedding.embedder import INDEX, Embedder, read_labels
from captioning.tasks.embedding.judging import require_captions
from captioning.tasks.embedding.zero_shot import class_vectors, read_prompts


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(tiny_embedder())


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "inside").mkdir(parents=True)
    for i, picture in enumerate(pictures(6)):
        picture.save(folder / ("inside" if i > 3 else "") / f"{i}.png")
    return folder


def test_vectors_have_unit_length_and_do_not_depend_on_the_batch(embedder):
    images = pictures(5)
    together = embedder.embed(images)
    assert together.shape == (5, 8) and embedder.embed([]).shape == (0, 8)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedder.embed(images, batch_size=2), together, atol=1e-5)
    np.testing.assert_allclose(embedder.embed(images[3]), together[3], atol=1e-5)
    texts = ["a dog", "the red ball on grass", "cat"]
    np.testing.assert_allclose(embedder.embed_text(texts, batch_size=1), embedder.embed_text(texts), atol=1e-5)
    np.testing.assert_allclose(embedder.embed_text(texts[1]), embedder.embed_text(texts)[1], atol=1e-5)


def test_search_orders_a_folder_by_cosine(embedder, photos):
    names = sorted(os.fspath(path.relative_to(photos)) for path in photos.rglob("*.png"))
    cosines = embedder.embed([photos / name for name in names]) @ embedder.embed_text("a red dog")
    right = [names[i] for i in np.argsort(-cosines)]
    found = embedder.search(photos, "a red dog", top=3)
    assert [each.name for each in found] == right[:3]
    assert [each.score for each in found] == pytest.approx(sorted(cosines, reverse=True)[:3], abs=2e-3)
    assert embedder.search(photos, like=photos / "2.png", top=1)[0].name == "2.png"


def test_the_index_follows_the_folder_and_reads_only_what_is_new(embedder, photos, monkeypatch):
    read: list[str] = []
    plain = Embedder.read
    monkeypatch.setattr(Embedder, "read", lambda self, image: read.append(os.fspath(image)) or plain(self, image))
    first, skipped = embedder.index(photos)
    assert len(first) == 6 == len(read) and not skipped
    (photos / "0.png").unlink()
    shutil.copy(photos / "inside/5.png", photos / "new.png")
    Image.new("RGB", (40, 40), "blue").save(photos / "1.png")
    read.clear()
    again, _ = embedder.index(photos)
    assert sorted(os.path.basename(name) for name in read) == ["1.png", "new.png"]
    assert "0.png" not in again.names and len(again) == 6
    fresh, _ = embedder.index(photos, place=photos.parent / "elsewhere")
    assert sorted(fresh.names) == sorted(again.names)
    both = [embedder.search_index(index, "a cat", top=6) for index in (again, fresh)]
    assert {each.name: round(each.score, 4) for each in both[0]} == {
        each.name: round(each.score, 4) for each in both[1]
    }
    flat, _ = embedder.index(photos, recursive=False, place=photos.parent / "flat")
    assert not [name for name in flat.names if "inside" in name]


def test_a_photo_that_cannot_be_read_is_named_and_the_others_are_found(embedder, photos):
    (photos / "broken.jpg").write_bytes(b"no photo")
    index, skipped = embedder.index(photos)
    assert len(index) == 6 and [name for name, _ in skipped] == ["broken.jpg"]


def test_an_index_by_another_model_is_not_mixed_with_this_ones(photos, embedder):
    embedder.index(photos)
    with pytest.raises(UserError, match="another model"):
        Embedder(tiny_embedder(width=16)).index(photos)
    assert (photos / INDEX).is_dir()


def test_probabilities_are_the_softmax_of_scaled_cosines(embedder):
    labels, image = ["dog", "cat", "ball"], pictures(1)[0]
    found = embedder.classify(image, labels, templates=["a {}", "the small {}"])
    assert sum(found.values()) == pytest.approx(1, abs=1e-5) and list(found.values()) == sorted(found.values())[::-1]
    weights = []
    for label in labels:
        mean = embedder.embed_text([f"a {label}", f"the small {label}"]).mean(0)
        weights.append(mean / np.linalg.norm(mean))
    logits = np.stack(weights) @ embedder.embed(image) / 0.07
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert [found[label] for label in labels] == pytest.approx(expected.tolist(), abs=1e-4)
    assert embedder.classify([image, image], labels)[1] == pytest.approx(embedder.classify(image, labels))


def test_captions_are_ordered_by_their_cosine_and_by_what_the_captioner_believed(embedder):
    image, captions = pictures(1)[0], ["a dog", "the red ball", "a cat on grass", "water"]
    logits = embedder.embed_text(captions) @ embedder.embed(image) / 0.07
    right = [captions[i] for i in np.argsort(-logits)]
    found = embedder.rerank(image, captions)
    assert [caption for caption, _ in found] == right
    assert [value for _, value in found] == pytest.approx(sorted(logits.tolist(), reverse=True), abs=1e-3)
    believed = [-1.0, -50.0, -2.0, -1.5]
    both = dict(embedder.rerank(image, captions, scores=believed, weight=0.1))
    assert [both[c] for c in captions] == pytest.approx((np.array(believed) + 0.1 * logits).tolist(), abs=1e-3)
    assert embedder.rerank(image, ["x y", "y x z"], scores=[0, 0], weight=0)[0][0] == "x y"
    assert embedder.rerank(image, []) == []
    with pytest.raises(UserError, match="2 captions and 1 scores"):
        embedder.rerank(image, ["a", "b"], scores=[1.0])


def test_clip_scores_are_those_of_the_vectors_of_prefixed_captions(embedder):
    images, captions = pictures(3), ["a dog", "the ball", "water"]
    references = [["dog", "a small dog"], ["ball"], ["the water"]]
    found = embedder.clip_score(images, captions, references)
    seen, said = embedder.embed(images), embedder.embed_text([f"A photo depicts {c}" for c in captions])
    own = 2.5 * np.maximum((seen * said).sum(1), 0)
    best = [
        max(embedder.embed_text([f"A photo depicts {r}" for r in refs]) @ v)
        for refs, v in zip(references, said, strict=True)
    ]
    assert found["CLIPScore"] == pytest.approx(own.mean(), abs=1e-5)
    harmonic = [2 * a * b / (a + b) if a * b > 0 else 0 for a, b in zip(own, best, strict=True)]
    assert found["RefCLIPScore"] == pytest.approx(np.mean(harmonic), abs=1e-5)
    assert embedder.clip_score(images, captions) == {"CLIPScore": found["CLIPScore"]}
    for wrong in ((images, captions[:2], None), ([], [], None), (images, captions, [["a"], [], ["b"]])):
        with pytest.raises(UserError, match="clip_score"):
            embedder.clip_score(*wrong)


def test_what_makes_no_sense_is_refused_by_name(embedder, photos, tmp_path):
    for labels, templates, message in (
        ([], ["{}"], "no labels"),
        (["a", "a"], ["{}"], "'a' is there twice"),
        (["a"], ["photo"], "'photo' has no"),
        (["a"], [], "no template"),
    ):
        with pytest.raises(UserError, match=message):
            class_vectors(embedder.embed_text, labels, templates)
    with pytest.raises(UserError, match="looked for"):
        embedder.search(photos)
    with pytest.raises(UserError, match="not a folder"):
        embedder.search(tmp_path / "nowhere", "a dog")
    with pytest.raises(UserError, match="list of labels"):
        read_labels(tmp_path / "nowhere.txt")


def test_prompts_are_read_from_clips_own_file(tmp_path, real_data):
    classes, templates = read_prompts(real_data / "clip_prompts/prompts.md", "Caltech101")
    assert len(classes) >= 101 and "accordion" in classes and all("{}" in each for each in templates)
    with pytest.raises(UserError, match="no section 'Nothing'"):
        read_prompts(real_data / "clip_prompts/prompts.md", "Nothing")
    (tmp_path / "own.md").write_text("## A\n```\nclasses = [\n __import__('os'),\n]\ntemplates = [\n'{}'\n]\n```\n")
    with pytest.raises(UserError, match="no list of strings"):
        read_prompts(tmp_path / "own.md", "A")


@pytest.fixture
def captioning(capsys, monkeypatch):
    """Runs the command. -> status, standard output, standard error."""
    from captioning import cli

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["captioning", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stop.value.code or 0, out, err

    return run


def test_the_verb_search_prints_what_is_found(captioning, photos, tmp_path, embedder):
    model = saved_embedder(tmp_path / "model")
    page = tmp_path / "found.html"
    code, out, _ = captioning("search", photos, "a red dog", "--model", model, "--top", 2, "--json", "--page", page)
    found = embedder.search(photos, "a red dog", top=2)
    assert code == 0 and [json.loads(line)["file"] for line in out.splitlines()] == [
        os.fspath(photos / each.name) for each in found
    ]
    assert page.read_text().count("<figure") == 2
    (photos / "broken.jpg").write_bytes(b"no photo")
    code, out, err = captioning("search", photos, "a red dog", "--model", model)
    assert code == 1 and len(out.splitlines()) == 6 and "broken.jpg" in err
    assert captioning("search", photos, "--model", model)[0] == 2
    assert captioning("search", tmp_path / "nowhere", "x", "--model", model)[0] == 2


def test_the_verb_classify_prints_labels_with_probabilities(captioning, photos, tmp_path, embedder):
    model = saved_embedder(tmp_path / "model")
    (tmp_path / "labels.txt").write_text("water\n\n")
    asked = ["--labels", "dog,cat", "--labels-file", tmp_path / "labels.txt", "--template", "the {}", "--model", model]
    code, out, _ = captioning("classify", photos / "1.png", photos / "2.png", "--json", *asked)
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(lines) == 2
    right = embedder.classify(photos / "2.png", ["dog", "cat", "water"], templates=["the {}"])
    assert list(lines[1]["labels"]) == list(right) and lines[1]["labels"] == pytest.approx(right, abs=1e-4)
    page = tmp_path / "page.html"
    code, out, _ = captioning("classify", photos / "1.png", "--top", 1, "--page", page, *asked)
    assert code == 0 and out.count("%") == 1 and page.read_text().count('class="bar') == 3
    assert captioning("classify", photos / "1.png", "--model", model)[0] == 2
    assert math.isclose(sum(lines[0]["labels"].values()), 1, abs_tol=1e-4)


def test_a_model_that_writes_captions_is_refused_by_name(captioning, photos, tmp_path):
    from tiny_model import saved_model

    code, _, err = captioning("search", photos, "a dog", "--model", saved_model(tmp_path / "captioner"))
    assert code == 2 and "does not compare photos with words" in err


def test_an_evaluation_of_labelled_folders_prints_accuracies_and_draws_where_the_correct_label_stands(
    captioning, photos, tmp_path
):
    for i, name in enumerate(["dog", "cat", "ball"]):
        (photos / name).mkdir()
        for j, picture in enumerate(pictures(2)):
            picture.rotate(90 * i).save(photos / name / f"{j}.png")
    (photos / "inside/4.png").rename(photos / "cat/4.png")
    shutil.rmtree(photos / "inside")
    model = saved_embedder(tmp_path / "model")
    options = [f"data.root={photos}", "data.split=train", "report=true", f"output={tmp_path}/out"]
    code, out, err = captioning("evaluate", f"model={model}", "data=labelled_folders", *options)
    assert code == 0, err
    figures = {line.rsplit(None, 1)[0].strip(): float(line.rsplit(None, 1)[1]) for line in out.splitlines()[1:]}
    assert figures["chance"] == 33.33 and {"top-1", "top-5", "mean per class"} < figures.keys()
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("correct probability:") == 7 and "/3<br>" in page


def test_an_evaluation_judges_captions_by_an_embedder(captioning, tmp_path, embedder):
    from tiny_model import saved_model

    from captioning.data.synthetic.scenes import Scenes

    model, judge = saved_model(tmp_path / "captioner"), saved_embedder(tmp_path / "judge")
    world = ["data=scenes", "data.val=4", "data.size=32", "data.split=val", "store=null", "metrics=[bleu]"]
    code, out, err = captioning("evaluate", f"model={model}", f"embedder={judge}", *world, f"output={tmp_path}/out")
    assert code == 0, err
    scores = json.loads((tmp_path / "out/metrics.json").read_text())["scores"]
    source = Scenes(val=4, size=32)
    said = {each["image_id"]: each["caption"] for each in json.loads((tmp_path / "out/predictions.json").read_text())}
    pictures_of = [source.image(example) for example in source.examples("val")]
    references = [example.captions for example in source.examples("val")]
    right = embedder.clip_score(pictures_of, list(said.values()), references)
    assert right == pytest.approx({name: scores[name] for name in right}, abs=1e-4)
    code, _, err = captioning("evaluate", f"model={model}", f"embedder={model}", *world, f"output={tmp_path}/out")
    assert code == 2 and "does not compare photos with words" in err
    with pytest.raises(UserError, match="this model predicts none"):
        require_captions([{"image": 1}])


def test_score_holds_captions_against_their_pictures(captioning, photos, tmp_path, embedder):
    judge = saved_embedder(tmp_path / "judge")
    references = {str(i): ["the dog", "a red ball"] for i in range(6)}
    said = {str(i): ("a dog", "water")[i % 2] for i in range(6)}
    other = {str(i): "the cat on grass" for i in range(6)}
    for name, content in (("refs", references), ("said", said), ("other", other), ("part", {"3": "a dog"})):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    plain = ("score", tmp_path / "refs.json", tmp_path / "said.json", "--json", tmp_path / "out.json")
    by = ("--embedder", judge, "--images", photos)
    code, out, err = captioning(*plain, *by, "--against", tmp_path / "other.json", "--per-image", tmp_path / "each.csv")
    assert code == 0, err
    document = json.loads((tmp_path / "out.json").read_text())
    files = {path.stem: path for path in photos.rglob("*.png")}
    pictures_of = [files[key] for key in references]
    for found, captions in zip(document["results"], (said, other), strict=True):
        right = embedder.clip_score(pictures_of, list(captions.values()), list(references.values()))
        assert right == pytest.approx({name: found["scores"][name] for name in right}, abs=1e-5)
        assert set(right) <= set(found["intervals"])
    assert {"CLIPScore", "RefCLIPScore"} <= set(document["results"][0]["differences"])
    assert (tmp_path / "each.csv").read_text().splitlines()[0].endswith("CLIPScore,RefCLIPScore")
    assert sum("CLIPScore" in line for line in out.splitlines()) == 4  # the table, and the test
    for wrong, message in (
        (by[:2], "go together"),
        (by[2:], "go together"),
        (("--metrics", "clipscore"), "by an embedder"),
    ):
        code, _, err = captioning(*plain, *wrong)
        assert code == 2 and message in err
    shutil.copy(photos / "2.png", photos / "inside/2.png")
    code, _, err = captioning(*plain, *by)
    assert code == 2 and "both of the image 2" in err
    (photos / "inside/2.png").unlink()
    (photos / "2.png").unlink()
    code, _, err = captioning(*plain, *by)
    assert code == 2 and "1 of 6 pictures are not there, the first is 2" in err
    code, _, err = captioning("score", tmp_path / "refs.json", tmp_path / "part.json", "--allow-missing", *by)
    assert code == 0, err  # a picture that nothing is said of is not looked for


def test_score_imports_no_torch_but_for_an_embedder(tmp_path):
    import subprocess
    import sys

    (tmp_path / "refs.json").write_text('{"1": ["a dog"], "2": ["a cat"]}')
    (tmp_path / "said.json").write_text('{"1": "a dog", "2": "a cat"}')
    program = (
        "import sys; from pathlib import Path; from captioning.commands.score import score\n"
        "score(Path('refs.json'), [Path('said.json')]); assert 'torch' not in sys.modules, 'torch'"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
