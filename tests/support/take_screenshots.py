"""Pictures of the page for the documentation: python tests/support/take_screenshots.py [MODEL [PHOTO]]

Writes docs/images/demo.png and docs/images/demo-word.png. MODEL is a folder or a name, else the shipped one.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from captioning.demo.serve import require_gradio
from captioning.models.shipped import default_model
from captioning.tasks.load import load

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main(model: str | None = None, photo: str | None = None) -> int:
    require_gradio()
    from captioning.demo.page import serve

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as player:
        page = serve({model or default_model(): load(model)}, Path(folder), host="127.0.0.1", port=None)
        chromium = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = chromium.new_page(viewport={"width": 1100, "height": 800})
        tab.set_default_timeout(300_000)
        tab.goto(page.local_url)
        tab.wait_for_selector("#caption-samples img")
        if photo:
            tab.set_input_files("#caption-upload input[type=file]", photo)
        else:
            tab.click("#caption-samples img >> nth=0")
        tab.wait_for_selector("#caption-result .captioning-card > img")
        take(tab, "demo.png")
        if tab.locator("#caption-result .word").count():
            tab.locator("#caption-result .word").nth(1).click()
            take(tab, "demo-word.png")
        chromium.close()
        page.close(verbose=False)
    return 0


def take(tab, name: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=IMAGES / name)
    small = Image.open(IMAGES / name).convert("P", palette=Image.Palette.ADAPTIVE, colors=128)
    small.save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
