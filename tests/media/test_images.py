"""Every picture that a person may have comes out as upright 8-bit RGB."""

import io
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pictures import difference, photo, saved
from PIL import Image, ImageOps

from captioning.errors import UserError
from captioning.media.finding import find_images
from captioning.media.images import ImageError, image_size, open_image, to_rgb


@pytest.fixture(autouse=True)
def silence_is_demanded(capfd):
    """Reading a picture, good or bad, prints nothing and warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "bmp", "tif", "ppm", "gif"])
def test_every_common_format_is_read_as_plain_rgb(tmp_path, extension):
    image = open_image(saved(tmp_path / f"a.{extension}", photo()))
    assert type(image) is Image.Image and image.mode == "RGB"
    assert difference(image, photo()) < 8


def test_transparent_pixels_are_white_and_half_transparent_ones_half_way_to_it(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0], pixels[:2, :, 3], pixels[2:, :, 3] = 200, 0, 128
    for extension in ("png", "webp", "tif"):
        image = np.asarray(
            open_image(saved(tmp_path / f"a.{extension}", Image.fromarray(pixels), **lossless(extension)))
        )
        assert (image[0, 0] == 255).all()
        assert np.abs(image[3, 3].astype(int) - (227, 127, 127)).max() <= 2


def lossless(extension):
    return {"lossless": True, "exact": True} if extension == "webp" else {}


def test_transparency_of_grey_palette_and_colour_keys_is_laid_on_white(tmp_path):
    grey = Image.merge("LA", (Image.new("L", (2, 2), 10), Image.new("L", (2, 2), 0)))
    palette = Image.new("P", (2, 2), 3)
    palette.putpalette([0] * 768)
    files = [
        saved(tmp_path / "la.png", grey),
        saved(tmp_path / "one.png", palette, transparency=3),
        saved(tmp_path / "bytes.png", palette, transparency=bytes([255, 255, 255, 0])),
        saved(tmp_path / "key.png", Image.new("RGB", (2, 2), (1, 2, 3)), transparency=(1, 2, 3)),
        saved(tmp_path / "grey.png", Image.new("L", (2, 2), 7), transparency=7),
    ]
    for file in files:
        assert (np.asarray(open_image(file)) == 255).all(), file.name


@pytest.mark.parametrize("extension", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_to_eight_and_not_clipped(tmp_path, extension):
    deep = np.linspace(0, 65535, 256 * 4).round().astype(np.uint16).reshape(32, 32)
    picture = Image.fromarray(deep).convert("I" if extension == "pgm" else "I;16")
    image = np.asarray(open_image(saved(tmp_path / f"a.{extension}", picture)), float)
    assert np.abs(image - deep[..., None] / 257).max() <= 0.5 + 1e-9


def test_the_grey_that_stands_for_see_through_is_white_in_sixteen_bits_too():
    deep = Image.fromarray(np.array([[700, 65535], [0, 700]], np.uint16))
    deep.info["transparency"] = 700
    assert np.asarray(to_rgb(deep))[..., 0].tolist() == [[255, 255], [0, 255]]


def test_a_dark_sixteen_bit_picture_stays_dark(tmp_path):
    image = open_image(saved(tmp_path / "a.png", Image.fromarray(np.full((2, 2), 2570, np.uint16))))
    assert (np.asarray(image) == 10).all()


def test_big_endian_sixteen_bits_read_as_little_endian_ones_do(tmp_path):
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    big = Image.frombytes("I;16B", (8, 8), deep.astype(">u2").tobytes())
    assert difference(to_rgb(big), to_rgb(Image.fromarray(deep))) == 0


def test_real_valued_pictures_span_black_to_white(tmp_path):
    fractions = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    for values in (fractions, fractions * 255, fractions * 7000 - 500):
        image = np.asarray(open_image(saved(tmp_path / "a.tif", Image.fromarray(values))))
        assert image.min() == 0 and image.max() == 255
    holes = np.full((2, 2), np.nan, np.float32)
    assert open_image(saved(tmp_path / "b.tif", Image.fromarray(holes))).size == (2, 2)


def test_ink_becomes_light(tmp_path):
    cmyk = Image.merge("CMYK", [Image.new("L", (8, 8), ink) for ink in (0, 255, 255, 0)])
    for extension in ("jpg", "tif"):
        image = np.asarray(open_image(saved(tmp_path / f"a.{extension}", cmyk)), int)
        assert np.abs(image - (255, 0, 0)).max() < 12


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(tmp_path, orientation, extension):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{extension}", photo(), exif=exif)
    image = open_image(path)
    assert difference(image, ImageOps.exif_transpose(Image.open(path)).convert("RGB")) == 0
    assert image.size == ((48, 32) if orientation < 5 else (32, 48))
    assert ImageOps.exif_transpose(image).size == image.size


def test_a_damaged_exif_block_costs_no_picture(tmp_path):
    path = saved(tmp_path / "a.png", photo(), exif=b"Exif\x00\x00MM\x00*nonsense")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's word on the block
        assert difference(open_image(path), photo()) == 0


@pytest.mark.parametrize("extension", ["gif", "png", "webp", "tif"])
def test_of_an_animation_the_first_frame_is_read(tmp_path, extension):
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "lime", "blue")]
    path = saved(tmp_path / f"a.{extension}", frames[0], save_all=True, append_images=frames[1:])
    assert np.abs(np.asarray(open_image(path), int) - (255, 0, 0)).max() < 3


def test_two_colours_and_hue_are_rgb_too():
    for mode in ("1", "L", "P", "HSV", "YCbCr", "PA", "RGBX"):
        source = photo().convert("P").convert("PA") if mode == "PA" else photo().convert("RGB").convert(mode)
        assert to_rgb(source).mode == "RGB"


def test_thirty_thousand_pixels_in_a_row_are_read(tmp_path):
    for extension in ("jpg", "png"):
        path = saved(tmp_path / f"a.{extension}", Image.new("RGB", (30_000, 40), "navy"))
        assert open_image(path).size == (30_000, 40)
        assert open_image(path, size=224).size == (30_000, 40)


def test_a_jpeg_too_large_to_decode_whole_is_decoded_smaller(tmp_path):
    path = saved(tmp_path / "a.jpg", photo(1600, 800))
    assert open_image(path, max_pixels=800 * 400).size == (800, 400)
    assert open_image(path, max_pixels=200 * 100).size == (200, 100)


def test_a_size_hint_keeps_both_sides_at_least_that_long_and_the_picture_alike(tmp_path):
    path = saved(tmp_path / "a.jpg", photo(1000, 700), quality=95)
    for size in (1, 80, 224, 349, 350, 351, 700, 5000):
        image = open_image(path, size=size)
        assert min(image.size) >= min(size, 700)
        assert difference(image.resize((50, 35)), photo(1000, 700).resize((50, 35))) < 4
    assert open_image(path, size=80).size == (125, 88)


def test_an_open_file_reads_as_its_path_does_and_stays_open(tmp_path):
    path = saved(tmp_path / "a.png", photo())
    with open(path, "rb") as file:
        file.read(100)
        assert difference(open_image(file), open_image(path)) == 0
        assert not file.closed
    assert difference(open_image(io.BytesIO(path.read_bytes())), photo()) == 0
    with pytest.raises(ImageError, match="the picture is empty"):
        open_image(io.BytesIO())


def test_threads_read_the_same_pixels_as_one_after_the_other(tmp_path):
    paths = [saved(tmp_path / f"{i}.{e}", photo(64 + i, 48)) for i in range(8) for e in ("jpg", "png", "gif")]
    alone = [open_image(path).tobytes() for path in paths]
    gate = threading.Barrier(4)

    def read(_):
        gate.wait()
        return [open_image(path).tobytes() for path in paths]

    with ThreadPoolExecutor(4) as pool:
        assert all(together == alone for together in pool.map(read, range(4)))


def test_importing_changes_no_setting_of_pillow():
    from PIL import ImageFile

    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert Image.MAX_IMAGE_PIXELS == int(1024 * 1024 * 1024 // 4 // 3)


def test_a_folder_stands_for_its_pictures_in_order_of_name(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "deep/c.webp", "deep/er/d.gif", ".git/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()

    def names(*paths, **options):
        return [path.relative_to(tmp_path).as_posix() for path in find_images(*paths, **options)]

    assert names(tmp_path) == ["a.png", "b.JPG"]
    assert names([tmp_path], recursive=True) == ["a.png", "b.JPG", "deep/c.webp", "deep/er/d.gif"]
    assert names([tmp_path / "notes.txt", tmp_path / "gone.jpg", str(tmp_path / "deep")]) == [
        "notes.txt",
        "gone.jpg",
        "deep/c.webp",
    ]


def test_a_folder_without_pictures_is_named(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="holds no picture"):
        find_images([tmp_path])
    (tmp_path / "inner").mkdir()
    with pytest.raises(UserError, match="within it were not searched"):
        find_images([tmp_path])
    with pytest.raises(UserError, match="holds no picture"):
        find_images([tmp_path], recursive=True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_in_the_header_is_that_of_the_upright_picture(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "photo.jpg", photo(48, 32), exif=exif)
    assert image_size(path) == open_image(path).size
