"""Whatever kind of file features come in, they are the same, or one line says what is wrong with them."""

import io

import feature_layouts as layouts
import numpy as np
import pytest

from captioning.errors import UserError
from captioning.features.formats.open import open_features
from captioning.media.kinds import plain_id

NEEDS = {"hdf5": "h5py", "lmdb": "lmdb"}


@pytest.fixture(params=layouts.LAYOUTS)
def layout(request):
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    return request.param


def test_every_layout_holds_the_same(layout, tmp_path):
    content = layouts.everything()
    file = open_features(layouts.LAYOUTS[layout](tmp_path, content))
    assert sorted(file.ids()) == sorted(content)
    for key, (tokens, boxes) in content.items():
        found = file.read(key)
        assert np.array_equal(found.tokens, tokens) and np.array_equal(found.boxes, boxes)
        assert found.size == (layouts.SIZE if layout in layouts.SIZED else None)
        assert found.pooled is None if layout != "att" else np.allclose(found.pooled, tokens.mean(0))


def test_an_id_that_is_not_there_is_named_with_the_file(layout, tmp_path):
    path = layouts.LAYOUTS[layout](tmp_path, layouts.everything())
    with pytest.raises(UserError, match=f"{path.name}.*nobody"):
        open_features(path).read("nobody")


@pytest.mark.parametrize("boxes", [np.zeros((3, 4)), np.zeros((2, 5)), np.full((2, 4), np.nan)])
def test_boxes_that_do_not_fit_are_named(layout, boxes, tmp_path):
    if layout == "tsv" and boxes.shape == (2, 5):
        return  # which has no shapes: another test
    path = layouts.LAYOUTS[layout](tmp_path, {"7": (np.ones((2, 6), np.float32), boxes.astype(np.float32))})
    with pytest.raises(UserError, match=r"7.*box"):
        open_features(path).read("7")


@pytest.mark.parametrize("tokens", [np.full((2, 6), np.inf), np.full((2, 6), 1e9), np.zeros((0, 6))])
def test_features_that_no_encoder_gives_are_named(layout, tokens, tmp_path):
    path = layouts.LAYOUTS[layout](tmp_path, {"7": (tokens.astype(np.float32), np.zeros((len(tokens), 4), np.float32))})
    with pytest.raises(UserError, match=r"7"):
        open_features(path).read("7")


def test_nothing_is_ever_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.save(tmp_path / "7.npy", np.array([Trap()], object), allow_pickle=True)
    np.savez(tmp_path / "8.npz", feat=np.array([Trap()], object))
    file = open_features(tmp_path)
    for key in file.ids():
        with pytest.raises(UserError, match=f"{key}.*pickled"):
            file.read(key)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "line", ["7\t640\t480\t2\tAAAA", "7\t640\t480\tmany\tAAAA\tAAAA", "7\t640\t480\t1\tAAAA\tA?AA"]
)
def test_a_line_that_is_no_picture_is_named_with_its_number(line, tmp_path):
    path = layouts.tsv(tmp_path, {"5": layouts.features(0)})
    with path.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UserError, match=r"features\.tsv, line 2"):
        table = open_features(path)
        [table.read(key) for key in table.ids()]


def test_a_table_cut_short_anywhere_within_its_last_line_is_refused(tmp_path):
    path = layouts.tsv(tmp_path, {"5": layouts.features(0)})
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"features\.tsv, line 1"):
            open_features(path).ids()


def test_a_directory_that_lost_an_array_is_not_taken_for_one_without_boxes(tmp_path):
    path = layouts.npz(tmp_path, layouts.everything(("7",))) / "7.npz"
    content = bytearray(path.read_bytes())
    first = content.index(b"PK\1\2")
    following = content.index(b"PK\1\2", first + 4)
    content[first + 32 : first + 34] = (len(content) - 22 - following).to_bytes(2, "little")  # its comment: all others
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"7\.npz is damaged"):
        open_features(path.parent).read("7")


def test_a_picture_twice_in_a_table_is_named(tmp_path):
    path = layouts.tsv(tmp_path, {"5": layouts.features(0)})
    path.write_text(path.read_text() * 2)
    with pytest.raises(UserError, match="picture 5 is on lines 1 and 2"):
        open_features(path).ids()


