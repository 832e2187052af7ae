"""Nobody can have prepared a file that is written, or a folder that is believed."""

import os
import stat

import pytest

from captioning.errors import UserError
from captioning.features.stored import private_cache
from captioning.files import new_file
from captioning.files.atomic import write_whole
from captioning.files.disk_space import require_room
from captioning.files.new_file import create, private_folder, replacing


def test_what_is_there_is_never_opened_to_be_written(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "file").write_text("former")
    for name in ("link", "file"):
        with pytest.raises(FileExistsError):
            create(tmp_path / name)
    assert not (tmp_path / "target").exists() and (tmp_path / "file").read_text() == "former"


def test_a_temporary_name_that_somebody_guessed_is_not_written_through(tmp_path, monkeypatch):
    class Known:
        hex = "known"

    monkeypatch.setattr("uuid.uuid4", lambda: Known)
    (tmp_path / ".a.txt.known.part").symlink_to(tmp_path / "target")
    (tmp_path / ".known.part").symlink_to(tmp_path / "target")
    for write in (lambda: write_whole(tmp_path / "a.txt", "x"), lambda: require_room(tmp_path, 1, "x", "y")):
        with pytest.raises(Exception, match="File exists"):
            write()
    assert not (tmp_path / "target").exists()


def test_a_block_that_fails_leaves_the_former_file_and_no_other(tmp_path):
    (tmp_path / "a").write_text("former")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a", "w") as file:
        file.write("half")
        _ = 1 / 0
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "former"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system knows no owners")
def test_a_cache_is_its_users_alone(tmp_path, monkeypatch):
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    for name in ("new/deep", "open"):
        assert stat.S_IMODE(private_folder(tmp_path / name).stat().st_mode) == 0o700
    if os.getuid():
        monkeypatch.setattr(new_file.os, "getuid", lambda: -1)
    else:
        os.chown(tmp_path / "open", 12345, -1)
    with pytest.raises(PermissionError):
        private_folder(tmp_path / "open")
    with pytest.raises(UserError, match="another user"):
        private_cache(tmp_path / "open")
