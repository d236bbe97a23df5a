"""Pairs where they lie: loading the two pictures of one, and checking all of them before training starts."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pix2pix import images
from pix2pix.config import ModelConfig
from pix2pix.errors import DataError, ImageError, listed

logger = logging.getLogger(__name__)

Picture = Image.Image | np.ndarray
"""A decoded picture: PIL of any mode, or an array [H, W, C] from a .npy file."""

SUFFIXES = images.EXTENSIONS | {".npy"}


class PairSource:
    """A sequence of pairs. `load` gives (input, target); the input is None where the task derives it."""

    layout: str
    names: Sequence[str]
    files: Sequence[Path] = ()
    """The files that the pairs are made of, where they are files."""
    ignored: Sequence[Path] = ()
    """Files found beside them that are part of no pair."""
    identity: str = ""
    """What tells the content of pairs that are no files from that of others with the same names."""

    def load(self, index: int) -> tuple[Picture | None, Picture]:
        raise NotImplementedError


class SideBySide(PairSource):
    """One file a pair: A is its left half, B its right. Both are square if `square`."""

    layout = "side_by_side"

    def __init__(self, folder: Path, files: Sequence[Path], direction: str = "AtoB", square: bool = False):
        self.files, self.names = files, names_in(folder, files)
        self.direction, self.square = direction, square

    def load(self, index: int) -> tuple[Picture, Picture]:
        file = self.files[index]
        picture = load_picture(file)
        width, height = picture_size(picture)
        if self.square and width != 2 * height:
            raise ImageError(
                f"{file} is {width}x{height} pixels, where most are twice as wide as high: two squares side "
                "by side. If its halves are a pair all the same, say --layout side_by_side."
            )
        if width % 2:
            raise ImageError(f"{file} is {width} pixels wide: an odd width has no two equal halves.")
        sides = _columns_of(picture, 0, width // 2), _columns_of(picture, width // 2, width)
        return sides if self.direction == "AtoB" else sides[::-1]


class TwoFiles(PairSource):
    """Two files a pair: (A, B) paths, already matched. `folder` is where A's names count from."""

    def __init__(
        self,
        folder: Path,
        pairs: Sequence[tuple[Path, Path]],
        direction: str = "AtoB",
        layout: str = "two_folders",
    ):
        self.pairs, self.names = pairs, names_in(folder, [a for a, _ in pairs])
        self.files = [file for pair in pairs for file in pair]
        self.direction, self.layout = direction, layout

    def load(self, index: int) -> tuple[Picture, Picture]:
        sides = self.pairs[index] if self.direction == "AtoB" else self.pairs[index][::-1]
        return load_picture(sides[0]), load_picture(sides[1])


class Photos(PairSource):
    """One file a pair: the target. The task derives the input from the target's crop."""

    layout = "photos"

    def __init__(self, folder: Path, files: Sequence[Path]):
        self.files, self.names = files, names_in(folder, files)

    def load(self, index: int) -> tuple[None, Picture]:
        return None, load_picture(self.files[index])


class Columns(PairSource):
    """Rows of a `datasets.Dataset`, its pictures not decoded: our own decoder keeps 16 bit and EXIF."""

    layout = "columns"

    def __init__(self, rows: Any, input_column: str | None, target_column: str):
        self.rows, self.input_column, self.target_column = rows, input_column, target_column
        self.names = [f"row {index}" for index in range(len(rows))]
        self.identity = str(getattr(rows, "_fingerprint", ""))  # what `datasets` knows its cache by

    def load(self, index: int) -> tuple[Picture | None, Picture]:
        row = self.rows[index]
        target = self._cell(row, index, self.target_column)
        return (None if self.input_column is None else self._cell(row, index, self.input_column)), target

    def _cell(self, row: dict[str, Any], index: int, column: str) -> Picture:
        return decode_cell(row, self.names[index], column)


def decode_cell(row: dict[str, Any], name: str, column: str) -> Picture:
    """Decode one undecoded cell of a picture column, {"bytes": ..., "path": ...}; `name` is the row's."""
    cell, where = row[column], f"{name}, column {column!r}"
    if not isinstance(cell, dict) or not (cell.get("bytes") or cell.get("path")):
        raise ImageError(f"{where}: there is no picture.")
    try:
        return images.open_picture(cell.get("bytes") or Path(cell["path"]))
    except ImageError as error:
        name = f" ({cell['path']})" if cell.get("path") and cell.get("bytes") else ""
        raise ImageError(f"{where}{name}: {error}") from error


class Drawn(PairSource):
    """The drawn town: pairs from our own pen, drawn once and kept."""

    layout = "drawn"

    def __init__(self, task: str, count: int, size: int, first: int = 0):
        self.names = [f"drawn town {first + index}" for index in range(count)]
        self.task, self.size, self.first = task, size, first
        self._kept: dict[int, tuple[Picture, Picture]] = {}

    def load(self, index: int) -> tuple[Picture, Picture]:
        if index not in self._kept:
            from pix2pix import toy  # a pen of a dozen modules: only where something is drawn

            self._kept[index] = toy.draw_pair(self.task, self.first + index, self.size)
        return self._kept[index]


