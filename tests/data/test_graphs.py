"""Graphs are read as each layout has them; what is wrong is named; the generated world's are complete."""

from __future__ import annotations

import json
import os
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioning.data.benchmarks.vg150 import Vg150
from captioning.data.benchmarks.visual_genome import VisualGenome
from captioning.data.benchmarks.vrd import Vrd
from captioning.data.graphs import triples, vocabulary
from captioning.data.synthetic.scene_graphs import SceneGraphs, is_held_out
from captioning.data.synthetic.scenes import HELD_OUT
from captioning.errors import UserError

REAL = Path(os.environ.get("CAPTIONING_DATA", "nowhere"))
needs_real = pytest.mark.skipif(not (REAL / "vrd").is_dir(), reason="needs CAPTIONING_DATA")


def write(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def vrd(tmp_path):
    person, horse = {"category": 0, "bbox": [10, 60, 20, 40]}, {"category": 1, "bbox": [40, 100, 0, 200]}
    ride = {"predicate": 1, "subject": person, "object": horse}
    under = {"predicate": 0, "subject": horse, "object": person}
    write(tmp_path / "json_dataset/annotations_train.json", {"a.jpg": [ride, under, ride], "none.jpg": []})
    write(tmp_path / "json_dataset/annotations_test.json", {"b.jpg": [ride]})
    write(tmp_path / "json_dataset/objects.json", ["person", "horse"])
    write(tmp_path / "json_dataset/predicates.json", ["under", "ride"])
    for split, name in (("train", "a"), ("test", "b")):
        folder = tmp_path / f"sg_dataset/sg_{split}_images"
        folder.mkdir(parents=True)
        Image.new("RGB", (200, 100)).save(folder / f"{name}.jpg")
    return tmp_path


def test_vrd_has_each_thing_and_each_relation_once(vrd):
    (one,) = Vrd(vrd).examples("train")
    assert one.labels == ("person", "horse") and one.file == "sg_dataset/sg_train_images/a.jpg"
    assert one.boxes == ((0.1, 0.1, 0.2, 0.6), (0.0, 0.4, 1.0, 1.0))  # ymin, ymax, xmin, xmax
    assert one.relations == ((0, "ride", 1), (1, "under", 0))
    assert triples(one) == [("person", "ride", "horse"), ("horse", "under", "person")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a.jpg": [{"predicate": 7}]}, r"a.jpg\[0\].subject should have a category, from 0 to 1"),
        ({"a.jpg": "none"}, "a.jpg should have a list of relations"),
        ([], "should be an object"),
    ],
)
def test_what_is_wrong_with_vrd_is_named(vrd, change, said):
    write(vrd / "json_dataset/annotations_train.json", change)
    with pytest.raises(UserError, match=said):
        Vrd(vrd).examples("train")


def test_a_missing_photo_is_named_unless_it_is_left_out_or_not_looked_for(vrd):
    (vrd / "sg_dataset/sg_test_images/b.jpg").unlink()
    with pytest.raises(UserError, match="Unpack sg_dataset.zip"):
        Vrd(vrd).examples("test")
    (one,) = Vrd(vrd, on_missing="ignore").examples("test")
    assert one.boxes == ((0.1, 0.1, 0.2, 0.6), (0.0, 0.4, 1.0, 1.0))  # of what the boxes cover
    with pytest.raises(UserError, match="no split 'val'"):
        Vrd(vrd).examples("val")


@needs_real
@pytest.mark.parametrize(
    ("split", "photos", "relations", "things"), [("train", 3780, 29861, 26430), ("test", 955, 7478, 6735)]
)
def test_the_real_vrd_is_complete(split, photos, relations, things):
    examples = Vrd(REAL / "vrd", on_missing="ignore").examples(split)
    assert len(examples) == photos == Vrd.official[split]
    assert sum(len(one.relations) for one in examples) == relations
    assert sum(len(one.boxes) for one in examples) == things
    assert len({label for one in examples for label in one.labels}) == 100


