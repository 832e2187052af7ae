"""What happens in a clip, only the order of its frames tells: who reads them in order can say it, who pools cannot."""

from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import Tensor

from captioning.data.synthetic.motion_captions import VERBS
from captioning.data.synthetic.moving_scenes import MovingScenes
from captioning.decoders.base import Decoder
from captioning.decoders.mean_pool import MeanPool
from captioning.decoders.s2vt import S2VT
from captioning.decoders.temporal_attention import TemporalAttention
from captioning.decoders.transformer import Transformer
from captioning.example import Example
from captioning.generation.greedy import greedy
from captioning.media.clip import FrameSampling
from captioning.memory import VisualMemory
from captioning.metrics.caption_scores import score_captions
from captioning.tasks.captioning.objectives import CrossEntropy
from captioning.tasks.captioning.task import pad_words
from captioning.text.vocabulary import Vocabulary, sentence

CELLS, FRAMES, BATCH = 8, 6, 32
EPOCHS = {"mean_pool": 50, "s2vt": 50, "temporal_attention": 20, "transformer": 20}  # pooling has the most of any
LSTM = {"embedding": 64, "width": 64, "dropout": 0.0}
ATTENTION = {**LSTM, "visual": 64, "attention": 32}
DECODERS = {
    "mean_pool": partial(MeanPool, **LSTM, layers=1),
    "s2vt": partial(S2VT, **LSTM),
    "temporal_attention": partial(TemporalAttention, **ATTENTION),
    "transformer": partial(Transformer, width=64, layers=2, heads=4, feed_forward=128, encoder_layers=1, dropout=0.0),
}


def source() -> MovingScenes:
    return MovingScenes(train=3600, val=450, size=32, frames=FRAMES, still=0)


def motion(example: Example) -> str | None:
    """What the one thing of a clip does; None where there are two."""
    actors = source().scene(example.id).actors
    return actors[0].motion if len(actors) == 1 else None


def look(example: Example) -> np.ndarray:
    """All frames of a clip, (F, S, S, 3) uint8."""
    return np.stack(source().clip(example).sample(FrameSampling(frames=FRAMES))[0])


@cache
def world():
    """Clips of one thing that moves, grows or appears, as pixels of 8 x 8: (examples, memory) of train and of val."""
    parts = []
    for split in ("train", "val"):
        examples = [e for e in source().examples(split) if motion(e) not in (None, "spins")]
        frames = torch.from_numpy(np.stack([look(example) for example in examples]))  # (B, F, S, S, 3)
        frames = frames.flatten(0, 1).permute(0, 3, 1, 2).float()
        tokens = torch.nn.functional.adaptive_avg_pool2d(frames, CELLS).reshape(len(examples), FRAMES, -1)
        tokens = (tokens - 70) / 40
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
        times = torch.arange(FRAMES).expand_as(mask) / 4.0
        parts.append((examples, VisualMemory(tokens, mask, tokens.mean(1), times=times)))
    return parts


def of(memory: VisualMemory, clips: Tensor) -> VisualMemory:
    return VisualMemory(**{name: part[clips] for name, part in vars(memory).items() if part is not None})


@cache
def learned(name: str) -> tuple[float, float]:
    """CIDEr (x100) on the validation clips after a fixed number of steps, and how often the motion is told right."""
    (train, seen), (val, shown) = world()
    vocabulary = Vocabulary.build((c for e in train for c in e.captions), min_count=1, max_words=12)
    words = pad_words([[vocabulary.encode(caption) for caption in example.captions] for example in train])
    torch.manual_seed(0)
    decoder: Decoder = DECODERS[name](visual_width=seen.tokens.shape[-1], vocabulary_size=len(vocabulary))
    optimizer = torch.optim.Adam(decoder.parameters())
    objective, steps = CrossEntropy(label_smoothing=0.0), EPOCHS[name] * (len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    done = 0
    while done < steps:
        for clips in torch.randperm(len(train)).split(BATCH)[: len(train) // BATCH]:
            one = torch.randint(words.shape[1], (1,))  # of the five captions: more steps for the time
            loss, _ = objective(decoder, decoder.prepare(of(seen, clips)), words[clips][:, one])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
    with torch.no_grad():
        decoder.eval()
        said = greedy(decoder, decoder.prepare(shown), max_words=12).words[:, 0].tolist()
    hypotheses = {e.id: sentence(vocabulary.decode(ids)) for e, ids in zip(val, said, strict=True)}
    references = {e.id: list(e.captions) for e in val}
    right = [any(f" {verb}" in hypotheses[e.id] for pair in VERBS[motion(e)] for verb in pair) for e in val]
    return 100 * score_captions(references, hypotheses, metrics=("cider",)).corpus["CIDEr"], sum(right) / len(right)


@pytest.mark.parametrize("name", ["s2vt", "temporal_attention", "transformer"])
def test_who_sees_the_order_of_frames_says_what_pooling_cannot_know(name):
    (pooled, guessed), (cider, told) = learned("mean_pool"), learned(name)
    print(
        f"{name}: CIDEr {cider:.1f}, motions told {told:.0%}; mean_pool: CIDEr {pooled:.1f}, motions told {guessed:.0%}"
    )
    assert guessed < 0.65, "every motion has an opposite with the same frames"
    assert told > guessed + 0.15
    assert cider > pooled