def test_frames_grids_and_single_vectors_are_tokens(tmp_path):
    for key, shape in {"clip": (5, 6), "grid": (2, 3, 6), "vector": (6,)}.items():
        np.save(tmp_path / f"{key}.npy", np.ones(shape, np.float16))
    file = open_features(tmp_path)
    assert {key: file.read(key).tokens.shape for key in file.ids()} == {
        "clip": (5, 6),
        "grid": (6, 6),
        "vector": (1, 6),
    }


def test_frames_in_hdf5_are_data_sets_or_groups_named_by_the_clip(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "clips.h5", "w") as content:
        content["video1"] = np.ones((5, 6))
        content["video2/features"] = np.ones((4, 6))
        content["video3"] = h5py.ExternalLink("/somewhere/else.h5", "video3")
    file = open_features(tmp_path / "clips.h5")
    assert file.read("video1").tokens.shape == (5, 6) and file.read("video2").tokens.shape == (4, 6)
    with pytest.raises(UserError, match="video3"):
        file.read("video3")


@pytest.mark.parametrize("name", ["features.zip", "features.pt", "nothing.tsv", "noise.h5", "empty"])
def test_what_cannot_be_imported_is_said(name, tmp_path):
    path = tmp_path / name
    if name == "empty":
        path.mkdir()
    elif name != "nothing.tsv":
        path.write_bytes(b"\x00\x01")
    if name == "noise.h5":
        pytest.importorskip("h5py")
    with pytest.raises(UserError, match=name):
        open_features(path)


def test_a_missing_reader_is_named_with_its_command(tmp_path, monkeypatch):
    for module, name in (("h5py", "a.h5"), ("lmdb", "a.lmdb")):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(UserError, match=r"pip install 'captioning\[features\]'"):
            open_features(tmp_path / name)


@pytest.mark.parametrize(
    ("first", "second"),
    [(391895, "391895"), ("000000391895.jpg", 391895), ("COCO_val2014_000000391895", 391895), ("a_b.jpg", "a_b")],
)
def test_spellings_of_one_picture_agree(first, second):
    assert plain_id(first) == plain_id(second)


@pytest.mark.parametrize(("first", "second"), [("7", "17"), ("a.b", "a"), ("video7", "7"), ("7_2", "72"), ("٣", "3")])
def test_different_pictures_stay_apart(first, second):
    assert plain_id(first) != plain_id(second)


def test_an_array_with_a_lying_header_is_refused_before_memory_is_taken(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": (10**9, 10**9), "fortran_order": False, "descr": "<f4"})
    (tmp_path / "7.npy").write_bytes(file.getvalue() + b"1234")
    with pytest.raises(UserError, match=r"7\.npy"):
        open_features(tmp_path).read("7")


ROWS = np.arange(3 * 2 * 4, dtype=np.float32).reshape(3, 2, 4)


@pytest.mark.parametrize("ids", [[3, 1, 2], ["a.jpg", "b.jpg", "COCO_val2014_000000000042.jpg"], [b"x", b"y", b"z"]])
@pytest.mark.parametrize("names", [("features", "ids", "boxes"), ("feats", "image_ids", None)])
def test_one_array_with_a_list_of_ids_is_read_row_by_row(tmp_path, ids, names):
    h5py = pytest.importorskip("h5py")
    array, listed, boxes = names
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file[array], file[listed] = ROWS, ids
        if boxes:
            file[boxes] = ROWS / 100
    features = open_features(tmp_path / "f.h5")
    assert features.ids() == [one.decode() if isinstance(one, bytes) else str(one) for one in ids]
    for key, row in zip(features.ids(), ROWS, strict=True):
        found = features.read(key)
        np.testing.assert_array_equal(found.tokens, row)
        assert (found.boxes is not None) == bool(boxes)
    with pytest.raises(UserError, match="nobody"):
        features.read("nobody")


@pytest.mark.parametrize(("ids", "said"), [([1, 2], "2 ids"), ([1, 2, 2], "names 2 twice")])
def test_ids_that_are_not_those_of_the_rows_are_refused(tmp_path, ids, said):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["features"], file["ids"] = ROWS, ids
    with pytest.raises(UserError, match=said):
        open_features(tmp_path / "f.h5")
