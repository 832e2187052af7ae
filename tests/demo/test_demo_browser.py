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
    running = serve({"tiny": Captioner(tiny_bundle(), device="cpu")}, folder, host="127.0.0.1", port=None)
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
        tab.wait_for_selector("#caption-samples img")
        yield tab, asked
        chromium.close()


def shows_map(tab, word: int) -> bool:
    return tab.locator("#caption-result .word").nth(word).locator(".heat").is_visible()


def test_a_visitor_uploads_captions_clicks_a_word_and_is_told_what_is_wrong(browser, tmp_path):
    tab, asked = browser
    photo, bad = tmp_path / "photo.png", tmp_path / "bad.jpg"
    pictures(1, 96)[0].save(photo)
    bad.write_text("no picture")

    tab.set_input_files("#caption-upload input[type=file]", photo)
    tab.wait_for_selector("#caption-result .captioning-card > img")
    assert tab.locator("#caption-result .text").count() == 3 and not shows_map(tab, 1)

    tab.locator("#caption-result .word").nth(1).click()
    tab.mouse.move(0, 0)
    assert shows_map(tab, 1) and not shows_map(tab, 0)

    tab.fill("#caption-forced textarea, #caption-forced input", "ball, elephant")
    tab.click("#caption-button")
    assert "elephant" in tab.locator("#caption-result .refusal").inner_text()
    tab.fill("#caption-forced textarea, #caption-forced input", "ball")
    tab.click("#caption-button")
    tab.wait_for_selector("#caption-result .text")
    assert all("ball" in text.lower() for text in tab.locator("#caption-result .text").all_inner_texts())

    tab.get_by_label("greedy").check()
    tab.click("#caption-button")
    tab.wait_for_function("document.querySelectorAll('#caption-result .text').length === 1")

    tab.click("#caption-samples img >> nth=0")
    tab.wait_for_function("!document.querySelector('#caption-upload input[type=file]')")
    tab.click("#caption-upload button[aria-label*=lear]")
    tab.set_input_files("#caption-upload input[type=file]", bad)
    assert "bad.jpg is not a picture" in tab.locator("#caption-result .refusal").inner_text()

    hosts = {urlsplit(url).hostname for url in asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")}
    assert hosts == {"127.0.0.1"}


def test_a_visitor_uploads_a_clip(browser, tmp_path):
    tab, _ = browser
    tab.set_input_files("#caption-upload input[type=file]", write_clip(tmp_path / "clip.mp4"))
    tab.wait_for_selector("#caption-result .text")
    said = Captioner(tiny_bundle(), device="cpu").caption(tmp_path / "clip.mp4", num_captions=3)
    assert tab.locator("#caption-result .text").all_inner_texts() == [one.text for one in said]


@pytest.mark.parametrize("width", [390, 1100])
def test_on_a_phone_the_answer_stands_above_the_samples_and_beside_them_on_a_desk(browser, width):
    tab, _ = browser
    tab.set_viewport_size({"width": width, "height": 800})
    tab.click("#caption-samples img >> nth=0")
    tab.wait_for_selector("#caption-result .text")
    answer, samples, button = (
        tab.locator(f"#caption-{part}").bounding_box() for part in ("result", "samples", "button")
    )
    if width < 768:
        assert button["y"] + button["height"] <= answer["y"] and answer["y"] + answer["height"] <= samples["y"]
    else:
        assert answer["x"] >= samples["x"] + samples["width"] and answer["y"] < samples["y"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_of_several_models_the_visitor_chooses_one_and_another_tab_has_its_own(page, tmp_path, monkeypatch):
    from page_client import Visitor

    from captioning.demo.page import build
    from captioning.demo.samples import sample_pictures

    models = {name: Captioner(tiny_bundle(kind), device="cpu") for name, kind in
              (("looks", "show_attend_tell"), ("glances", "show_and_tell"))}  # fmt: skip
    with build(models, sample_pictures(tmp_path)) as two:
        two.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, allowed_paths=[str(tmp_path)])
    try:
        visitor, file = Visitor(two.local_url), io.BytesIO()
        image = pictures(1, 64)[0]
        image.save(file, "PNG")
        photo = visitor.upload("photo.png", file.getvalue())
        for name, captioner in models.items():
            _, html = visitor.ask(photo, model=name)
            assert f'class="text">{captioner.caption(image, beam_size=1).text}<' in html
            assert f"Answered by the model {name}." in html
        kind, said = visitor.ask(photo, model="other")
        assert kind == "error" or "choose looks, glances" in said
    finally:
        two.close(verbose=False)


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


def test_a_question_is_typed_and_the_picture_shows_where_was_looked(browser, tmp_path_factory, tmp_path):
    from tiny_answers import answering_bundle

    from captioning.demo.page import serve
    from captioning.tasks.question_answering.answerer import Answerer

    tab, _ = browser
    answerer = Answerer(answering_bundle("up_down"), device="cpu")
    models = {"tiny": Captioner(tiny_bundle(), device="cpu"), "asked": answerer}
    running = serve(models, tmp_path_factory.mktemp("both"), host="127.0.0.1", port=None)
    try:
        tab.goto(running.local_url)
        tab.get_by_role("tab", name="Answers").click()
        pictures(1, 96)[0].save(tmp_path / "photo.png")
        tab.set_input_files("#answer-upload input[type=file]", tmp_path / "photo.png")
        question = tab.locator("#answer-question textarea, #answer-question input")
        question.fill("is it red? what is it?")
        question.press("Enter")
        tab.wait_for_selector("#answer-result .looked .heat >> nth=1")
        said = answerer.answer(tmp_path / "photo.png", ["is it red?", "what is it?"])
        assert tab.locator("#answer-result .text").all_inner_texts() == [one.text for one in said]
        tab.locator("#answer-result .looked").first.hover()
        opacity = "getComputedStyle(document.querySelector('#answer-result .heat')).opacity"
        tab.wait_for_function(f"{opacity} === '0'")
    finally:
        running.close(verbose=False)
