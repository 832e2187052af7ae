"""One label a picture: of the largest thing, learned from pixels, asked for by the verb, by Python and on the page."""

import json

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from tiny_model import pictures
from typer.testing import CliRunner

from captioning.cli import app
from captioning.commands.hydra import conf_folder
from captioning.data.synthetic.scenes import Scenes
from captioning.demo.tabs.classify import TAB
from captioning.errors import UserError
from captioning.example import Example
from captioning.heads.labels import LabelHead
from captioning.memory import VisualMemory
from captioning.tasks.load import load
from captioning.tasks.recognition.classification import Classification, rank_of, salient_label
from captioning.training.train import train

HEAD = {"_target_": "captioning.heads.labels.LabelHead"}


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A run of seconds that learns from pixels what single things are."""
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", ["experiment=scene_classification", "data.train=600", "data.size=64", "data.val=40",
                                   "trainer.max_epochs=4", "progress=false"])  # fmt: skip
    with open_dict(config):
        del config["output"]
    return train(config, tmp_path_factory.mktemp("run"))


def test_what_single_things_are_is_learned_from_pixels(model):
    classifier = load(model, device="cpu")
    source = Scenes(test=100, objects=(1, 1), size=64)
    examples, found = classifier.predict_split(source, "test", store=None)
    scores = classifier.task.score(found, examples).corpus
    assert scores["top-1"] > 5 * scores["chance"] and scores["top-5"] > scores["top-1"]
    image = source.image(examples[0])
    said = classifier.classify(image)
    assert list(said.values()) == sorted(said.values(), reverse=True) and sum(said.values()) == pytest.approx(1)
    assert [round(said[name], 5) for name in classifier.labels] == [round(p, 5) for p in found[examples[0].id]]


def test_some_labels_share_what_all_of_them_have(model):
    classifier, image = load(model, device="cpu"), pictures(1)[0]
    everything = classifier.classify(image)
    some = classifier.labels[:3]
    chosen = classifier.classify([image, image], some)
    whole = sum(everything[name] for name in some)
    assert chosen[0] == chosen[1] and chosen[0] == pytest.approx({name: everything[name] / whole for name in chosen[0]})
    with pytest.raises(UserError, match="does not know the label 'zebra'; it knows blue"):
        classifier.classify(image, ["zebra"])
    assert TAB.of({"own": classifier}), "the tab of labels shows it"


def test_the_verb_needs_no_labels_for_a_model_that_has_its_own(model, tmp_path):
    for i, picture in enumerate(pictures(2)):
        picture.save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_text("no picture")
    files = [tmp_path / name for name in ("0.png", "bad.png", "1.png")]
    found = run("classify", *files, "--model", model, "--json", "--page", tmp_path / "page.html")
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert found.exit_code == 1 and "bad.png" in found.stderr and len(lines) == 2
    assert lines[0]["labels"] == pytest.approx(load(model, device="cpu").classify(files[0]), abs=1e-6)
    assert (tmp_path / "page.html").read_text().count("<figure") == 2
    some = run("classify", files[0], "--model", model, "--labels", "red circle,blue star", "--json")
    assert some.exit_code == 0 and json.loads(some.stdout)["labels"].keys() == {"red circle", "blue star"}
    for words, says in (("--labels", "zebra"), "zebra"), (("--template", "a {}"), "--template"):
        wrong = run("classify", files[0], "--model", model, *words)
        assert wrong.exit_code == 2 and says in wrong.stderr and len(wrong.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("boxes", "right"),
    [((), "a"), (((0, 0, 0.2, 0.2), (0.5, 0.5, 1, 0.9)), "b"), (((0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)), "a")],
)
def test_a_picture_is_about_its_largest_thing(boxes, right):
    assert salient_label(Example(1, "1.png", boxes=boxes, labels=("a", "b"))) == right


def test_labels_outside_the_list_are_learned_by_nobody_and_never_right():
    task = Classification(head=HEAD, labels=["a", "b"])
    examples = [Example(i, f"{i}.png", labels=(label,)) for i, label in enumerate("abz")]
    task.fit(examples)
    assert task.targets(examples, 0).tolist() == [0, 1, -100]
    scores = task.score({0: [0.9, 0.1], 1: [0.4, 0.6], 2: [0.5, 0.5]}, examples)
    assert scores.corpus["top-1"] == pytest.approx(2 / 3) and scores.per_image["top-1"].tolist() == [1, 1, 0]
    assert rank_of([0.5, 0.5], 0) == 2, "a tie counts against it"


def test_padding_and_the_batch_do_not_change_what_is_said():
    torch.manual_seed(0)
    head = LabelHead(visual_width=12, labels=3, width=8, heads=2).eval()
    tokens = torch.randn(1, 4, 12)
    alone = VisualMemory(tokens, torch.ones(1, 4, dtype=torch.bool), tokens.mean(1))
    padded = VisualMemory.stack(
        [alone, VisualMemory(torch.randn(1, 7, 12), torch.ones(1, 7, dtype=torch.bool), tokens[:, 0])]
    )
    torch.testing.assert_close(head(alone)[0], head(padded)[0])


@pytest.mark.parametrize(
    ("options", "says"),
    [({"min_count": 0}, "min_count"), ({"smoothing": 1}, "smoothing"), ({"labels": ["a", "a"]}, "task.labels")],
)
def test_options_that_cannot_be_are_named(options, says):
    with pytest.raises(UserError, match=says):
        Classification(head=HEAD, **options)
    with pytest.raises(UserError, match="fewer than two labels"):
        Classification(head=HEAD).fit([Example(1, "1.png", labels=("a",))])
