"""A visitor without a browser: uploads a file to the page and asks for its captions, as a script would."""

from __future__ import annotations

import json
from typing import Any

import httpx


class Visitor:
    """Speaks to the page at `url`."""

    def __init__(self, url: str):
        self.http = httpx.Client(base_url=f"{url.rstrip('/')}/gradio_api", timeout=300, trust_env=False)

    def upload(self, name: str, content: bytes) -> str | None:
        """The file's place on the server, or None where it is refused at the door."""
        try:
            sent = self.http.post("/upload", files={"files": (name, content, "application/octet-stream")})
        except httpx.TransportError:  # a server may hang up on what it refuses; that it is there is seen by the next
            return None
        return sent.json()[0] if sent.status_code == 200 else None

    def ask(
        self, path: str, method: str = "greedy", count: int = 1, forced: str = "", *, model: str | None = None
    ) -> tuple[str, Any]:
        """("complete", the answer's HTML) or ("error", what the server says). `model` is for a page of several."""
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        begun = self.http.post(
            "/call/caption", json={"data": [file, method, count, forced, *([model] if model else [])]}
        )
        if begun.status_code != 200:
            return "error", begun.text
        event = ""
        with self.http.stream("GET", f"/call/caption/{begun.json()['event_id']}") as stream:
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: ") and event in ("complete", "error"):
                    found = json.loads(line.removeprefix("data: "))
                    return event, found[0] if event == "complete" else found
        return "error", "the server said nothing"
