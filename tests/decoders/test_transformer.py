"""What is particular to decoders that keep words in a cache, and to places."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from small import IMAGES, LENGTH, ROWS, SMALL_TRANSFORMER, assert_same, build, captions, memory, steps

from captioning.decoders.transformer import Transformer
from captioning.errors import UserError
from captioning.layers.linear import Linear
from captioning.layers.positions import grid_cells, sinusoids, time_positions


@pytest.mark.parametrize("name", ["transformer", "meshed_memory"])
def test_reordering_rows_copies_no_keys(name):
    decoder = build(name)
    with torch.no_grad():
        context = decoder.prepare(memory("grid"))
        _, _, state = steps(decoder, context, decoder.start(context, ROWS), captions())
    assert state.select(torch.zeros(IMAGES, 4, dtype=torch.long)).cache is state.cache


@pytest.mark.parametrize("name", ["transformer", "meshed_memory", "attention_on_attention", "up_down"])
def test_a_context_holds_nothing_per_row(name, monkeypatch):
    """Of all tensors that teaching makes, none has the tokens of an image once for every row."""
    decoder, seen, rows, made = build(name), memory("grid"), 50, []
    context = decoder.prepare(seen)
    if name != "up_down":  # additive attention has one energy for each pair of a row and a token, by its definition
        attend = torch.nn.functional.scaled_dot_product_attention
        monkeypatch.setattr(
            torch.nn.functional,
            "scaled_dot_product_attention",
            lambda q, k, v, *args, **kwargs: made.append(k) or attend(q, k, v, *args, **kwargs),
        )
    decoder(context, captions(rows))
    crossing = [keys for keys in made if len(keys) == IMAGES]
    assert all(keys.shape[2] == seen.tokens.shape[1] for keys in crossing)
    assert all(len(part) == IMAGES for part in vars(context).values() if isinstance(part, torch.Tensor))


@pytest.mark.parametrize(("kind", "field"), [("regions", "boxes"), ("clips", "times")])
@pytest.mark.parametrize("name", ["transformer", "meshed_memory_with_places", "up_down_projected"])
def test_where_a_token_is_matters(name, kind, field):
    decoder, seen, words = build(name), memory(kind), captions()
    moved = replace(seen, **{field: getattr(seen, field) * 0.5})
    difference = (decoder(decoder.prepare(seen), words) - decoder(decoder.prepare(moved), words)).abs()
    assert difference[0].max() > 1e-3


def test_the_layout_of_a_grid_matters_and_the_order_of_regions_does_not():
    words, order = captions(), torch.tensor([3, 0, 2, 1, 6, 5, 4])
    decoder = build("transformer_of_many_options")
    for kind, same in (("grid", False), ("regions", True)):
        seen = memory(kind)
        shuffled = replace(seen, tokens=seen.tokens[:, order], mask=seen.mask[:, order])
        if kind == "regions":
            shuffled = replace(shuffled, boxes=seen.boxes[:, order])
        ours, theirs = (decoder(decoder.prepare(each), words)[0] for each in (seen, shuffled))
        assert torch.allclose(ours, theirs, atol=1e-5) == same


def test_cells_of_a_grid_tile_the_picture():
    cells = grid_cells(torch.ones(1, 49, dtype=torch.bool))[0]
    areas = (cells[:, 2] - cells[:, 0]) * (cells[:, 3] - cells[:, 1])
    assert_same(areas.sum(), torch.tensor(1.0))
    assert cells.min() == 0 and cells.max() == 1
    assert len({tuple(cell) for cell in cells.tolist()}) == 49
    assert cells[1, 0] > cells[0, 0] and cells[7, 1] > cells[0, 1], "reading order"


@pytest.mark.parametrize("count", [1, 2, 12, 50, 140])
def test_cells_of_a_grid_that_is_no_square_are_still_distinct(count):
    cells = grid_cells(torch.ones(1, count, dtype=torch.bool))[0]
    assert len({tuple(cell) for cell in cells.tolist()}) == count


def test_sinusoids_tell_values_apart_and_have_the_width_asked_for():
    values = torch.linspace(0, 1, 33)
    for width in (1, 2, 7, 64):
        assert sinusoids(values, width, shortest=1 / 32, longest=4.0).shape == (33, width)
    codes = sinusoids(values, 64, shortest=1 / 32, longest=4.0)
    assert torch.cdist(codes, codes).add(torch.eye(33) * 9).min() > 0.1


def test_times_of_padding_do_not_change_how_much_of_a_clip_has_passed():
    times, mask = torch.tensor([[0.0, 1.0, 2.0, 99.0]]), torch.tensor([[True, True, True, False]])
    assert_same(time_positions(times, mask, 16)[:, :3], time_positions(times[:, :3], mask[:, :3], 16))


def test_captions_beyond_the_learned_positions_are_refused():
    decoder = Transformer(**SMALL_TRANSFORMER, positions="learned", longest=LENGTH).eval()
    context = decoder.prepare(memory("grid"))
    assert decoder(context, captions()).isfinite().all()
    with pytest.raises(UserError, match="positions=sinusoidal"):
        decoder(context, captions(length=LENGTH + 1))


def test_unknown_positions_are_refused():
    with pytest.raises(UserError, match="sinusoidal or learned"):
        Transformer(**SMALL_TRANSFORMER, positions="rotary")


def test_a_tied_output_layer_is_the_embedding_of_words_and_is_saved_once():
    tied, untied = (Transformer(**SMALL_TRANSFORMER, tied=tied) for tied in (True, False))
    size = SMALL_TRANSFORMER["vocabulary_size"] * SMALL_TRANSFORMER["width"]
    assert sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in tied.parameters()) == size
    places = [tensor.data_ptr() for tensor in tied.state_dict().values()]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("name", ["transformer", "meshed_memory", "attention_on_attention", "up_down"])
def test_an_image_without_a_token_gets_finite_words(name):
    decoder, seen = build(name), memory("grid")
    blind = replace(seen, mask=torch.zeros_like(seen.mask))
    assert decoder(decoder.prepare(blind), captions()).isfinite().all()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (1, 6), (3, 4, 6), (2, 3, 4, 6), (0, 6)], ids=str)
def test_a_linear_layer_computes_what_any_other_does(bias, shape):
    torch.manual_seed(0)
    layer, plain = Linear(6, 5, bias=bias).eval(), torch.nn.Linear(6, 5, bias=bias)
    layer.load_state_dict(plain.state_dict())
    x = torch.randn(shape)
    for each in (x, x.transpose(0, -2) if x.ndim > 1 else x, x.expand(2, *shape)):
        assert_same(layer(each), plain(each))
        with torch.no_grad():
            assert_same(layer(each), plain(each))


@pytest.mark.parametrize("fused", [True, False])
def test_a_linear_layer_follows_its_weight(fused):
    torch.manual_seed(0)
    layer, plain, x = Linear(6, 5).eval(), torch.nn.Linear(6, 5), torch.randn(3, 6)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=fused)

    def check() -> None:
        plain.load_state_dict(layer.state_dict())
        with torch.no_grad():
            assert_same(layer(x), plain(x))

    check()
    for _ in range(2):
        layer(x).square().sum().backward()
        optimizer.step()
        check()
    layer.load_state_dict(torch.nn.Linear(6, 5).state_dict())
    check()
    assert_same(deepcopy(layer)(x), plain(x))
