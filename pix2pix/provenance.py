"""What a translated file was made from and by: a mark inside it, by which a later run knows that it is done.

The mark is a hash of the input's size and time, of the model and of what else decides on the pixels. A
picture carries it in the EXIF tag Software, a video in its comment; an array in a hidden file beside it. The
picture's orientation is applied to its pixels, so that the output has no orientation tag of its own.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pix2pix import __version__, images
from pix2pix.files import remove_leftovers, replacing

SOFTWARE = 0x0131  # EXIF
SAMPLES, SAMPLE_BYTES = 64, 4096
DEFAULT_QUALITY = {".jpg": 95, ".webp": 90}


def model_identity(folder: Path) -> str:
    """A hash that tells a model from any other: its configuration, and 64 stretches of its weights.

    Training moves every weight, so that stretches tell as much as all of them, in a millisecond.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    weights = folder / "model.safetensors"
    size = weights.stat().st_size
    digest.update(str(size).encode())
    with open(weights, "rb") as file:
        for number in range(SAMPLES):
            file.seek(max(0, size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def mark(*what: object) -> str:
    """The mark of an output that depends on `what`."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:32]


def sentence(marked: str) -> str:
    """What stands in the file."""
    return f"pix2pix {__version__}, made {marked}"


def is_marked(target: Path, marked: str) -> bool:
    """Whether `target` is there, whole, and was made from exactly this; reads only its header."""
    try:
        if target.suffix == ".npy":
            return _beside(target).read_text() == _array_note(target, marked)
        if target.suffix == ".mp4":
            from pix2pix.video import comment_of

            return comment_of(target).endswith(f"made {marked}")
        with Image.open(target) as picture:
            return str(picture.getexif().get(SOFTWARE, "")).endswith(f"made {marked}")
    except Exception:  # not there, or damaged in any way: not done
        return False


def save_marked(
    drawn: Image.Image | np.ndarray, target: Path, marked: str, quality: int | None = None
) -> None:
    """Write a translated picture or array with its mark; `target` is written whole or not at all.

    No other process may be at the same target: what a killed one left of it is removed.
    """
    remove_leftovers(target)
    if isinstance(drawn, np.ndarray):
        with replacing(target) as temporary:
            np.save(temporary, drawn)
        with replacing(_beside(target)) as temporary:
            temporary.write_text(_array_note(target, marked))
        return
    exif = Image.Exif()
    exif[SOFTWARE] = sentence(marked)
    options: dict[str, Any] = {"exif": exif}
    if target.suffix in DEFAULT_QUALITY:
        drawn = drawn if drawn.mode in ("RGB", "L") else images.to_rgb(drawn)  # neither has 16 bits
        options["quality"] = quality or DEFAULT_QUALITY[target.suffix]
        if target.suffix == ".webp" and quality == 100:
            options["lossless"] = True
    with replacing(target) as temporary:
        drawn.save(temporary, **options)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.made")


def _array_note(target: Path, marked: str) -> str:
    status = os.stat(target)  # an array that somebody else has written since is not the one we made
    return f"{marked} {status.st_size} {status.st_mtime_ns}"
