"""Tiny captioners of random weights in the layouts of the model hub, made by transformers."""

import json
from pathlib import Path

import torch

WORDS = (
    "a the dog cat red blue run ##s ##ning sit ##ting on under grass water two small big ball ' s . photo of".split()
)


def word_pieces(folder: Path, extra: tuple[str, ...] = ()):
    """A WordPiece tokenizer as BERT's."""
    from transformers import BertTokenizerFast

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *extra]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    return tokenizer


def byte_level(folder: Path):
    """A byte level BPE tokenizer as GPT-2's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = ["a dog runs on the grass", "two small cats sit under a big red ball", "the dog's ball is in the water"] * 3
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<|endoftext|>"],
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),  # fmt: skip
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    wrapped.save_pretrained(folder)
    return wrapped


def larger(model, scale: float = 6.0) -> None:
    """Weights far from the uniform distribution that a fresh model believes in."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data = torch.randn(parameter.shape, generator=generator) * scale * parameter.shape[-1] ** -0.5 / 4
        else:
            parameter.data += torch.randn(parameter.shape, generator=generator) * 0.1


def processor(folder: Path, kind: str, size: dict, **more) -> None:
    """The file that says how a picture is brought to the model."""
    content = {"image_processor_type": kind, "size": size, "do_resize": True, "do_normalize": True, "resample": 3}
    content |= {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "do_rescale": True, **more}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))


def blip(folder: Path):
    from transformers import BlipConfig, BlipForConditionalGeneration

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = word_pieces(folder, ("[DEC]", "[ENC]"))
    ids = tokenizer.convert_tokens_to_ids
    text = {"vocab_size": len(tokenizer), "hidden_size": 32, "encoder_hidden_size": 24, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 40, "projection_dim": 16,
            "bos_token_id": ids("[DEC]"), "sep_token_id": ids("[SEP]"), "eos_token_id": ids("[SEP]"),
            "pad_token_id": 0}  # fmt: skip
    vision = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16)
    torch.manual_seed(0)
    model = BlipForConditionalGeneration(config).eval()
    larger(model)
    model.tie_weights()
    model.save_pretrained(folder)
    processor(folder, "BlipImageProcessor", {"height": 32, "width": 32})
    return model, tokenizer


def vit_gpt2(folder: Path):
    from transformers import ViTConfig

    vision = ViTConfig(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, image_size=32,
                       patch_size=8)  # fmt: skip
    return with_gpt2(folder, vision, "ViTImageProcessor")


def deit_gpt2(folder: Path):
    from transformers import DeiTConfig

    vision = DeiTConfig(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
                        image_size=32, patch_size=8)  # fmt: skip
    return with_gpt2(folder, vision, "DeiTImageProcessor", do_center_crop=False)


def swin_gpt2(folder: Path):
    from transformers import SwinConfig

    vision = SwinConfig(embed_dim=16, depths=[2, 1], num_heads=[2, 4], window_size=4, image_size=32, patch_size=4)
    return with_gpt2(folder, vision, "ViTImageProcessor")


def with_gpt2(folder: Path, vision, reader: str, **pixels):
    from transformers import GPT2Config, VisionEncoderDecoderConfig, VisionEncoderDecoderModel

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = byte_level(folder)
    end = tokenizer.eos_token_id
    text = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=40, bos_token_id=end,
                      eos_token_id=end, add_cross_attention=True, is_decoder=True)  # fmt: skip
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, text)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = end, end, end
    torch.manual_seed(0)
    model = VisionEncoderDecoderModel(config=config).eval()
    larger(model)
    model.tie_weights()
    model.save_pretrained(folder)
    processor(folder, reader, {"height": 32, "width": 32}, resample=2, **pixels)
    return model, tokenizer


def vit_bert(folder: Path):
    from transformers import BertConfig, VisionEncoderDecoderConfig, VisionEncoderDecoderModel, ViTConfig

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = word_pieces(folder)
    vision = ViTConfig(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, image_size=32,
                       patch_size=8)  # fmt: skip
    text = BertConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                      intermediate_size=48, max_position_embeddings=40, add_cross_attention=True, is_decoder=True,
                      pad_token_id=0)  # fmt: skip
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, text)
    ids = tokenizer.convert_tokens_to_ids
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = ids("[CLS]"), 0, ids("[SEP]")
    torch.manual_seed(0)
    model = VisionEncoderDecoderModel(config=config).eval()
    larger(model)
    model.tie_weights()
    model.save_pretrained(folder)
    processor(folder, "ViTImageProcessor", {"height": 32, "width": 32}, resample=2)
    return model, tokenizer


def git(folder: Path):
    from transformers import GitConfig, GitForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = word_pieces(folder)
    ids = tokenizer.convert_tokens_to_ids
    vision = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    config = GitConfig(vision_config=vision, vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2,
                       num_attention_heads=4, intermediate_size=48, max_position_embeddings=40,
                       bos_token_id=ids("[CLS]"), eos_token_id=ids("[SEP]"), pad_token_id=0)  # fmt: skip
    torch.manual_seed(0)
    model = GitForCausalLM(config).eval()
    larger(model)
    model.save_pretrained(folder)
    processor(folder, "CLIPImageProcessor", {"shortest_edge": 32}, crop_size={"height": 32, "width": 32},
              do_center_crop=True)  # fmt: skip
    return model, tokenizer


KINDS = {"blip": blip, "vit_gpt2": vit_gpt2, "vit_bert": vit_bert, "deit_gpt2": deit_gpt2, "swin_gpt2": swin_gpt2,
         "git": git}  # fmt: skip
