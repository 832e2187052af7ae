"""The page answers its own visitors, about texts of a measure, and leaves nothing behind."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from tiny_model import tiny_bundle

from captioning.demo.hosts import OwnHosts
from captioning.demo.tabs.captioning import MOST_FORCED, answer
from captioning.models.bundle import save_bundle
from captioning.tasks.captioning.captioner import Captioner


def status(app: OwnHosts, **headers: str) -> int:
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(app({"type": "http", "method": "POST", "path": "/", "headers": named}, receive, send))
    return sent[0]["status"]


async def everything(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_page_for_this_machine_answers_its_own_names_alone(host):
    app = OwnHosts(everything, host=host)
    for own in ("127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860", "127.0.0.1"):
        assert status(app, Host=own) == 200
        assert status(app, Host=own, Origin=f"http://{own}") == 200
    for foreign in (
        "evil.example",
        "evil.example:7860",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "",
        "0.0.0.0",
    ):
        assert status(app, Host=foreign) == 403
    assert status(app) == 403
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860", "file://", ""):
        assert status(app, Host="127.0.0.1:7860", Origin=origin) == 403


def test_a_page_for_the_network_answers_addresses_and_no_names_that_others_give_it():
    app = OwnHosts(everything, host="0.0.0.0")
    for own in ("192.168.1.7:7860", "10.0.0.1", "0.0.0.0:7860", "localhost:7860", "[fe80::1]:7860"):
        assert status(app, Host=own) == status(app, Host=own, Origin=f"http://{own}") == 200
    assert status(app, Host="evil.example") == 403
    assert status(app, Host="192.168.1.7:7860", Origin="http://evil.example") == 403


def test_a_proxys_name_is_allowed_where_it_is_said():
    app = OwnHosts(everything, host="127.0.0.1", further=["captions.example"])
    assert status(app, Host="captions.example", Origin="https://captions.example") == 200
    assert status(app, Host="127.0.0.1:7860", Origin="https://captions.example") == 200
    assert status(app, Host="127.0.0.1:7860", Origin="https://evil.example") == 403
    assert status(OwnHosts(everything, host="127.0.0.1"), Host="captions.example") == 403


@pytest.mark.parametrize("forced", ["a@" * 20_000, "a," * 101, "x" * (MOST_FORCED + 1), ["dog"], {"a": 1}, 10**9])
def test_words_without_measure_are_refused_by_the_server_at_once(tmp_path, forced):
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    captioner, began = Captioner(tiny_bundle(), device="cpu"), time.thread_time()
    assert "at most" in answer(captioner, tmp_path / "photo.png", "greedy", 1, forced)
    assert time.thread_time() - began < 1


@pytest.mark.skipif(os.name != "posix", reason="tells the page to end with a signal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_page_that_is_told_to_end_leaves_no_upload(tmp_path, number):
    pytest.importorskip("gradio")
    model, place = save_bundle(tmp_path / "model", tiny_bundle(), card="# Tiny"), tmp_path / "tmp"
    place.mkdir()
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "captioning.cli", "demo", "--model", str(model), "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        url = re.search(r"http://\S+", process.stdout.readline())[0].rstrip("/")
        body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nsecret\r\n--b--\r\n'
        form = {"Content-Type": "multipart/form-data; boundary=b"}
        urllib.request.urlopen(urllib.request.Request(f"{url}/gradio_api/upload", body, form)).close()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(f"{url}/config", headers={"Host": "evil.example"}))
        assert [path for path in place.rglob("*") if path.is_file() and path.read_bytes() == b"secret"]
        process.send_signal(number)
        assert process.wait(30) in (128 + number, 130, 0)
    assert not [path for path in Path(place).rglob("*") if path.is_file() and path.read_bytes() == b"secret"]
    assert not list(place.glob("captioning-demo-*"))
