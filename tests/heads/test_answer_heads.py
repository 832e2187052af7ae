"""What a head says of a question depends on its image and its words alone."""

import pytest
import torch

from captioning.errors import UserError
from captioning.heads.answers import CoAttention, UpDownAnswers
from captioning.heads.bag_of_ngrams import BagOfNGrams, n_grams
from captioning.heads.film import FiLMAnswers
from captioning.memory import VisualMemory

SIZES = {"visual_width": 12, "vocabulary_size": 20, "answers": 7}
SMALL = {"embedding": 6, "question_width": 10, "width": 16, "blocks": 2, "hidden": 24}


def bag(**options) -> BagOfNGrams:
    """One whose n-grams and query say something, as those of a trained one do."""
    head = BagOfNGrams(**SIZES, buckets=500, width=16, **options)
    for weight in (head.grams.weight, head.query.weight):
        torch.nn.init.normal_(weight)
    with torch.no_grad():
        head.grams.weight[0] = 0  # no n-gram
    return head


HEADS = {
    "up_down": lambda: UpDownAnswers(**SIZES, embedding=6, width=8),
    "up_down_relu": lambda: UpDownAnswers(**SIZES, embedding=6, width=8, activation="relu", token_positions=False),
    "co_attention": lambda: CoAttention(**SIZES, width=8, layers=2, heads=2, feed_forward=16),
    "bag_of_ngrams": bag,
    "film": lambda: FiLMAnswers(**SIZES, **SMALL, kernel=1),
    "film_sum": lambda: FiLMAnswers(**SIZES, **SMALL, kernel=1, pool="sum", feedback=True),
    "film_places": lambda: FiLMAnswers(**SIZES, **SMALL, kernel=1, coordinates=True),
    "film_grid": lambda: FiLMAnswers(**SIZES, **SMALL),
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
    if isinstance(head, FiLMAnswers) and head.convolves:
        pytest.skip("takes full grids alone")
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
        ["keys.bias"],  # adds the same to all scores of a question
    )


def test_a_blind_head_sees_nothing_and_a_deaf_one_hears_nothing():
    seen, other, asked = memory(), memory(), words()
    other = VisualMemory(other.tokens.flip(0), other.mask, other.pooled, boxes=other.boxes)
    blind = UpDownAnswers(**SIZES, embedding=6, width=8, blind=True).eval()
    torch.testing.assert_close(blind(blind.prepare(seen), asked)[0], blind(blind.prepare(other), asked)[0])
    blind = bag(blind=True).eval()
    torch.testing.assert_close(blind(blind.prepare(seen), asked)[0], blind(blind.prepare(other), asked)[0])
    deaf = UpDownAnswers(**SIZES, embedding=6, width=8, deaf=True).eval()
    torch.testing.assert_close(deaf(deaf.prepare(seen), asked)[0], deaf(deaf.prepare(seen), asked.flip(1))[0])


def test_film_convolves_what_is_a_square_grid_and_says_so_of_what_is_none():
    head = HEADS["film_grid"]().eval()
    context, asked = head.prepare(memory(tokens=9)), words()
    near, far = context.tokens.clone(), context.tokens.clone()
    near[:, 1] += 1
    far[:, 8] += 1
    block, gamma, beta = head.blocks[0], torch.ones(3, 1, 1, 16), torch.zeros(3, 1, 1, 16)
    first, beside, across = (block(x[:, None], gamma, beta, context.mask)[:, :, 0] for x in (context.tokens, near, far))
    assert (first - beside).abs().max() > 1e-4
    torch.testing.assert_close(first, across)
    with pytest.raises(UserError, match="kernel=1"):
        head(head.prepare(memory(tokens=6)), asked)


def test_film_with_a_sum_tells_how_many_tokens_there_are_where_a_maximum_does_not():
    once = memory(tokens=2)
    twice = VisualMemory(once.tokens.repeat(1, 2, 1), torch.ones(3, 4, dtype=torch.bool), once.pooled)
    for pool, counts in (("max", False), ("sum", True)):
        torch.manual_seed(0)
        head = FiLMAnswers(**SIZES, **SMALL, kernel=1, pool=pool, token_positions=False).eval()
        x, y = (head.pooled(head.prepare(seen).tokens[:, None], seen.mask) for seen in (once, twice))
        torch.testing.assert_close(y, 2 * x if counts else x)


def test_what_a_block_of_film_found_changes_what_the_next_is_asked_only_with_feedback():
    for feedback in (False, True):
        torch.manual_seed(0)
        head = FiLMAnswers(**SIZES, **SMALL, kernel=1, feedback=feedback).eval()
        asked_for = []
        head.modulate[1].register_forward_hook(lambda layer, inputs, made, found=asked_for: found.append(made))
        for seen in (memory(), memory(3, 7)):
            head(head.prepare(seen), words())
        assert torch.equal(*asked_for) != feedback


def test_n_grams_tell_order_and_ends_and_are_alike_for_the_same_words():
    asked = torch.tensor([[7, 8, 9, 0], [7, 8, 9, 5], [9, 8, 7, 0]])
    single, pairs = (n_grams(asked, n, 10**6) for n in (1, 2))
    assert single.shape == (3, 6)
    assert (single[0] > 0).sum() == 5  # three words between two marks
    assert set(single[0].tolist()) == set(single[2].tolist())
    first, longer, turned = (set(row.tolist()) - set(single[0].tolist()) - {0} for row in pairs)
    assert len(first) == 4
    assert len(first & longer) == 3  # the last word differs, and so does what stands before the end
    assert not first & turned
    assert torch.equal(n_grams(torch.nn.functional.pad(asked, (0, 2)), 3, 99)[:, :6], n_grams(asked, 3, 99)[:, :6])


def test_what_training_never_named_says_nothing_in_a_bag():
    head = BagOfNGrams(**SIZES, buckets=10**6, width=16).eval()
    said, attention = head(head.prepare(memory()), words())
    torch.testing.assert_close(said, (head.alone.bias + head.joint.bias).expand_as(said))
    torch.testing.assert_close(attention, torch.full_like(attention, 1 / 4))


def test_an_n_gram_of_one_training_question_is_left_out_of_a_bag():
    head = bag(min_count=2, longest=1).eval()
    head.fit([[7, 8], [7, 9], [7, 9, 9]])
    asked = torch.tensor([[[7, 8, 0], [7, 0, 0], [7, 9, 0]]])
    said, _ = head(head.prepare(memory(1)), asked)
    torch.testing.assert_close(said[0, 0], said[0, 1])  # 8 was in one alone
    assert (said[0, 0] - said[0, 2]).abs().max() > 1e-4


def test_options_that_make_no_sense_are_named():
    for options, name in (({"kernel": 2}, "kernel"), ({"pool": "mean"}, "pool"), ({"blocks": 0}, "blocks")):
        with pytest.raises(UserError, match=name):
            FiLMAnswers(**SIZES, **options)
    with pytest.raises(UserError, match="longest=0"):
        BagOfNGrams(**SIZES, longest=0)
    with pytest.raises(UserError, match="activation"):
        UpDownAnswers(**SIZES, activation="tanh")
    with pytest.raises(UserError, match="heads"):
        CoAttention(**SIZES, width=8, heads=3)
