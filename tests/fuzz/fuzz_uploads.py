"""Sends hostile uploads to a running page: make fuzz, or
PYTHONPATH=tests/support python tests/fuzz/fuzz_uploads.py [COUNT]

Each has to get a caption or one sentence, none may reach a file that was not uploaded, and the page has to go on.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hostile_uploads import hostile
from page_client import Visitor
from tiny_model import pictures, tiny_bundle

from captioning.demo.serve import require_gradio
from captioning.tasks.captioning.captioner import Captioner


def verdict(visitor: Visitor, name: str, content: bytes, secret: str) -> str:
    """What became of an upload: "captioned", "refused" or "not accepted"; anything else ends the run."""
    path = visitor.upload(name, content)
    if path is None:
        return "not accepted"
    kind, html = visitor.ask(path)
    if kind != "complete":
        raise SystemExit(f"{name!r}: {kind} {html}")
    if secret in html or "<script" in html or "went wrong" in html:
        raise SystemExit(f"{name!r}: {html[:1000]}")
    if 'class="text"' in html:
        return "captioned"
    sentences = re.findall(r'<p class="refusal" role="alert">([^<\n]{1,500})</p>', html)
    if len(sentences) != 1:
        raise SystemExit(f"{name!r} got no sentence: {html[:1000]}")
    return "refused"


def main(count: int = 2000) -> int:
    warnings.simplefilter("ignore")
    require_gradio()
    from captioning.demo.page import serve

    good = io.BytesIO()
    pictures(1, 96)[0].save(good, "PNG")
    with tempfile.TemporaryDirectory() as folder:
        page = serve({"tiny": Captioner(tiny_bundle(), device="cpu")}, Path(folder), host="127.0.0.1", port=None)
        visitor, counts, began = Visitor(page.local_url), {}, time.monotonic()
        for number, (name, content) in enumerate(hostile(count), 1):
            found = verdict(visitor, name, content, folder)
            counts[found] = counts.get(found, 0) + 1
            if number % 100 == 0:
                print(f"{number:,} of {count:,}: {counts}", flush=True)
        for path in ("/etc/passwd", f"{folder}/../etc/passwd", __file__):  # never uploaded
            kind, said = visitor.ask(path)
            if kind != "error" and 'class="text"' in said:
                raise SystemExit(f"{path} was read: {said}")
        with ThreadPoolExecutor(10) as crowd:
            together = list(crowd.map(lambda _: verdict(visitor, "good.png", good.getvalue(), folder), range(10)))
        if together != ["captioned"] * 10:
            raise SystemExit(f"ten at once: {together}")
        seconds = time.monotonic() - began
        print(f"{count:,} hostile uploads in {seconds:.0f} s: {counts}; ten at once were all captioned afterwards")
        page.close(verbose=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
