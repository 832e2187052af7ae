"""The page of `captioning demo`, in Gradio, which `captioning.demo.serve.require_gradio` has made quiet beforehand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio
from starlette.middleware import Middleware

from captioning.demo.answers import MAX_CAPTIONS, METHODS, MOST_FORCED, answer
from captioning.demo.hosts import OwnHosts
from captioning.demo.samples import sample_pictures
from captioning.demo.uploads import MAX_BYTES
from captioning.errors import UserError
from captioning.tasks.captioning.captioner import Captioner

AT_ONCE = 2  # answers made at the same time; further visitors wait for their turn
WAITING = 100
KEPT = 3600  # seconds that an upload stays on disk

STYLE = """
footer { display: none !important; }
.refusal { padding: .7rem 1rem; border-left: 4px solid #c0392b; background: #c0392b1a; border-radius: 4px; margin: 0; }
.answer .hint { opacity: .7; font-size: .9rem; margin: .2rem 0 0; }
#samples img { object-fit: cover; }
"""


def serve(
    captioner: Captioner, folder: Path, *, host: str, port: int | None, names: Sequence[str] = ()
) -> gradio.Blocks:
    """Starts the page, which has its address in `local_url`. Raises UserError where the port is taken.

    It answers to the names of this machine that go with `host`, and to `names`.
    `folder` holds the sample pictures and everything that is uploaded.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    samples = sample_pictures(folder)
    answer(captioner, samples[0], "beam search", 1, "")  # the first answer of a fresh model is slow
    page = build(captioner, samples)
    system = ["system-ui", "sans-serif"]
    look = {"theme": gradio.themes.Default(font=system, font_mono=["monospace"]), "css": STYLE}
    quiet = {"quiet": True, "footer_links": [], "enable_monitoring": False}
    own = {"share": False, "ssr_mode": False, "pwa": False, "mcp_server": False, "inbrowser": False}
    page.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE)
    try:
        page.launch(
            server_name=host, server_port=port, prevent_thread_lock=True, max_file_size=MAX_BYTES, max_threads=8,
            app_kwargs={"middleware": [Middleware(OwnHosts, host=host, further=names)]},
            **look, **quiet, **own,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"--host {host}, --port {port or 'any'}: {str(error).splitlines()[0]}") from None
    return page


def build(captioner: Captioner, samples: list[Path]) -> gradio.Blocks:
    """The page: what to caption and how on the left, the sentences on the right."""

    def respond(upload: str | None, method: str, count: float, forced: str) -> str:
        return answer(captioner, upload, method, count, forced)

    def respond_to_upload(upload: str | None, *choices: Any) -> str:
        return respond(upload, *choices) if upload else ""  # it was taken away

    def chosen(event: gradio.SelectData) -> str:
        return str(samples[event.index])

    with gradio.Blocks(title="captioning", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gradio.Markdown("# What is in the picture?")
        with gradio.Row():
            with gradio.Column(scale=2):
                upload = gradio.File(label="A photo or a clip", type="filepath", elem_id="upload", height=150)
                method = gradio.Radio(METHODS, value=METHODS[0], label="How to search", elem_id="method")
                count = gradio.Slider(1, MAX_CAPTIONS, value=3, step=1, label="Captions", elem_id="count")
                forced = gradio.Textbox(
                    label="Words to contain", placeholder="frisbee, red ball", max_length=MOST_FORCED, elem_id="forced"
                )
                button = gradio.Button("Caption", variant="primary", elem_id="caption")
                gallery = gradio.Gallery(
                    [str(path) for path in samples], label="Samples", columns=4, height=170, allow_preview=False,
                    interactive=False, elem_id="samples", buttons=[],
                )  # fmt: skip
            with gradio.Column(scale=3):
                result = gradio.HTML(elem_id="result", apply_default_css=False)
        inputs = [upload, method, count, forced]
        shared = {"concurrency_id": "model", "show_progress": "minimal"}
        upload.change(respond_to_upload, inputs, result, api_name=False, **shared)
        forced.submit(respond, inputs, result, api_name=False, **shared)
        button.click(respond, inputs, result, api_name="caption", **shared)
        gallery.select(chosen, None, upload, api_name=False, queue=False)
    return page
