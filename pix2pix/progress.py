"""A line that tells how far a command is, on a terminal; nothing anywhere else."""

from __future__ import annotations

import shutil
import sys
import time

INTERVAL = 0.1


class Progress:
    """`show` redraws the line at most ten times a second; `clear` wipes it before other text is printed."""

    def __init__(self, total: int, shown: bool | None = None):
        self.total = total
        self.shown = sys.stderr.isatty() if shown is None else shown
        self._began = time.monotonic()
        self._last = 0.0

    def show(self, done: int, what: str, share: float = 0.0, force: bool = False) -> None:
        """`done` of `total` files are done, and `share` (0 to 1) of the one in hand, `what`."""
        now = time.monotonic()
        if not self.shown or (now - self._last < INTERVAL and not force):
            return
        self._last = now
        finished = done + share
        seconds = now - self._began
        left = said_seconds(seconds / finished * (self.total - finished)) if finished else "?"
        columns = shutil.get_terminal_size().columns
        bar = ("#" * round(20 * finished / max(1, self.total))).ljust(20)
        text = (
            f"{done}/{self.total} [{bar}] {100 * finished / max(1, self.total):3.0f} %  {left} left  {what}"
        )
        print(f"\r\x1b[K{text[: columns - 1]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def said_seconds(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
