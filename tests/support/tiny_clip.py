"""A tiny CLIP of random weights, saved as transformers saves one."""

from pathlib import Path

import torch
from generating_models import TOWER, byte_level, saved
from tokenizers.processors import TemplateProcessing

ENDS = {"eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}


def tiny_clip(folder: Path):
    """-> the model and its processor, which lie in the folder."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    tokenizer = byte_level()
    ends = [("<s>", 1), ("<end>", 2)]
    tokenizer._tokenizer.post_processor = TemplateProcessing(single="<s> $A <end>", special_tokens=ends)
    reader = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    text = {**TOWER, "max_position_embeddings": 40, "vocab_size": len(tokenizer), **ENDS}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=TOWER, projection_dim=16))
    return saved(model, CLIPProcessor(reader, tokenizer), folder)
