"""However an extraction is interrupted or shared out, the store is the one made in one go."""

import multiprocessing

import pytest
import torch
from fuzz_features import fuzz
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from killed_extraction import BATCH, CONFIG, Noise, Small, difference, extract, kill_and_resume

from captioning.commands import extract as verb
from captioning.commands.hydra import conf_folder
from captioning.errors import UserError
from captioning.features import extract as filling
from captioning.features.extract import fill
from captioning.features.store import FeatureStore


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_moments_and_resumed_it_is_the_store_made_in_one_go(tmp_path, workers):
    whole = extract(tmp_path / "whole", 160)
    hit, repeated = kill_and_resume(tmp_path / "killed", count=160, kills=3, seed=0, workers=workers)
    assert hit and repeated <= hit * BATCH  # a crash loses at most the last batch
    assert difference(whole, FeatureStore(tmp_path / "killed"), 160) is None


def test_shards_filled_at_the_same_time_are_the_store_made_in_one_go(tmp_path):
    whole, context = extract(tmp_path / "whole", 50), multiprocessing.get_context("fork")
    shards = [context.Process(target=extract, args=(tmp_path / "shared", 50, 0.01, (k, 3))) for k in (1, 2, 3)]
    for process in shards:
        process.start()
    for process in shards:
        process.join()
    shared = FeatureStore(tmp_path / "shared")
    assert len(shared.parts) == 3 and difference(whole, shared, 50) is None


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_every_picture_is_in_one_shard_in_the_same_company(shards):
    examples = Noise(23).examples("all")
    whole = filling.share(examples, 4)
    shared = [filling.share(examples, 4, (k, shards)) for k in range(1, shards + 1)]
    assert sorted(batch[0].file for share in shared for batch in share) == sorted(batch[0].file for batch in whole)
    assert all(batch in whole for share in shared for batch in share)


def test_what_is_done_is_not_done_again(tmp_path):
    extract(tmp_path, 10)
    extract(tmp_path, 30)
    store = extract(tmp_path, 30)
    assert [len(part) for part in store.parts] == [10, 20]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_pictures_come_in_order_however_they_are_decoded(threads):
    source, encoder, before = Noise(23), Small(), torch.get_num_threads()
    batches = filling.share(source.examples("all"), 5)
    found = list(filling.encoded(source, batches, encoder, threads, "cpu"))
    assert [[example for example, _ in batch] for batch, _ in found] == batches
    for batch, memory in found:
        pictures = encoder.collate([encoder.read(source.image(example)) for example, _ in batch])
        assert torch.equal(memory.tokens, encoder(pictures).tokens)
    assert torch.get_num_threads() == before


def test_what_goes_wrong_in_the_encoder_is_not_lost(tmp_path):
    class Broken(Small):
        def forward(self, pictures):
            raise RuntimeError("out of order")

    source = Noise(9)
    with pytest.raises(RuntimeError, match="out of order"):
        fill(tmp_path / "store", Broken(), CONFIG, source, source.examples("all"), batch_size=4)


@given(st.integers(0, 40), st.integers(1, 9))
def test_a_batch_is_shared_among_lanes_in_its_order(count, batch_size):
    batches = filling.share(Noise(count).examples("all"), batch_size)
    for batch in batches:
        parts = filling.parts(batch)
        assert sum(parts, []) == batch and len(parts) <= filling.LANES
        assert all(len(part) <= -(-batch_size // filling.LANES) for part in parts)


@pytest.mark.parametrize("text", ["0/4", "5/4", "2", "a/b", "/", "1/0", "-1/2"])
def test_a_shard_that_cannot_be_is_refused(text):
    with pytest.raises(UserError, match="K-th of N"):
        verb.shard_of(text)


def test_more_shards_than_batches_is_said(tmp_path):
    with pytest.raises(UserError, match="Take fewer shards"):
        extract(tmp_path, 3, shard=(2, 2))


def test_the_check_names_what_is_damaged_and_the_remedy(tmp_path, caplog):
    store = extract(tmp_path / "store", 12)
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("extract", [f"store={store.folder}", "check=true"])
    caplog.set_level("INFO", "captioning")
    assert verb.run(config, tmp_path) == 0 and "12 pictures, all as they were written" in caplog.text
    path = next(store.folder.glob("part-*/tokens.bin"))
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    assert verb.run(config, tmp_path) == 1
    assert "'0.jpg' are damaged" in caplog.text and f"Delete {path.parent}" in caplog.text


def test_another_encoder_is_refused_with_both_names(tmp_path):
    extract(tmp_path, 3)
    with pytest.raises(UserError, match=r"small.*other"):
        filling.fill(tmp_path, Small(), {**CONFIG, "backbone": "other"}, Noise(3), Noise(3).examples("all"))


def test_a_sample_of_damaged_files_is_never_believed(tmp_path):
    outcomes, wrong = fuzz(tmp_path, 90, seed=1)
    assert not wrong and sum(outcomes.values()) == 90
