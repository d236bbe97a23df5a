"""How long a visitor of the demo waits: from start to the first page, and from a click to the slider.

    python benchmarks/demo.py                 # needs Chromium: apt-get install chromium
    python benchmarks/demo.py --model runs/map --clicks 20

Each figure is a median, taken in a real browser on this machine, with nothing between browser and server.
A click's time runs from the press of Translate until both pictures of the slider are decoded.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from pix2pix.toy import draw_pair

ROOT = Path(__file__).parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 120.0
SHOWN = """old => {
    const pictures = [...document.querySelectorAll("#result img")];
    return pictures.length > 1 && pictures.every(p => p.complete && p.naturalWidth) &&
        pictures.at(-1).src !== old && document.querySelector("#status .done") !== null;
}"""


def main(arguments: Sequence[str] | None = None) -> int:
    flags = argparse.ArgumentParser(description="How long a visitor of the demo waits.")
    flags.add_argument("--model", default="model_cards/map", metavar="M", help="of the task map")
    flags.add_argument("--sizes", type=int, nargs="+", default=[256, 1024], metavar="PIXELS")
    flags.add_argument("--clicks", type=int, default=9, metavar="N", help="medians of so many")
    flags.add_argument("--starts", type=int, default=3, metavar="N", help="medians of so many")
    options = flags.parse_args(arguments)
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print("error: there is no Chromium: apt-get install chromium", file=sys.stderr)
        return 2
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(f"{options.model}, {os.cpu_count()} cores, {threads} threads; browser and server on one machine\n")
    print("| what | median | slowest | of |\n|---|--:|--:|--:|")
    starts = []
    for _ in range(options.starts - 1):
        with Demo(options.model) as demo:
            starts.append(demo.seconds)
    with Demo(options.model) as demo:
        _row("start to the first page", [*starts, demo.seconds])
        for size in options.sizes:
            _row(f"click to the slider, {size}x{size}", clicks(browser, demo.url, size, options.clicks))
    return 0


class Demo:
    """`python app.py` in a process of its own, offline; `seconds` went by until its page answered."""

    def __init__(self, model: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.folder = f"http://127.0.0.1:{port}/", tempfile.mkdtemp(prefix="pix2pix-bench-")
        self.command = [sys.executable, "app.py", "--model", f"map={model}", "--port", str(port)]

    def __enter__(self) -> Demo:
        started = time.perf_counter()
        with open(Path(self.folder) / "log", "w") as log:
            environment = os.environ | {"HF_HUB_OFFLINE": "1"}
            self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=log, stderr=log, env=environment)
        while time.perf_counter() - started < PATIENCE and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.url, timeout=10).close()
                self.seconds = time.perf_counter() - started
                return self
            except OSError:
                time.sleep(0.02)
        said = (Path(self.folder) / "log").read_text()
        self.__exit__()
        raise SystemExit(f"error: the demo does not answer:\n{said}")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def clicks(browser: str, url: str, size: int, count: int) -> list[float]:
    """Seconds from the press of Translate to the slider; the model is loaded by then."""
    from playwright.sync_api import sync_playwright

    buffer = io.BytesIO()
    draw_pair("map", 7, size)[0].save(buffer, "PNG")
    picture = {"name": f"{size}.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    found = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{url}?task=map")
        page.wait_for_selector("#examples img")
        page.set_input_files("#input input[type=file]", picture)  # type: ignore[arg-type]  # a dict is one
        page.wait_for_function(SHOWN, arg="")
        for _ in range(count):
            page.wait_for_timeout(300)
            old = page.locator("#result img").last.get_attribute("src")
            started = time.perf_counter()
            page.click("#go")
            page.wait_for_function(SHOWN, arg=old)
            found.append(time.perf_counter() - started)
        chromium.close()
    return found


def _row(what: str, seconds: Sequence[float]) -> None:
    print(
        f"| {what} | {statistics.median(seconds):.2f} s | {max(seconds):.2f} s | {len(seconds)} |", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
