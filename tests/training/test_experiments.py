"""Every experiment composes, and every recipe trains on a miniature of its data set, in the same files."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf, open_dict
from PIL import Image
from tiny_model import saved_model

from captioning.commands.hydra import conf_folder, experiments, usual_name
from captioning.training.adopted_parts import adopt_named_parts
from captioning.training.train import train

EXPERIMENTS = sorted(experiments())
RECIPES = [name for name in EXPERIMENTS if name.startswith("coco_") and not name.endswith("_self_critical")]
SMALL = {
    "show_and_tell": "embedding=8 width=8",
    "show_attend_tell": "visual=8 embedding=8 width=8 attention=8",
    "up_down": "visual=8 embedding=8 width=8 attention=8",
    "transformer": "width=8 layers=1 heads=2 feed_forward=8 encoder_layers=1",
    "meshed_memory": "width=8 layers=1 heads=2 feed_forward=8 encoder_layers=2 slots=2",
}
TINY = """
    encoder=grid encoder.size=32 encoder.backbone=test_resnet.r160_in1k encoder.weights=none encoder.grid=2
    vocabulary.min_count=1 progress=false trainer.max_epochs=1 trainer.accelerator=cpu store=auto batch_size=2
""".split()


def composed(name: str, *overrides: str):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", [usual_name(f"experiment={name}"), *overrides])
    with open_dict(config):
        del config["output"]
    return config


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """coco/ with four photos and dataset_coco.json, as the Karpathy splits have them."""
    root = tmp_path_factory.mktemp("data") / "coco"
    images = []
    for number, split in enumerate(["train", "restval", "val", "test"]):
        folder = "train2014" if split == "train" else "val2014"
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (60 * number, 90, 120)).save(root / folder / f"{number}.jpg")
        said = [f"a {word} dog on the grass" for word in ("small", "big", "red", "wet", "happy")]
        sentences = [{"raw": text, "tokens": text.split()} for text in said]
        entry = {"filename": f"{number}.jpg", "filepath": folder, "cocoid": number, "split": split}
        images.append({**entry, "sentences": sentences})
    (root / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    return root.parent


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_its_parts_can_be_built(name, tmp_path):
    config = composed(name)
    if config.decoder.get("of_start"):
        config.start = str(saved_model(tmp_path / "start"))
        adopt_named_parts(config)
    OmegaConf.resolve(config)
    assert config.name == name
    decoder = instantiate(config.decoder, visual_width=8, vocabulary_size=20)
    assert any(weight.requires_grad for weight in decoder.parameters())
    for part in ("objective", "optimizer", "schedule", "generation"):
        instantiate(config[part])
    if name.endswith("_self_critical"):
        before = composed(name.removesuffix("_self_critical"))
        OmegaConf.resolve(before)
        assert config.start == f"runs/{before.name}/model"
        for part in ("data", "encoder", "decoder", "vocabulary", "store"):
            assert config[part] == before[part], part


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_on_words_and_then_on_the_metric(name, miniature, tmp_path, monkeypatch):
    monkeypatch.setenv("CAPTIONING_DATA", str(miniature))
    monkeypatch.chdir(tmp_path)
    decoder = [f"decoder.{option}" for option in SMALL[name.removeprefix("coco_")].split()]
    model = train(composed(name, *TINY, *decoder), Path("runs") / name)
    assert (model / "weights.safetensors").exists()
    then = f"{name}_self_critical"
    assert (train(composed(then, *TINY, *decoder), Path("runs") / then) / "weights.safetensors").exists()


ANSWERS = [
    name for name in EXPERIMENTS if composed(name).task._target_.startswith("captioning.tasks.question_answering")
]
OF_WORLDS = [name for name in ANSWERS if "scene_questions" in name]  # from pixels, with an encoder of their own


def write_questions(root: Path) -> None:
    """Four photos with two questions each: vqa/ in the official layout, of train and val."""
    for split in ("train", "val"):
        numbers = range(4) if split == "train" else range(4, 8)
        asked = [(n, 10 * n + r, text) for n in numbers for r, text in enumerate(("What is it?", "Is it red?"))]
        questions = [{"image_id": n, "question_id": q, "question": text} for n, q, text in asked]
        said = [["dog"] * 8 + ["cat"] * 2, ["yes"] * 5 + ["no"] * 5]
        annotations = [
            {
                "question_id": q,
                "image_id": n,
                "question_type": text.split()[0].lower(),
                "answer_type": "other" if q % 2 == 0 else "yes/no",
                "multiple_choice_answer": said[q % 10][0],
                "answers": [{"answer": one, "answer_id": i} for i, one in enumerate(said[q % 10])],
            }
            for n, q, text in asked
        ]
        root.mkdir(exist_ok=True)
        (root / f"v2_OpenEnded_mscoco_{split}2014_questions.json").write_text(json.dumps({"questions": questions}))
        (root / f"v2_mscoco_{split}2014_annotations.json").write_text(json.dumps({"annotations": annotations}))
        for n in numbers:
            path = root / f"{split}2014/COCO_{split}2014_{n:012d}.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (32, 32), (30 * n, 90, 120)).save(path)


def test_the_recipes_of_question_answering_are_here():
    assert set(OF_WORLDS) >= {"scene_questions", "moving_scene_questions"}
    assert {"vqa2_up_down", "daquar", "easy_vqa", "easy_vqa_generation", "scene_questions"} <= set(ANSWERS)


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - set(OF_WORLDS)))
def test_a_recipe_of_answers_learns_and_answers_on_a_miniature(name, tmp_path, monkeypatch):
    import captioning

    write_questions(tmp_path / "vqa")
    monkeypatch.setenv("CAPTIONING_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    encoder = [one for one in TINY if not one.startswith("vocabulary.")]
    lists = [] if "generation" in name else ["task.min_count=1"]
    small = ["task.vocabulary.min_count=1", *lists]
    model = train(composed(name, *encoder, "data=vqa", *small), Path("runs") / name)
    picture = tmp_path / "vqa/train2014/COCO_train2014_000000000000.jpg"
    answer = captioning.load(model, device="cpu").answer(picture, "is it red?")
    assert answer.text and 0 <= answer.probability <= 1


@pytest.mark.parametrize("name", OF_WORLDS)
def test_a_recipe_of_answers_about_a_generated_world_learns_and_answers_on_a_miniature(name, tmp_path, monkeypatch):
    import captioning

    monkeypatch.chdir(tmp_path)
    small = "data.train=4 data.val=2 data.test=1 data.unseen=1 data.size=32 batch_size=2".split()
    encoder = "encoder.size=32 encoder.widths=[8,16]".split()
    usual = "progress=false trainer.max_epochs=1 trainer.accelerator=cpu task.vocabulary.min_count=1".split()
    config = composed(name, *small, *encoder, *usual)
    model = train(config, Path("runs") / name)
    source = instantiate(config.data)
    (example,) = source.examples("test")
    answers = captioning.load(model, device="cpu").answer(source.image(example), [q.text for q in example.questions])
    assert len(answers) == len(example.questions) and all(one.text for one in answers)


@pytest.mark.parametrize("name", ["easy_vqa", "easy_vqa_generation"])
def test_a_model_that_answers_is_evaluated_and_reported_on(name, tmp_path, monkeypatch, capsys):
    from captioning.commands.hydra import run

    write_questions(tmp_path / "vqa")
    monkeypatch.setenv("CAPTIONING_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    encoder = [one for one in TINY if not one.startswith("vocabulary.")]
    model = train(composed(name, *encoder, "data=vqa", "task.vocabulary.min_count=1"), Path("runs") / name)
    out = tmp_path / "out"
    assert run("evaluate", [f"model={model}", "data=vqa", "report=true", f"output={out}", "metrics=[vqa,exact]"]) == 0
    assert "VQA (yes/no)" in capsys.readouterr().out
    scores = json.loads((out / "metrics.json").read_text())["scores"]
    assert set(scores) >= {"VQA", "exact", "VQA (other)", "VQA (what)"}
    page = (out / "report.html").read_text()
    assert "What is it?" in page and "Kinds of questions" in page


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_recipe_equals_its_source_or_says_in_its_header_how_it_deviates(name):
    header = experiments()[name].read_text().split("\ndefaults:")[0].splitlines()
    (said,) = [
        line for line in header if line.startswith(("# Equal to ", "# Deviates from ", "# No published recipe: "))
    ]
    assert len(said) > 40 and header[-1].endswith("."), "a sentence, and the last of the header"
