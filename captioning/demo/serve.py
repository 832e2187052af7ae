"""`captioning demo`: a page in the browser to try a model with. It asks the network for nothing."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from captioning.errors import UserError
from captioning.media.confined import READERS
from captioning.models.shipped import default_model, shipped_models


def run(
    *,
    models: Sequence[str] = (),
    allow: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int | None = None,
    device: str | None = None,
    names: Sequence[str] = (),
) -> int:
    """Serves the page until it is interrupted, or told to end (SIGTERM). -> exit status.

    `models` are names or folders of any task's models; none of them takes those that are shipped. `allow` names the
    packages whose encoders, decoders and tasks they may use. What visitors
    sent is deleted at the end, however it comes.
    """
    require_gradio()
    predictors = loaded(models, device, allow)
    READERS.prepare()
    from captioning.demo.page import serve

    with _until_told_to_end(), tempfile.TemporaryDirectory(prefix="captioning-demo-") as folder:
        tempfile.tempdir = folder  # also for what is still on its way
        page = serve(predictors, Path(folder), host=host, port=port, names=names)
        print(f"captioning: the page is at {page.local_url} (Ctrl+C ends it)", flush=True)
        try:
            page.block_thread()
        finally:
            page.close(verbose=False)
            tempfile.tempdir = None
    return 0


def loaded(models: Sequence[str], device: str | None, allow: Sequence[str]) -> dict[str, Any]:
    """Predictors by the names that visitors see: the last part of a folder, and no more of where it lies.

    Raises UserError where there is no such model, or the page shows nothing of what one does.
    """
    from captioning.demo.tab import every_tab, shown_by
    from captioning.tasks.load import load

    found: dict[str, Any] = {}
    for model in models:
        called, number = visible_name(model), 1
        while (name := f"{called} ({number})" if number > 1 else called) in found:
            number += 1
        found[name] = load(model, device=device, allow=allow)
    if not models:
        found = {default_model(): load(device=device)}
        for name in shipped_models():
            found.setdefault(name, load(name, device=device))
        shown = {name for tab in every_tab() for name in tab.of(found)}
        found = {name: model for name, model in found.items() if name in shown}
    shown_by(found)
    return found


def visible_name(model: str) -> str:
    """What a model's folder is called, or its run where the folder is the "model" of one."""
    path = Path(os.path.abspath(model)) if os.path.exists(model) else Path(model)
    return path.parent.name if path.name == "model" and path.parent.name else path.name or model


@contextmanager
def _until_told_to_end() -> Iterator[None]:
    """Makes of SIGTERM and SIGHUP what an exception is: a way out past everything that cleans up."""

    def end(number: int, frame: object) -> None:
        for one in signals:
            signal.signal(one, signal.SIG_IGN)
        raise SystemExit(128 + number)

    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    former = {one: signal.signal(one, end) for one in signals}
    try:
        yield
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)


def require_gradio() -> None:
    """Imports Gradio with everything off that would call home. Raises UserError where it is not installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # which also checks for newer versions
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import gradio  # noqa: F401
    except ImportError:
        raise UserError("the page needs Gradio: pip install 'captioning[demo]'") from None
