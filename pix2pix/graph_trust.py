"""What this machine has found out about graphs: the hashes of files, and which draw as their models do.

Both are kept in the user's cache, so that a start need not read hundreds of megabytes to know them again, and
a graph that came from elsewhere is compared with its weights once, not believed.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from pix2pix import graphs
from pix2pix.config import ModelConfig
from pix2pix.files import replacing


def sha256(path: Path) -> str:
    """A file's SHA-256, from the cache if the file has not been touched since it was last read.

    A file that was replaced or written to has another inode or change time, which cannot be set back.
    """
    status = path.stat()
    touched = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
    note = _note("hashes", str(path.resolve()), touched)
    with suppress(OSError, ValueError):
        known = note.read_text(encoding="ascii")
        if len(known) == 64:
            return known
    digest = graphs.sha256(path)
    _write(note, digest)
    return digest


def kept_for(graph: Path) -> Path:
    """The folder in the cache for what a library makes of this graph to start faster with it."""
    return graphs.cache_folder().parent / "compiled" / sha256(graph)[:32]


def is_trusted(graph: Path, weights: str, config: ModelConfig) -> bool:
    """Whether this graph was seen on this machine to draw what the weights (SHA-256) draw."""
    return _trust(graph, weights, config).is_file()


def trust(graph: Path, weights: str, config: ModelConfig) -> None:
    """Remember that it was. Where the cache cannot be written to, it will be looked at again."""
    _write(_trust(graph, weights, config), "draws as its weights do\n")


def _trust(graph: Path, weights: str, config: ModelConfig) -> Path:
    return _note("trusted", sha256(graph), weights, config.to_dict())


def _note(kind: str, *about: object) -> Path:
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return graphs.cache_folder().parent / kind / name


def _write(note: Path, text: str) -> None:
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        with replacing(note) as temporary:
            temporary.write_text(text, encoding="ascii")
