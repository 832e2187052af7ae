"""The gradient is the policy gradient of the reward, and following it raises the reward."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from captioning.decoders.show_and_tell import ShowAndTell
from captioning.decoders.transformer import Transformer
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.memory import VisualMemory
from captioning.tasks.captioning.augmentation import Augmentation
from captioning.tasks.captioning.collapse import CollapseWatch, share_that_breaks_off
from captioning.tasks.captioning.self_critical import SelfCritical, negative_log_likelihoods, reference_ids
from captioning.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

WORDS = Vocabulary("a dog cat runs sits red blue on".split(), max_words=6)
CAPTIONS = {
    "p": ["a red dog runs", "the red dog"],
    "q": ["a blue cat sits", "a cat"],
    "r": ["a dog on a cat", "zebra on zebra"],
}
IDS = list(CAPTIONS)
SMALL = {"visual_width": 4, "vocabulary_size": len(WORDS)}


def memory() -> VisualMemory:
    tokens = torch.stack([torch.eye(4)[:3], 0.5 + torch.eye(4)[1:]], 1)  # (3, 2, 4)
    return VisualMemory(tokens, torch.ones(3, 2, dtype=torch.bool), tokens.mean(1))


def decoder(kind: str = "lstm") -> nn.Module:
    torch.manual_seed(0)
    if kind == "lstm":
        return ShowAndTell(**SMALL, embedding=12, width=12, dropout=0.0).eval()
    return Transformer(**SMALL, width=12, layers=2, heads=2, feed_forward=24, dropout=0.0).eval()


def objective(**options) -> SelfCritical:
    made = SelfCritical(**{"num_samples": 4, **options})
    made.setup(WORDS, CAPTIONS)
    return made


def gradients(model: nn.Module) -> torch.Tensor:
    return torch.cat(
        [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in model.parameters()]
    )


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
@pytest.mark.parametrize("baseline", ["mean", "greedy"])
def test_the_gradient_is_the_one_worked_out_by_hand(kind, baseline, monkeypatch):
    model, made = decoder(kind), objective(baseline=baseline, bleu=0.5, num_samples=2)
    drawn = {}
    from captioning.tasks.captioning import self_critical

    def remembered(*args, **options):
        drawn["words"] = draw(*args, **options)
        return drawn["words"]

    draw = self_critical.sample
    monkeypatch.setattr(self_critical, "sample", remembered)
    loss, _ = made(model, model.prepare(memory()), None, IDS)
    loss.backward()
    ours = gradients(model)

    model.zero_grad()
    samples = drawn["words"].words
    rewards = made.reward(IDS, samples.numpy())
    best = made.reward(IDS, self_critical.greedy(model, model.prepare(memory()), max_words=6).words.numpy())
    total, words = torch.zeros(()), 0
    context = model.prepare(memory())
    for b in range(3):
        for r in range(2):
            others = [rewards[b, s] for s in range(2) if s != r]
            advantage = rewards[b, r] - (np.mean(others) if baseline == "mean" else best[b, 0])
            said = [BOS, *samples[b, r].tolist()]
            said = said[: said.index(PAD)] if PAD in said else said
            one = torch.arange(3) == b
            for t in range(1, len(said)):  # every word by itself, step by step
                state = model.start(context.keep(one), 1)
                for word in said[:t]:
                    logits, state, _ = model.step(context.keep(one), state, torch.tensor([[word]]))
                never = [PAD, BOS, UNK] + ([EOS] if t == 1 else [])
                allowed = [i for i in range(len(WORDS)) if i not in never]
                log_p = logits[0, 0, allowed].log_softmax(-1)[allowed.index(said[t])]
                total, words = total - float(advantage) * log_p, words + 1
    (total / words).backward()
    torch.testing.assert_close(ours, gradients(model), rtol=1e-4, atol=1e-6)
    assert ours.abs().max() > 1e-3


def test_words_are_as_likely_as_the_sampler_says():
    model = decoder("transformer")
    from captioning.generation.sampling import sample

    samples = sample(model, model.prepare(memory()), num_samples=6, max_words=6).words
    with torch.no_grad():
        negative_log_likelihood, real, _ = negative_log_likelihoods(model, model.prepare(memory()), samples)
    every = torch.cartesian_prod(*[torch.arange(len(WORDS))] * 2)  # captions of two words, cut there
    with torch.no_grad():
        pairs = every[(every[:, 0] > UNK) & ((every[:, 1] > UNK) | (every[:, 1] == EOS))]
        chances, inside, _ = negative_log_likelihoods(model, model.prepare(memory()), pairs.expand(3, -1, -1))
    total = torch.zeros(inside.shape).masked_scatter(inside, -chances).sum(-1).exp().sum(1)
    torch.testing.assert_close(total, torch.ones(3))
    assert real.sum() == (samples != PAD).sum() == len(negative_log_likelihood)


def test_with_the_mean_of_the_others_advantages_sum_to_zero():
    rewards = np.random.default_rng(0).random((7, 5))
    found, baseline = objective().compared(rewards)
    np.testing.assert_allclose((found - baseline).sum(1), 0, atol=1e-12)
    np.testing.assert_allclose(baseline[:, 0], rewards[:, 1:].mean(1))


@pytest.mark.parametrize("baseline", ["mean", "greedy"])
def test_training_raises_the_reward_and_ends_captions(baseline):
    model, made = decoder(), objective(baseline=baseline, num_samples=8)
    optimizer, rewards = torch.optim.Adam(model.parameters(), lr=0.02), []
    torch.manual_seed(1)
    for _ in range(120):
        loss, parts = made(model, model.prepare(memory()), None, IDS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rewards.append(parts["reward"].item())
    assert np.mean(rewards[-10:]) > np.mean(rewards[:10]) + 0.2
    assert parts["unfinished"] < 0.2


def test_mixed_precision_keeps_the_gradients():
    """Weights cast while sampling without gradients must not be those that the loss is computed with."""
    found = {}
    for mixed in (False, True):
        model, made = decoder("transformer"), objective(num_samples=64)
        torch.manual_seed(3)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            loss, _ = made(model, model.prepare(memory()), None, IDS)
        loss.backward()
        found[mixed] = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert found[True] == found[False]


def test_an_unknown_word_of_a_reference_is_itself_and_nobody_elses():
    ids = reference_ids(WORDS, {1: ["a zebra on a zebra", "lion"], 2: ["a zebra <unk>"]})
    zebra, lion = ids[1][0][1], ids[1][1][0]
    assert zebra == ids[1][0][4] == ids[2][0][1] >= len(WORDS) and lion >= len(WORDS) and lion != zebra
    assert all(word > UNK for sentences in ids.values() for words in sentences for word in words)


def test_an_unknown_word_said_earns_nothing():
    made = objective()
    on = WORDS.ids["on"]
    unknown, known = made.reward(["r", "r"], [[[UNK, UNK, UNK, EOS]], [[UNK, on, UNK, EOS]]])[:, 0]
    assert known > unknown >= 0


def test_meshed_memorys_form_is_the_one_worked_out_by_hand():
    """Beams against their mean, CIDEr-D of the official scorer without an end, 20 places whatever the length: Cornia et
    al. 2020 (arXiv:1912.08226), equation 11."""
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    model = decoder("transformer")
    options = {"num_samples": 3, "samples": "beam", "baseline": "mean_of_all", "average": "places", "end": False}
    made = objective(**options)
    loss, parts = made(model, model.prepare(memory()), None, IDS)
    loss.backward()
    ours = gradients(model)

    model.zero_grad()
    beams = beam(model, model.prepare(memory()), beam_size=3, num_captions=3, max_words=6).words
    assert len({tuple(row) for row in beams[0].tolist()}) == 3
    texts = [[" ".join(WORDS.words[i] for i in row if i > UNK) for row in rows] for rows in beams.tolist()]
    rewards = torch.zeros(3, 3)
    for r in range(3):
        official = CiderScorer(n=4, sigma=6.0)
        for b, key in enumerate(IDS):
            official += (texts[b][r], CAPTIONS[key])
        rewards[:, r] = torch.from_numpy(official.compute_score()[1])
    log_p, real, _ = negative_log_likelihoods(model, model.prepare(memory()), beams)
    of_each = torch.zeros(real.shape).masked_scatter(real, -log_p).sum(-1) / WORDS.max_words
    (-of_each * (rewards - rewards.mean(1, keepdim=True))).mean().backward()
    torch.testing.assert_close(ours, gradients(model), rtol=1e-4, atol=1e-6)
    assert ours.abs().max() > 1e-4
    assert float(parts["reward"]) == pytest.approx(float(rewards.mean()), abs=1e-6)


def test_beams_raise_the_reward_too():
    torch.manual_seed(0)
    model, made = decoder("transformer"), objective(samples="beam", baseline="mean_of_all", average="places")
    optimizer, earned = torch.optim.Adam(model.parameters(), 3e-3), []
    for _ in range(60):
        loss, parts = made(model, model.prepare(memory()), None, IDS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        earned.append(float(parts["reward"]))
    assert np.mean(earned[-10:]) > 1.5 * np.mean(earned[:10])


def test_rewards_without_weight_and_baselines_without_others_are_refused():
    wrong = [{"cider": 0.0}, {"num_samples": 1}, {"num_samples": 0, "baseline": "greedy"}, {"baseline": "best"}]
    wrong += [{"num_samples": 1, "baseline": "mean_of_all"}, {"samples": "greedy"}, {"average": "captions"}]
    for options in wrong:
        with pytest.raises(UserError, match="objective"):
            SelfCritical(**options)


def test_figures_count_ends_lengths_and_captions_that_break_off():
    a, dog, on = (WORDS.ids[word] for word in ("a", "dog", "on"))
    samples = np.array([[[a, dog, EOS, PAD], [a, dog, on, a]], [[dog, on, EOS, PAD], [dog, dog, dog, EOS]]])
    made = objective(num_samples=2)
    parts = made.figures(samples, np.ones((2, 2)), np.zeros((2, 2)))
    assert parts["unfinished"] == 0.25 and parts["breaking_off"] == 0.5 and parts["words"] == (2 + 4 + 2 + 3) / 4
    assert share_that_breaks_off(WORDS)(samples[:1, :1], np.array([[0]])) in (0.0, 1.0)  # no word at all is no error


@pytest.mark.parametrize("reward, words, alike", [(0.2, 10, 0.1), (1.0, 4, 0.1), (1.0, 10, 1.0)])
def test_a_collapse_is_said_once(reward, words, alike):
    watch = CollapseWatch()
    assert not any(watch(1.0, 10, 0.1) for _ in range(100))
    assert sum(watch(reward, words, alike) is not None for _ in range(200)) == 1


@pytest.mark.parametrize("baseline", ["mean", "greedy"])
def test_what_is_said_of_a_mirrored_photo_earns_what_the_same_with_left_and_right_swapped_earns(baseline, monkeypatch):
    from captioning.tasks.captioning import self_critical

    words = Vocabulary("a dog on the left right of cat leftmost rightmost".split(), max_words=6)
    people = {"p": ["a dog on the left", "the leftmost dog"], "q": ["a cat right of a dog"], "r": ["a cat", "the dog"]}
    texts = [["a dog on the left", "a dog on the right"], ["a cat right of a dog", "a cat left of"], ["a cat", "right"]]
    drawn = torch.full((3, 2, 7), PAD)
    for row, pair in zip(drawn, texts, strict=True):
        for place, text in zip(row, pair, strict=True):
            ids = words.encode(text)
            place[: len(ids)] = torch.tensor(ids)
    cells = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    grid = VisualMemory(cells, torch.ones(3, 4, dtype=torch.bool), cells.mean(1))
    augment = Augmentation(words, mirror=1.0)
    seen, _, unmirror = augment(grid, None)
    torch.manual_seed(0)
    model = ShowAndTell(visual_width=4, vocabulary_size=len(words), embedding=8, width=8, dropout=0.0).eval()

    def rewarded(memory, said, back):
        """What each caption earns where these are drawn."""
        earned = []
        made = SelfCritical(num_samples=2, baseline=baseline, rouge=0.3, bleu=0.5)
        made.setup(words, people)
        reward = made.reward
        made.reward = lambda ids, texts: earned.append(reward(ids, texts)) or earned[-1]
        monkeypatch.setattr(self_critical, "sample", lambda *args, **options: SimpleNamespace(words=said))
        monkeypatch.setattr(self_critical, "greedy", lambda *args, **options: SimpleNamespace(words=said[:, 1:]))
        made(model, model.prepare(memory), said, IDS, unmirror=back)
        return earned[0]

    swapped = augment.opposite[drawn]
    assert not torch.equal(swapped, drawn)
    plain, mirrored = rewarded(grid, drawn, None), rewarded(seen, swapped, unmirror)
    np.testing.assert_array_equal(mirrored, plain)
    assert not np.array_equal(rewarded(seen, swapped, None), plain), "sides must matter for the test to mean anything"
