"""Tiny models of random weights that transformers writes with: a folder for each kind, made by transformers."""

from pathlib import Path

import torch
from hub_models import larger
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = ["a dog runs on the grass", "two small cats sit under a big red ball", "the dog's ball is in the water"] * 3
CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<end>{% endfor %}assistant:"
)
TOWER = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
         "image_size": 32, "patch_size": 8}  # fmt: skip
TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 256}  # fmt: skip


def byte_level(*special: str, **named: str):
    """A byte level tokenizer with these special tokens; `named` are begin, end, padding and others."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = ["<pad>", "<s>", "<end>", *special]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=ends, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    usual = {"bos_token": "<s>", "eos_token": "<end>", "pad_token": "<pad>", "extra_special_tokens": named}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **usual)


def ends(tokenizer) -> dict[str, int]:
    return {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": len(tokenizer)}


def saved(model, processor, folder: Path):
    """The model with weights that are not all alike, saved with its processor."""
    larger(model)
    model.tie_weights()
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def blip_2(folder: Path):
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, BlipImageProcessor, OPTConfig

    tokenizer = byte_level()
    processor = Blip2Processor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer, num_query_tokens=4)
    text = OPTConfig(**ends(tokenizer), hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
                     max_position_embeddings=128, word_embed_proj_dim=32)  # fmt: skip
    bridge = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
              "encoder_hidden_size": 24, "vocab_size": 30}  # fmt: skip
    config = Blip2Config(vision_config=TOWER, qformer_config=bridge, text_config=text.to_dict(), num_query_tokens=4,
                         image_token_index=tokenizer.convert_tokens_to_ids("<image>"))  # fmt: skip
    torch.manual_seed(0)
    return saved(Blip2ForConditionalGeneration(config), processor, folder)


def llava(folder: Path, chat: str | None = None):
    from transformers import CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    tokenizer = byte_level("<image>", image_token="<image>")
    reader = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = LlavaProcessor(
        reader, tokenizer, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=chat and chat.replace("IMAGE", "<image>"),
    )  # fmt: skip
    text = {"model_type": "llama", **TEXT, "num_key_value_heads": 2, **ends(tokenizer)}
    vision = {"model_type": "clip_vision_model", **TOWER, "projection_dim": 16}
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=3, vision_feature_layer=-1)
    torch.manual_seed(0)
    return saved(LlavaForConditionalGeneration(config), processor, folder)


def chatting_llava(folder: Path):
    return llava(folder, CHAT)


def paligemma(folder: Path):
    from transformers import (
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        PaliGemmaProcessor,
        SiglipImageProcessor,
    )

    tokenizer = byte_level("<image>", image_token="<image>")
    reader = SiglipImageProcessor(size={"height": 32, "width": 32})
    reader.image_seq_length = 16
    processor = PaliGemmaProcessor(reader, tokenizer)
    text = {"model_type": "gemma", **TEXT, "num_key_value_heads": 1, "head_dim": 8, **ends(processor.tokenizer)}
    vision = {"model_type": "siglip_vision_model", **TOWER, "projection_dim": 32, "vision_use_head": False}
    config = PaliGemmaConfig(vision_config=vision, text_config=text, image_token_index=3, projection_dim=32,
                             hidden_size=32, vocab_size=len(processor.tokenizer))  # fmt: skip
    torch.manual_seed(0)
    return saved(PaliGemmaForConditionalGeneration(config), processor, folder)


def qwen2_vl(folder: Path):
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    special = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    tokenizer = byte_level(*special, image_token=special[0], video_token=special[1])
    chat = CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    sizes = {"patch_size": 8, "merge_size": 2, "temporal_patch_size": 2}
    reader = Qwen2VLImageProcessor(size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64}, **sizes)
    processor = Qwen2VLProcessor(reader, tokenizer, Qwen2VLVideoProcessor(**sizes), chat_template=chat)
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2, "patch_size": 8}
    text = {**TEXT, "num_key_value_heads": 2, **ends(tokenizer),
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}}  # fmt: skip
    config = Qwen2VLConfig(vision_config=vision, text_config=text, image_token_id=3, video_token_id=4,
                           vision_start_token_id=5, vision_end_token_id=6)  # fmt: skip
    torch.manual_seed(0)
    return saved(Qwen2VLForConditionalGeneration(config), processor, folder)


def idefics3(folder: Path):
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    special = ("<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>")
    tokenizer = byte_level(*special)
    reader = Idefics3ImageProcessor(do_image_splitting=False, max_image_size={"longest_edge": 32},
                                    size={"longest_edge": 32})  # fmt: skip
    chat = CHAT.replace("IMAGE", "<image>")
    processor = Idefics3Processor(reader, tokenizer, image_seq_len=4, chat_template=chat)
    text = {"model_type": "llama", **TEXT, "num_key_value_heads": 2, **ends(processor.tokenizer)}
    config = Idefics3Config(vision_config=TOWER, text_config=text, image_token_id=3, scale_factor=2, pad_token_id=0)
    torch.manual_seed(0)
    return saved(Idefics3ForConditionalGeneration(config), processor, folder)


def smolvlm(folder: Path):
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    special = ("<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>")
    names = ("image_token", "fake_image_token", "end_of_utterance_token", "global_image_token")
    tokenizer = byte_level(*special, **dict(zip(names, special, strict=True)))
    largest = {"max_image_size": {"longest_edge": 32}, "size": {"longest_edge": 32}}
    reader = SmolVLMImageProcessor(do_image_splitting=False, **largest)
    sampling = {"fps": 1, "max_frames": 4, "video_size": {"longest_edge": 32}}
    seer = SmolVLMVideoProcessor(**largest, video_sampling=sampling)
    chat = CHAT.replace("IMAGE", "<image>")
    processor = SmolVLMProcessor(reader, tokenizer, seer, image_seq_len=4, chat_template=chat)
    text = {"model_type": "llama", **TEXT, "num_key_value_heads": 2, **ends(processor.tokenizer)}
    config = SmolVLMConfig(vision_config=TOWER, text_config=text, image_token_id=3, scale_factor=2, pad_token_id=0)
    torch.manual_seed(0)
    return saved(SmolVLMForConditionalGeneration(config), processor, folder)


def florence_2(folder: Path):
    from transformers import (
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    tokenizer = byte_level("<image>", image_token="<image>")
    reader = CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    reader.image_seq_length = 5
    processor = Florence2Processor(reader, tokenizer)
    vision = {"embed_dim": (8, 16), "num_heads": (2, 2), "num_groups": (2, 2), "depths": (1, 1), "patch_size": (7, 3),
              "patch_stride": (4, 4), "patch_padding": (3, 1), "patch_prenorm": (False, True), "window_size": 2,
              "projection_dim": 32, "max_position_embeddings": 8, "max_temporal_embeddings": 4}  # fmt: skip
    text = {"model_type": "bart", "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "num_beams": 3,
            "max_position_embeddings": 128, **ends(tokenizer), "decoder_start_token_id": 2,
            "forced_eos_token_id": None}  # fmt: skip
    config = Florence2Config(vision_config=vision, text_config=text, image_token_id=3, is_encoder_decoder=True)
    torch.manual_seed(0)
    return saved(Florence2ForConditionalGeneration(config), processor, folder)


KINDS = {"blip-2": blip_2, "llava": llava, "chatting llava": chatting_llava, "paligemma": paligemma,
         "qwen2_vl": qwen2_vl, "idefics3": idefics3, "smolvlm": smolvlm, "florence2": florence_2}  # fmt: skip
