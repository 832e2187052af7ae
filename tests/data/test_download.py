"""A download goes on where it stopped, is what its owners published, and lands where it belongs, or says why not."""

import hashlib
import io
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from source_layouts import CocoLayout, KarpathyLayout, refusal

from captioning.commands import data as command
from captioning.data.benchmarks.coco import Coco
from captioning.data.download import download, inventory
from captioning.data.download.archives import Archive
from captioning.data.download.unpack import unpack


def zipped(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in files.items():
            file.writestr(name.replace("__", "/"), text)
    return content.getvalue()


CONTENT = zipped(photos__a="a" * 70_000, photos__b="b" * 30_000)
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@contextmanager
def server(content=CONTENT, *, ranges=True, break_off=(), status=200):
    """A web server of one archive; the k-th answer ends after `break_off[k]` bytes. Keeps what was asked for."""
    asked, breaks = [], list(break_off)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers["Range"])
            start = int(self.headers["Range"][6:-1]) if ranges and self.headers["Range"] else 0
            if status != 200:
                return self.send_error(status)
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: breaks.pop(0) if breaks else None])

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/photos.zip", asked
        running.shutdown()


def archive(url, **options):
    return Archive(url, {"photos": 2}, **{"size": len(CONTENT), "digest": SHA, **options})


@pytest.mark.parametrize("known", [{}, {"size": None}, {"digest": None}, {"size": None, "digest": None}])
@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_ends_with_the_same_bytes(tmp_path, known, ranges):
    (tmp_path / "photos.zip.part").write_bytes(CONTENT[:1000])
    with server(ranges=ranges) as (url, asked):
        assert download.fetch(archive(url, **known), tmp_path).read_bytes() == CONTENT
    assert asked == ["bytes=1000-"]
    assert not (tmp_path / "photos.zip.part").exists()


def test_an_answer_that_breaks_off_is_asked_for_again_from_there(tmp_path):
    seen = []
    with server(break_off=[500, 700]) as (url, asked):
        file = download.fetch(archive(url), tmp_path, lambda done, total: seen.append((done, total)))
        assert file.read_bytes() == CONTENT
    assert asked == [None, "bytes=500-", "bytes=1200-"]
    assert seen == sorted(seen) and seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_part_that_is_whole_is_not_asked_for_again(tmp_path):
    (tmp_path / "photos.zip.part").write_bytes(CONTENT)
    with server() as (url, asked):
        download.fetch(archive(url), tmp_path)
        assert asked == []
        (tmp_path / "photos.zip").rename(tmp_path / "photos.zip.part")
        assert download.fetch(archive(url, size=None), tmp_path).read_bytes() == CONTENT
        assert asked == [f"bytes={len(CONTENT)}-"]


def test_a_server_that_always_breaks_off_is_given_up_and_what_came_is_kept(tmp_path):
    with server(break_off=[100, 0, 0, 0, 0, 0]) as (url, _):
        message = refusal(lambda: download.fetch(archive(url), tmp_path), url, "100 bytes are there")
    assert "\n" not in message
    assert (tmp_path / "photos.zip.part").read_bytes() == CONTENT[:100]


def test_what_is_not_the_published_archive_is_refused_and_removed(tmp_path):
    other = zipped(photos__a="x" * 70_000, photos__b="b" * 30_000)
    assert len(other) == len(CONTENT)
    with server(other) as (url, _):
        refusal(lambda: download.fetch(archive(url), tmp_path), "photos.zip", "sha256")
        assert list(tmp_path.iterdir()) == []
    with server(other + b"more") as (url, _):
        refusal(lambda: download.fetch(archive(url), tmp_path), f"{len(CONTENT):,} are right")


def test_no_network_and_no_such_file_are_one_line(tmp_path):
    with server() as (url, _):
        pass
    assert "\n" not in refusal(lambda: download.fetch(archive(url), tmp_path), url, "Connect to the network")
    with server(status=404) as (url, _):
        refusal(lambda: download.fetch(archive(url), tmp_path), url, "404", "by hand")


def test_a_download_that_finds_no_room_does_not_begin(tmp_path):
    with server() as (url, asked):
        refusal(lambda: download.fetch(archive(url, size=10**18), tmp_path), "free", "Make room")
    assert asked == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/../../escaped", "..\\escaped", "C:/escaped"])
