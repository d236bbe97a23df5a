"""The demo as a process of its own: `python app.py`, with a small untrained model for every task.

    models = tiny_models(folder)                       # {"map": Path, ...}
    with running_app(tmp_path, models) as app:         # app.url answers; app.pid, app.said(), app.temporary
        app.client().predict("map", handle_file(path), api_name="/translate")

It is ended by Ctrl-C, and it must end well: status 0, no traceback, nothing left behind.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trained_folder import trained_folder

from pix2pix.tasks import TASKS

ROOT = Path(__file__).parent.parent
SERVED = [task for task in TASKS if task != "custom"]
PATIENCE = 120.0
"""Seconds until the page must answer: the machine may be busy with other tests."""


class AppServer:
    def __init__(self, process: subprocess.Popen[str], port: int, log: Path, temporary: Path):
        self.process, self.port, self.log, self.temporary = process, port, log, temporary
        self.url, self.pid = f"http://127.0.0.1:{port}/", process.pid
        self.started = time.perf_counter()

    def said(self) -> str:
        """What it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def client(self, **options: Any) -> Any:
        from gradio_client import Client

        return Client(self.url, verbose=False, analytics_enabled=False, **options)

    def wait_until_up(self) -> float:
        """Wait for the first page; give the seconds that it took."""
        while time.perf_counter() - self.started < PATIENCE:
            assert self.process.poll() is None, f"app.py ended by itself:\n{self.said()}"
            try:
                with urllib.request.urlopen(self.url, timeout=10) as page:
                    assert page.status == 200
                    return time.perf_counter() - self.started
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"app.py does not answer:\n{self.said()}")

    def memory(self) -> float:
        """Resident memory in MiB, or 0 where the system does not tell."""
        return self._memory("VmRSS")

    def peak_memory(self) -> float:
        return self._memory("VmHWM")

    def _memory(self, name: str) -> float:
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return 0.0
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """Press Ctrl-C, or send another signal; give the exit status."""
        self.process.send_signal(number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"Ctrl-C does not end app.py:\n{self.said()}") from None


@contextmanager
def running_app(
    folder: Path,
    models: Mapping[str, Path | str] | None = None,
    words: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[AppServer]:
    """Start app.py with `--model TASK=MODEL` of `models` and more `words`; the page answers when this yields.

    `folder` gets its log and its temporary files. No Hub is asked unless `environment` says HF_HUB_OFFLINE=0.
    """
    app = start_app(folder, models, words, environment)
    try:
        app.wait_until_up()
        yield app
        assert app.process.poll() is None, f"app.py ended by itself:\n{app.said()}"
        before = len(app.said())
        assert app.interrupt() == 0, app.said()
        assert "Traceback" not in app.said()[before:], app.said()[before:]
        assert not left_behind(app.temporary)
    finally:
        if app.process.poll() is None:
            app.process.kill()
            app.process.wait()


def start_app(
    folder: Path,
    models: Mapping[str, Path | str] | None = None,
    words: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> AppServer:
    """Start the process and wait for nothing."""
    log, temporary, port = folder / "app.log", folder / "temporary", free_port()
    temporary.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "app.py", "--port", str(port), *words]
    for task, model in (models or {}).items():
        command += ["--model", f"{task}={model}"]
    surroundings = os.environ | {
        "TMPDIR": str(temporary), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1",
    } | dict(environment or {})  # fmt: skip
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=surroundings,
            text=True,
            preexec_fn=_heed_interrupts,
        )
    return AppServer(process, port, log, temporary)


def _heed_interrupts() -> None:
    """A shell's background job ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def left_behind(temporary: Path) -> list[Path]:
    """Folders of the demo that are still in the folder for temporary files."""
    return list(temporary.glob("pix2pix-demo-*"))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def tiny_models(folder: Path) -> dict[str, Path]:
    """A small model for every task but custom, each with weights of its own."""
    return {task: trained_folder(folder / task, number, task) for number, task in enumerate(SERVED)}


class PeakMemory:
    """Watches the memory of a server within a `with` block; VmHWM is of its whole life."""

    def __init__(self, app: AppServer):
        self.app, self.peak, self._over = app, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, self.app.memory())

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
