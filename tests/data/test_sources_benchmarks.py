"""What only Flickr8k, the Karpathy splits or COCO can have right or wrong."""

import json

import pytest
from source_layouts import CocoLayout, Flickr8kLayout, KarpathyLayout, refusal, refused_or_skipped

from captioning.data.benchmarks.karpathy import Karpathy


def test_flickr8k_photos_are_found_wherever_the_archives_put_them(tmp_path):
    for i, folder in enumerate(("Images", "Flicker8k_Dataset", "Images/Flicker8k_Dataset", ".")):
        layout = Flickr8kLayout(tmp_path / str(i))
        layout.folder = folder
        (layout.root / "Images").mkdir(parents=True)  # an empty folder of a better name misleads nobody
        examples = layout.write().examples("train")
        assert len(examples) == 3, folder


def test_flickr8k_defects_of_the_text_files(tmp_path, caplog):
    layout = Flickr8kLayout(tmp_path)
    layout.write()
    good = layout.file.read_text()
    layout.file.write_text(good + "b.jpg#1\tAgain .\n")
    refused_or_skipped(
        layout, caplog, "1 of 11 caption ids is given twice", "b.jpg#1", left=["a.jpg", "b.jpg", "c.jpg"]
    )
    layout.file.write_text(good + "f.jpg A dog .\n")
    refusal(lambda: layout.source().examples("train"), "Flickr8k.token.txt, line 11", "f.jpg A dog .")
    layout.file.write_text(good)
    (tmp_path / "Flickr_8k.testImages.txt").unlink()
    assert len(layout.source().examples("train")) == 3
    refusal(lambda: layout.source().examples("test"), "Flickr_8k.testImages.txt does not exist")


def test_a_photo_in_two_flickr8k_splits_is_found(tmp_path, caplog):
    layout = Flickr8kLayout(tmp_path)
    layout.write()
    (tmp_path / "Flickr_8k.devImages.txt").write_text("d.jpg\nb.jpg\n")
    refused_or_skipped(layout, caplog, "1 of 6 photos", "given twice", "b.jpg", left=["a.jpg", "b.jpg", "c.jpg"])
    assert [example.id for example in layout.source(on_missing="skip").examples("val")] == ["d.jpg"]


def test_karpathy_names_unknown_splits_and_repeated_photos(tmp_path, caplog):
    layout = KarpathyLayout(tmp_path)
    layout.split_of["b.jpg"] = "holdout"
    layout.write()
    words = ["1 of 5 splits is unknown", "'holdout' of b.jpg"]
    refused_or_skipped(layout, caplog, *words, left=["a.jpg", "c.jpg"])
    caplog.clear()
    layout.split_of["b.jpg"] = "train"
    document = layout.document()
    layout.file.write_text(json.dumps({"images": document + [{**document[0], "split": "test"}]}))
    words = ["1 of 6 photo ids is given twice", "a.jpg"]
    refused_or_skipped(layout, caplog, *words, left=["a.jpg", "b.jpg", "c.jpg"])


def test_karpathy_coco_uses_the_number_and_the_folder_of_each_photo(tmp_path):
    layout = KarpathyLayout(tmp_path)
    layout.folder = "val2014"
    document = [{**entry, "filepath": "val2014", "cocoid": 100 + i} for i, entry in enumerate(layout.document())]
    layout.write()
    file = tmp_path / "dataset_coco.json"
    file.write_text(json.dumps({"images": document}))
    source = Karpathy(file)
    assert source.name == "karpathy_coco"
    assert [example.id for example in source.examples("train")] == [100, 101, 102]
    assert source.examples("train")[2].file == "val2014/c.jpg"


def coco_document(layout):
    layout.write()
    return json.loads(layout.file.read_text())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda d: d["images"].append({"id": 0, "file_name": "z.jpg"}),
            ["1 of 4 image ids is given twice", "first is 0"],
        ),
        (lambda d: d["annotations"].append({**d["annotations"][0]}), ["1 of 7 caption ids is given twice", "is 9"]),
        (
            lambda d: d["annotations"].append({"id": 1, "image_id": 77, "caption": "A."}),
            ["1 of 7 captions", "image 77"],
        ),
    ],
)
def test_coco_defects_are_counted(tmp_path, caplog, damage, words):
    layout = CocoLayout(tmp_path)
    document = coco_document(layout)
    damage(document)
    layout.file.write_text(json.dumps(document))
    refused_or_skipped(layout, caplog, *words, left=["a.jpg", "b.jpg", "c.jpg"])


def test_coco_fields_that_are_missing_are_named(tmp_path):
    layout = CocoLayout(tmp_path)
    for group, field in (
        ("images", "id"),
        ("images", "file_name"),
        ("annotations", "image_id"),
        ("annotations", "caption"),
    ):
        document = coco_document(layout)
        del document[group][1][field]
        layout.file.write_text(json.dumps(document))
        refusal(lambda: layout.source().examples("train"), f"{group}[1].{field}", "found nothing")


def test_coco_has_no_test_captions_and_says_what_has(tmp_path):
    refusal(lambda: CocoLayout(tmp_path).write().examples("test"), "karpathy_coco")


def test_coco_boxes_are_cut_to_the_image_and_named(tmp_path):
    layout = CocoLayout(tmp_path)
    document = coco_document(layout)
    box = {"image_id": 0, "category_id": 3, "iscrowd": 0}
    document["categories"] = [{"id": 3, "name": "dog"}]
    document["annotations"] = [
        {**box, "bbox": [2, 1, 4, 2]},
        {**box, "bbox": [-4, 2, 100, 100]},
        {**box, "bbox": [2, 1, 0, 2]},
        {**box, "bbox": [2, 1, 4, 2], "iscrowd": 1},
        {**box, "bbox": [0, 0, 8, 4], "image_id": 2},
    ]
    instances = layout.root / "annotations/instances_train2017.json"
    refusal(lambda: layout.source(boxes=True).examples("train"), str(instances), "data.boxes=false")
    instances.write_text(json.dumps(document))
    first, second, third = layout.source(boxes=True).examples("train")
    assert first.boxes == ((0.25, 0.25, 0.75, 0.75), (0, 0.5, 1, 1)) and first.labels == ("dog", "dog")
    assert second.boxes == second.labels == () and third.boxes == ((0, 0, 1, 1),)
    for bad in ({"bbox": [1, 2, 3]}, {"bbox": [1, 2, 3, "4"]}, {"category_id": 4}):
        instances.write_text(json.dumps({**document, "annotations": [{**box, "bbox": [2, 1, 4, 2], **bad}]}))
        refusal(lambda: layout.source(boxes=True).examples("train"), "annotations[0]", "data.boxes=false")


def test_coco_file_names_are_options(tmp_path):
    layout = CocoLayout(tmp_path)
    layout.write()
    layout.file.rename(tmp_path / "train.json")
    (tmp_path / "train2017").rename(tmp_path / "train")
    assert len(layout.source(captions="{split}.json", photos="{split}").examples("train")) == 3
    refusal(lambda: layout.source(captions="{fold}.json").examples("train"), "data.captions", "{split}")
