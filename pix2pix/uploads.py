"""What a visitor sends becomes a picture, or a sentence that says why not."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from PIL import Image

from pix2pix import images
from pix2pix.errors import ImageError

LARGEST_BYTES = 20 << 20
"""Of one file."""
MOST_PIXELS = 40_000_000
MOST_FILES = 20
"""Pictures that are translated at once."""
PREVIEW = 1600
"""Longest side in pixels of what the page shows; the download has all of them."""


def bound_memory() -> None:
    """Let Pillow refuse a picture of more than `MOST_PIXELS`, whoever opens it in this process."""
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # it warns of more than this, and refuses twice as many
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def open_upload(path: str | os.PathLike[str]) -> Image.Image:
    """The upright picture in a file that a stranger sent; of an animation the first frame.

    Its size is read from the header before anything is decoded. Raises ImageError with a sentence for the
    visitor, which names the file without its folder.
    """
    name = Path(path).name
    try:
        size = os.path.getsize(path)
    except OSError as error:
        raise ImageError(
            f"{name} is no longer here: pictures are kept for an hour. Give it again."
        ) from error
    if size > LARGEST_BYTES:
        raise ImageError(f"{name} has {size / 1e6:.0f} MB; a file may have {LARGEST_BYTES >> 20} MB at most.")
    pixels = _pixels(path)
    if pixels > MOST_PIXELS:
        raise ImageError(
            f"{name} has {pixels / 1e6:.0f} megapixels; a picture may have {MOST_PIXELS // 10**6} at most. "
            "Make it smaller."
        )
    try:
        return images.open_picture(path)
    except ImageError as error:
        raise ImageError(str(error).replace(str(path), name)) from error


def _pixels(path: str | os.PathLike[str]) -> int:
    """Pixels by the header alone; 0 where that cannot be read, which open_picture explains."""
    Image.init()
    readers = [known for known in images.FORMATS if known in Image.OPEN]
    try:
        with Image.open(path, formats=readers) as picture:
            return picture.width * picture.height
    except Image.DecompressionBombError as error:
        told = re.search(r"\((\d+) pixels\)", str(error))
        return int(told[1]) if told else MOST_PIXELS + 1
    except Exception:  # readers raise nearly anything on a damaged header
        return 0


def preview(picture: Image.Image) -> Image.Image:
    """A copy of at most `PREVIEW` pixels a side, RGB."""
    shown = images.to_rgb(picture)
    scale = PREVIEW / max(shown.size)
    if scale >= 1:
        return shown
    width, height = (max(1, round(side * scale)) for side in shown.size)
    return shown.resize((width, height), Image.Resampling.LANCZOS)
