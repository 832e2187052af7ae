"""A model made of another keeps what its card says of data and terms, and none of its scores."""

from captioning.models.cards import lowered, without_scores
from captioning.models.shipped import shipped_models

CARD = """# mine

Made by captioning 0.1.0 on 2026-11-25.

| | |
| --- | --- |
| training data | table: photos.csv |
| chosen by | CIDEr: 45.1 (x100) on 100 validation images |
| terms | research only |

Scores (x100) on my photos:

| BLEU-4 | CIDEr |
| --- | --- |
| 23.7 | 62.3 |

Better than before, CIDEr 51.5.

It was trained towards CIDEr.
"""


def test_scores_go_and_data_and_terms_stay():
    kept = without_scores(CARD)
    for text in ("# mine", "0.1.0", "photos.csv", "research only", "It was trained towards CIDEr."):
        assert text in kept
    for text in ("45.1", "23.7", "62.3", "51.5", "Scores"):
        assert text not in kept
    assert lowered(kept).startswith("## mine") and without_scores("") == "\n"


def test_the_shipped_captioners_card_keeps_its_terms_and_loses_its_scores():
    card = (shipped_models()["flickr8k"] / "README.md").read_text()
    kept = without_scores(card)
    assert "| terms |" in card and "| terms |" in kept and "62.3" not in kept and len(kept) < len(card)
