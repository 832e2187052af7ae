"""The page in a real browser: everything on it works, and nothing is asked of any other machine."""

import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tiny_clips import write_clip
from tiny_model import pictures, tiny_bundle

from captioning.tasks.captioning.captioner import Captioner

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 120_000  # milliseconds, on a busy machine


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The running page. -> its address"""
    for package in ("gradio", "playwright"):
        if find_spec(package) is None:
            pytest.skip(f"the page is tested with {package}: pip install 'captioning[demo,dev]'")
    from captioning.demo.serve import require_gradio

    require_gradio()
    from captioning.demo.page import serve

    folder = tmp_path_factory.mktemp("page")
    running = serve(Captioner(tiny_bundle(), device="cpu"), folder, host="127.0.0.1", port=None)
    yield running.local_url
    running.close(verbose=False)


@pytest.fixture
def browser(page):
    """A browser on the page. -> its tab, and the addresses it asked for"""
    if CHROMIUM is None:
        pytest.skip("the page is tested in Chromium, which is not here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        tab = chromium.new_page()
        tab.set_default_timeout(PATIENCE)
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page)
        tab.wait_for_selector("#samples img")
        yield tab, asked
        chromium.close()


def shows_map(tab, word: int) -> bool:
    return tab.locator("#result .word").nth(word).locator(".heat").is_visible()


def test_a_visitor_uploads_captions_clicks_a_word_and_is_told_what_is_wrong(browser, tmp_path):
    tab, asked = browser
    photo, bad = tmp_path / "photo.png", tmp_path / "bad.jpg"
    pictures(1, 96)[0].save(photo)
    bad.write_text("no picture")

    tab.set_input_files("#upload input[type=file]", photo)
    tab.wait_for_selector("#result .captioning-card > img")
    assert tab.locator("#result .text").count() == 3 and not shows_map(tab, 1)

    tab.locator("#result .word").nth(1).click()
    tab.mouse.move(0, 0)
    assert shows_map(tab, 1) and not shows_map(tab, 0)

    tab.fill("#forced textarea, #forced input", "ball, elephant")
    tab.click("#caption")
    assert "elephant" in tab.locator("#result .refusal").inner_text()
    tab.fill("#forced textarea, #forced input", "ball")
    tab.click("#caption")
    tab.wait_for_selector("#result .text")
    assert all("ball" in text.lower() for text in tab.locator("#result .text").all_inner_texts())

    tab.get_by_label("greedy").check()
    tab.click("#caption")
    tab.wait_for_function("document.querySelectorAll('#result .text').length === 1")

    tab.click("#samples img >> nth=0")
    tab.wait_for_function("!document.querySelector('#upload input[type=file]')")
    tab.click("#upload button[aria-label*=lear]")
    tab.set_input_files("#upload input[type=file]", bad)
    assert "bad.jpg is not a picture" in tab.locator("#result .refusal").inner_text()

    hosts = {urlsplit(url).hostname for url in asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")}
    assert hosts == {"127.0.0.1"}


def test_a_visitor_uploads_a_clip(browser, tmp_path):
    tab, _ = browser
    tab.set_input_files("#upload input[type=file]", write_clip(tmp_path / "clip.mp4"))
    tab.wait_for_selector("#result .text")
    said = Captioner(tiny_bundle(), device="cpu").caption(tmp_path / "clip.mp4", num_captions=3)
    assert tab.locator("#result .text").all_inner_texts() == [one.text for one in said]


def test_ten_visitors_at_once_all_get_their_own_answer(page):
    from page_client import Visitor

    captioner, images = Captioner(tiny_bundle(), device="cpu"), pictures(10, 64)

    def visit(image) -> str:
        file = io.BytesIO()
        image.save(file, "PNG")
        visitor = Visitor(page)
        kind, html = visitor.ask(visitor.upload("photo.png", file.getvalue()))
        return html if kind == "complete" else kind

    with ThreadPoolExecutor(10) as crowd:
        answers = list(crowd.map(visit, images))
    for image, html in zip(images, answers, strict=True):
        assert f'class="text">{captioner.caption(image, beam_size=1).text}<' in html


@pytest.mark.parametrize("path", [__file__, "/etc/passwd", str(Path.cwd() / "pyproject.toml")])
def test_a_file_that_was_not_uploaded_is_not_opened(page, path):
    from page_client import Visitor

    kind, said = Visitor(page).ask(path)
    assert kind == "error" and "import" not in str(said) and "root:" not in str(said)
