"""What the system refuses, a full disk or a closed output, is a sentence and status 1 or 2, wherever it strikes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
NO_ROOM = "import resource, signal\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
CODE = "import sys\nfrom captioning.cli import main\n{before}sys.argv = ['captioning', *sys.argv[1:]]\nmain()"


def captioning(*arguments: str, before: str = "", shell: str = "", cwd: Path) -> tuple[int, str]:
    """(status, standard error) of a command; `shell` has its redirections."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-c", CODE.format(before=before), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=300)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.fixture
def scored(tmp_path) -> list[str]:
    """A command that prints a table, and imports no torch."""
    references = [{"image_id": i, "captions": [f"a dog {i}", "a cat"]} for i in range(3)]
    Path(tmp_path, "r.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in references))
    Path(tmp_path, "p.json").write_text(json.dumps([{"image_id": i, "caption": "a dog"} for i in range(3)]))
    return ["score", "r.jsonl", "p.json"]


@pytest.mark.parametrize("shell", [">/dev/full", ">&-"])
def test_output_that_goes_nowhere_is_said(tmp_path, scored, shell):
    for arguments in (scored, ["--help"], ["score", "--help"]):
        status, said = captioning(*arguments, shell=shell, cwd=tmp_path)
        assert status in (1, 2) and "standard output" in said


def test_errors_that_go_nowhere_have_a_status(tmp_path, scored):
    for shell in ("2>&-", "2>/dev/full", ">&- 2>&-", "<&-"):
        assert captioning(*scored[:2], "absent.json", shell=shell, cwd=tmp_path)[0] == 2


@pytest.mark.parametrize("option", ["--json", "--per-image"])
def test_files_without_room_are_named(tmp_path, scored, option):
    status, said = captioning(*scored, option, "out/o", before=NO_ROOM, cwd=tmp_path)
    assert status == 2 and "out/o" in said and said.count("\n") == 1
    (tmp_path / "file").write_text("")
    status, said = captioning(*scored, option, "file/o", cwd=tmp_path)
    assert status == 2 and "file/o" in said


def test_the_first_files_of_a_run_without_room_are_named(tmp_path):
    status, said = captioning("train", "data=scenes", "output=run", before=NO_ROOM, cwd=tmp_path)
    assert status in (1, 2) and "run" in said and said.count("\n") == 1
    (tmp_path / "file").write_text("")
    status, said = captioning("train", "data=scenes", "output=file/run", cwd=tmp_path)
    assert status in (1, 2) and "file/run" in said and said.count("\n") == 1


def test_a_wrong_override_is_still_hydras_own_sentence(tmp_path):
    status, said = captioning("train", "no_such_option=3", cwd=tmp_path)
    assert status == 2 and "no_such_option" in said
