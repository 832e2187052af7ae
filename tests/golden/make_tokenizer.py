"""Record what the official tokenizer makes of captions: CAPTIONING_DATA=... python tests/golden/make_tokenizer.py

tokenizer.json then holds quirks with their words, and a fingerprint of the words of each benchmark's captions.
"""

import gzip
import hashlib
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "support"))

from invented_captions import PIECES, invented_captions  # noqa: E402
from official import official_apart, official_lines  # noqa: E402


def corpora(data: Path) -> dict[str, list[str]]:
    """Name -> captions."""
    coco = json.loads((data / "coco/annotations/captions_val2017.json").read_text())["annotations"]
    msrvtt = json.loads(gzip.decompress((data / "msrvtt/videodatainfo_2017_italian.json.gz").read_bytes()))
    msvd = [data / f"msvd/sents_{split}_lc_nopunc.txt" for split in ("train", "val", "test")]
    numbered = {"MSVD": msvd, "Flickr8k": [data / "flickr8k/Flickr8k.token.txt"]}
    lines = {name: [line for path in paths for line in path.open(encoding="utf-8")] for name, paths in numbered.items()}
    return {
        "COCO val2017": [annotation["caption"] for annotation in coco],
        **{name: [line.rstrip("\n").split("\t", 1)[1] for line in those] for name, those in lines.items()},
        "MSR-VTT, Italian": [sentence["caption"] for sentence in msrvtt["sentences"]],
    }


def main() -> None:
    captions = list(dict.fromkeys([*PIECES, *invented_captions(700, 0)]))
    pairs = [[caption, words] for caption, words in zip(captions, official_apart(captions), strict=True)]
    recorded = {"corpora": {}, "captions": pairs}
    for name, those in corpora(Path(os.environ["CAPTIONING_DATA"])).items():
        words = "\n".join(official_lines([caption.replace("\n", " ") for caption in those]))
        recorded["corpora"][name] = {"captions": len(those), "sha256": hashlib.sha256(words.encode()).hexdigest()}
    text = json.dumps(recorded, separators=(",", ":")).replace('],["', '],\n["').replace('},"', '},\n"')
    (HERE / "tokenizer.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
