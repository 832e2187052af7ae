"""The page about boxes shows scores by kind and failures among what was found, and needs nothing beside it."""

from __future__ import annotations

from PIL import Image
from tiny_grounding import built, examples, memory

from captioning.boxes import union_box
from captioning.errors import UserError
from captioning.tasks.base import Rival
from captioning.tasks.grounding.evaluation import compared, judge, write_boxes


class Source:
    """Pictures that are there but for the first."""

    def image(self, example):
        if example.id == 0:
            raise UserError("0.jpg cannot be read")
        return Image.new("RGB", (80, 40), "red")


def test_a_page_shows_every_kind_and_what_was_wrong(tmp_path):
    task = built("grid")
    predictions = dict(zip(range(6), task.predict(memory(), task.targets(examples(), 0)), strict=True))
    scores = task.score(predictions, examples(), metrics=task.usual_metrics(None))
    page = write_boxes(tmp_path / "report.html", examples(), Source(), predictions, scores, title="<Boxes>")
    text = page.read_text()
    assert "&lt;Boxes&gt;" in text and "<Boxes>" not in text
    assert all(f'<th scope="row">{kind}</th>' in text for kind in ("all", "first", "second", "both"))
    assert "Wrong, and sure of it" in text and "Not there, and yet found" in text and "the red one" in text
    assert 'src="http' not in text


def answers(head):
    task = built(head)
    predictions = dict(zip(range(6), task.predict(memory(), task.targets(examples(), 0)), strict=True))
    return predictions, task.score(predictions, examples(), metrics=task.usual_metrics(None))


def truth():
    """What a model that is always right says, of the phrases that are there."""
    wrong, _ = answers("grid")
    said = {}
    for e in examples():
        each = []
        for phrase, found in zip(e.phrases, wrong[e.id], strict=True):
            each.append({**found, "box": list(union_box(phrase.boxes)) if phrase.boxes else found["box"]})
        said[e.id] = each
    return said


def test_two_models_stand_side_by_side_and_each_group_holds_what_its_heading_says(tmp_path):
    (bad, scores), good = answers("grid"), truth()
    better = built("grid").score(good, examples(), metrics=("boxes",))
    rival = Rival("the <right> one", good, better)
    page = write_boxes(
        tmp_path / "two.html", examples(), Source(), bad, scores, title="Two", name="ours", against=rival
    ).read_text()
    assert "Only the &lt;right&gt; one is right" in page and "<right>" not in page
    assert "Only ours is right" not in page and "Both are wrong" not in page  # there is no such phrase
    assert "Who is right" in page and "Not there, and yet found by both" in page
    judged = judge(examples(), [bad, good])
    groups = {heading: those for heading, _, those in compared(judged, "ours", "theirs")}
    assert all(not one.right[0] and one.right[1] for one in groups["Only theirs is right"])
    assert not any(one.phrase.boxes for one in groups["Not there, and yet found by both"])
    wrong = sum(1 for one in judged if one.phrase.boxes and not one.right[0])
    assert len(groups["Only theirs is right"]) == min(12, wrong) > 0
