"""A memory is moved, widened and stacked without changing what it says."""

import torch

from captioning.memory import VisualMemory


def regions(images: int, tokens: int, width: int = 3) -> VisualMemory:
    return VisualMemory(
        tokens=torch.rand(images, tokens, width).half(),
        mask=torch.ones(images, tokens, dtype=torch.bool),
        pooled=torch.rand(images, width).half(),
        boxes=torch.rand(images, tokens, 4),
        classes=torch.randint(2**40, 2**41, (images, tokens)),
        scores=torch.rand(images, tokens).half(),
    )


def test_another_precision_leaves_masks_and_classes_what_they_are():
    memory = regions(2, 5)
    for moved in (memory.float(), memory.to(torch.float16), memory.to("cpu", torch.float64)):
        assert moved.mask.dtype == torch.bool and moved.mask.equal(memory.mask)
        assert moved.classes.dtype == torch.int64 and moved.classes.equal(memory.classes)
    assert {memory.float().tokens.dtype, memory.float().scores.dtype} == {torch.float32}


def test_stacking_keeps_every_part_and_masks_what_is_padded():
    memories = [regions(1, 2), regions(2, 4)]
    stacked = VisualMemory.stack(memories)
    assert stacked.mask.sum(1).tolist() == [2, 4, 4]
    for name in ("tokens", "boxes", "classes", "scores"):
        part = getattr(stacked, name)
        assert part[:1, :2].equal(getattr(memories[0], name)) and part[1:].equal(getattr(memories[1], name))
        assert not part[0, 2:].any()


def test_a_part_that_one_memory_lacks_is_left_out_of_the_stack():
    grid = VisualMemory(torch.rand(1, 2, 3), torch.ones(1, 2, dtype=torch.bool), torch.rand(1, 3))
    stacked = VisualMemory.stack([regions(1, 2), grid])
    assert stacked.classes is None and stacked.scores is None and stacked.boxes is None
