"""A space is the same however its images are batched; training finds what belongs together; saving changes nothing."""

import json

import numpy as np
import pytest
import torch
from tiny_embedder import TASK, saved_embedder, tiny_embedder, tiny_task
from tiny_runs import TINY, configuration

from captioning.data.choices import ChoiceExample
from captioning.data.synthetic.scenes import Scenes
from captioning.encoders.grid import GridEncoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.memory import VisualMemory
from captioning.metrics.retrieval import ranks, recall_table
from captioning.models.bundle import load_bundle
from captioning.tasks.embedding.embedder import Embedder
from captioning.tasks.embedding.task import Embedding, rows_of
from captioning.tasks.load import load
from captioning.training.model_parts import part_of
from captioning.training.train import train

CAPTIONS = [("a dog runs", "the dog"), ("a red ball",), ("the cat sits on grass", "a cat", "two cat"), ("water",)]
EXAMPLES = [Example(i, f"{i}.jpg", captions) for i, captions in enumerate(CAPTIONS)]


def memory(images: int = 4, width: int = 12) -> VisualMemory:
    torch.manual_seed(1)
    x = torch.randn(images, 5, width)
    return VisualMemory(x, torch.ones(images, 5, dtype=torch.bool), x.mean(1))


def part(seen: VisualMemory, places: list[int]) -> VisualMemory:
    return VisualMemory(seen.tokens[places], seen.mask[places], seen.pooled[places])


def test_what_is_predicted_does_not_depend_on_the_batch():
    task, seen = tiny_task(12), memory()
    whole = task.predict(seen, task.targets(EXAMPLES, 0))
    for order in ([2, 0, 3, 1], [1], [3, 2]):
        some = task.predict(part(seen, order), task.targets([EXAMPLES[i] for i in order], 0))
        for i, found in zip(order, some, strict=True):
            assert found["texts"].shape == (len(CAPTIONS[i]), 8)
            np.testing.assert_allclose(found["image"], whole[i]["image"], atol=1e-5)
            np.testing.assert_allclose(found["texts"], whole[i]["texts"], atol=1e-5)


def test_scores_are_those_of_all_images_together():
    task, seen = tiny_task(12), memory()
    predictions = dict(enumerate(task.predict(seen, task.targets(EXAMPLES, 0))))
    scores = task.score(predictions, EXAMPLES, metrics=("recall", "rank"))
    owner = np.repeat(np.arange(4), [len(captions) for captions in CAPTIONS])
    texts = np.concatenate([predictions[i]["texts"] for i in range(4)])
    table = recall_table(ranks(np.stack([predictions[i]["image"] for i in range(4)]), texts, owner))
    assert {name: value for name, value in scores.corpus.items() if name != "recall"} == table
    assert scores.corpus["recall"] == pytest.approx(np.mean([v for k, v in table.items() if "R@" in k]))
    with pytest.raises(UserError, match="no metric 'cider'"):
        task.score(predictions, EXAMPLES, metrics=("cider",))


def test_zero_shot_chooses_among_the_names_that_examples_say():
    names, axes = ("a", "b", "c"), np.eye(3, dtype=np.float32)
    prompts = np.repeat(axes, 2, axis=0)  # two of each name, in order
    examples = [ChoiceExample(i, "", ("p",) * 6, labels=(name,), choices=names) for i, name in enumerate("aab")]
    looks = [axes[0], axes[2], axes[1]]  # the second is taken for what no example is
    predictions = {i: {"image": look, "texts": prompts} for i, look in enumerate(looks)}
    scores = tiny_task(12).score(predictions, examples, metrics=("zero_shot",))
    assert scores.corpus["top-1"] == pytest.approx(2 / 3) and scores.corpus["chance"] == pytest.approx(1 / 3)
    other = Example(3, "", ("p",), labels=("a",))
    predictions[3] = {"image": looks[0], "texts": prompts[:1]}
    with pytest.raises(UserError, match="the same names to choose from"):
        tiny_task(12).score(predictions, [*examples, other], metrics=("zero_shot",))