class Selected(PairSource):
    """Some pairs of another source."""

    def __init__(self, source: PairSource, chosen: Sequence[int]):
        self.source, self.chosen = source, chosen
        self.layout, self.ignored = source.layout, source.ignored
        self.files, self.identity = source.files, source.identity
        self.names = [source.names[index] for index in chosen]

    def load(self, index: int) -> tuple[Picture | None, Picture]:
        return self.source.load(self.chosen[index])


# ---- one picture ------------------------------------------------------------------------------------------


def load_picture(path: Path) -> Picture:
    """Decode a picture file, or a .npy array [H, W] or [H, W, C]. Raises ImageError naming the file."""
    if path.suffix.lower() != ".npy":
        return images.open_picture(path)
    try:
        array = np.load(path, allow_pickle=False)  # a pickle could run code
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"{path} cannot be read as an array: {error}") from error
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ImageError(f"{path} has shape {array.shape}; a picture is [H, W] or [H, W, C].")
    return array if array.ndim == 3 else array[..., None]


def picture_size(picture: Picture) -> tuple[int, int]:
    """Return (width, height)."""
    return picture.size if isinstance(picture, Image.Image) else (picture.shape[1], picture.shape[0])


def crop_resize(picture: Picture, size: tuple[int, int], box: tuple[float, float, float, float]) -> Picture:
    """The part `box` (x0, y0, x1, y1 in pixels) in `size` (width, height); arrays become float in [-1, 1]."""
    if isinstance(picture, Image.Image):
        return images.crop_resize(picture, size, box)
    unit = (images.to_array(picture, "raw") + 1) / 2
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(unit, -1, 0)]
    return np.stack([np.asarray(images.crop_resize(plane, size, box)) for plane in planes], axis=-1) * 2 - 1


def names_in(folder: Path, files: Sequence[Path]) -> list[str]:
    """The files as seen from the folder, the same on every system."""
    return [os.path.relpath(file, folder).replace(os.sep, "/") for file in files]


def _columns_of(picture: Picture, left: int, right: int) -> Picture:
    if isinstance(picture, Image.Image):
        return picture.crop((left, 0, right, picture.height))
    return picture[:, left:right]


# ---- all of them ------------------------------------------------------------------------------------------


def check_pairs(
    source: PairSource, progress: Callable[[Iterable], Iterable] = iter, model: ModelConfig | None = None
) -> None:
    """Decode every pair once; raise DataError naming each that is unreadable or whose sides differ in size.

    With `model` also each whose pictures do not have the channels that it reads or draws. Files that are part
    of no pair are logged as a warning. `progress` wraps the iterable of results, for a progress bar.
    """
    if source.ignored:
        count, names = len(source.ignored), listed([str(file) for file in source.ignored])
        logger.warning(
            "%d file%s part of no pair and left out:\n%s", count, " is" if count == 1 else "s are", names
        )
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        try:
            found = pool.map(lambda index: _problem(source, index, model), range(len(source.names)))
            problems = [text for text in progress(found) if text]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for the rest
    if problems:
        raise DataError(
            f"{len(problems)} of {len(source.names)} pairs cannot be used:\n{listed(problems)}\n"
            "Mend or remove them; training does not start on part of a data set."
        )


def check_pair(input_picture: Picture | None, target: Picture, name: str) -> None:
    """Raise ImageError if the two sides of a pair differ in size."""
    if input_picture is not None and picture_size(input_picture) != picture_size(target):
        sizes = " and ".join("x".join(map(str, picture_size(side))) for side in (input_picture, target))
        raise ImageError(f"{name}: its two sides are {sizes} pixels; they must be equal.")


def _problem(source: PairSource, index: int, model: ModelConfig | None) -> str | None:
    try:
        input_picture, target = source.load(index)
    except ImageError as error:
        return str(error)
    name = source.names[index]
    try:
        check_pair(input_picture, target, name)
    except ImageError as error:
        return str(error)
    if model is None:
        return None
    try:
        if input_picture is not None:
            _require_values(input_picture, model.input_color, model.in_channels)
        _require_values(target, model.output_color, model.out_channels)
    except ImageError as error:
        return f"{name}: {error}"
    return None


def _require_values(picture: Picture, color: str, channels: int) -> None:
    """Do what training will do with the picture; any 8-bit one has a colour, which needs no trial."""
    if isinstance(picture, np.ndarray) or color == "raw" or picture.mode in ("I", "F"):
        images.to_array(crop_resize(picture, (1, 1), (0, 0, *picture_size(picture))), color, channels)


def hold_out(source: PairSource, share: float = 0.05, most: int = 100) -> tuple[PairSource, PairSource]:
    """Split off validation pairs, chosen by a hash of their names: the same ones every time, on any machine.

    One pair alone is its own validation: there is nothing else to show.
    """
    count = len(source.names)
    if count == 1:
        return source, source
    ranked = sorted(range(count), key=lambda index: (zlib.crc32(source.names[index].encode()), index))
    held = set(ranked[: min(most, max(1, round(share * count)))])
    rest = [index for index in range(count) if index not in held]
    return Selected(source, rest), Selected(source, sorted(held))
