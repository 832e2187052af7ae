"""How fast a published captioner writes here: python tests/benchmarks/published.py

A text decoder of BLIP's size (12 layers, 768, 577 visual tokens; random weights), five beams, batch 16, against
`generate` of transformers with the same weights. Each runs in a process of its own, in turns; its time is that of the
processor, which a busy machine changes little, and its memory what it needed beyond the loaded model.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hub_models
import torch
from harness import Figure, report

IMAGES, TOKENS, WIDTH, WORDS, BEAMS, ROUNDS = 16, 577, 768, 19, 5, 3


def make(folder: Path) -> None:
    """BLIP of random weights, with a vision tower of one layer, which is not measured."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    tokenizer = hub_models.word_pieces(folder, tuple(f"word{i}" for i in range(30_488)))
    text = {"vocab_size": len(tokenizer), "num_attention_heads": 12, "bos_token_id": 2, "sep_token_id": 3}
    text |= {"eos_token_id": 3, "pad_token_id": 0}
    config = BlipConfig(text_config=text, vision_config={"num_hidden_layers": 1, "image_size": 384})
    torch.manual_seed(0)
    model = BlipForConditionalGeneration(config)
    for parameter in model.text_decoder.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.05)
    model.tie_weights()
    model.save_pretrained(folder)


def memory_now(name: str) -> float:
    """VmRSS or VmHWM of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def measure(who: str, folder: Path) -> None:
    """Prints seconds, MB and the ids that were said, as JSON."""
    torch.set_num_threads(int(sys.argv[3]))
    seen = torch.randn(IMAGES, TOKENS, WIDTH, generator=torch.Generator().manual_seed(0))
    if who == "ours":
        from captioning.generation.beam import beam
        from captioning.memory import VisualMemory
        from captioning.models.published.importing import import_checkpoint

        model = import_checkpoint(folder)
        memory = VisualMemory(seen, torch.ones(IMAGES, TOKENS, dtype=torch.bool), seen[:, 0])
        options = {"beam_size": BEAMS, "length_normalisation": "average", "finished": "aside", "max_words": WORDS}

        def call() -> list[list[int]]:
            with torch.inference_mode():
                found = beam(model.decoder, model.decoder.prepare(memory), **options).words[:, 0]
            return [[model.vocabulary.theirs[i] for i in row] for row in found.tolist()]
    else:
        from transformers import BlipForConditionalGeneration

        peer = BlipForConditionalGeneration.from_pretrained(folder).eval().text_decoder
        options = {"num_beams": BEAMS, "max_length": WORDS + 1, "early_stopping": "never", "length_penalty": 1.0}
        options |= {"suppress_tokens": [0, 1, 2], "min_new_tokens": 1, "eos_token_id": 3, "pad_token_id": 0}

        def call() -> list[list[int]]:
            with torch.inference_mode():
                words = torch.full((IMAGES, 1), 2)
                return peer.generate(input_ids=words, encoder_hidden_states=seen, **options)[:, 1:].tolist()

    before = memory_now("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    start = time.process_time()
    said = call()
    print(json.dumps([time.process_time() - start, memory_now("VmHWM") - before, said]))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        threads = "1"  # more of them wait for each other, and waiting is time of the processor too
        found: dict[str, list] = {"ours": [], "theirs": []}
        for _ in range(ROUNDS):
            for who, results in found.items():
                command = [sys.executable, __file__, who, folder, threads]
                lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
                results.append(json.loads(lines[-1]))
    said = {who: [row[: (*row, 3).index(3)] for row in results[0][2]] for who, results in found.items()}
    same = sum(a == b for a, b in zip(said["ours"], said["theirs"], strict=True))
    if same < IMAGES:
        raise SystemExit(f"only {same} of {IMAGES} captions are those of transformers; nothing to compare")
    speed, peak = ({who: statistics.median(r[i] for r in results) for who, results in found.items()} for i in range(2))
    name = f"BLIP's text decoder, beam {BEAMS}, batch {IMAGES}"
    figures = [
        Figure(name, IMAGES / speed["ours"], "captions/s of a core", 1.8, peer=IMAGES / speed["theirs"], higher=True),
        Figure(f"{name}, memory beyond the model", peak["ours"], "MB", 2, peer=peak["theirs"]),
    ]
    report("published", figures)
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 2:
        measure(sys.argv[1], Path(sys.argv[2]))
        sys.exit()
    sys.exit(main())
