"""The same features in every kind of file that people have them in."""

import base64
import io
import types

import numpy as np

IDS = ("391895", "000000522418", "dog.1")
SIZE = (640, 480)
WIDTH = 6


def features(seed, regions=3, width=WIDTH):
    """Tokens (N, D) and boxes (N, 4) in pixels of a picture of SIZE."""
    dice = np.random.default_rng(seed)
    corners = np.sort(dice.random((regions, 2, 2)), axis=1).reshape(regions, 4)
    return dice.random((regions, width), np.float32), (corners * [*SIZE, *SIZE]).astype(np.float32)


def everything(ids=IDS):
    """Id -> (tokens, boxes), a different number of regions each."""
    return {key: features(i, regions=2 + i) for i, key in enumerate(ids)}


def tsv_line(key, tokens, boxes, size=SIZE):
    arrays = [base64.b64encode(np.ascontiguousarray(part, np.float32).tobytes()).decode() for part in (boxes, tokens)]
    return "\t".join([key, *map(str, size), str(len(tokens)), *arrays]) + "\n"


def tsv(folder, content):
    path = folder / "features.tsv"
    path.write_text("".join(tsv_line(key, *parts) for key, parts in content.items()))
    return path


def npz_bytes(tokens, boxes, size=SIZE):
    file = io.BytesIO()
    np.savez(file, feat=tokens, bbox=boxes, image_w=size[0], image_h=size[1])
    return file.getvalue()


def npz(folder, content):
    path = folder / "npz"
    path.mkdir()
    for key, parts in content.items():
        (path / f"{key}.npz").write_bytes(npz_bytes(*parts))
    return path


def npy(folder, content):
    path = folder / "npy"
    path.mkdir()
    for key, (tokens, boxes) in content.items():
        np.save(path / f"{key}.npy", tokens)
        np.save(path / f"{key}_bbox.npy", boxes)
    return path


def att(folder, content):
    path = folder / "cocobu_att"
    for kind in ("att", "fc", "box"):
        (folder / f"cocobu_{kind}").mkdir()
    for key, (tokens, boxes) in content.items():
        np.savez_compressed(path / f"{key}.npz", feat=tokens)
        np.save(folder / "cocobu_fc" / f"{key}.npy", tokens.mean(0))
        np.save(folder / "cocobu_box" / f"{key}.npy", boxes)
    return path


def hdf5(folder, content):
    import h5py

    path = folder / "features.h5"
    with h5py.File(path, "w") as file:
        for key, (tokens, boxes) in content.items():
            file[f"{key}_features"], file[f"{key}_boxes"] = tokens, boxes
    return path


def lmdb(folder, content):
    import lmdb as library

    path = folder / "features.lmdb"
    with library.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"__keys__", b"\x80\x04N.")
        for key, parts in content.items():
            transaction.put(key.encode(), npz_bytes(*parts))
    return path


LAYOUTS = types.MappingProxyType({"tsv": tsv, "npz": npz, "npy": npy, "att": att, "hdf5": hdf5, "lmdb": lmdb})
SIZED = ("tsv", "npz", "lmdb")  # those that say how large the picture is
