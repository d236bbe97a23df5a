"""Ending well: the first SIGTERM or Ctrl-C is a wish, granted between two steps; the second is final."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO = 1.0
"""Seconds within which a second signal is taken for a launcher's echo of the first."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Interruption:
    """Context: inside, `requested` is the signal that asked the run to end, or None.

        with Interruption() as interruption:
            while not interruption.requested: ...

    A second Ctrl-C ends the process at once. Launchers pass on or repeat a signal within moments, and that
    must not end a checkpoint half-way: an echo, and any SIGTERM after the first signal, is left unheard.
    """

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        self._asked = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        # Only the main thread may listen; a caller that trains in another one ends runs its own way.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.requested is not None:
            if number == signal.SIGINT and now - self._asked > ECHO:
                os._exit(128 + number)
            return
        self.requested, self._asked = signal.Signals(number), now
        print(
            f"\n{self.requested.name}: ending after this step, with a checkpoint. Ctrl-C ends at once.",
            file=sys.stderr,
            flush=True,
        )

    @property
    def status(self) -> int:
        """The exit status that shells and schedulers expect of a process ended by that signal."""
        return 0 if self.requested is None else 128 + self.requested


def end_with_parent() -> None:
    """Have Linux send SIGTERM when the parent ends: a launcher that is killed must not leave a run behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def leave_signals_to_parent(worker: int = 0) -> None:
    """For data workers: a signal reaches the whole process group, but only the training process answers it.

    SIGTERM ends a worker quietly: it is also how the training process ends its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
