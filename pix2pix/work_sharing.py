"""Several processes write the files of one folder: none twice, none lost, however one of them ends.

A process that wants to make a file locks a byte of DIR/.pix2pix/lock that the file's name chooses, looks
once more whether the file is done, and keeps the lock until it is. The system frees a dead process's locks,
so that what it had in hand is open again at once. Nothing has to be agreed on beforehand: the processes of a
launcher (torchrun, accelerate launch; on one machine or on several that share the folder) and commands
started side by side share the work alike. Beside the lock lie notes: which process has come and gone, and
what could not be done.

Where the file system has no locks every process does its own share and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from pix2pix.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")
FOLDER = ".pix2pix"
PRESENCE, RANKS, FILES = 0, 1, 1 << 20
"""Bytes of the lock file: somebody is here, process 0 is, and the first that stands for a file."""
HALF_WRITTEN = re.compile(r"\..+-[0-9a-f]{12}\.(png|jpg|webp|npy|mp4|made)")
POLL = 0.05
ARRIVAL = 300.0
"""Seconds for which the first process waits for the others to come."""


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is, as a launcher's environment says."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Place:
        """Read RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE. Raises UserError if they make no sense."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        world = environment.get("WORLD_SIZE", "1")
        given = {"WORLD_SIZE": world, "LOCAL_RANK": environment.get("RANK", "0"), "LOCAL_WORLD_SIZE": world}
        try:
            rank, world_size, local_rank, local_world = (
                int(environment.get(name, given.get(name, "0"))) for name in names
            )
        except ValueError:
            rank, world_size, local_rank, local_world = -1, 0, 0, 0
        if not 0 <= rank < world_size:
            said = ", ".join(f"{name}={environment.get(name)!r}" for name in names)
            raise UserError(
                f"{said}: a launcher sets RANK from 0 to WORLD_SIZE - 1. Unset them, or use torchrun."
            )
        return cls(rank, world_size, local_rank, local_world)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def device(self, device: str) -> str:
        """`auto` as this process's own GPU, where there are GPUs and several processes on this machine."""
        drivers = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # CUDA, ROCm, CUDA under Windows
        if device != "auto" or self.local_world == 1 or not any(map(os.path.exists, drivers)):
            return device  # without importing torch
        import torch

        count = torch.cuda.device_count()
        return f"cuda:{self.local_rank % count}" if count else device

    def command(self) -> str:
        """The command line that starts all of these processes again."""
        words = [*sys.argv[1:]]
        if self.world == 1:
            return shlex.join(["pix2pix", *words])
        machines = self.world // max(1, self.local_world)
        nodes = ["--nnodes", str(machines)] if machines > 1 else []
        return shlex.join(
            ["torchrun", *nodes, "--nproc_per_node", str(self.local_world), "-m", "pix2pix", *words]
        )


