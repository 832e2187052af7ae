"""Metadata is not needed for a picture: whatever stands in it, the picture is read. HEIC is one where it can be."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from captioning.errors import UserError
from captioning.media.finding import find_images
from captioning.media.images import check_image, image_size, open_image

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))
LARGE = bytes(3 * 2**20)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


TEXTS = {
    "zTXt": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LARGE)),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LARGE)),
    "ICC": chunk(b"iCCP", b"profile\0\0" + zlib.compress(LARGE)),
    "tEXt": chunk(b"tEXt", b"Comment\0" + LARGE) * 30,
    "many zTXt": b"".join(chunk(b"zTXt", b"C%d\0\0" % i + zlib.compress(bytes(2**20 - 100))) for i in range(70)),
}


def png(text: bytes, place: str, **options) -> bytes:
    file = io.BytesIO()
    PHOTO.save(file, "PNG", **options)
    content = file.getvalue()
    at = 33 if place == "before" else len(content) - 12  # behind the header, or before the end
    return content[:at] + text + content[at:]


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("kind", TEXTS)
def test_a_png_with_much_compressed_metadata_is_read(tmp_path, kind, place):
    path = tmp_path / "photo.png"
    path.write_bytes(png(TEXTS[kind], place))
    check_image(path, decode=True)
    np.testing.assert_array_equal(np.asarray(open_image(path)), np.asarray(PHOTO))


def test_a_png_with_much_metadata_is_still_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photo.png").write_bytes(png(TEXTS["XMP"], "before", exif=exif))
    assert open_image(tmp_path / "photo.png").size == image_size(tmp_path / "photo.png") == (40, 30)


@pytest.mark.parametrize("cut", [40, 60, 500, 3000])
def test_a_png_that_is_cut_short_is_still_refused(tmp_path, cut):
    content = png(TEXTS["zTXt"], "before")
    (tmp_path / "photo.png").write_bytes(content[:-cut])
    with pytest.raises(UserError, match="photo.png is (damaged|not a picture)"):
        open_image(tmp_path / "photo.png")


def test_a_photo_of_a_telephone_is_read_upright(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    smooth = Image.fromarray(np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8))
    smooth.save(tmp_path / "IMG_1.HEIC", "HEIF", quality=100)
    assert find_images(tmp_path) == [tmp_path / "IMG_1.HEIC"]
    seen = np.asarray(open_image(tmp_path / "IMG_1.HEIC"), dtype=int)
    assert seen.shape == (48, 64, 3) and np.abs(seen - np.asarray(smooth)).mean() < 8


def test_without_its_reader_a_photo_of_a_telephone_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 50)
    with pytest.raises(UserError, match=r"HEIC photo: pip install 'captioning\[heic\]'"):
        open_image(tmp_path / "phone.heic")
