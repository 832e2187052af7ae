"""A picture that cannot be read is named in one line, and nothing else is printed."""

import io
import os
import pickle
import struct
import warnings
import zlib

import numpy as np
import pytest
from pictures import difference, photo, saved
from PIL import Image

from captioning.media.images import ImageError, check_image, open_image


@pytest.fixture(autouse=True)
def silence_is_demanded(capfd):
    """Reading a picture, good or bad, prints nothing and warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert capfd.readouterr() == ("", "")


def refused(path, *words, **options):
    """The picture is refused in one line that starts with its name and says these words."""
    with pytest.raises(ImageError) as caught:
        open_image(path, **options)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
    assert message.count(". ") >= 1, "says what is wrong and then the remedy"
    for word in words:
        assert word in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message  # it may come out of a worker process


@pytest.mark.parametrize("file", ["a.png", "a.jpg", "a.webp", "a.gif"])
def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(tmp_path, file):
    options = {"progressive": True} if file == "a.jpg" else {}
    path = saved(tmp_path / file, Image.new("RGB", (1000, 1000)), **options)
    refused(path, "1,000 x 1,000 pixels", max_pixels=999_999)
    assert open_image(path, max_pixels=1_000_000).size == (1000, 1000)


def test_a_decompression_bomb_is_refused_quickly_and_quietly(tmp_path):
    side = 60_000
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 99))]
    body = b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
                    for kind, data in chunks)  # fmt: skip
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    refused(path, "60,000 x 60,000 pixels")


def test_a_gif_so_large_that_pillow_would_warn_is_refused(tmp_path):
    path = saved(tmp_path / "a.gif", Image.new("P", (8, 8)), disposal=2)
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", 12_000, 9_000)
    path.write_bytes(content)
    refused(path, "12,000 x 9,000 pixels")


def test_between_the_limits_at_which_pillow_warns_and_refuses_nothing_is_said(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("1", (10_000, 9_100)))
    check_image(path)


@pytest.mark.parametrize("extension", ["jpg", "png", "gif", "bmp", "tif", "webp"])
def test_a_picture_cut_short_anywhere_is_refused_or_read_whole(tmp_path, extension):
    whole = saved(tmp_path / f"whole.{extension}", photo())
    content, image = whole.read_bytes(), open_image(whole)
    path = tmp_path / f"short.{extension}"
    for length in range(1, len(content) - 1, max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        try:
            assert difference(open_image(path), image) == 0
        except ImageError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_a_jpeg_cut_in_half_is_refused_though_its_header_is_good(tmp_path):
    path = saved(tmp_path / "a.jpg", photo(300, 200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "damaged or cut short")
    refused(path, "damaged or cut short", size=1)
    check_image(path)
    with pytest.raises(ImageError, match="cut short"):
        check_image(path, decode=True)


@pytest.mark.parametrize("extension", ["jpg", "png", "gif", "tif", "webp", "bmp"])
def test_a_file_with_changed_bytes_is_read_or_refused_and_nothing_else(tmp_path, extension):
    content = bytearray(saved(tmp_path / f"a.{extension}", photo()).read_bytes())
    random = np.random.default_rng(0)
    path = tmp_path / f"b.{extension}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's word on damaged tags
        for _ in range(100):
            damaged = content.copy()
            for at in random.integers(0, min(len(content), 300), 4):
                damaged[at] = random.integers(256)
            path.write_bytes(damaged)
            try:
                assert open_image(path, max_pixels=10_000_000).mode == "RGB"
            except ImageError as error:
                assert "\n" not in str(error)


def test_what_is_no_picture_is_said_to_be_none(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("A dog runs.\nAnother follows.\n")
    (tmp_path / "one.jpg").write_bytes(b"P")
    (tmp_path / "document.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 50)
    (tmp_path / "folder.jpg").mkdir()
    refused(tmp_path / "empty.jpg", "empty (0 bytes)")
    refused(tmp_path / "text.jpg", "not a picture")
    refused(tmp_path / "one.jpg")
    refused(tmp_path / "document.jpg", "not a picture")
    refused(tmp_path / "phone.heic")
    refused(tmp_path / "folder.jpg", "is a folder")
    refused(tmp_path / "none.jpg", "does not exist")
    refused(tmp_path / "text.jpg" / "under.jpg")
    refused(tmp_path / ("n" * 300 + ".jpg"))


def test_names_that_cannot_be_printed_or_cannot_be_are_still_one_line(tmp_path):
    for name in ("two\nlines.jpg", "nothing\0.jpg", "\udcff.jpg"):
        with pytest.raises(ImageError) as caught:
            open_image(str(tmp_path / name))
        assert str(caught.value).isprintable()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_device_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "not a regular file")


def test_a_forbidden_file_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", photo())

    def forbid(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", forbid)  # the superuser may read any file
    refused(path, "permission denied")


def scans(count: int, *, progressive: bool = True) -> bytes:
    """A JPEG of 64 x 64 pixels with `count` further scans in which nothing changes."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "JPEG", progressive=progressive)
    content = file.getvalue()
    table = b"\xff\xc4\x00\x14\x10" + b"\x01" + bytes(15) + b"\x00"
    # one component, the last coefficient alone, and a run of blocks that have none of it
    one = table + b"\xff\xda\x00\x08\x01\x01\x00\x3f\x3f\x00" + bytes(8)
    return content[:-2] + one * count + content[-2:]


@pytest.mark.parametrize("count", [101, 2000, 20_000])
def test_scans_without_end_are_refused_before_they_are_decoded(tmp_path, count):
    path = tmp_path / "photo.jpg"
    path.write_bytes(scans(count))
    for look in (open_image, check_image):
        with pytest.raises(ImageError, match="scans"):
            look(path)


def test_a_photo_of_usual_scans_is_read(tmp_path):
    path = tmp_path / "photo.jpg"
    for count in (0, 20):
        path.write_bytes(scans(count))
        assert open_image(path).size == (64, 64)
    # what phones put behind a photo is not of it
    path.write_bytes(scans(0) + b"\xff\xda\x00\x02" * 1000)
    assert open_image(path).size == (64, 64)
    path.write_bytes(scans(0, progressive=False) + b"\xff\xda\x00\x02" * 1000)
    assert open_image(path).size == (64, 64)
