"""Graphs and detections: what is there is found after training, and a model that was kept says the same."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny_graphs import Detection, SceneGraphs, built, examples, memory, thing_bundle
from tiny_model import pictures

from captioning.boxes import Box
from captioning.demo.tabs.graph import answer
from captioning.errors import UserError
from captioning.models.bundle import save_bundle
from captioning.tasks.load import load
from captioning.tasks.recognition.object_detector import most_salient
from captioning.tasks.scene_graphs.graph import Edge, SceneGraph
from captioning.tasks.scene_graphs.task import prior_of


@pytest.fixture(scope="module", params=[SceneGraphs, Detection], ids=["graphs", "detection"])
def trained(request):
    task = built(request.param).train()
    adam = torch.optim.Adam(task.parameters(), lr=4e-3)
    batch = task.targets(examples(), 0)
    for _ in range(80):
        loss, _ = task.loss(memory(), batch, list(range(6)))
        adam.zero_grad()
        loss.backward()
        adam.step()
    return task.eval()


def predicted(task, targets):
    return dict(enumerate(task.predict(memory(), targets)))


def test_what_is_there_is_found_after_training(trained):
    scores = trained.score(
        predicted(trained, trained.targets(examples(), 0)), examples(), metrics=trained.metrics
    ).corpus
    assert scores["AP50"] > 0.95
    if isinstance(trained, SceneGraphs):
        assert scores["PredCls R@20"] == scores["SGCls R@20"] == scores["SGDet R@20"] == 1.0
        assert "SGDet zR@20" not in scores  # every triple was learned


@pytest.mark.parametrize("kind", [SceneGraphs, Detection])
def test_mixed_precision_learns_of_the_same_loss(kind):
    task = built(kind)
    batch = task.targets(examples(), 0)
    full, _ = task.loss(memory(), batch, list(range(6)))
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = task.loss(memory(), batch, list(range(6)))
        task.predict(memory(), batch)
    mixed.backward()
    assert abs(float(mixed.detach() - full.detach())) < 0.05 * float(full.detach())


def test_what_is_found_alone_does_not_hang_on_what_is_given(trained):
    alone, given = predicted(trained, None), predicted(trained, trained.targets(examples(), 0))
    if isinstance(trained, SceneGraphs):
        assert [one["sgdet"] for one in alone.values()] == [one["sgdet"] for one in given.values()]
    else:
        assert alone == given
    json.dumps(list(given.values()))


def test_given_names_are_kept_and_without_them_they_are_seen():
    task = built(SceneGraphs)
    targets = task.targets(examples(), 0)
    for one, example in zip(task.predict(memory(), targets), examples(), strict=True):
        assert tuple(box["label"] for box in one["predcls"]["objects"]) == example.labels
        assert all(box["score"] == 1 for box in one["predcls"]["objects"])
        assert [box["box"] for box in one["sgcls"]["objects"]] == [
            pytest.approx(corners, abs=1e-4) for corners in example.boxes
        ]


def test_relations_are_sorted_and_hold_the_best_of_each_pair():
    task = built(SceneGraphs)
    ends = torch.tensor([[i, j] for i in range(15) for j in range(15) if i != j])
    scores = torch.rand(len(ends), 2, generator=torch.Generator().manual_seed(1)).round(decimals=1)  # ties
    rows = task.best(ends, scores)
    values = [row[3] for row in rows]
    assert values == sorted(values, reverse=True)
    assert values[:100] == pytest.approx(sorted(scores.flatten().tolist(), reverse=True)[:100])
    seen, firsts = set(), []
    for s, _, o, value in rows:
        if (s, o) not in seen:
            seen.add((s, o))
            firsts.append(value)
    assert firsts[:100] == pytest.approx(sorted(scores.max(1).values.tolist(), reverse=True)[:100])


def test_a_picture_with_one_thing_or_none_has_no_relation():
    task = built(SceneGraphs)
    few = [replace(examples()[0], boxes=(), labels=(), relations=()), replace(examples()[1], relations=())]
    few[1] = replace(few[1], boxes=few[1].boxes[:1], labels=few[1].labels[:1])
    seen = memory(2)
    found = task.predict(seen, task.targets(few, 0))
    assert [len(one["predcls"]["objects"]) for one in found] == [0, 1]
    assert [one["predcls"]["relations"] for one in found] == [[], []]
    loss, _ = task.train().loss(seen, task.targets(few, 0), [0, 1])
    assert loss.isfinite()


def test_the_frequency_baseline_says_what_was_frequent():
    task = built(SceneGraphs, relations={**built(SceneGraphs).parts["relations"], "parts": ["prior"]})
    numbers = task.numbers(task.labels), task.numbers(task.predicates)
    torch.testing.assert_close(task.relations.prior, prior_of(examples(), *numbers))
    scores = task.score(predicted(task, task.targets(examples(), 0)), examples(), metrics=("predcls",))
    assert scores.corpus["PredCls R@20"] == 0.5  # of two things each predicate was as frequent
    assert scores.corpus["PredCls ng-R@20"] == 1.0


def test_a_source_without_relations_is_refused():
    task = built(SceneGraphs)
    with pytest.raises(UserError, match="no training picture has a relation"):
        task.fit([replace(one, relations=()) for one in examples()])


@pytest.mark.parametrize("kind", [SceneGraphs, Detection])
def test_a_model_that_was_kept_says_the_same(tmp_path, kind):
    bundle = thing_bundle(kind)
    folder = save_bundle(tmp_path / "model", bundle, card="# tiny")
    picture = pictures(1)[0]
    mine, kept = bundle.task.predictor(bundle, "cpu"), load(folder, device="cpu")
    assert mine.detect(picture, least=0.0) == kept.detect(picture, least=0.0) != []
    if kind is SceneGraphs:
        assert mine.graph(picture, least=0.0) == kept.graph(picture, least=0.0)
        assert mine.graph(picture, least=0.0, most=3).relations == kept.graph(picture, least=0.0).relations[:3]
        assert mine.graph(picture, least=1.0) == SceneGraph((), ())
        assert bundle.task.known == kept.task.known


@pytest.mark.parametrize("kind", [SceneGraphs, Detection])
@pytest.mark.parametrize("content", ["", "[]", '{"labels": []}', '{"labels": ["a", "a"], "predicates": ["b"]}'])
def test_damaged_names_are_named(tmp_path, kind, content):
    folder = save_bundle(tmp_path / "model", thing_bundle(kind), card="")
    name = kind.files[0]
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=name):
        load(folder)


def test_a_graph_is_text_json_and_dot():
    boxes = (Box(0, 0, 0.5, 0.5, 'the "cat"\n', 0.9), Box(0.5, 0, 1, 0.5, "dog", 0.8), Box(0, 0.5, 1, 1, "dog", 0.7))
    graph = SceneGraph(boxes, (Edge(1, "near", 2, 0.5),))
    assert str(graph) == "dog 1 near dog 2" and str(SceneGraph((), ())) == "nothing"
    assert graph.to_dict((200, 100))["objects"][1]["box"] == [100.0, 0.0, 200.0, 50.0]
    dot = graph.to_dot()
    assert 'n1 -> n2 [label="near"];' in dot and r'n0 [label="the \"cat\""];' in dot and dot.endswith("}\n")


def test_salient_is_what_is_large_and_sure():
    small, large = Box(0, 0, 0.1, 0.1, "cup", 0.9), Box(0, 0, 0.8, 0.8, "dog", 0.6)
    assert most_salient([small, large]) is large and most_salient([]) is None


def test_pages_are_written(tmp_path):
    class Blank:
        def image(self, example):
            return Image.new("RGB", (64, 48), "navy")

    for kind in (SceneGraphs, Detection):
        task = built(kind)
        predictions = predicted(task, task.targets(examples(), 0))
        scores = task.score(predictions, examples(), metrics=task.metrics)
        path = task.report(tmp_path / "p.html", None, examples(), Blank(), predictions, scores, title="<things>")
        html = path.read_text()
        assert "&lt;things&gt;" in html and html.count("<img") == 12 and "AP50" in html
        assert ("<svg" in html) == (kind is Detection)


def test_the_tab_draws_a_graph_and_refuses_what_is_no_photo(tmp_path):
    bundle = thing_bundle()
    grapher = bundle.task.predictor(bundle, "cpu")
    pictures(1)[0].save(tmp_path / "a.png")
    html = answer(grapher, tmp_path / "a.png", 0.0)
    assert "data:image/jpeg" in html and "<li>" in html
    (tmp_path / "b.png").write_text("no photo")
    for upload, least in ((tmp_path / "b.png", 0.3), (tmp_path / "a.png", 7), (tmp_path / "a.png", "x")):
        assert 'class="refusal"' in answer(grapher, upload, least)


def test_options_that_cannot_be_are_named():
    for options, said in (
        ({"jitter": 0.7}, "jitter"),
        ({"labels": 0}, "labels"),
        ({"weights": {"boxes": 1}}, "weights.boxes"),
    ):
        with pytest.raises(UserError, match=said):
            built(SceneGraphs, **options)
    task = built(SceneGraphs)
    with pytest.raises(UserError, match="no metric 'cider'"):
        task.score({}, [], metrics=("cider",))
