"""A server that lies, dawdles or never ends, and an archive that is none, are a sentence within a time."""

import io
import socket
import struct
import tarfile
import threading
import zipfile
from contextlib import contextmanager

import pytest

from captioning.data.download import download
from captioning.data.download.archives import Archive
from captioning.data.download.download import Pace, fetch
from captioning.data.download.unpack import unpack
from captioning.errors import UserError


@contextmanager
def answering(*answers: bytes):
    """The address of a server that gives these bytes, one answer a connection, the last for ever."""
    listening = socket.create_server(("127.0.0.1", 0))
    left = list(answers)

    def serve():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    connection.sendall(left.pop(0) if len(left) > 1 else left[0])
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/photos.zip"
    finally:
        listening.close()


def refused(url, folder, **options) -> str:
    with pytest.raises(UserError) as caught:
        fetch(Archive(url, {"photos": 2}, **options), folder)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500 + b"\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000 + b": b\r\n\r\nab",
        b"HTTP/1.1 999999 \x1b[2J\r\n\r\n",
        b"\x1b[2J\r\n\r\n",
        b"",
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes x-y/z\r\nContent-Length: 10\r\n\r\nab",
        b"HTTP/1.1 404 \x1b[2J\r\n\r\n",
    ],
)
def test_headers_that_make_no_sense_are_a_sentence(tmp_path, answer):
    with answering(answer) as url:
        refused(url, tmp_path)


@pytest.mark.parametrize(
    "place", ["ftp://127.0.0.1/a", "file:///etc/passwd", "data:,a", "gopher://x", "\x1b[2J://x", "//[::1"]
)
def test_a_redirect_leads_to_the_web_or_nowhere(tmp_path, place):
    answer = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
    with answering(answer) as url:
        refused(url, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.stat().st_size]


def test_redirects_without_end_end(tmp_path):
    with answering(b"HTTP/1.1 302 Found\r\nLocation: /photos.zip?again\r\nContent-Length: 0\r\n\r\n") as url:
        assert "redirect" in refused(url, tmp_path)


def test_a_page_that_everybody_can_change_is_no_place_to_be_sent_to_from_a_safe_one():
    request = download.urllib.request.Request("https://example.org/a.zip")
    with pytest.raises(UserError, match="anybody"):
        download._Redirects().redirect_request(request, io.BytesIO(), 302, "", {}, "http://example.org/a.zip")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:text/plain,a"])
def test_only_the_web_is_asked(tmp_path, address):
    refused(address, tmp_path)
    assert not (tmp_path / "passwd").exists()


def test_a_body_that_is_longer_than_it_may_be_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "LARGEST", 1000)
    with answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 500_000) as url:
        assert "more than" in refused(url, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


def test_a_byte_a_second_is_given_up_and_a_slow_line_is_not():
    now = [0.0]
    slow = Pace(lambda: now[0])
    with pytest.raises(TimeoutError):
        for _ in range(3600):
            now[0] += 1
            slow.check(1)
    assert now[0] <= 2 * download.PATIENCE
    usual = Pace(lambda: now[0])
    for _ in range(7200):
        now[0] += 1
        usual.check(5000)


def test_a_server_that_dawdles_or_breaks_off_without_end_is_given_up(tmp_path, monkeypatch):
    asked = []

    def slow(archive, part, before, progress):
        asked.append(before)
        part.write_bytes(b"x" * (before + 1))
        raise download.TooSlow("less than 1,000 bytes a second")

    monkeypatch.setattr(download, "_more", slow)
    assert "less than" in refused("http://127.0.0.1/photos.zip", tmp_path) and len(asked) == download.TRIES
    monkeypatch.setattr(download, "_more", lambda a, part, before, p: part.write_bytes(b"x" * (before + 1)) and 10**9)
    monkeypatch.setattr(download, "REQUESTS", 20)
    assert "20 times" in refused("http://127.0.0.1/photos.zip", tmp_path)


def test_what_came_is_not_written_through_a_link(tmp_path):
    (tmp_path / "photos.zip.part").symlink_to(tmp_path / "elsewhere")
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab") as url:
        refused(url, tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def zipped(*names: str, flags: int = 0, method: int | None = None) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, "content " * 40)
    data = bytearray(content.getvalue())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(signature)
        while place >= 0:
            struct.pack_into("<H", data, place + at, struct.unpack_from("<H", data, place + at)[0] | flags)
            if method is not None:
                struct.pack_into("<H", data, place + at + 2, method)
            place = data.find(signature, place + 4)
    return bytes(data)


def tarred(name: str, mode: str = "w", cut: int | None = None) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as file:
        member = tarfile.TarInfo(name)
        member.size = 5000
        file.addfile(member, io.BytesIO(bytes(range(250)) * 20))
    return content.getvalue()[:cut]


@pytest.mark.parametrize(
    "content",
    [
        zipped("photos/a", flags=1),
        zipped("photos/a", method=99),
        zipped("photos/a", method=14),
        zipped("photos/a")[:-40],
        zipped("photos/a").replace(b"content content", b"tnetnoc content", 1),
        zipped("\x1b[2J"),
        zipped("a\nb"),
        zipped("."),
        tarred("photos/a", cut=3000),
        tarred("photos/a", "w:gz", cut=200),
        tarred("photos/a", "w:xz", cut=200),
        tarred("photos/a", "w:bz2", cut=200),
        tarred(""),
        tarred("."),
        b"",
        b"no archive",
        b"\x1f\x8b" + bytes(50),
        bytes(5000),
        zipped("photos/a").replace(b"photos/a", b"photos\0a"),
    ],
    ids=range(19),
)
def test_an_archive_that_is_none_is_named_and_leaves_no_half_file(tmp_path, content):
    path, root = tmp_path / "a.zip", tmp_path / "root"
    root.mkdir()
    path.write_bytes(content)
    try:
        unpack(path, Archive("http://x/a.zip", {"photos": 2}), root)
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error) and str(error).isprintable()
    whole = [one for one in root.rglob("*") if one.is_file()]
    assert all(one.stat().st_size in (320, 5000) and one.suffix != ".part" for one in whole)


def test_a_planted_link_beside_a_member_is_not_written_through(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/.a.part").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a.zip").write_bytes(zipped("photos/a"))
    unpack(tmp_path / "a.zip", Archive("http://x/a.zip", {"photos": 1}), tmp_path)
    assert not (tmp_path / "elsewhere").exists() and not (tmp_path / "photos/a").is_symlink()
