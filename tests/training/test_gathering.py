"""What several processes have captioned is scored once, whoever captioned it and however often."""

import json

import torch
import torch.multiprocessing

from captioning.data.module import EpochSampler
from captioning.training.task import gathered

IMAGES, PROCESSES = 7, 2


def caption_my_part(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES
    )
    mine = EpochSampler(IMAGES, shuffle=False, rank=rank, processes=PROCESSES)
    hypotheses = {index: f"picture {index}" for _, index in mine} | {0: "picture 0"}  # both processes have this one
    with open(f"{folder}/{rank}.json", "w") as file:
        json.dump(sorted(gathered(hypotheses).items()), file)
    torch.distributed.destroy_process_group()


def test_two_processes_gather_every_picture_once(tmp_path):
    torch.multiprocessing.spawn(caption_my_part, (str(tmp_path),), nprocs=PROCESSES)
    for rank in range(PROCESSES):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found == [[index, f"picture {index}"] for index in range(IMAGES)]


def test_in_validation_no_picture_is_dealt_out_twice_and_in_training_everyone_gets_as_many():
    for length in range(1, 12):
        for processes in (1, 2, 3):
            dealt = [
                [i for _, i in EpochSampler(length, shuffle=False, rank=r, processes=processes)]
                for r in range(processes)
            ]
            assert sorted(sum(dealt, [])) == list(range(length))
            shuffled = [list(EpochSampler(length, shuffle=True, rank=r, processes=processes)) for r in range(processes)]
            assert {len(part) for part in shuffled} == {-(-length // processes)}
            assert {i for part in shuffled for _, i in part} == set(range(length))
