"""Ranked anew, the captions of a picture are the best of its search by the embedder, however they are asked for."""

import json
from functools import partial

import numpy as np
import pytest
from clips import saved_clip
from shard_files import samples, tar
from test_captioner import captioner  # noqa: F401
from tiny_clip import tiny_clip
from tiny_embedder import saved_embedder, tiny_embedder
from tiny_model import pictures, saved_model, tiny_bundle

import captioning
from captioning.errors import UserError
from captioning.generation.greedy import greedy
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.ensemble import join
from captioning.tasks.embedding.embedder import Embedder

IMAGES = pictures(5)


@pytest.fixture(scope="module")
def embedder():
    return Embedder(tiny_embedder(), device="cpu")


def hub(folder):
    from generating_models import blip_2

    blip_2(folder)
    return captioning.load(str(folder))


MODELS = {
    "attention": lambda folder: Captioner(tiny_bundle(), device="cpu"),
    "ensemble": lambda folder: Captioner(join([tiny_bundle(), tiny_bundle("show_and_tell")], ["a", "b"]), device="cpu"),
    "of the hub": hub,
}


@pytest.mark.parametrize("model", MODELS)
def test_the_best_by_the_embedder_come_first(model, embedder, tmp_path):
    captioner = MODELS[model](tmp_path / "captioner")  # noqa: F811
    if model == "of the hub":  # what it writes at random are no words to the other
        tiny_clip(tmp_path / "clip")
        embedder = captioning.load(str(tmp_path / "clip"))
    plain = captioner.caption(IMAGES, num_captions=4, max_words=6)
    found = captioner.caption(IMAGES, num_captions=2, rerank=embedder, rerank_weight=20.0, candidates=4, max_words=6)
    changed = 0
    for image, those, best in zip(IMAGES, plain, found, strict=True):
        texts, scores = [one.text for one in those], [one.score for one in those]
        right = embedder.rerank(image, texts, scores=scores, weight=20.0)[:2]
        assert [(one.text, one.score) for one in best] == [(text, pytest.approx(s, rel=1e-4)) for text, s in right]
        changed += best[0].text != texts[0]
    assert changed, "the embedder must matter for the test to mean anything"
    alone = captioner.caption(IMAGES[1], rerank=embedder, rerank_weight=20.0, candidates=4, max_words=6)
    assert alone.text == found[1][0].text


def test_without_weight_the_search_decides(captioner, embedder):  # noqa: F811
    plain = captioner.caption(IMAGES, beam_size=4)
    found = captioner.caption(IMAGES, rerank=embedder, rerank_weight=0, candidates=4)
    assert [(one.text, one.score) for one in found] == [(one.text, pytest.approx(one.score)) for one in plain]


def test_samples_and_a_greedy_model_have_candidates_too(embedder):
    drawn = Captioner(tiny_bundle(), device="cpu")
    options = {"num_samples": 6, "seed": 1, "temperature": 2.0}
    all_of_them = drawn.caption(IMAGES[0], **options)
    best = drawn.caption(IMAGES[0], **{**options, "num_samples": 1}, rerank=embedder, rerank_weight=9.0, candidates=6)
    assert best.text in [one.text for one in all_of_them]
    right = embedder.rerank(
        IMAGES[0], [one.text for one in all_of_them], scores=[one.score for one in all_of_them], weight=9.0
    )
    assert best.text == right[0][0]
    bundle = tiny_bundle()
    bundle.task.generation = partial(greedy)
    quick = Captioner(bundle, device="cpu").caption(IMAGES[0], rerank=embedder, candidates=3)
    assert quick.text in [one.text for one in Captioner(tiny_bundle(), device="cpu").caption(IMAGES[0], num_captions=3)]


def test_details_and_confidence_are_those_of_the_caption_that_was_chosen(embedder):
    bundle = tiny_bundle()
    bundle.task.confidence = {"slope": 0.5, "offset": 1.0}
    captioner = Captioner(bundle, device="cpu")  # noqa: F811
    for image in IMAGES:
        best = captioner.caption(image, details=True, rerank=embedder, rerank_weight=5.0, candidates=3)
        same = [
            one for one in captioner.caption(image, details=True, num_captions=3) if one.text == best.text
        ]  # several may read alike
        assert any(best.confidence == pytest.approx(one.confidence) for one in same)
        assert any(np.allclose(best.attention, one.attention, atol=1e-5) for one in same)


