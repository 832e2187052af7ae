"""What a head says of a question depends on its image and its words alone."""

import pytest
import torch

from captioning.errors import UserError
from captioning.heads.answers import CoAttention, UpDownAnswers
from captioning.memory import VisualMemory

SIZES = {"visual_width": 12, "vocabulary_size": 20, "answers": 7}
HEADS = {
    "up_down": lambda: UpDownAnswers(**SIZES, embedding=6, width=8),
    "up_down_relu": lambda: UpDownAnswers(**SIZES, embedding=6, width=8, activation="relu", token_positions=False),
    "co_attention": lambda: CoAttention(**SIZES, width=8, layers=2, heads=2, feed_forward=16),
}


@pytest.fixture(params=HEADS)
def head(request):
    torch.manual_seed(0)
    return HEADS[request.param]().eval()


def memory(images: int = 3, tokens: int = 4) -> VisualMemory:
    torch.manual_seed(images)
    x = torch.randn(images, tokens, 12)
    boxes = torch.rand(images, tokens, 2)
    boxes = torch.cat([boxes / 2, boxes / 2 + 0.5], -1)
    return VisualMemory(x, torch.ones(images, tokens, dtype=torch.bool), x.mean(1), boxes=boxes)


def words(images: int = 3, rows: int = 4, length: int = 5) -> torch.Tensor:
    torch.manual_seed(rows)
    asked = torch.randint(4, 20, (images, rows, length))
    for r in range(rows):
        asked[:, r, length - r :] = 0 if r else asked[:, r, length - r :]
    return asked


def test_questions_do_not_influence_each_other(head):
    context, asked = head.prepare(memory()), words()
    logits, attention = head(context, asked)
    for r in range(asked.shape[1]):
        alone, looked = head(context, asked[:, r : r + 1])
        torch.testing.assert_close(alone[:, 0], logits[:, r])
        torch.testing.assert_close(looked[:, 0], attention[:, r])


def test_the_order_of_questions_permutes_answers(head):
    context, asked = head.prepare(memory()), words()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(head(context, asked[:, order])[0], head(context, asked)[0][:, order])


def test_padding_of_words_and_tokens_and_other_images_change_nothing(head):
    seen, asked = memory(), words()
    wanted, looked = head(head.prepare(seen), asked)
    stacked = VisualMemory.stack([seen, memory(2, 9)])
    longer = torch.cat([torch.nn.functional.pad(asked, (0, 3)), torch.randint(4, 20, (2, 4, 8))])
    logits, attention = head(head.prepare(stacked), longer)
    torch.testing.assert_close(logits[:3], wanted)
    torch.testing.assert_close(attention[:3, :, :4], looked)
    assert not attention[:3, :, 4:].any()


def test_attention_sums_to_one_and_answers_depend_on_image_and_question(head):
    logits, attention = head(head.prepare(memory()), words())
    assert logits.shape == (3, 4, 7)
    torch.testing.assert_close(attention.sum(-1), torch.ones(3, 4))
    other = memory()
    other = VisualMemory(other.tokens.flip(0), other.mask, other.pooled, boxes=other.boxes)
    assert (head(head.prepare(other), words())[0] - logits).abs().max() > 1e-4
    assert (logits[:, 0] - logits[:, 1]).abs().max() > 1e-4


def test_every_weight_learns(head):
    head.train()
    torch.manual_seed(1)
    logits, _ = head(head.prepare(memory()), words())
    logits.square().sum().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum()] in (
        [],
        ["score.weight"],
    )


def test_a_blind_head_sees_nothing_and_a_deaf_one_hears_nothing():
    seen, other, asked = memory(), memory(), words()
    other = VisualMemory(other.tokens.flip(0), other.mask, other.pooled, boxes=other.boxes)
    blind = UpDownAnswers(**SIZES, embedding=6, width=8, blind=True).eval()
    torch.testing.assert_close(blind(blind.prepare(seen), asked)[0], blind(blind.prepare(other), asked)[0])
    deaf = UpDownAnswers(**SIZES, embedding=6, width=8, deaf=True).eval()
    torch.testing.assert_close(deaf(deaf.prepare(seen), asked)[0], deaf(deaf.prepare(seen), asked.flip(1))[0])


def test_options_that_make_no_sense_are_named():
    with pytest.raises(UserError, match="activation"):
        UpDownAnswers(**SIZES, activation="tanh")
    with pytest.raises(UserError, match="heads"):
        CoAttention(**SIZES, width=8, heads=3)
