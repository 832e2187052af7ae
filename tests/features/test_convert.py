"""Imported features are those of the file, whoever asks for a picture by whatever spelling, or it is said why not."""

import feature_layouts as layouts
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import open_dict

from captioning.commands.hydra import conf_folder
from captioning.data.source import Source
from captioning.encoders.imported import Imported
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.convert import described, import_features
from captioning.features.store import FeatureStore
from captioning.models.bundle import load_bundle
from captioning.tasks.captioning.captioner import Captioner
from captioning.training.train import train

NEEDS = {"hdf5": "h5py", "lmdb": "lmdb"}


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_a_store_holds_what_the_file_held(layout, tmp_path):
    pytest.importorskip(NEEDS.get(layout, "numpy"))
    content = layouts.everything()
    path = layouts.LAYOUTS[layout](tmp_path, content)
    store, failures = import_features(path, tmp_path / "store", sizes=lambda key: layouts.SIZE)
    assert not failures and len(store) == len(content) and not store.damaged()
    read = store.read([int(layouts.IDS[0]), f"{layouts.IDS[1]}.jpg", layouts.IDS[2]])
    for b, (tokens, boxes) in enumerate(content.values()):
        real = read.mask[b]
        assert np.array_equal(read.tokens[b, real].numpy(), tokens.astype(np.float16))
        assert np.allclose(read.boxes[b, real].numpy() * [*layouts.SIZE, *layouts.SIZE], boxes, atol=1e-3)
        assert np.allclose(read.pooled[b].float().numpy(), tokens.mean(0), atol=1e-3)


def test_boxes_in_pixels_of_unknown_pictures_are_said_and_may_be_left_out(tmp_path):
    path = layouts.npy(tmp_path, layouts.everything())
    with pytest.raises(UserError, match=r"pixels.*data=NAME.*boxes=false"):
        import_features(path, tmp_path / "store")
    store, failures = import_features(path, tmp_path / "store", boxes=False)
    assert not failures and store.read([391895]).boxes is None


def test_boxes_between_0_and_1_stay_what_they_are(tmp_path):
    tokens, boxes = layouts.features(0)
    boxes /= [*layouts.SIZE, *layouts.SIZE]
    store, _ = import_features(layouts.npy(tmp_path, {"7": (tokens, boxes)}), tmp_path / "store")
    assert np.allclose(store.read([7]).boxes[0].numpy(), boxes)


@pytest.mark.parametrize("size", [(100, 480), (640, 90)])
def test_boxes_outside_their_picture_are_named(size, tmp_path):
    path = layouts.npy(tmp_path, {"7": layouts.features(0)})
    with pytest.raises(UserError, match=r"7: a box"):
        import_features(path, tmp_path / "store", sizes=lambda key: size)


def test_one_bad_picture_does_not_stop_the_others(tmp_path):
    content = layouts.everything()
    path = layouts.npz(tmp_path, content)
    (path / "391895.npz").write_bytes((path / "391895.npz").read_bytes()[:-40])
    (path / "narrow.npz").write_bytes(layouts.npz_bytes(*layouts.features(0, width=4)))
    store, failures = import_features(path, tmp_path / "store")
    assert len(store) == 2 and set(failures) == {"391895", "narrow"}
    assert "391895.npz is damaged" in str(failures["391895"]) and "4 values a token" in str(failures["narrow"])
    (path / "391895.npz").write_bytes(layouts.npz_bytes(*content["391895"]))
    store, failures = import_features(path, tmp_path / "store")
    assert len(store) == 3 and set(failures) == {"narrow"}


def test_features_by_another_name_do_not_come_into_the_same_store(tmp_path):
    path = layouts.npz(tmp_path, layouts.everything())
    import_features(path, tmp_path / "store", name="bottom-up")
    (path / "8.npz").write_bytes(layouts.npz_bytes(*layouts.features(0)))
    with pytest.raises(UserError, match=r"bottom-up.*grid"):
        import_features(path, tmp_path / "store", name="grid")


def test_two_spellings_of_one_picture_are_not_both_imported(tmp_path):
    path = layouts.npz(tmp_path, layouts.everything(("7", "007")))
    with pytest.raises(UserError, match="spellings of one picture"):
        import_features(path, tmp_path / "store")


TINY = """
    data=scenes data.train=12 data.val=4 data.size=64 encoder=imported batch_size=4 captions_per_image=2
    vocabulary.min_count=1 progress=false trainer.accelerator=cpu trainer.log_every_n_steps=1 trainer.max_epochs=1
    decoder=up_down decoder.embedding=8 decoder.width=8 decoder.attention=8 name=tiny
""".split()


def configuration(*overrides):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", [*TINY, *overrides])
    with open_dict(config):
        del config["output"]
    return config


def test_a_model_of_imported_features_trains_and_evaluates_and_says_why_it_cannot_see(tmp_path):
    source = instantiate(configuration().data)
    ids = [example.id for split in ("train", "val") for example in source.examples(split)]
    path = layouts.npz(tmp_path, {str(key): layouts.features(i, regions=1 + i % 4) for i, key in enumerate(ids)})
    store = tmp_path / "store"
    import_features(path, store)
    model = train(configuration(f"store={store}"), tmp_path / "run")
    captioner = Captioner(load_bundle(model))
    assert captioner.encoder.width == layouts.WIDTH
    _, hypotheses = captioner.predict_split(source, "val", store=str(store))
    assert len(hypotheses) == 4
    with pytest.raises(UserError, match=r"imported features.*cannot look at a photo"):
        captioner.caption(source.image(source.examples("val")[0]))
    with pytest.raises(UserError, match="store=DIR"):
        captioner.predict_split(source, "val")
    (path / "extra.npz").write_bytes((path / f"{ids[0]}.npz").read_bytes())
    import_features(path, tmp_path / "other", name="another detector")
    with pytest.raises(UserError, match=r"another detector.*imported"):
        captioner.predict_split(source, "val", store=str(tmp_path / "other"))


class Pictures(Source):
    name = "pictures"

    def __init__(self, ids):
        self.ids = ids

    def examples(self, split):
        return [Example(key, str(key), ("a dog",)) for key in self.ids]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([391895, 4], r"1 of 2 pictures is not in .*, the first is 4"),
        (["x.jpg"], r"none of 1 pictures.*like '522418'.*'x\.jpg'"),
        (["7.jpg", "7.png"], r"would get the same"),
    ],
)
def test_a_picture_without_features_is_named(ids, message, tmp_path):
    from captioning.features.stored import stored

    store, _ = import_features(layouts.npz(tmp_path, layouts.everything()), tmp_path / "store")
    config = store.about["encoder"]
    source = Pictures(ids)
    with pytest.raises(UserError, match=message):
        stored(str(store.folder), source, Imported(width=6, name="imported"), config, source.examples("val"))


def test_a_store_of_a_known_encoder_is_not_taken_for_an_imported_one(tmp_path):
    FeatureStore.create(tmp_path, encoder={"backbone": "x"}, digest="d", width=6, columns=["tokens", "pooled"])
    with pytest.raises(UserError, match="not imported ones"):
        described(configuration().encoder, str(tmp_path))