def test_a_clip_and_a_damaged_photo_in_the_stream(captioner, embedder, tmp_path):  # noqa: F811
    clip = saved_clip(tmp_path / "clip.mp4")
    (tmp_path / "bad.jpg").write_text("none")
    files = [tmp_path / "bad.jpg", clip, IMAGES[0]]
    bad, moving, still = (found for _, found in captioner.stream(files, rerank=embedder, candidates=3))
    assert isinstance(bad, UserError) and "bad.jpg" in str(bad)
    texts = [one.text for one in captioner.caption(clip, num_captions=3)]
    assert len(moving) == 1 and moving[0].text in texts
    assert still[0].text == captioner.caption(IMAGES[0], rerank=embedder, candidates=3).text


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return saved_model(folder / "captioner"), saved_embedder(folder / "embedder")


def test_the_verbs_say_what_python_says(models, tmp_path, run):
    model, judge = models
    how = {"rerank": str(judge), "rerank_weight": 0.5, "candidates": 4}
    captioner = captioning.load(model)  # noqa: F811
    (tmp_path / "photos").mkdir()
    for i, image in enumerate(IMAGES):
        image.save(tmp_path / f"photos/{i}.png")
    right = [one.text for one in captioner.caption(IMAGES, **how)]
    assert right != [one.text for one in captioner.caption(IMAGES)]
    options = ["--model", model, "--rerank", judge, "--rerank-weight", 0.5, "--candidates", 4]
    code, out, err = run("caption", tmp_path / "photos", *options, "--json")
    assert code == 0, err
    assert [json.loads(line)["caption"] for line in out.splitlines()] == right
    shard = tar(tmp_path / "photos.tar", samples(range(4)))
    code, _, err = run("caption", shard, "--format", "jsonl", "--output", tmp_path / "out", *options)
    assert code == 0, err
    rows = [json.loads(line) for file in (tmp_path / "out").glob("*.jsonl") for line in open(file, encoding="utf-8")]
    from io import BytesIO

    from shard_files import photo

    assert [row["caption"] for row in rows] == [captioner.caption(BytesIO(photo(i)), **how).text for i in range(4)]
    code, _, err = run("caption", tmp_path / "photos", "--model", model, "--candidates", 4)
    assert code == 2 and "rerank=MODEL" in err
    code, _, err = run("caption", tmp_path / "photos", "--model", model, "--rerank", model)
    assert code == 2 and "does not compare photos with words" in err


def test_an_evaluation_ranks_what_it_scores(models, tmp_path, run):
    from captioning.data.synthetic.scenes import Scenes

    model, judge = models
    world = ["data=scenes", "data.val=5", "data.size=64", "data.split=val", "store=null", "metrics=[bleu]"]
    rerank = [f"generation.rerank={judge}", "generation.rerank_weight=0.5", "generation.candidates=4"]
    code, _, err = run("evaluate", f"model={model}", *world, *rerank, f"output={tmp_path}/out")
    assert code == 0, err
    said = [each["caption"] for each in json.loads((tmp_path / "out/predictions.json").read_text())]
    source = Scenes(val=5, size=64)
    shown = [source.image(example) for example in source.examples("val")]
    how = {"rerank": str(judge), "rerank_weight": 0.5, "candidates": 4}
    assert said == [one.text for one in captioning.load(model).caption(shown, **how)]
    code, _, err = run("evaluate", f"model={judge}", *world[:-1], *rerank[:1], f"output={tmp_path}/no")
    assert code == 2 and "for models that write captions" in err


def test_options_without_meaning_are_refused(captioner, embedder):  # noqa: F811
    for options, message in (
        ({"rerank_weight": 1.0}, "rerank=MODEL"),
        ({"rerank": embedder, "rerank_weight": -1.0}, "0 or above"),
        ({"rerank": embedder, "rerank_weight": "much"}, "it is a number"),
        ({"rerank": embedder, "candidates": 0}, "1 or more"),
        ({"rerank": embedder, "candidates": 2.5}, "a whole number"),
        ({"rerank": captioner}, "does not compare"),
        ({"rerank": "a name"}, "give an embedder itself"),
    ):
        with pytest.raises(UserError, match=message):
            captioner.caption(IMAGES[0], **options)


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Runs the command in an empty folder. -> status, standard output, standard error."""
    from captioning import cli

    monkeypatch.chdir(tmp_path)

    def verb(*arguments):
        monkeypatch.setattr("sys.argv", ["captioning", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stop.value.code or 0, out, err

    return verb
