"""A verb of captions that is given a model of another kind says so, before it reads a photo."""

import pytest
from test_cli import captioning  # noqa: F401  the command, as a fixture
from tiny_embedder import tiny_embedder

from captioning.models.bundle import save_bundle


@pytest.mark.parametrize(
    "arguments",
    [
        "caption photo.png --model MODEL",
        "caption photo.png --model MODEL --format vtt --into here",
        "remember model=MODEL data=scenes output=memory",
        "remember model=MODEL texts=[texts.jsonl] kin=20 output=memory",
        "ensemble MODEL MODEL --output both",
    ],
)
def test_a_model_that_writes_no_captions_is_refused_in_one_sentence(arguments, captioning, tmp_path):  # noqa: F811
    from tiny_model import pictures

    pictures(1)[0].save("photo.png")
    (tmp_path / "texts.jsonl").write_text('{"id": 1, "captions": ["A dog."]}\n')
    model = save_bundle(tmp_path / "embedder", tiny_embedder(), card="# card")
    status, _, said = captioning(*arguments.replace("MODEL", str(model)).split())
    assert status and "writes no captions" in " ".join(said) and str(model) in "".join(said), said
