"""The page of `captioning demo`, in Gradio, which `captioning.demo.serve.require_gradio` has made quiet beforehand."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gradio
from starlette.middleware import Middleware

from captioning.demo.hosts import OwnHosts
from captioning.demo.layout import STYLE
from captioning.demo.samples import sample_pictures
from captioning.demo.tab import shown_by
from captioning.demo.uploads import MAX_BYTES
from captioning.errors import UserError

AT_ONCE = 2  # answers made at the same time; further visitors wait for their turn
WAITING = 100
KEPT = 3600  # seconds that an upload stays on disk


def serve(
    models: Mapping[str, Any], folder: Path, *, host: str, port: int | None, names: Sequence[str] = ()
) -> gradio.Blocks:
    """Starts the page, which has its address in `local_url`, with predictors by the names that visitors see.

    Raises UserError where the port is taken, or a model can do nothing that the page shows.
    It answers to the names of this machine that go with `host`, and to `names`.
    `folder` holds the sample pictures and everything that is uploaded.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    samples = sample_pictures(folder)
    for tab in shown_by(models):
        for model in tab.of(models).values():
            tab.first(model, samples[0])
    page = build(models, samples)
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


def build(models: Mapping[str, Any], samples: Sequence[Path]) -> gradio.Blocks:
    """The page: a tab for each thing that one of the models can do. Raises UserError for a model that has none."""
    tabs = shown_by(models)
    with gradio.Blocks(title="captioning", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gradio.Markdown("# What is in the picture?")
        with gradio.Tabs() if len(tabs) > 1 else nullcontext():
            for tab in tabs:
                with gradio.Tab(tab.title, id=tab.verb) if len(tabs) > 1 else nullcontext():
                    tab.build(tab.of(models), samples)
    return page
