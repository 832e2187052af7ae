"""What comes by standard input or from an address is described like a file, and called by where it came from."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from test_cli import captioning, model, photos  # noqa: F401
from tiny_clips import write_clip

from captioning.commands import arrivals
from captioning.tasks.load import load


@pytest.fixture
def sent(monkeypatch):
    def send(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    return send


@pytest.fixture
def served(photos):  # noqa: F811
    """A server of photo0.png. -> its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/away"):
                self.send_response(302)
                self.send_header("Location", "file:///etc/hosts" if "file" in self.path else "/photo.png")
                self.end_headers()
                return
            found = self.path.startswith("/photo.png")
            self.send_response(200 if found else 404)
            self.end_headers()
            if found:
                self.wfile.write(photos[0].read_bytes())

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_photo_on_standard_input_is_described(captioning, model, photos, sent):  # noqa: F811
    expected = load(model).caption(photos[0]).text
    sent(photos[0].read_bytes())
    assert captioning("caption", "-", "--model", model) == (0, [expected], [])
    sent(photos[0].read_bytes())
    status, lines, _ = captioning("caption", "-", photos[1], "--model", model, "--json")
    assert status == 0 and [json.loads(line)["file"] for line in lines] == ["-", str(photos[1])]


def test_a_clip_on_standard_input_is_described(captioning, model, tmp_path, sent):  # noqa: F811
    clip = write_clip(tmp_path / "clip.mp4")
    _, expected, _ = captioning("caption", clip, "--model", model, "--every", 0.5)
    sent(clip.read_bytes())
    assert captioning("caption", "-", "--model", model, "--every", 0.5) == (0, expected, [])
    sent(clip.read_bytes())
    assert captioning("caption", "-", "--model", model, "--format", "srt", "--into", "subs")[0] == 0
    assert [path.name for path in Path("subs").iterdir()] == ["stdin.srt"]


@pytest.mark.parametrize(("content", "said"), [(b"", "standard input is empty"), (b"no photo", "- is not a picture")])
def test_standard_input_without_a_photo_is_named(captioning, model, sent, content, said):  # noqa: F811
    sent(content)
    status, lines, errors = captioning("caption", "-", "--model", model)
    assert (status, lines, len(errors)) == (1, [], 1) and said in errors[0]


def test_a_sidecar_of_what_lies_nowhere_is_refused(captioning, model, photos, sent):  # noqa: F811
    sent(photos[0].read_bytes())
    status, _, errors = captioning("caption", "-", "--model", model, "--sidecar")
    assert status == 2 and "--sidecar" in errors[0]


@pytest.mark.parametrize("path", ["/photo.png", "/photo.png?size=1", "/away/to/the/photo"])
def test_a_photo_at_an_address_is_described(captioning, model, photos, served, path):  # noqa: F811
    expected = load(model).caption(photos[0]).text
    assert captioning("caption", f"{served}{path}", "--model", model) == (0, [expected], [])


@pytest.mark.parametrize("path", ["/gone.png", "/away/to/a/file"])
def test_what_cannot_be_fetched_is_named_and_the_rest_is_done(captioning, model, photos, served, path):  # noqa: F811
    status, lines, errors = captioning("caption", f"{served}{path}", photos[1], "--model", model)
    assert status == 1 and len(lines) == 1 and len(errors) == 1 and f"{served}{path} cannot be fetched" in errors[0]


def test_a_file_that_is_too_large_is_refused(captioning, model, served, monkeypatch):  # noqa: F811
    monkeypatch.setattr(arrivals, "MAX_BYTES", 100)
    status, _, errors = captioning("caption", f"{served}/photo.png", "--model", model)
    assert status == 1 and "more than 0 MB" in errors[0]


@pytest.mark.parametrize("address", ["ftp://a/b.png", "file:///etc/hosts", "data:image/png;base64,AA"])
def test_other_addresses_are_names_of_files(captioning, model, address):  # noqa: F811
    status, _, errors = captioning("caption", address, "--model", model)
    assert status == 1 and "does not exist" in errors[0]