def test_zero_shot_counts_whose_prompts_are_nearest():
    examples = [Example(i, "", ("p", "q"), labels=(name,)) for i, name in enumerate(["b", "a", "b", "c"])]
    prompts = {"a": np.eye(3)[[0, 0]], "b": np.array([[0, 1, 0.0], [0, 0.8, 0.6]]), "c": np.eye(3)[[2, 2]]}
    looks = [[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    predictions = {
        e.id: {"image": np.array(v), "texts": prompts[e.labels[0]]} for e, v in zip(examples, looks, strict=True)
    }
    found = tiny_task(12).score(predictions, examples, metrics=("zero_shot",))
    assert found.corpus == pytest.approx({"top-1": 0.5, "top-5": 1, "mean per class": 0.5, "chance": 1 / 3})
    assert found.per_image["top-1"].tolist() == [1, 0, 0, 1]
    with pytest.raises(UserError, match="one label"):
        tiny_task(12).score(predictions, [Example(0, "", ("p",))], metrics=("zero_shot",))


def test_a_step_reads_at_most_so_many_captions_of_an_image_and_each_in_its_turn():
    words = tiny_task(12).targets(EXAMPLES, 0)
    drawn = set()
    for _ in range(60):
        rows, owner = rows_of(words, 2)
        assert torch.bincount(owner).tolist() == [2, 1, 2, 1]
        drawn |= {tuple(row) for row in rows.tolist()}
    assert drawn == {tuple(row) for row in rows_of(words)[0].tolist()} and len(drawn) == 7


@pytest.mark.parametrize("objective", ["Contrastive", "PairwiseSigmoid", "HardestNegative"])
def test_every_objective_brings_together_what_belongs_together(objective):
    task = tiny_task(12, objective={"_target_": f"captioning.tasks.embedding.objectives.{objective}"}).train()
    seen, words, first = memory(), task.targets(EXAMPLES, 0), None
    step = torch.optim.Adam(task.parameters(), lr=5e-3)
    for _ in range(80):
        loss, _ = task.loss(seen, words, [0, 1, 2, 3])
        first = first if first is not None else loss.item()
        step.zero_grad(), loss.backward(), step.step()
    predictions = dict(enumerate(task.eval().predict(seen, words)))
    assert loss.item() < first and task.score(predictions, EXAMPLES).corpus["t2i R@1"] == 1


def test_a_chunk_of_texts_has_the_gradients_of_all_of_them():
    gradients = []
    for chunk in (None, 2):
        task = tiny_task(12, chunk=chunk, captions_per_image=3).double()  # in eval mode, without dropout
        task.loss(memory().to(torch.float64), task.targets(EXAMPLES, 0), [0, 1, 2, 3])[0].backward()
        gradients.append([parameter.grad for parameter in task.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


def test_a_saved_model_says_the_same_as_the_one_that_was_saved(tmp_path):
    bundle = tiny_embedder()
    before = Embedder(bundle)
    again = load(saved_embedder(tmp_path / "model"))
    assert isinstance(again, Embedder) and again.fingerprint == before.fingerprint
    np.testing.assert_allclose(again.embed_text(["a dog"]), before.embed_text(["a dog"]), atol=1e-6)


def test_a_run_trains_a_space_and_ends_with_a_model(tmp_path):
    assert "captions_per_image=2" in TINY
    small = "task.text.width=16 task.text.heads=2 task.width=16 task.image.heads=2 task.vocabulary.min_count=1".split()
    config = configuration("task=embedding", *small, "trainer.max_epochs=2", f"store={tmp_path}/store")
    model = load(train(config, tmp_path / "run"))
    text = model.embed_text("a red circle")
    assert text.shape == (16,) and np.linalg.norm(text) == pytest.approx(1, abs=1e-5)
    log = (tmp_path / "run" / "csv").rglob("metrics.csv").__next__().read_text()
    assert "val/recall" in log.splitlines()[0] and "val/t2i R@1" in log.splitlines()[0]


def test_a_model_folder_without_words_is_refused_by_name(tmp_path):
    folder = saved_embedder(tmp_path / "model")
    content = json.loads((folder / "vocabulary.json").read_text())
    (folder / "vocabulary.json").write_text(json.dumps(content | {"words": content["words"][:-1]}))
    with pytest.raises(UserError, match="do not fit"):
        load_bundle(folder)
    (folder / "vocabulary.json").unlink()
    with pytest.raises(UserError, match="vocabulary.json missing"):
        load_bundle(folder)


def test_a_taught_model_keeps_its_teachers_projection_and_puts_texts_where_the_teacher_has_them(tmp_path):
    teacher = tiny_embedder()
    folder = saved_embedder(tmp_path / "teacher")
    torch.manual_seed(9)
    width = teacher.encoder.width
    pupil = tiny_task(teacher=str(folder), teach=50.0)
    for parameter in pupil.parameters():
        torch.nn.init.normal_(parameter, std=0.2) if parameter.ndim > 1 else None
    pupil.begin(EXAMPLES)
    captions = [caption for each in CAPTIONS for caption in each]
    there = teacher.task.embed_texts(captions).detach()
    before = (pupil.embed_texts(captions) * there).sum(-1).mean().item()
    step = torch.optim.Adam([p for p in pupil.parameters() if p.requires_grad], lr=1e-2)
    words, seen = pupil.targets(EXAMPLES, 0), memory(4, width)
    for _ in range(60):
        pupil.train()
        step.zero_grad(), pupil.loss(seen, words, [0, 1, 2, 3])[0].backward(), step.step()
    after = (pupil.eval().embed_texts(captions) * there).sum(-1).mean().item()
    assert after > max(0.9, before)
    torch.testing.assert_close(pupil.embed_images(seen), teacher.task.embed_images(seen))
    with pytest.raises(UserError, match="16 numbers"):
        tiny_task(width=16, teacher=str(folder)).begin(EXAMPLES)
    with pytest.raises(UserError, match="another encoder"):
        tiny_task(12, teacher=str(folder)).begin(EXAMPLES)


@pytest.mark.parametrize("wrong", [{"captions_per_image": 0}, {"chunk": 0}])
def test_impossible_options_are_named(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        tiny_task(12, **wrong)


def test_the_parts_of_a_task_are_its_configuration():
    assert tiny_task(12).config() == {
        "_target_": "captioning.tasks.embedding.task.Embedding",
        **TASK,
        "dropout": 0.3,
    }


def test_a_transformer_of_patches_learns_from_pixels_which_sentence_is_of_which_picture():
    world = Scenes(val=12, size=64, objects=(1, 1), told_apart=True)
    examples = world.examples("val")
    torch.manual_seed(0)
    encoder = GridEncoder(backbone="test_vit", size=64, weights="none", finetune=True).train()
    seen = encoder.collate([encoder.read(world.image(example)) for example in examples])
    still = {"width": 32, "dropout": 0.0, "image": {**TASK["image"], "dropout": 0.0}}
    task = Embedding(**{**TASK, **still})
    task.fit(examples)
    task.build(encoder, part_of)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *task.train().parameters()], lr=4e-3)
    words, ids = task.targets(examples, 0), [example.id for example in examples]
    for _ in range(120):
        optimizer.zero_grad()
        task.loss(encoder(seen), words, ids)[0].backward()
        optimizer.step()
    with torch.no_grad():
        found = task.eval().predict(encoder.eval()(seen), words)
    scores = task.score(dict(zip(ids, found, strict=True)), examples).corpus
    assert scores["i2t R@1"] > 0.7 and scores["t2i R@1"] > 0.7  # a twelfth by chance
