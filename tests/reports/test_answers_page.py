"""The page about answers shows hard kinds first, counts what is taken for what, and runs nothing that it was told."""

import numpy as np
from PIL import Image

from captioning.data.questions import Question
from captioning.metrics.scores import Scores
from captioning.reports.answers_page import answers_page
from captioning.reports.page import Panel


def test_kinds_are_worst_first_and_confusions_are_counted():
    questions = {
        1: Question(1, "what colour?", ("red",), "red", kind="colour"),
        2: Question(2, "what colour?", ("red",), "red", kind="colour"),
        3: Question(3, "how many?", ("2",), "2", kind="count"),
        4: Question(4, "how many?", ("3",), "3", kind="count"),
    }
    answers = {1: "<script>alert(1)</script>", 2: "<script>alert(1)</script>", 3: "2", 4: "4"}
    scores = Scores((1, 2, 3, 4), {"exact": 0.25, "exact (count)": 0.5}, {"exact": np.array([0.0, 0, 1, 0])})
    shown = Panel(Image.new("RGB", (8, 8)), {"what <b>colour</b>?": answers[1]}, ("red",))
    page = answers_page("a & b", scores, questions, answers, [shown], [])
    assert page.index("<td>colour</td><td>2</td><td>0.0</td>") < page.index("<td>count</td><td>2</td><td>50.0</td>")
    assert "<td>red</td><td>&lt;script&gt;alert(1)&lt;/script&gt;</td><td>2</td>" in page
    assert "<td>3</td><td>4</td><td>1</td>" in page
    assert "<script>alert" not in page and "<b>colour" not in page and "a &amp; b" in page
