"""A small sample of what `make fuzz` does by the thousand holds in every run of the tests."""

import fuzz_checkpoints
import fuzz_containers
import fuzz_outputs
import pytest


@pytest.mark.parametrize(("fuzzer", "count"), [(fuzz_checkpoints, 60), (fuzz_containers, 60), (fuzz_outputs, 100)])
def test_a_sample_is_as_it_should_be(tmp_path, monkeypatch, fuzzer, count):
    monkeypatch.chdir(tmp_path)
    assert fuzzer.fuzz(tmp_path, count, seed=0) == []
