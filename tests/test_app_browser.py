"""The demo's page in a real browser: what a visitor does, and what is seen.

Every test leaves a picture in build/screenshots. Without a browser the tests are skipped, saying how to get
one; with REQUIRE_BROWSER=1, as in .ci/run, that is a failure.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from trained_folder import trained_folder

from pix2pix import toy
from pix2pix.tasks import TASKS

ROOT = Path(__file__).parent.parent
SHOTS = ROOT / "build" / "screenshots"
PLACES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = os.environ.get("CHROMIUM") or next(
    (found for name in PLACES if (found := shutil.which(name))), None
)
REQUIRED = os.environ.get("REQUIRE_BROWSER") == "1"
SERVED = [task for task in TASKS if task != "custom"]
PATIENCE = 60_000
"""Milliseconds: the machine may be busy with other tests."""

pytestmark = [
    pytest.mark.skipif(
        BROWSER is None and not REQUIRED,
        reason="no Chromium: apt-get install chromium, or name one in the environment variable CHROMIUM",
    ),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A running demo with a small model for every task, and two for map."""
    folder = tmp_path_factory.mktemp("models")
    words = []
    for number, task in enumerate(SERVED):
        words += ["--model", f"{task}={trained_folder(folder / task, number, task)}"]
    words += ["--model", f"map={trained_folder(folder / 'other-map', 99, 'map')}"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "log").open("w+")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "app.py", *words, "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment) as server:
        url = f"http://127.0.0.1:{port}/"
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(url, timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, (folder / "log").read_text()
                    time.sleep(0.1)
            yield url
        finally:
            server.terminate()  # not SIGINT: a shell that runs the tests in the background ignores it
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:  # a browser's open stream; how it ends is tested elsewhere
                server.kill()


@pytest.fixture(scope="module")
def chromium():
    assert BROWSER, "REQUIRE_BROWSER=1, and there is no Chromium: apt-get install chromium"
    fake_camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", *fake_camera])
        yield browser
        browser.close()


@pytest.fixture
def visit(address, chromium, request):
    """visit(task, width=, height=, dark=) -> the open page. What it asks of other hosts is a failure."""
    contexts, outside = [], []

    def open_page(task="map", width=1280, height=800, dark=False, query=""):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(PATIENCE)
        context.grant_permissions(["camera", "clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda sent: outside.append(sent.url) if foreign(sent.url, address) else None)
        page.goto(f"{address}?task={task}{query}")
        expect(page.locator("#sentence")).to_contain_text(TASKS[task].sentence, timeout=PATIENCE)
        page.wait_for_selector("#examples img")
        return page

    yield open_page
    for number, context in enumerate(contexts):
        SHOTS.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w-]+", "-", request.node.name.removeprefix("test_"))
        context.pages[0].screenshot(path=SHOTS / f"{name}{f'-{number}' if number else ''}.png")
        context.close()
    assert not outside


def foreign(url, address):
    return not url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def upload(page, content, name="photo.png", within="#input"):
    page.set_input_files(
        f"{within} input[type=file]", {"name": name, "mimeType": "image/png", "buffer": content}
    )


def result(page):
    """Wait for the slider to show two pictures."""
    page.wait_for_selector("#result img >> nth=1")
    expect(page.locator("#status .done")).to_be_visible(timeout=PATIENCE)
    return page.locator("#status").inner_text()


@pytest.mark.parametrize("task", SERVED)
def test_a_picture_is_uploaded_and_the_slider_shows_the_translation(visit, task):
    page = visit(task)
    upload(page, png(toy.draw_pair(task, 7, 96)[0].resize((96, 64))))
    assert "96 × 64 px" in result(page)


@pytest.mark.parametrize("task", ["map", "facades"])
def test_input_and_result_are_seen_without_scrolling(visit, task):
    page = visit(task)
    page.click("#examples button >> nth=0")
    result(page)
    for part in ("#input", "#result", "#go", "#status", "#examples"):
        box = page.locator(part).bounding_box()
        assert box["y"] >= 0, part
        assert box["y"] + box["height"] <= 800, part
    assert page.evaluate("window.scrollY") == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_telephone_shows_all_of_the_width(visit, dark):
    page = visit("day-night", width=390, height=844, dark=dark)
    page.click("#examples button >> nth=1")
    result(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    before, after = (page.locator(part).bounding_box() for part in ("#input", "#result"))
    assert after["y"] >= before["y"] + before["height"]


@pytest.mark.parametrize("task", ["sketch", "facades"])
def test_a_drawing_is_translated(visit, task):
    page = visit(task)
    page.get_by_role("tab", name="Draw").click()
    canvas = page.locator(f"#pad-{task} canvas").first
    canvas.wait_for()
    page.wait_for_timeout(1500)  # the pad fits its paper to the page
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=8)
    page.mouse.up()
    page.wait_for_timeout(500)
    page.click("#go")
    assert "px" in result(page)


def test_the_cameras_picture_is_translated_live(visit):
    page = visit("colorize")
    page.get_by_role("tab", name="Live camera").click()
    page.locator("#camera").get_by_role("button").first.click()
    page.locator("#camera").get_by_text("Record").click()
    page.wait_for_selector("#live-result img")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.png", b"these are words", "not a picture"),
        ("broken.png", png(Image.effect_noise((64, 64), 40))[:900], "broken.png"),
        ("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
    ids=["words", "truncated", "svg"],
)
def test_what_is_no_picture_is_answered_in_plain_words(visit, name, content, said):
    page = visit("map")
    upload(page, content, name)
    alert = page.locator("#status .alert")
    expect(alert).to_contain_text(said, timeout=PATIENCE)
    assert "/" not in alert.inner_text().split(":")[0]  # no folder of the server's


def test_the_output_becomes_the_next_input_and_a_file(visit):
    page = visit("map")
    page.click("#examples button >> nth=0")
    result(page)
    with page.expect_download() as waiting:
        page.click("#download")
    saved = Image.open(waiting.value.path())
    assert (saved.format, saved.size) == ("PNG", (256, 256))
    assert waiting.value.suggested_filename.endswith("-map.png")
    before = page.locator("#input img").first.get_attribute("src")
    page.click("#again")
    expect(page.locator("#input img").first).not_to_have_attribute("src", before, timeout=PATIENCE)


def test_several_pictures_come_back_as_a_gallery_and_a_zip(visit):
    page = visit("night-day")
    page.get_by_role("tab", name="Several").click()
    files = [
        {"name": f"{n}.png", "mimeType": "image/png", "buffer": png(toy.draw_pair("night-day", n, 48)[0])}
        for n in range(3)
    ]
    page.set_input_files(
        "#files input[type=file]", [*files, {**files[0], "name": "bad.png", "buffer": b"no"}]
    )
    page.wait_for_timeout(1000)
    page.click("#go-all")
    page.wait_for_selector("#gallery img >> nth=2")
    expect(page.get_by_text("3 of 4 translated.")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("bad.png")).not_to_have_count(0)


def test_two_models_of_a_task_can_be_chosen_and_compared(visit):
    page = visit("map")
    expect(page.locator("#model")).to_be_visible()
    page.get_by_role("tab", name="Compare models").click()
    page.set_input_files(
        "#compare-input input[type=file]",
        {"name": "p.png", "mimeType": "image/png", "buffer": png(toy.draw_pair("map", 3, 64)[0])},
    )
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_selector("#compare-result img >> nth=1")


def test_a_link_leads_to_the_task_and_the_model(visit):
    page = visit("map")
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_function("location.search.includes('model=')")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "task=map" in link
    assert "model=" in link


def test_the_page_says_which_model_and_how_to_use_it(visit):
    page = visit("sketch")
    page.get_by_role("button", name="About this model").click()
    expect(page.locator("#about")).to_contain_text("Drawing to photo", timeout=PATIENCE)
    page.get_by_role("button", name="Use this in your code").click()
    expect(page.get_by_text("Translator.from_pretrained").first).to_be_visible(timeout=PATIENCE)


def test_every_control_has_a_name_and_the_keyboard_reaches_the_result(visit):
    page = visit("map")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('main button, main input, main [role=tab]')].filter(e => {
            const shown = e.offsetParent !== null;
            const name = e.ariaLabel || e.title || e.innerText || e.labels?.[0]?.innerText
                || e.querySelector('img')?.alt;
            return shown && !name;
        }).map(e => e.outerHTML.slice(0, 160))"""
    )
    assert not nameless
    page.locator("#examples button").first.focus()
    page.keyboard.press("Enter")
    result(page)
