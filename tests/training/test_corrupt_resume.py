"""A checkpoint that is not what it was is named before a run goes on from it, with what to do instead."""

import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from tiny_runs import configuration

from captioning.errors import UserError
from captioning.training.checkpoint_file import check_checkpoint, digest_file, replace_with_digest
from captioning.training.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(configuration("trainer.max_epochs=1"), folder)
    return folder


@pytest.fixture
def last(run, tmp_path) -> Path:
    """A copy of the run's last checkpoint, with its digest and the best one beside it."""
    shutil.copytree(run / "checkpoints", tmp_path / "checkpoints")
    return tmp_path / "checkpoints" / "last.ckpt"


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        check_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message and "best.ckpt" in message and "afresh" in message
    return message


def test_a_sound_checkpoint_is_believed_with_its_digest_and_without(last):
    check_checkpoint(last)
    digest_file(last).unlink()
    check_checkpoint(last)


@pytest.mark.parametrize("digest", [True, False])
def test_any_changed_byte_and_any_cut_is_seen(last, digest):
    content, dice = last.read_bytes(), random.Random(0)
    if not digest:
        digest_file(last).unlink()
    for _ in range(40):
        last.write_bytes(content[: dice.randrange(len(content))])
        refused(last)
    for _ in range(40 if digest else 0):
        changed = bytearray(content)
        changed[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        last.write_bytes(changed)
        assert "digest" in refused(last)
    place = content.index(b"PK\x03\x04", len(content) // 2) - 100  # amid a tensor, of which the file has a checksum
    last.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    refused(last)


def test_what_is_no_checkpoint_is_named(last):
    digest_file(last).unlink()
    for wrong in (b"", b"\0" * 5000, b"a letter", b"PK\x03\x04" + bytes(100)):
        last.write_bytes(wrong)
        refused(last)
    for wrong in ([1], {"state_dict": {}}, {"epoch": "x"}, torch.zeros(3)):
        torch.save(wrong, last)
        assert "not the checkpoint of a run" in refused(last)
    torch.save({"a": Path("x")}, last)  # a pickle that would build anything
    refused(last)
    last.unlink()
    last.mkdir()
    refused(last)
    last.rmdir()
    last.symlink_to(last.parent / "nowhere")
    refused(last)


def test_whatever_moment_ends_a_replacement_what_is_there_has_its_digest(last, monkeypatch):
    new, usual = last.with_name("new"), os.replace
    shutil.copy(last.with_name("best.ckpt"), new)
    new.write_bytes(new.read_bytes())
    for ended in (digest_file(last), last):
        with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
            patched.setattr("os.replace", lambda a, b, ended=ended: 1 / 0 if Path(b) == ended else usual(a, b))
            replace_with_digest(new, last)
        check_checkpoint(last)
    replace_with_digest(new, last)
    check_checkpoint(last)


def test_a_run_does_not_go_on_from_a_damaged_checkpoint_or_one_of_another_model(last, run):
    folder = last.parent.parent
    with pytest.raises(UserError, match=r"decoder\.width was 16 and is 24"):
        train(configuration("trainer.max_epochs=2", "resume=auto", "decoder.width=24"), folder)
    last.write_bytes(last.read_bytes()[:-1000])
    with pytest.raises(UserError, match="best"):
        train(configuration("trainer.max_epochs=2", "resume=auto"), folder)
    train(configuration("trainer.max_epochs=2", f"resume={last.with_name('best.ckpt')}"), folder)
    check_checkpoint(last)