@pytest.fixture
def genome(tmp_path):
    def box(number, name, x, w):
        return {"object_id": number, "x": x, "y": 10, "w": w, "h": 20, "names": [name], "merged_object_ids": []}

    man, dog = box(1, " Man ", 0, 50), {**box(2, "dog", 50, 40), "merged_object_ids": [9]}
    outside = box(3, "sky", 300, 10)
    write(tmp_path / "objects.json", [{"image_id": 7, "objects": [man, dog, outside]}])
    hat = {**box(4, "", 10, 10), "name": "hat"}
    del hat["names"]
    edges = [
        {"predicate": "HAS", "subject": man, "object": {**dog, "object_id": 9}},
        {"predicate": "wears", "subject": man, "object": hat},
        {"predicate": "under", "subject": dog, "object": outside},
    ]
    write(tmp_path / "relationships.json", [{"relationships": edges}])
    write(tmp_path / "attributes.json", [{"image_id": 7, "attributes": [{"object_id": 2, "attributes": ["Brown"]}]}])
    write(tmp_path / "image_data.json", [{"image_id": 7, "width": 100, "height": 50, "coco_id": 5}])
    return tmp_path


def test_visual_genome_joins_its_files_and_what_was_merged(genome, caplog):
    (one,) = VisualGenome(genome, on_missing="ignore").examples("train")
    assert one.labels == ("man", "dog", "hat") and one.file == "VG_100K/7.jpg"
    assert one.boxes[:2] == ((0.0, 0.2, 0.5, 0.6), (0.5, 0.2, 0.9, 0.6))
    assert one.relations == ((0, "has", 1), (0, "wears", 2))
    assert one.attributes == ((), ("brown",), ())
    assert "1 of 4 boxes lie outside of their photo" in caplog.text


def test_visual_genome_is_split_by_lists_and_photos_are_found_by_a_pattern(genome):
    (genome / "val.txt").write_text("7\n")
    (genome / "train.txt").write_text("8\n")
    source = VisualGenome(genome, lists=".", photos="coco/{coco_id:04d}.jpg", on_missing="ignore")
    assert [one.file for one in source.examples("val")] == ["coco/0005.jpg"]
    with pytest.raises(UserError, match="split train has no photo with a graph"):
        source.examples("train")
    (genome / "val.txt").write_text("seven\n")
    with pytest.raises(UserError, match="val.txt, line 1: 'seven' is no photo's number"):
        VisualGenome(genome, lists=".", on_missing="ignore").examples("val")


def test_a_relation_of_what_is_not_there_is_named(genome):
    edge = {"predicate": "on", "subject_id": 1, "object_id": 99}
    write(genome / "relationships.json", [{"image_id": 7, "relationships": [edge]}])
    with pytest.raises(UserError, match=r"image 7, relationships\[0\]: its object is not among the objects"):
        VisualGenome(genome, on_missing="ignore").examples("train")


@needs_real
def test_the_real_pieces_of_visual_genome_load():
    examples = VisualGenome(REAL / "visual_genome/first_images", on_missing="ignore").examples("train")
    assert len(examples) == 15
    assert sum(len(one.boxes) for one in examples) == 478  # 460 listed, 18 that only relations name
    assert sum(len(one.relations) for one in examples) == 450  # of 459, each once
    photos = "../coco/train2017/{coco_id:012d}.jpg"
    (one,) = VisualGenome(REAL / "visual_genome", file="scene_graphs.json", photos=photos).examples("train")
    assert len(one.boxes) == 24 and len(one.relations) == 16  # of 17, one twice


@pytest.fixture
def vg150(tmp_path):
    h5py = pytest.importorskip("h5py")
    write(tmp_path / "image_data.json", [{"image_id": n, "width": 512, "height": 256} for n in (1592, 10, 11, 12, 13)])
    names = {"idx_to_label": {"1": "dog", "2": "man"}, "idx_to_predicate": {"1": "on", "2": "has"}}
    write(tmp_path / "VG-SGG-dicts.json", names)
    with h5py.File(tmp_path / "VG-SGG.h5", "w") as file:
        file["split"] = np.array([0, 0, 2, 0])
        file["labels"] = np.array([[1], [2], [2], [1], [1], [2]])
        file["boxes_1024"] = np.array([[512, 256, 1024, 512], [256, 256, 512, 512]] * 3)
        file["img_to_first_box"] = np.array([0, 2, 4, -1])
        file["img_to_last_box"] = np.array([1, 3, 5, -1])
        file["relationships"] = np.array([[1, 0], [1, 0], [2, 3], [4, 5]])
        file["predicates"] = np.array([[2], [2], [1], [1]])
        file["img_to_first_rel"] = np.array([0, 2, 3, -1])
        file["img_to_last_rel"] = np.array([1, 2, 3, -1])
    return tmp_path


