"""A mirrored memory is the memory of the mirrored picture, and what is hidden is only hidden."""

import torch

from captioning.memory import VisualMemory
from captioning.tasks.captioning.augmentation import Augmentation
from captioning.text.vocabulary import BOS, EOS, Vocabulary

VOCABULARY = Vocabulary(["a", "dog", "left", "right", "leftmost"])
LEFT, RIGHT, LEFTMOST = (VOCABULARY.ids[word] for word in ("left", "right", "leftmost"))
WORDS = torch.tensor([[[BOS, 4, LEFT, EOS], [BOS, 5, RIGHT, LEFTMOST]]]).expand(3, -1, -1)


def grid(side=3, images=3):
    tokens = torch.randn(images, side * side, 4)
    return VisualMemory(tokens, torch.ones(images, side * side, dtype=torch.bool), tokens.mean(1))


def test_a_mirror_turns_the_columns_of_a_grid_and_the_sides_in_words():
    memory = grid()
    seen, words, _ = Augmentation(VOCABULARY, mirror=1.0)(memory, WORDS)
    assert torch.equal(seen.tokens.view(3, 3, 3, 4), memory.tokens.view(3, 3, 3, 4).flip(2))
    assert words[0].tolist() == [[BOS, 4, RIGHT, EOS], [BOS, 5, LEFT, LEFTMOST]]  # no word "rightmost" is known


def test_a_mirror_seen_in_a_mirror_is_the_picture():
    augment, memory = Augmentation(VOCABULARY, mirror=1.0), grid()
    memory = VisualMemory(memory.tokens, memory.mask, memory.pooled, boxes=torch.rand(3, 9, 4))
    seen, words, _ = augment(*augment(memory, WORDS)[:2])
    assert torch.allclose(seen.boxes, memory.boxes) and torch.equal(seen.tokens, memory.tokens)
    assert torch.equal(words, WORDS)


def test_boxes_are_reflected_and_stay_boxes():
    memory = grid(1)
    memory = VisualMemory(memory.tokens, memory.mask, memory.pooled, boxes=torch.tensor([[[0.1, 0.2, 0.4, 0.9]]] * 3))
    seen, _, _ = Augmentation(VOCABULARY, mirror=1.0)(memory, None)
    assert torch.allclose(seen.boxes[0, 0], torch.tensor([0.6, 0.2, 0.9, 0.9]))


def test_each_image_is_mirrored_by_itself_and_its_captions_with_it():
    torch.manual_seed(0)
    memory = grid(images=200)
    seen, words, _ = Augmentation(VOCABULARY, mirror=0.5)(memory, WORDS[:1].expand(200, -1, -1))
    turned = (seen.tokens != memory.tokens).flatten(1).any(1)
    assert 60 < turned.sum() < 140
    assert torch.equal(words[:, 0, 2] == RIGHT, turned)


def test_frames_are_never_mirrored_as_if_they_were_cells():
    memory = grid()
    memory = VisualMemory(memory.tokens, memory.mask, memory.pooled, times=torch.arange(9.0).expand(3, -1))
    seen, words, _ = Augmentation(VOCABULARY, mirror=1.0)(memory, WORDS)
    assert torch.equal(seen.tokens, memory.tokens) and torch.equal(words, WORDS)


def test_hidden_tokens_leave_at_least_one_and_add_none():
    torch.manual_seed(0)
    memory = grid(side=2, images=500)
    mask = memory.mask.clone()
    mask[:, 3] = False
    seen, _, _ = Augmentation(VOCABULARY, drop_tokens=0.5)(VisualMemory(memory.tokens, mask, memory.pooled), None)
    assert seen.mask.any(1).all() and not (seen.mask & ~mask).any()
    assert 0.5 < seen.mask[:, :3].float().mean() < 0.75  # 1/2, and 1/8 where all would be hidden
