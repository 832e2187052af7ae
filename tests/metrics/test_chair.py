"""CHAIR: laws of what counts as named, as there, and as hallucinated."""

import numpy as np
import pytest

from captioning.errors import UserError
from captioning.metrics.caption_scores import score_captions
from captioning.metrics.chair import (
    chair_counts,
    chair_sentences,
    main_object,
    main_object_counts,
    objects_named,
    objects_there,
    share_of,
)
from captioning.text.concepts import COLOURS, coco_objects, concepts, imagenet_nouns
from captioning.text.tokenizer import tokenize


def named(caption):
    return [set(names) for names in objects_named(tokenize(caption))]


def test_every_class_and_every_word_for_it_is_found_alone_and_in_a_sentence():
    for name, words in coco_objects().items():
        for word in (name, *words):
            if word == "orange fruit":
                continue
            assert any(name in found for found in named(f"there is {word}.")), (name, word)


def test_the_classes_are_those_of_the_detectors_in_their_order():
    from captioning.encoders.detectors.base import coco_names

    assert tuple(coco_objects()) == coco_names()


def test_every_imagenet_class_has_a_concept_or_none():
    assert len(imagenet_nouns()) == 1000
    assert {noun for noun in imagenet_nouns() if noun} <= set(concepts())
    assert imagenet_nouns()[386] == "elephant" and imagenet_nouns()[208] == "dog"


@pytest.mark.parametrize(
    ("caption", "objects"),
    [
        ("A man rides a horse.", [{"person"}, {"horse"}]),
        ("Two hot dogs on a plate", [{"hot dog"}]),
        ("A baby elephant beside its mother", [{"elephant"}, {"person"}]),
        ("A passenger train", [{"train"}]),
        ("Three boxes, buses and knives", [{"bus"}, {"knife"}]),
        ("A dirt bike is no bicycle", [{"motorcycle"}, {"bicycle"}]),
        ("A woman in an orange shirt", [{"person"}]),
        ("An orange and white cat", [{"cat"}]),
        ("An orange is on the table", [{"orange"}, {"dining table"}]),
        ("Nothing at all", []),
    ],
)
def test_the_longest_phrase_counts_and_colours_do_not(caption, objects):
    assert named(caption) == objects


def test_a_colour_is_never_a_fruit():
    for colour in COLOURS:
        assert {"orange"} not in named(f"an orange and {colour} dog")


def test_an_object_is_there_if_a_reference_or_an_instance_says_so():
    references = [tokenize("a puppy"), tokenize("something brown")]
    assert objects_there(references) == {"dog"}
    assert objects_there(references, ["frisbee"]) == {"dog", "frisbee"}
    assert objects_there([]) == frozenset()


def test_what_the_references_say_is_never_hallucinated():
    captions = [tokenize("A man, a dog and a kite."), tokenize("Grass.")]
    counts = chair_counts(captions, [objects_there([words]) for words in captions])
    assert counts.tolist() == [[3, 0], [0, 0]]
    assert share_of(counts).tolist() == [0, 0]


def test_of_instances_mentions_count_and_of_sentences_each_once():
    captions = [tokenize("a cat and a dog"), tokenize("a cat and a cat"), tokenize("the sky")]
    counts = chair_counts(captions, [{"cat"}, {"dog"}, {"dog"}])
    assert counts.tolist() == [[2, 1], [2, 2], [0, 0]]
    assert share_of(counts.sum(0)) == pytest.approx(3 / 4)
    assert np.mean(chair_sentences(counts)) == pytest.approx(2 / 3)


def test_of_the_command_chair_counts_what_references_and_instances_say(tmp_path, capsys):
    import json

    from captioning.commands.score import score

    references, results, instances = (tmp_path / name for name in ("captions.json", "results.json", "instances.json"))
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in (1, 2)]
    said = [{"id": i, "image_id": i, "caption": "A dog."} for i in (1, 2)]
    references.write_text(json.dumps({"images": images, "annotations": said}))
    results.write_text(
        json.dumps([{"image_id": 1, "caption": "A dog and a cat."}, {"image_id": 2, "caption": "A dog."}])
    )
    there = {"categories": [{"id": 17, "name": "cat"}], "annotations": [{"image_id": 1, "category_id": 17}]}
    instances.write_text(json.dumps(there))
    found = {}
    for name, file in (("alone", None), ("annotated", instances)):
        output = tmp_path / f"{name}.json"
        score(references, [results], metrics=["chair"], json_file=output, per_image=tmp_path / "w.csv", instances=file)
        found[name] = json.loads(output.read_text())["results"][0]["scores"]
    assert found["alone"] == {"CHAIRi": pytest.approx(1 / 3), "CHAIRs": 0.5}
    assert found["annotated"] == {"CHAIRi": 0.0, "CHAIRs": 0.0}
    assert "CHAIRi" in capsys.readouterr().out


def test_instances_without_chair_are_a_mistake(tmp_path):
    from captioning.commands.score import score
    from captioning.errors import UserError

    references, results = tmp_path / "captions.jsonl", tmp_path / "results.jsonl"
    references.write_text('{"id": 1, "captions": ["A dog."]}\n')
    results.write_text('{"id": 1, "caption": "A dog."}\n')
    with pytest.raises(UserError, match="chair"):
        score(references, [results], metrics=["cider"], instances=tmp_path / "instances.json")


def test_the_main_object_is_the_largest_by_its_box_that_is_no_person():
    boxes = [(0, 0, 1, 1), (0, 0, 0.5, 0.5), (0.2, 0.2, 0.9, 0.9)]
    assert main_object(boxes, ["person", "dog", "frisbee"]) == "frisbee"
    assert main_object(boxes, ["kite", "dog", "frisbee"]) == "kite"
    assert main_object(boxes[:1], ["person"]) is None and main_object([], []) is None


def test_a_main_object_is_named_by_any_word_for_it_and_images_without_one_do_not_count():
    captions = {1: "A puppy runs.", 2: "A man and a dog.", 3: "A cat.", 4: "Nothing."}
    main = {1: "dog", 2: "frisbee", 3: None, 4: "kite"}
    counts = main_object_counts([tokenize(text) for text in captions.values()], list(main.values()))
    assert counts.tolist() == [[1, 1], [1, 0], [0, 0], [1, 0]]
    references = {key: ["grass"] for key in captions}
    scores = score_captions(references, captions, ["main_object"], main=main)
    assert scores.corpus == {"main object": pytest.approx(1 / 3)}
    assert scores.per_image["main object"].tolist() == [1, 0, 0, 0]
    for nothing in (None, dict.fromkeys(captions)):
        with pytest.raises(UserError, match="data.boxes=true"):
            score_captions(references, captions, ["main_object"], main=nothing)