def test_vg150_is_read_as_its_split_files_say(vg150):
    source = Vg150(vg150, val=1, on_missing="ignore")
    assert [[one.id for one in source.examples(split)] for split in ("train", "val", "test")] == [[11], [10], [12]]
    (one,) = source.examples("val")
    assert one.labels == ("dog", "man") and one.relations == ((1, "has", 0),)
    assert one.boxes == ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 1.0)) and one.file == "VG_100K/10.jpg"


def test_what_is_wrong_with_vg150_is_named(vg150):
    write(vg150 / "image_data.json", [])
    with pytest.raises(UserError, match="is about 4 photos, image_data.json about 0"):
        Vg150(vg150).examples("train")
    (vg150 / "VG-SGG.h5").write_bytes(b"no file")
    with pytest.raises(UserError, match="cannot be read as HDF5"):
        Vg150(vg150).examples("train")
    (vg150 / "VG-SGG.h5").unlink()
    with pytest.raises(UserError, match="VG-SGG.h5 does not exist"):
        Vg150(vg150).examples("train")


def test_graphs_of_the_generated_world_are_complete_and_true():
    for one in SceneGraphs(train=60, val=0, test=0, unseen=0).examples("train"):
        edges = {(s, o): predicate for s, predicate, o in one.relations}
        assert len(edges) == len(one.relations) <= 20 and 2 <= len(one.boxes) <= 5
        for s, o in permutations(range(len(one.boxes)), 2):
            (x1, y1, x2, y2), (u1, v1, u2, v2) = one.boxes[s], one.boxes[o]
            across, down = (u1 + u2 - x1 - x2) / 2, (v1 + v2 - y1 - y2) / 2
            if abs(across) > 1 / 5 and abs(down) > 1 / 5:
                assert (s, o) not in edges  # askew
            if (s, o) in edges:
                wanted = (
                    ("left of", "right of")[across < 0] if abs(across) > abs(down) else ("above", "below")[down < 0]
                )
                assert edges[s, o] == wanted
        assert all(
            any(f"a {a} {p} a {b}" == said for a, p, b in triples(one)) for said in one.captions if one.relations
        )


def test_held_out_pairs_are_in_every_unseen_picture_and_in_no_other():
    novel = {" ".join(pair) for pair in HELD_OUT}
    world = SceneGraphs(train=40, val=0, test=0, unseen=40)
    assert all(novel & set(one.labels) for one in world.examples("unseen"))
    assert not any(novel & set(one.labels) for one in world.examples("train"))
    with pytest.raises(UserError, match="2 things at least"):
        SceneGraphs(objects=(1, 3))


def test_the_frequent_words_come_first_and_the_rare_ones_not_at_all():
    words = ["b", "a", "c", "c", "a", "d"]
    assert vocabulary(words) == ("a", "c", "b", "d")
    assert vocabulary(words, min_count=2) == ("a", "c") and vocabulary(words, most=3) == ("a", "c", "b")


def test_a_world_that_holds_out_triples_shows_each_in_unseen_alone_and_all_labels_in_training():
    world = SceneGraphs(train=400, val=40, test=40, unseen=60, hold_out="triples")
    shown = {
        split: [set(triples(one)) for one in world.examples(split)] for split in ("train", "val", "test", "unseen")
    }
    trained = set().union(*shown["train"])
    held = {triple for triple in set().union(*shown["unseen"]) if is_held_out(*triple)}
    assert (
        held and not held & trained and not any(is_held_out(*one) for one in set().union(*shown["val"], *shown["test"]))
    )
    assert all(any(is_held_out(*one) for one in those) for those in shown["unseen"])
    names = {name for s, _, o in trained for name in (s, o)}
    assert {name for s, _, o in held for name in (s, o)} <= names
    opposite = {"left of": "right of", "above": "below"}
    assert all(is_held_out(o, opposite[p], s) for s, p, o in held if p in opposite)
    assert 0.05 < sum(is_held_out(*one) for one in held | trained) / len(held | trained) < 0.2
    with pytest.raises(UserError, match="hold_out"):
        SceneGraphs(hold_out="nothing")
