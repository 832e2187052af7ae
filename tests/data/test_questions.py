"""Every source of questions gives pictures with questions as rows, each with its answers, and names what is wrong."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from captioning.data.benchmarks.daquar import Daquar, run_splits, without_photo
from captioning.data.benchmarks.easy_vqa import EasyVqa
from captioning.data.benchmarks.gqa import Gqa
from captioning.data.benchmarks.vqa import Vqa
from captioning.data.question_baselines import blind_scores
from captioning.data.question_table import QuestionTable
from captioning.data.questions import all_questions
from captioning.data.synthetic.rendering import COLOURS, SHAPES
from captioning.data.synthetic.scene_questions import (
    FURTHER_KINDS,
    KINDS,
    MOVING_KINDS,
    NUMBERS,
    MovingSceneQuestions,
    SceneQuestions,
)
from captioning.data.synthetic.scenes import HELD_OUT, SIZES
from captioning.errors import UserError


def language_only(train, test):
    """What the best guess from a question's text scores."""
    return list(blind_scores(train, test).values())[-1]


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def write_vqa(root, version=2):
    prefix = "v2_" if version == 2 else ""
    asked = [(9, 25001, "What is this?"), (9, 25002, "How many?"), (4, 4001, "Is it red?")]
    questions = [{"image_id": i, "question_id": q, "question": text} for i, q, text in asked]
    said = {25001: ["dog"] * 6 + ["cat"] * 4, 25002: ["2"] * 10, 4001: ["yes"] * 10}
    annotations = [
        {
            "image_id": i,
            "question_id": q,
            "question_type": text.split()[0].lower(),
            "answer_type": "other",
            "multiple_choice_answer": said[q][0],
            "answers": [{"answer": one, "answer_id": n} for n, one in enumerate(said[q])],
        }
        for i, q, text in asked
    ]
    root.mkdir(exist_ok=True)
    (root / f"{prefix}OpenEnded_mscoco_train2014_questions.json").write_text(json.dumps({"questions": questions}))
    (root / f"{prefix}mscoco_train2014_annotations.json").write_text(json.dumps({"annotations": annotations}))
    for image in (9, 4):
        picture(root / f"train2014/COCO_train2014_{image:012d}.jpg")


def write_gqa(root):
    kinds = {"structural": "query", "semantic": "attr", "detailed": "color"}
    questions = {
        "01": {"imageId": "7", "question": "What color is it?", "answer": "red", "types": kinds},
        "02": {"imageId": "8", "question": "Is it big?", "answer": "no"},
        "03": {"imageId": "7", "question": "Is it small?", "answer": "yes"},
    }
    root.mkdir(exist_ok=True)
    (root / "train_balanced_questions.json").write_text(json.dumps(questions))
    for image in (7, 8):
        picture(root / f"images/{image}.jpg")


def write_daquar(root):
    lines = ["what is on the desk in the image3 ?", "book, lamp", "how many chairs are there in the image30 ?", "2"]
    root.mkdir(exist_ok=True)
    (root / "qa_pairs_train.txt").write_text("\n".join([*lines, "what is red in image3 ?", "chair"]) + "\n")
    for image in (3, 30):
        picture(root / f"images/image{image}.jpg")


def write_easy(root):
    listed = [["what shape?", "circle", 0], ["is it red?", "no", 1], ["is it blue?", "yes", 0]]
    for part in ("train", "test"):
        picture(root / f"data/{part}/images/0.png")
        picture(root / f"data/{part}/images/1.png")
        (root / f"data/{part}/questions.json").write_text(json.dumps(listed))


def write_table(root):
    root.mkdir(exist_ok=True)
    picture(root / "a.jpg"), picture(root / "b.jpg")
    rows = ["file,question,answer,answers", "a.jpg,What is it?,dog,dog|dog|cat", "b.jpg,Is it?,yes,", "a.jpg,Red?,no,"]
    (root / "table.csv").write_text("\n".join(rows) + "\n")


