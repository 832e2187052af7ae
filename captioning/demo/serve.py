"""`captioning demo`: a page in the browser to try a model with. It asks the network for nothing."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from captioning.errors import UserError
from captioning.media.confined import READERS


def run(
    *,
    model: str | None,
    host: str = "127.0.0.1",
    port: int | None = None,
    device: str | None = None,
    names: Sequence[str] = (),
) -> int:
    """Serves the page until it is interrupted, or told to end (SIGTERM). -> exit status.

    What visitors sent is deleted at its end, however it is told.
    """
    require_gradio()
    from captioning.tasks.load import load

    captioner = load(model, device=device)
    READERS.prepare()
    from captioning.demo.page import serve

    with _until_told_to_end(), tempfile.TemporaryDirectory(prefix="captioning-demo-") as folder:
        tempfile.tempdir = folder  # also for what is still on its way
        page = serve(captioner, Path(folder), host=host, port=port, names=names)
        print(f"captioning: the page is at {page.local_url} (Ctrl+C ends it)", flush=True)
        try:
            page.block_thread()
        finally:
            page.close(verbose=False)
            tempfile.tempdir = None
    return 0


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