def test_nothing_is_unpacked_outside_the_folder(tmp_path, name):
    root = tmp_path / "root"
    root.mkdir()
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as file:
        file.writestr("photos/a", "a")
        file.writestr(name, "escaped")
    with tarfile.open(tmp_path / "bad.tar", "w") as file:
        file.addfile(tarfile.TarInfo(name), io.BytesIO())
    for bad in ("bad.zip", "bad.tar"):
        refusal(lambda bad=bad: unpack(tmp_path / bad, archive("http://x/bad"), root), "outside", bad)
    assert list(root.iterdir()) == [] and not list(tmp_path.rglob("escaped"))


def test_a_link_in_a_tar_is_not_followed(tmp_path):
    with tarfile.open(tmp_path / "links.tar", "w") as file:
        link = tarfile.TarInfo("photos")
        link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
        file.addfile(link)
    assert unpack(tmp_path / "links.tar", archive("http://x/links.tar"), tmp_path) == 0
    assert not (tmp_path / "photos").is_symlink()


def test_a_damaged_archive_is_said(tmp_path):
    (tmp_path / "a.zip").write_bytes(CONTENT[:-30])
    refusal(lambda: unpack(tmp_path / "a.zip", archive("http://x/a.zip"), tmp_path), "a.zip is damaged")


def test_unpacking_goes_on_where_it_stopped(tmp_path):
    (tmp_path / "a.zip").write_bytes(CONTENT)
    assert unpack(tmp_path / "a.zip", archive("http://x/a.zip"), tmp_path) == 2
    (tmp_path / "photos/b").unlink()
    (tmp_path / "photos/a").write_text("cut off")
    assert unpack(tmp_path / "a.zip", archive("http://x/a.zip"), tmp_path) == 2
    assert unpack(tmp_path / "a.zip", archive("http://x/a.zip"), tmp_path) == 0
    assert (tmp_path / "photos/a").read_text() == "a" * 70_000


def test_only_what_is_missing_is_fetched_and_the_archive_is_not_kept(tmp_path):
    flat = zipped(**{"inner__dataset_coco.json": "{}", "inner__dataset_flickr8k.json": "{}"})
    with server() as (url, asked), server(flat) as (other, _):
        archives = [archive(url), Archive(other, {"dataset_coco.json": 1}, flat=True)]
        assert download.download(archives, tmp_path) == 2
        assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset_coco.json", "photos"]
        assert download.download(archives, tmp_path) == 0 and len(asked) == 1


@pytest.mark.parametrize("layout", [KarpathyLayout, CocoLayout])
def test_a_check_counts_what_is_there_and_says_where_the_rest_belongs(tmp_path, capsys, layout):
    made = layout(tmp_path)
    made.write(on_missing="skip")
    source = made.source(on_missing="skip")
    made.photo("a.jpg").unlink()
    (found, *_) = inventory.check_source(source)
    assert (found.split, found.captioned, [f.rpartition("/")[2] for f in found.missing]) == ("train", 3, ["a.jpg"])
    assert not command.report("it", source)
    out = capsys.readouterr().out
    assert "2 there, 1 missing" in out and str(tmp_path) in out and "incomplete" in out


def test_the_check_command_is_status_1_until_all_is_there(tmp_path, capsys):
    table = tmp_path / "table.csv"
    table.write_text("file,caption,split\na.png,a dog,train\nb.png,a cat,val\nc.png,a cow,test\n")
    options = [f"file={table}"]
    assert command.check("table", options) == 1
    for name in "abc":
        (tmp_path / f"{name}.png").touch()
    assert command.check("table", options) == 0 and command.check("scenes") == 0
    assert "complete" in capsys.readouterr().out
    refusal(lambda: command.check("nonsense"), "nonsense", "flickr8k")
    refusal(lambda: command.check("coco", ["yaer=2014"]), "yaer")


def test_the_published_archives_hold_what_the_layouts_read():
    for year in (2014, 2017):
        source = Coco("root", year=year)
        held = {name for one in source.archives for name in one.holds}
        assert {str(source.annotations(split).relative_to("root")) for split in source.splits} <= held
        assert {f"train{year}", f"val{year}"} <= held