LAYOUTS = {  # what writes it, what reads it, questions by picture in order
    "vqa": (write_vqa, Vqa, {9: ["What is this?", "How many?"], 4: ["Is it red?"]}),
    "vqa1": (
        lambda r: write_vqa(r, 1),
        lambda r: Vqa(r, version=1),
        {9: ["What is this?", "How many?"], 4: ["Is it red?"]},
    ),
    "gqa": (write_gqa, Gqa, {"7": ["What color is it?", "Is it small?"], "8": ["Is it big?"]}),
    "daquar": (
        write_daquar,
        lambda r: Daquar(r, val_fraction=0.0),
        {"image3": ["what is on the desk?", "what is red?"], "image30": ["how many chairs are there?"]},
    ),
    "easy_vqa": (
        write_easy,
        lambda r: EasyVqa(r, val_fraction=0.0),
        {"train/0": ["what shape?", "is it blue?"], "train/1": ["is it red?"]},
    ),
    "table": (
        write_table,
        lambda r: QuestionTable(r / "table.csv", val_fraction=0.0, test_fraction=0.0),
        {"a.jpg": ["What is it?", "Red?"], "b.jpg": ["Is it?"]},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_questions_about_a_picture_are_its_rows(layout, tmp_path):
    write, read, expected = LAYOUTS[layout]
    write(tmp_path / "data")
    source = read(tmp_path / "data")
    examples = source.examples("train")
    assert {one.id: [q.text for q in one.questions] for one in examples} == expected
    numbers = [q.id for q in all_questions(examples)]
    assert len(set(numbers)) == len(numbers) == 3
    assert all(q.answer and q.answers and q.answer in q.answers for q in all_questions(examples))
    assert all(source.image(one).size == (8, 8) for one in examples)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_photo_is_counted_and_named(layout, tmp_path):
    write, read, _ = LAYOUTS[layout]
    write(tmp_path / "data")
    pictures = [p for p in (tmp_path / "data").rglob("*.*g") if "test" not in p.parts]
    pictures[0].unlink()
    with pytest.raises(UserError, match=f"1 of 2 .*missing.*{pictures[0].name}"):
        read(tmp_path / "data").examples("train")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_file_of_questions_is_named_with_its_remedy(layout, tmp_path):
    _, read, _ = LAYOUTS[layout]
    with pytest.raises(UserError, match="does not exist"):
        read(tmp_path / "nothing").examples("train")


def test_ten_answers_and_kinds_come_with_a_question(tmp_path):
    write_vqa(tmp_path)
    first = Vqa(tmp_path).examples("train")[0].questions[0]
    assert first.answers == ("dog",) * 6 + ("cat",) * 4
    assert (first.answer, first.kind, first.answer_type) == ("dog", "what", "other")


def test_the_test_split_of_vqa_has_questions_alone(tmp_path):
    write_vqa(tmp_path)
    (tmp_path / "v2_OpenEnded_mscoco_train2014_questions.json").rename(
        tmp_path / "v2_OpenEnded_mscoco_test2015_questions.json"
    )
    for image in (9, 4):
        picture(tmp_path / f"test2015/COCO_test2015_{image:012d}.jpg")
    assert all(not q.answers for q in all_questions(Vqa(tmp_path).examples("test")))


def test_questions_without_answers_are_counted(tmp_path):
    write_vqa(tmp_path)
    path = tmp_path / "v2_mscoco_train2014_annotations.json"
    annotations = json.loads(path.read_text())["annotations"]
    path.write_text(json.dumps({"annotations": annotations[:2]}))
    with pytest.raises(UserError, match="1 of 3 questions is without answers, the first is 4001"):
        Vqa(tmp_path).examples("train")
    assert len(list(all_questions(Vqa(tmp_path, on_missing="skip").examples("train")))) == 2


def test_rooms_of_daquar_stay_in_one_split():
    photos = [f"image{n}" for n in [*range(3, 9), *range(20, 24), *range(40, 60), 71, 73]]
    splits = run_splits(photos, 0.4)
    assert {splits[f"image{n}"] for n in range(40, 60)} in ({"train"}, {"val"})
    assert set(splits.values()) == {"train", "val"}
    assert set(splits) == set(photos)


def test_val_of_daquar_by_photos_takes_them_out_of_rooms_that_stay(tmp_path):
    write_daquar(tmp_path)
    rooms = [range(first, first + 10) for first in range(1, 400, 20)]
    lines = [f"what is in the image{n} ?\nchair" for room in rooms for n in room]
    (tmp_path / "qa_pairs_train.txt").write_text("\n".join(lines) + "\n")
    shared = {}
    for val_by in ("rooms", "photos"):
        source = Daquar(tmp_path, val_fraction=0.2, val_by=val_by, on_missing="ignore")
        here = {split: {int(one.id[5:]) // 20 for one in source.examples(split)} for split in ("train", "val")}
        assert here["val"]
        shared[val_by] = len(here["train"] & here["val"])
    assert shared["rooms"] == 0 < shared["photos"]


@pytest.mark.parametrize(
    "question, asked",
    [
        ("what is on the desk in the image3 ?", "what is on the desk?"),
        ("what is in image12 ?", "what is?"),
        ("what is left of the image7 behind the door?", "what is left of the image7 behind the door?"),
        ("how many chairs?", "how many chairs?"),
    ],
)
def test_the_name_of_the_photo_is_no_part_of_the_question(question, asked):
    assert without_photo(question) == asked


def test_a_table_says_which_line_is_wrong(tmp_path):
    (tmp_path / "t.csv").write_text("file,question,answer\na.jpg,,yes\n")
    with pytest.raises(UserError, match="line 2: question should be text"):
        QuestionTable(tmp_path / "t.csv").examples("train")
    (tmp_path / "t.jsonl").write_text('{"file": "a.jpg", "question": "Red?", "answer": 3}\n')
    with pytest.raises(UserError, match="line 1: answer should be text"):
        QuestionTable(tmp_path / "t.jsonl").examples("train")
    (tmp_path / "t.csv").write_text("file,asked\na.jpg,x\n")
    with pytest.raises(UserError, match="no column question"):
        QuestionTable(tmp_path / "t.csv").examples("train")


def test_a_table_of_json_lines_has_lists_of_answers(tmp_path):
    picture(tmp_path / "a.jpg")
    row = {"file": "a.jpg", "question": "What?", "answers": ["dog", "cat", "dog"], "split": "training", "id": "q"}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
    (only,) = all_questions(QuestionTable(tmp_path / "t.jsonl").examples("train"))
    assert (only.id, only.answer, only.answers) == ("q", "dog", ("dog", "cat", "dog"))


@pytest.fixture(scope="module")
def world():
    return SceneQuestions(train=1500, val=1, test=300, unseen=200)


def truth(scene, question):
    """The answer, worked out from the things that are drawn and the words of the question alone."""
    words = question.rstrip("?").replace("circles", "circle").replace("squares", "square")
    words = words.replace("triangles", "triangle").replace("stars", "star").split()
    kinds = [(t.colour, t.shape) for t in scene.things]
    named = [(words[i], words[i + 1]) for i in range(len(words) - 1) if words[i] in COLOURS and words[i + 1] in SHAPES]
    where = {kind: [(t.x, t.y) for t in scene.things if (t.colour, t.shape) == kind] for kind in kinds}
    width = {kind: next(t.width for t in scene.things if (t.colour, t.shape) == kind) for kind in kinds}
    yes = {True: "yes", False: "no"}

    def beside(one, other):
        sides = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}
        axis, sign = next(sides[word] for word in words if word in sides)
        middle = [sum(place[axis] for place in where[kind]) / len(where[kind]) for kind in (one, other)]
        return sign * (middle[0] - middle[1]) > 0

    if question.startswith("is there"):
        return yes[named[0] in kinds]
    if question.startswith("how many"):
        if named:
            return NUMBERS[kinds.count(named[0])]
        return NUMBERS[sum(words[2] in (colour, "shapes") or words[2] == "shapes" for colour, _ in kinds)]
    if question.startswith("are there more"):
        return yes[kinds.count(named[0]) > kinds.count(named[1])]
    if "larger" in words or "smaller" in words:
        return yes[(width[named[0]] > width[named[1]]) == ("larger" in words)]
    if question.startswith("what colour") and not named:
        return next(colour for colour, shape in kinds if shape in words)
    if question.startswith("what shape") and not named:
        return next(shape for colour, shape in kinds if colour in words)
    if question.startswith("what size"):
        return next(name for name, share in SIZES.items() if share == width[named[0]])
    if question.startswith("where"):
        axis, ends = (0, ("left", "right")) if scene.horizontal else (1, ("top", "bottom"))
        others = [place[axis] for kind, places in where.items() if kind != named[0] for place in places]
        return ends[max(place[axis] for place in where[named[0]]) > min(others)]
    if question.startswith("what"):
        meant = {kind for kind in kinds if kind != named[0] and beside(kind, named[0])}
        (kind,) = meant
        return kind[0 if words[1] == "colour" else 1]
    return yes[beside(named[0], named[1])]


def test_answers_follow_from_what_is_drawn(world):
    for example in world.examples("train")[:400] + world.examples("unseen"):
        scene = world.scene(example.id)
        for question in example.questions:
            assert question.answer == truth(scene, question.text), (example.id, question.text)


def test_size_and_place_are_asked_where_they_are_wanted(world):
    more = SceneQuestions(train=300, val=1, test=1, unseen=0, questions=18, kinds=(*KINDS, *FURTHER_KINDS))
    found = more.examples("train")
    assert {one.kind for one in all_questions(found)} == {*KINDS, *FURTHER_KINDS}
    assert [one.id for one in found] == [one.id for one in world.examples("train")[:300]]
    for example in found:
        for question in example.questions:
            if question.kind in FURTHER_KINDS:
                assert question.answer == truth(more.scene(example.id), question.text), (example.id, question.text)
    with pytest.raises(UserError, match="data.kinds=.*name some of exists, .*place"):
        SceneQuestions(kinds=["taste"])


def test_every_kind_is_asked_and_nothing_held_out_in_training(world):
    train = list(all_questions(world.examples("train")))
    assert {one.kind for one in train} == set(KINDS)
    assert not [one for one in train for colour, shape in HELD_OUT if f"{colour} {shape}" in one.text]
    unseen = list(all_questions(world.examples("unseen")))
    assert any(f"{colour} {shape}" in one.text for one in unseen for colour, shape in HELD_OUT)


def test_the_question_alone_does_not_tell(world):
    train, test = world.examples("train"), world.examples("test")
    assert language_only(train, test) <= 0.45
    for kind in KINDS:
        parts = [
            [replace(one, questions=tuple(q for q in one.questions if q.kind == kind)) for one in part]
            for part in (train, test)
        ]
        assert language_only(*parts) <= 0.62, kind  # half, where the answer is yes or no


def test_questions_follow_from_seed_and_id(world):
    again = SceneQuestions(train=3, val=1, test=1, unseen=0).examples("train")
    assert again == world.examples("train")[:3]
    other = SceneQuestions(train=3, val=1, test=1, unseen=0, seed=1).examples("train")
    assert [one.questions for one in other] != [one.questions for one in again]
    assert all(len(one.questions) <= 2 for one in SceneQuestions(train=20, questions=2).examples("train"))


def test_questions_about_clips_ask_what_happens_and_when():
    world = MovingSceneQuestions(train=400, val=1, test=100)
    asked = list(all_questions(world.examples("train")))
    assert {one.kind for one in asked} == set(MOVING_KINDS)
    assert language_only(world.examples("train"), world.examples("test")) <= 0.45
    for example in world.examples("train")[:50]:
        scene = world.scene(example.id)
        for one in example.questions:
            if one.kind == "order":
                first = f"{scene.actors[0].colour} {scene.actors[0].shape}" in one.text.split(",")[0]
                assert one.answer == ("together" if scene.together else "before" if first else "after")


def test_what_is_there_and_what_does_anything_is_asked_of_clips_where_it_is_wanted():
    kinds = ("exists", "colour", "moves")
    world = MovingSceneQuestions(train=200, val=1, test=1, questions=9, kinds=kinds)
    found = world.examples("train")
    assert {one.kind for one in all_questions(found)} == set(kinds)
    assert not [one for one in all_questions(found) for pair in HELD_OUT if " ".join(pair) in one.text]
    for example in found:
        scene = world.scene(example.id)
        every = {f"{one.colour} {one.shape}": one for one in scene.actors + scene.still}
        for one in example.questions:
            name = " ".join(one.text.rstrip("?").split()[-2:])
            if one.kind == "exists":
                assert one.answer == ("yes" if name in every else "no")
            elif one.kind == "moves":
                acts = every[" ".join(one.text.split()[2:4])].motion is not None
                assert one.answer == ("yes" if acts else "no")
            else:
                assert [k for k in every if k.endswith(name.split()[-1])] == [f"{one.answer} {name.split()[-1]}"]
    with pytest.raises(UserError, match="data.kinds=.*name some of motion, .*moves"):
        MovingSceneQuestions(kinds=[])