class WorkSharing:
    """Context: this process's part in the work on `folder`."""

    def __init__(self, folder: Path, place: Place):
        self.place = place
        self.made: list[str] = []  # what this process has made, as seen from the folder
        self.folder, self.notes = folder, folder / FOLDER
        self._file: Any = None
        self.has_locks = fcntl is not None

    def __enter__(self) -> WorkSharing:
        if not self.has_locks:
            return self
        try:
            self._open()
        except OSError:  # a file system that has none
            self.has_locks = False
            self._close()
            return self
        self._note(f"came-{self.place.rank}", {})
        return self

    def __exit__(self, *error: object) -> None:
        """The last to leave removes the traces."""
        if self._file is not None and error[0] is None:
            with contextlib.suppress(OSError):
                self._note(f"gone-{self.place.rank}", {"made": self.made})
        if self._file is not None and self.place.is_main and self._lock(PRESENCE):
            self._remove_notes()
            with contextlib.suppress(OSError):
                (self.notes / "lock").unlink()
                self.notes.rmdir()
                self.folder.rmdir()  # if nothing was written into it
        self._close()

    # ---------------------------------------------------------------- the work

    def order(self, jobs: Sequence[T]) -> list[T]:
        """All jobs, one's own share (every n-th) first; without locks the own share alone."""
        rank, world = self.place.rank, self.place.world
        own = list(jobs[rank::world])
        if not self.has_locks:
            return own
        others = (jobs[(rank + step) % world :: world] for step in range(1, world))
        return own + [job for share in others for job in share]

    def claim(self, target: Path) -> bool:
        """Whether the file is this process's to make now; `release` it when it is made, or was already."""
        return not self.has_locks or self._lock(self._byte(target))

    def release(self, target: Path) -> None:
        if self.has_locks:
            self._unlock(self._byte(target))

    def wait_for(self, target: Path) -> None:
        """Claim the file, waiting while another process has it in hand."""
        while not self.claim(target):
            time.sleep(POLL)

    def note(self, target: Path, outcome: dict[str, str]) -> None:
        """Tell the other processes what came of a file."""
        if self.has_locks:
            self._note(f"file-{self._byte(target)}", outcome)

    def noted(self, target: Path) -> dict[str, str] | None:
        """What any process has noted of a file."""
        return self._read(f"file-{self._byte(target)}") if self.has_locks else None

    def wait_for_others(self) -> list[str]:
        """For the first process, when all is done: wait until the others are gone; the files that they made.

        The others wait until the first has come, so that it finds what they noted.
        """
        if not self.has_locks or self.place.world == 1:
            return []
        if not self.place.is_main:
            self._wait_until(lambda: self._read("came-0") is not None)
            return []
        others = range(1, self.place.world)
        came = self._wait_until(lambda: all(self._read(f"came-{rank}") is not None for rank in others))
        if not came:
            missing = [str(rank) for rank in others if self._read(f"came-{rank}") is None]
            print(
                f"Process {', '.join(missing)} never came to {self.notes.parent}: is it a folder that all "
                "machines share?",
                file=sys.stderr,
            )
        for rank in others:
            while self.is_alive(rank):
                time.sleep(POLL)
        return [name for rank in others for name in (self._read(f"gone-{rank}") or {}).get("made", [])]

    def is_alive(self, rank: int) -> bool:
        """Whether another process is at work under that rank."""
        if not self._lock(RANKS + rank):
            return True
        self._unlock(RANKS + rank)
        return False

    # ---------------------------------------------------------------- locks and notes

    def _open(self) -> None:
        while True:
            self.notes.mkdir(parents=True, exist_ok=True)
            self._file = open(self.notes / "lock", "a+b")  # noqa: SIM115  # open as long as the locks
            if self._lock(PRESENCE) and self._remove_notes():
                # Nobody else is here, but the notes of somebody who could not remove them.
                self._remove_half_written()
            fcntl.lockf(self._file, fcntl.LOCK_SH, 1, PRESENCE)
            fcntl.lockf(self._file, fcntl.LOCK_SH, 1, RANKS + self.place.rank)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.notes / "lock")):
                    return
            self._close()  # the last of an earlier run has just removed it

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lock(self, byte: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _unlock(self, byte: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)

    def _wait_until(self, condition: Any) -> bool:
        until = time.monotonic() + ARRIVAL
        while not condition():
            if time.monotonic() > until:
                return False
            time.sleep(POLL)
        return True

    def _note(self, name: str, content: dict[str, Any]) -> None:
        temporary = self.notes / f"writing-{self.place.rank}-{os.getpid()}"
        temporary.write_text(json.dumps(content))
        os.replace(temporary, self.notes / f"{name}.json")

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.notes / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None

    def name(self, target: Path) -> str:
        """A file as seen from the folder, which another machine may see elsewhere."""
        return target.relative_to(self.folder).as_posix()

    def _byte(self, target: Path) -> int:
        """The byte that stands for a file; that two share one is as good as impossible, and does no harm."""
        digest = hashlib.sha256(self.name(target).encode("utf-8", "surrogateescape")).digest()
        return FILES + int.from_bytes(digest[:6], "big")

    def _remove_notes(self) -> int:
        notes = [path for path in self.notes.iterdir() if path.name != "lock"]
        for path in notes:
            path.unlink(missing_ok=True)
        return len(notes)

    def _remove_half_written(self) -> None:
        """Remove what a killed process had begun to write, under the names that files.replacing gives."""
        for path in self.folder.rglob(".*"):
            if HALF_WRITTEN.fullmatch(path.name):
                path.unlink(missing_ok=True)


class Terminated(BaseException):
    """SIGTERM, as launchers send it when another process of theirs has died."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM raises Terminated in the main thread, so that nothing is left half written."""
    if threading.current_thread() is not threading.main_thread():  # which may not change handlers
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
