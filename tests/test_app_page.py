"""The app's page in a real browser; skipped where gradio, playwright or a Chromium is missing."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
import skimage.data
from PIL import Image

import flowedit
from flowedit.config import Config

pytest.importorskip("gradio", reason="gradio is not installed (pip install '.[app]')")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
PORTRAIT = np.ascontiguousarray(skimage.data.astronaut()[:280, 80:360])
MS = 60_000


@pytest.fixture(scope="module")
def server():
    from flowedit.app.serve import AppCommand, Server

    with Server(AppCommand(port=0, no_browser=True), Config(steps=2)) as running:
        yield running


@pytest.fixture(scope="module")
def browsers():
    with sync_api.sync_playwright() as playwright:
        both = [playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) for _ in range(2)]
        yield both
        for browser in both:
            browser.close()


def open_page(browser, server, photo):
    """Open the page and drop a photo."""
    page = browser.new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(server.address)
    content = io.BytesIO()
    Image.fromarray(photo).save(content, "PNG")
    page.set_input_files("#drop input[type=file]", {"name": "<b>me.png", "mimeType": "image/png",
                                                    "buffer": content.getvalue()}, timeout=MS)  # fmt: skip
    page.wait_for_selector("#compare img", timeout=MS)
    return page


def pictures(page):
    """Return what the page shows, before and after."""
    sources = page.eval_on_selector_all("#compare img", "images => images.map(image => image.src)")
    shown = [np.asarray(Image.open(io.BytesIO(page.request.get(source).body()))) for source in sources]
    return {source: picture for source, picture in zip(sources, shown, strict=True)}


def after(page):
    """Return the picture that is not the photo."""
    return next(picture for source, picture in pictures(page).items() if "after" in source)


def test_two_browsers_each_edit_their_own_photo(server, browsers, tmp_path):
    photos = [PORTRAIT, np.ascontiguousarray(PORTRAIT[:, ::-1])]
    pages = [open_page(browser, server, photo) for browser, photo in zip(browsers, photos, strict=True)]
    for page, photo in zip(pages, photos, strict=True):
        assert all(np.array_equal(picture, photo) for picture in pictures(page).values())
        assert "<b>" not in page.inner_html("#status")
    for page, prompt in zip(pages, ("a smiling face", "<img src=x onerror=document.title=1>"), strict=True):
        page.fill("#prompt textarea", prompt)
        page.press("#prompt textarea", "Enter")
    for page, photo in zip(pages, photos, strict=True):
        page.wait_for_selector("#row_0", timeout=MS)
        page.wait_for_function("document.querySelector('#status').innerText.includes('refined')", timeout=MS)
        change = np.abs(after(page).astype(int) - photo)
        assert change.max() > 0 and change.mean() < 20
        assert all("127.0.0.1" in url or url.startswith(("data:", "blob:")) for url in page.asked)
    assert pages[1].title() == "flowedit" and pages[1].query_selector("#row_0 img") is None

    page = pages[0]
    page.fill("#strength input[type=number]", "0")
    page.press("#strength input[type=number]", "Tab")
    page.wait_for_function("[...document.querySelectorAll('#compare img')].every(i => i.src.includes('before'))",
                           timeout=MS)  # fmt: skip
    with page.expect_download(timeout=MS) as download:
        page.click("#download")
    download.value.save_as(tmp_path / "zero.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "zero.png")), PORTRAIT)
    assert "<" not in download.value.suggested_filename

    page.click("#undo")
    page.wait_for_function("[...document.querySelectorAll('#compare img')].some(i => i.src.includes('after'))",
                           timeout=MS)  # fmt: skip
    shown = after(page).astype(int)
    page.click("text=Files")
    with page.expect_download(timeout=MS) as download:
        page.click("#download_edit")
    download.value.save_as(tmp_path / "smile.flowedit")
    again = flowedit.load(tmp_path / "smile.flowedit").apply(PORTRAIT).edited.pixels()
    assert np.abs(again - shown).max() <= 1

    assert len(server.sessions) == 2
    for page in pages:
        page.close()
    for _ in range(100):
        if len(server.sessions) == 0:
            break
        pages[0].context.browser.new_page().close()  # lets the server's events come
    assert len(server.sessions) == 0 and not list(server.root.rglob("*.png"))
