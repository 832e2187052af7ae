"""The page about boxes shows scores by kind and failures among what was found, and needs nothing beside it."""

from __future__ import annotations

from PIL import Image
from tiny_grounding import built, examples, memory

from captioning.errors import UserError
from captioning.tasks.grounding.evaluation import write_boxes


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
