"""`captioning demo`: a page in the browser to try a model with. It asks the network for nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from captioning.errors import UserError


def run(*, model: str | None, host: str = "127.0.0.1", port: int | None = None, device: str | None = None) -> int:
    """Serves the page until it is interrupted. -> exit status."""
    require_gradio()
    from captioning.tasks.load import load

    captioner = load(model, device=device)
    from captioning.demo.page import serve

    with tempfile.TemporaryDirectory(prefix="captioning-demo-") as folder:
        page = serve(captioner, Path(folder), host=host, port=port)
        print(f"captioning: the page is at {page.local_url} (Ctrl+C ends it)", flush=True)
        try:
            page.block_thread()
        finally:
            page.close(verbose=False)
    return 0


def require_gradio() -> None:
    """Imports Gradio with everything off that would call home. Raises UserError where it is not installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # which also checks for newer versions
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import gradio  # noqa: F401
    except ImportError:
        raise UserError("the page needs Gradio: pip install 'captioning[demo]'") from None
