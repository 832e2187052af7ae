"""What a model knows is said on its first use, once, unless nobody wants to hear it."""

import pytest
from test_cli import captioning  # noqa: F401  the command, as a fixture
from tiny_model import pictures, saved_model

CARD = "# tiny\n\n| | |\n| --- | --- |\n| knows | squares in a fog, no photos |\n"


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.setenv("CAPTIONING_CACHE", str(tmp_path / "cache"))
    saved_model(tmp_path / "tiny")
    (tmp_path / "tiny/README.md").write_text(CARD)
    pictures(1)[0].save(tmp_path / "a.png")
    return "a.png"


def heard(found):
    status, lines, errors = found
    assert status == 0 and len(lines) == 1
    return [line for line in errors if "squares in a fog" in line]


def test_it_is_said_once_on_standard_error(captioning, photo):  # noqa: F811
    assert len(heard(captioning("caption", photo, "--model", "tiny"))) == 1
    assert heard(captioning("caption", photo, "--model", "tiny")) == []


def test_quiet_silences_it_and_does_not_use_it_up(captioning, photo):  # noqa: F811
    assert heard(captioning("caption", photo, "--model", "tiny", "--quiet")) == []
    assert len(heard(captioning("caption", photo, "--model", "tiny"))) == 1


def test_another_card_is_news(captioning, photo, tmp_path):  # noqa: F811
    captioning("caption", photo, "--model", "tiny")
    (tmp_path / "tiny/README.md").write_text(CARD.replace("no photos", "and squares in a fog at night"))
    assert len(heard(captioning("caption", photo, "--model", "tiny"))) == 1


def test_a_card_without_a_word_or_none_at_all_is_no_error(captioning, photo, tmp_path):  # noqa: F811
    for change in (lambda card: card.write_text("# tiny"), lambda card: card.unlink()):
        change(tmp_path / "tiny/README.md")
        assert heard(captioning("caption", photo, "--model", "tiny")) == []
