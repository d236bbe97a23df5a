"""Writing a file so that a crash leaves either the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it takes `path`'s place at once.

    The content is on the disk before the name changes. If the block raises, `path` is left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(6)}{path.suffix}")
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode & 0o777  # that of any new file: a model is for others to read
    try:
        yield temporary
        with open(temporary, "r+b") as file:  # Windows syncs only what is open for writing
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            mode = path.stat().st_mode & 0o777  # a file made private stays private
        temporary.chmod(mode)  # some writers put a file of their own in the place
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what a killed process left of its writing to `path`. Only for who alone may write there now."""
    path = Path(path)
    for old in path.parent.glob(f".{glob.escape(path.stem)}-{'[0-9a-f]' * 12}{glob.escape(path.suffix)}"):
        old.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN and infinity are refused: few readers take them."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot
            os.fsync(handle)
    finally:
        os.close(handle)
