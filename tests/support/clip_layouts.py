"""Five captioned clips in every layout of MSR-VTT and MSVD, written so that a test can damage them."""

import csv
import gzip
import json

from tiny_clips import write_clip

from captioning.data.benchmarks.msrvtt import MSRVTT
from captioning.data.benchmarks.msvd import MSVD
from captioning.data.table import Table

SPLIT_OF = {"train": 3, "val": 1, "test": 1}
NUMBERS = {"train": (1, 2, 3), "val": (1201,), "test": (1301,)}


class ClipLayout:
    """`names` (clip -> split) and `captions` (clip -> sentences) may be changed before `write`."""

    file: str
    folder = "clips"
    numbered = "clip{}"

    def __init__(self, root):
        self.root = root
        self.names = {self.numbered.format(n): split for split, numbers in NUMBERS.items() for n in numbers}
        self.captions = {name: [f"a dog near {name[-1]}", f"two dogs and {name[-1]}"] for name in self.names}

    def write(self, **options):
        for seed, name in enumerate(self.names):
            write_clip(self.clip(name), seconds=0.5, seed=seed)
        self.write_text()
        return self.source(**options)

    def clip(self, name, extension=".mp4"):
        return self.root / self.folder / f"{name}{extension}"

    def source(self, **options):
        source = self.benchmark(self.root, **options)
        source.official = SPLIT_OF  # for a miniature; the real counts have tests of their own
        return source


class MSRVTT2017(ClipLayout):
    benchmark = MSRVTT
    file = "videodatainfo_2017.json"
    numbered = "video{}"

    def documents(self):
        videos = [{"video_id": name, "split": "validate" if s == "val" else s} for name, s in self.names.items()]
        return {self.file: {"videos": videos, "sentences": self.sentences(self.names)}}

    def sentences(self, names):
        return [{"video_id": name, "caption": caption} for name in names for caption in self.captions[name]]

    def write_text(self):
        for name, document in self.documents().items():
            content = json.dumps(document).encode()
            (self.root / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


class MSRVTTCompressed(MSRVTT2017):
    file = "videodatainfo_2016.json.gz"
    folder = "TrainValVideo"


class MSRVTTChallenge(MSRVTT2017):
    """The test split in a file of its own, its clips in a folder of their own."""

    file = "train_val_videodatainfo.json"

    def clip(self, name, extension=".mp4"):
        folder = "TestVideo" if self.names[name] == "test" else "TrainValVideo"
        return self.root / folder / f"{name}{extension}"

    def documents(self):
        (whole,) = super().documents().values()
        found = {}
        for file, tested in ((self.file, False), ("test_videodatainfo.json", True)):
            videos = [video for video in whole["videos"] if (video["split"] == "test") == tested]
            found[file] = {"videos": videos, "sentences": self.sentences([video["video_id"] for video in videos])}
        return found


class MSRVTTLists(MSRVTT2017):
    """The lists say the splits, whatever the JSON file says."""

    def write_text(self):
        super().write_text()
        document = json.loads((self.root / self.file).read_text())
        (self.root / self.file).write_text(
            json.dumps(document | {"videos": [video | {"split": "train"} for video in document["videos"]]})
        )
        for split in SPLIT_OF:
            names = [name for name, of in self.names.items() if of == split]
            (self.root / f"{split}_list_full.txt").write_text("\n".join(names))


class MSVDSentences(ClipLayout):
    benchmark = MSVD
    file = "sents_train_lc_nopunc.txt"
    numbered = "-w_{}_4_10"
    folder = "YouTubeClips"

    def write_mapping(self):
        lines = [f"{name} vid{name.split('_')[1]}" for name in self.names]
        (self.root / "youtube_mapping.txt").write_text("\n".join(lines[::-1]))

    def write_text(self):
        self.write_mapping()
        for split in SPLIT_OF:
            lines = [
                f"vid{name.split('_')[1]}\t{caption}"
                for name, of in self.names.items()
                if of == split
                for caption in self.captions[name]
            ]
            (self.root / f"sents_{split}_lc_nopunc.txt").write_text("".join(f"{line}\n" for line in lines))


class MSVDNumbered(MSVDSentences):
    """The clips themselves are called by their numbers."""

    def clip(self, name, extension=".avi"):
        return self.root / "clips" / f"vid{name.split('_')[1]}{extension}"


class MSVDCorpus(MSVDSentences):
    file = "MSR Video Description Corpus.csv"

    def write_text(self):
        self.write_mapping()
        with open(self.root / self.file, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow("VideoID Start End WorkerID Source AnnotationTime Language Description".split())
            for name in self.names:
                video, start, end = name.rsplit("_", 2)
                rows.writerow([video, start, end, 1, "clean", 9, "German", "Ein Hund."])
                rows.writerows([video, start, end, 1, "clean", 9, "English", text] for text in self.captions[name])
            rows.writerow(["elsewhere", 1, 2, 1, "clean", 9, "English", "A clip of no split."])


class MSVDJson(MSVDSentences):
    file = "dataset_msvd.json"

    def write_text(self):
        videos = [
            {"filename": f"{name}.avi", "split": split, "sentences": [{"raw": text} for text in self.captions[name]]}
            for name, split in self.names.items()
        ]
        (self.root / self.file).write_text(json.dumps({"videos": videos}))


class ClipTable(ClipLayout):
    file = "table.csv"

    def write_text(self):
        with open(self.root / self.file, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["file", "split", "caption", "id"])
            for name, split in self.names.items():
                rows.writerows([f"clips/{name}.mp4", split, text, name] for text in self.captions[name])

    def source(self, **options):
        return Table(self.root / self.file, **options)


CLIP_LAYOUTS = [
    MSRVTT2017, MSRVTTCompressed, MSRVTTChallenge, MSRVTTLists, MSVDSentences, MSVDNumbered, MSVDCorpus, MSVDJson,
    ClipTable,
]  # fmt: skip
