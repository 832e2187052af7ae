"""Behind a prompt a decoder says, step by step, what teacher forcing says of prompt and words in one row."""

import torch
from small import VOCABULARY, assert_same, captions, memory, steps

from captioning.decoders.prompted import Prompted, PromptedContext
from captioning.generation.beam import beam
from captioning.generation.greedy import greedy
from captioning.text.vocabulary import UNK

PROMPT = 3


def prompts(words: torch.Tensor) -> torch.Tensor:
    """One for every row of words (B, R, T)."""
    generator = torch.Generator().manual_seed(11)
    return torch.randint(UNK + 1, VOCABULARY, (*words.shape[:2], PROMPT), generator=generator)


def test_step_equals_teacher_forcing_behind_a_prompt(decoder, seen):
    context, words = decoder.prepare(seen), captions()
    prompt = prompts(words)
    with torch.no_grad():
        wanted = decoder(context, torch.cat([prompt, words], 2))[:, :, PROMPT:]
        found, _, _ = steps(decoder, context, decoder.start_behind(context, prompt), words)
    assert_same(found, wanted)


def test_a_prompt_of_no_words_is_captioning(decoder):
    seen, words = memory("grid"), captions()
    context = decoder.prepare(seen)
    with torch.no_grad():
        wanted, _, _ = steps(decoder, context, decoder.start(context, words.shape[1]), words)
        found, _, _ = steps(decoder, context, decoder.start_behind(context, words[:, :, :0]), words)
        assert torch.equal(found, wanted)
        plain = greedy(decoder, context, max_words=4)
        empty = PromptedContext(context, torch.zeros(len(context), 0, dtype=torch.long))
        assert torch.equal(greedy(Prompted(decoder), empty, max_words=4).words, plain.words)


def test_a_search_goes_on_behind_each_images_own_prompt(decoder):
    context = decoder.prepare(memory("grid"))
    prompt = prompts(captions())[:, 0]  # (B, P)
    with torch.no_grad():
        for search in (greedy, beam):
            both = search(Prompted(decoder), PromptedContext(context, prompt), max_words=4, details=True)
            for b in range(len(prompt)):
                one = torch.tensor([b])
                alone = PromptedContext(context.keep(one), prompt[one])
                found = search(Prompted(decoder), alone, max_words=4, details=True)
                length = found.words.shape[-1]
                assert torch.equal(found.words[0], both.words[b, :, :length])
                assert_same(found.log_probabilities[0], both.log_probabilities[b, :, :length])
                assert_same(found.scores[0], found.log_probabilities[0].sum(-1), within=1e-4)
