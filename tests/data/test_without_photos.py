"""Captions without photos join the training split of a source, and no other; a line that is none is named."""

import pytest

from captioning.batches import EpochSampler
from captioning.data.synthetic.scenes import Scenes
from captioning.data.without_photos import WithoutPhotos, read_texts
from captioning.errors import UserError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"id": 7, "captions": ["A dog.", "A puppy."]}\n\n{"id": "x", "captions": ["A cat."]}\n')
    return path


def scenes():
    return Scenes(train=4, val=2, test=2, unseen=0, size=32)


def test_they_join_the_training_split_alone(file):
    source = WithoutPhotos(source=scenes(), texts=[file])
    examples = source.examples("train")
    assert [example.file for example in examples[4:]] == ["", ""]
    assert examples[4].captions == ("A dog.", "A puppy.") and examples[4].id == "texts:7"
    assert examples[:4] == scenes().examples("train") and source.examples("val") == scenes().examples("val")
    assert len({example.id for example in examples}) == 6


def test_their_words_count_and_they_are_always_readable(file):
    source = WithoutPhotos(source=scenes(), texts=[file])
    examples = source.examples("train")
    assert source.distinct(examples) == examples and source.readable(examples) == examples
    assert source.image(examples[0]).size == (32, 32)


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"id": 1}', '{"id": 1, "captions": []}', '{"id": 1, "captions": [" "]}', '{"captions": ["a"]}']
)
def test_a_line_that_is_none_is_named(tmp_path, line):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"id": 1, "captions": ["A dog."]}\n' + line + "\n")
    with pytest.raises(UserError, match="line 2"):
        read_texts(path)


def test_a_source_without_texts_is_a_mistake():
    with pytest.raises(UserError, match=r"data\.texts"):
        WithoutPhotos(source=scenes(), texts=[])


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_batches_are_of_one_kind_at_every_process_and_everything_is_seen(processes):
    kinds, size = [i % 3 == 0 for i in range(50)], 4
    for epoch in range(3):
        dealt = []
        for rank in range(processes):
            sampler = EpochSampler(
                50, shuffle=True, seed=1, rank=rank, processes=processes, kinds=kinds, batch_size=size
            )
            sampler.set_epoch(epoch)
            order = [i for _, i in sampler]
            assert len(order) == len(sampler) and len(order) % size == 0
            dealt.append([order[start : start + size] for start in range(0, len(order), size)])
        for step in zip(*dealt, strict=True):
            assert len({kinds[i] for batch in step for i in batch}) == 1
        assert {i for batches in dealt for batch in batches for i in batch} == set(range(50))


def test_the_order_changes_with_the_epoch_and_one_kind_is_dealt_as_ever():
    several = EpochSampler(20, shuffle=True, seed=1, kinds=[i < 8 for i in range(20)], batch_size=2)
    first = list(several)
    several.set_epoch(1)
    assert [i for _, i in first] != [i for _, i in several]
    plain = list(EpochSampler(20, shuffle=True, seed=1))
    assert list(EpochSampler(20, shuffle=True, seed=1, kinds=[True] * 20, batch_size=3)) == plain
