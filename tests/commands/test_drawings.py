"""What commands draw never takes the place of a photo."""

import hashlib

import pytest
from tiny_graphs import Detection, thing_bundle
from tiny_model import pictures
from typer.testing import CliRunner

from captioning.cli import app
from captioning.commands.drawings import Drawings
from captioning.errors import UserError
from captioning.models.bundle import save_bundle


@pytest.fixture
def photos(tmp_path):
    for name, picture in zip("ab", pictures(2), strict=True):
        picture.save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize("output", ["a.png", "", "link"])
def test_a_photo_is_not_drawn_over(photos, tmp_path, output):
    (photos / "link").symlink_to(photos)
    model = save_bundle(tmp_path / "model", thing_bundle(Detection), card="")
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in photos.glob("*.png")}
    files = [photos / "a.png"] if output == "a.png" else [photos / "a.png", photos / "b.png"]
    words = ["detect", *files, "--model", model, "--least", 0, "--output", photos / output]
    found = CliRunner().invoke(app, [str(word) for word in words])
    assert found.exit_code == 2 and "would be lost" in found.stderr and len(found.stderr.splitlines()) == 1
    assert before == {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in photos.glob("*.png")}


def test_photos_of_one_name_get_drawings_of_their_own(photos):
    (photos / "more").mkdir()
    files = [photos / "a.png", photos / "more" / "a.jpg", photos / "more" / "A.png"]
    drawn = Drawings(photos / "drawn", files)
    assert [drawn.paths[file].name for file in files] == ["a.png", "a-2.png", "A-3.png"]
    with pytest.raises(UserError, match="there are several photos"):
        Drawings(photos / "one.png", files)
