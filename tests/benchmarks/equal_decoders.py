"""The project's Transformer and the same network, with the same weights, in Hugging Face's transformers."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from captioning.decoders.transformer import Transformer
from captioning.memory import VisualMemory
from captioning.text.vocabulary import BOS, EOS, PAD, UNK

WORDS, WIDTH, LAYERS, HEADS, HIDDEN, PLACES = 10_000, 512, 6, 8, 2048, 64
NEVER = -1e4


def ours(*, ends: bool) -> Transformer:
    """A decoder of 6 layers that never ends, or whose captions end as people's do, most after 8 to 12 words."""
    torch.manual_seed(0)
    decoder = Transformer(
        visual_width=WIDTH, vocabulary_size=WORDS, width=WIDTH, layers=LAYERS, heads=HEADS, feed_forward=HIDDEN
    ).eval()
    with torch.no_grad():
        decoder.predict.weight.normal_(std=0.25)  # as sure of its words as a trained one, if at random
        decoder.predict.bias[[PAD, BOS, UNK]] = NEVER
        decoder.predict.bias[EOS] = NEVER
        if ends:
            end_by_place(decoder)
    return decoder


def end_by_place(decoder: Transformer) -> None:
    """Keeps one channel of the residual stream for the place of a word, and lets the end be read from it."""
    decoder.embed.weight[:, 0] = 0
    decoder.predict.weight[:, 0] = 0
    for layer in decoder.layers:
        for output in (layer.self_attention.output, layer.cross_attention.output, layer.feed_forward[-1]):
            output.weight[0] = 0
            output.bias[0] = 0
    decoder.predict.weight[EOS].normal_(std=0.12)
    decoder.predict.weight[EOS, 0] = 2.0
    decoder.predict.bias[EOS] = 21.0
    place = decoder.positions
    table = place(0, PLACES, torch.device("cpu")).clone()
    table[:, 0] = 0.5 * (torch.arange(PLACES) - 11)
    place.forward = lambda begin, end, device: table[begin:end].to(device)


def memory(images: int, tokens: int, width: int = WIDTH) -> VisualMemory:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(images, tokens, width, generator=generator)
    return VisualMemory(features, torch.ones(images, tokens, dtype=torch.bool), features.mean(1))


def trained(images: int) -> tuple[Transformer, VisualMemory]:
    """The decoder of the shipped model, and what its encoder makes of the first of Flickr8k's dev photos."""
    from captioning.data.benchmarks.flickr8k import Flickr8k
    from captioning.models.bundle import load_bundle
    from captioning.models.shipped import find_model
    from captioning.tasks.captioning.captioner import Captioner
    from captioning.tasks.captioning.retrieval_memory import without_retrieval

    model = Captioner(without_retrieval(load_bundle(find_model("flickr8k"))), device="cpu")
    source = Flickr8k(Path(os.environ["CAPTIONING_DATA"]) / "flickr8k")
    with torch.no_grad():
        seen = [model.encoder.read(source.image(example)) for example in source.examples("val")[:images]]
        memory = model.encoder(torch.stack(seen))
        model.decoder.predict.bias[[PAD, BOS, UNK]] = NEVER  # which only one of the two would say
    return model.decoder, memory


def theirs(decoder: Transformer):
    """The same decoder as a `PegasusForConditionalGeneration`, whose encoder is not used."""
    from transformers import PegasusConfig, PegasusForConditionalGeneration

    heads = decoder.layers[0].self_attention.heads
    config = PegasusConfig(
        vocab_size=decoder.embed.num_embeddings,
        d_model=decoder.embed.embedding_dim,
        encoder_layers=1,
        decoder_layers=len(decoder.layers),
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=HIDDEN,
        decoder_ffn_dim=decoder.layers[0].feed_forward[0].out_features,
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=PLACES,
        tie_word_embeddings=False,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        decoder_start_token_id=BOS,
        forced_eos_token_id=None,
    )
    model = PegasusForConditionalGeneration(config).eval()
    inner = model.model.decoder
    with torch.no_grad():
        inner.embed_tokens.weight.copy_(decoder.embed.weight)
        inner.embed_positions.weight.copy_(decoder.positions(0, PLACES, torch.device("cpu")))
        model.lm_head.weight.copy_(decoder.predict.weight)
        model.final_logits_bias.copy_(decoder.predict.bias[None])
    inner.layer_norm.load_state_dict(decoder.norm.state_dict())
    for layer, own in zip(inner.layers, decoder.layers, strict=True):
        for norm, own_norm in (
            (layer.self_attn_layer_norm, own.self_attention_norm),
            (layer.encoder_attn_layer_norm, own.cross_attention_norm),
            (layer.final_layer_norm, own.feed_forward_norm),
        ):
            norm.load_state_dict(own_norm.state_dict())
        attention, look = layer.self_attn, layer.encoder_attn
        fill((attention.q_proj, attention.k_proj, attention.v_proj), own.self_attention.inputs)
        fill((look.q_proj,), own.cross_attention.query)
        fill((look.k_proj, look.v_proj), own.cross_attention.keys_values)
        fill((attention.out_proj,), own.self_attention.output)
        fill((look.out_proj,), own.cross_attention.output)
        fill((layer.fc1,), own.feed_forward[0])
        fill((layer.fc2,), own.feed_forward[-1])
    return model


def fill(parts, whole) -> None:
    """Copies one linear layer into the layers that its outputs are cut into."""
    with torch.no_grad():
        for part, weight, bias in zip(parts, whole.weight.chunk(len(parts)), whole.bias.chunk(len(parts)), strict=True):
            part.weight.copy_(weight)
            part.bias.copy_(bias)


def their_beam(model, tokens: Tensor, *, beam_size: int, max_words: int) -> Tensor:
    """tokens (B, N, W) as the decoder's encoder leaves them -> words (B, T), the likeliest caption of each."""
    from transformers.modeling_outputs import BaseModelOutput

    words = model.generate(
        encoder_outputs=BaseModelOutput(tokens),
        attention_mask=torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device),
        num_beams=beam_size,
        length_penalty=0.0,
        max_new_tokens=max_words,
        do_sample=False,
    )
    return words[:, 1:]
