import numpy as np
import pytest
from PIL import Image

from captioning.reports.attention_map import attention_strip, heat_layer, heat_map

PHOTO = Image.effect_noise((60, 40), 50).convert("RGB")


@pytest.mark.parametrize("grid", [(7, 7), (3, 5), (1, 4)])
def test_the_hottest_pixel_lies_in_the_heaviest_cell(grid):
    rows, columns = grid
    for cell in range(rows * columns):
        heat = heat_map(np.eye(rows * columns)[cell], (columns * 10, rows * 10), grid=grid)
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        assert (y // 10, x // 10) == divmod(cell, columns)
        assert heat.max() == pytest.approx(1, abs=0.2) and heat.min() >= 0


def test_a_map_does_not_depend_on_the_sum_of_the_weights():
    weights = np.random.default_rng(0).random(49)
    np.testing.assert_allclose(heat_map(weights, (64, 64)), heat_map(weights * 1e-3, (64, 64)), atol=1e-5)


def test_each_box_has_the_heat_of_the_heaviest_that_covers_it():
    boxes = np.array([[0, 0, 0.6, 1], [0.4, 0, 0.8, 1]])
    heat = heat_map(np.array([0.1, 0.4]), (10, 4), boxes=boxes)
    np.testing.assert_allclose(heat, np.tile([0.25] * 4 + [1.0] * 4 + [0.0] * 2, (4, 1)))


@pytest.mark.parametrize("weights", [np.zeros(9), np.full(9, np.nan), np.array([np.inf] + [0.5] * 8)])
def test_weights_that_say_nothing_still_give_a_map(weights):
    heat = heat_map(weights, (30, 30))
    assert np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1


@pytest.mark.parametrize("boxes", [[[0, 0, 0, 0]], [[0.9, 0.9, 2, 2]], [[0.5, 0.5, 0.1, 0.1]], [[np.nan, 0, 1, 1]]])
def test_odd_boxes_are_drawn_as_far_as_they_lie_in_the_picture(boxes):
    assert heat_map(np.ones(1), (20, 20), boxes=np.array(boxes)).shape == (20, 20)


def test_weights_must_fill_the_grid_or_the_boxes():
    with pytest.raises(ValueError, match="8 weights do not fill a grid"):
        heat_map(np.ones(8), (20, 20))
    with pytest.raises(ValueError, match="8 weights do not fill a grid of 3 x 3"):
        heat_map(np.ones(8), (20, 20), grid=(3, 3))
    with pytest.raises(ValueError, match="boxes of shape"):
        heat_map(np.ones(8), (20, 20), boxes=np.ones((7, 4)))


def test_more_heat_is_brighter():
    layer = heat_layer(np.linspace(0, 1, 50)[None])
    black = Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer).convert("L")
    assert (np.diff(np.asarray(black)[0].astype(int)) >= 0).all()


@pytest.mark.parametrize(("words", "rows"), [(1, 1), (6, 1), (7, 2), (20, 4)])
def test_a_strip_has_a_panel_and_a_label_for_each_word(words, rows):
    strip = attention_strip(PHOTO, ["word"] * words, np.ones((words, 4)), panel=96)
    alone = attention_strip(PHOTO, ["word"], np.ones((1, 4)), panel=96)
    assert strip.mode == "RGB"
    step_x, step_y = alone.width - 8, alone.height - 8
    assert strip.size == (8 + min(words, 6) * step_x, 8 + rows * step_y)
    pixels, first = np.asarray(strip), np.asarray(alone)
    for i in range(words):
        y, x = (i // 6) * step_y, (i % 6) * step_x
        np.testing.assert_array_equal(pixels[y : y + alone.height, x : x + alone.width], first)


@pytest.mark.parametrize("word", ["W" * 300, "", "naïve", "犬", "<unk>", "a\nb"])
def test_no_word_runs_out_of_its_panel(word):
    strip = np.asarray(attention_strip(PHOTO, ["", word, ""], np.ones((3, 4)), panel=96))
    labels = strip[8 + 64 + 1 :]
    assert (labels[:, : 8 + 96] == 255).all() and (labels[:, 8 + 2 * 104 :] == 255).all()


@pytest.mark.parametrize("size", [(1, 1), (4000, 3), (3, 4000)])
@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16"])
def test_any_picture_can_be_drawn_on(size, mode):
    assert attention_strip(Image.new(mode, size), ["a"], np.ones((1, 49))).width == 192 + 2 * 8


def test_words_and_attention_must_match():
    with pytest.raises(ValueError, match="2 words, but attention for 3"):
        attention_strip(PHOTO, ["a", "dog"], np.ones((3, 4)))


def test_an_empty_caption_gives_the_picture_alone():
    assert attention_strip(PHOTO, [], np.ones((0, 4)), panel=60).tobytes() == PHOTO.tobytes()


def test_the_class_token_of_a_vision_transformer_has_no_place_in_the_picture():
    weights = np.random.default_rng(0).random(16).astype(np.float32)
    assert np.array_equal(heat_map(np.array([9.0, *weights]), (32, 32)), heat_map(weights, (32, 32)))
