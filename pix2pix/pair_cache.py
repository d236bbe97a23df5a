"""The training pairs decoded and resized once, memory-mapped: a sample is then a copy of a few rows.

    pairs = cached_pairs(dataset, "auto", say)      # builds the cache, or finds it; processes share it
    batch = next(training_batches(pairs, config))   # uint8 or int16: fewer bytes travel
    x = as_floats(batch["input"].to(device))        # float32 [B, C, S, S] in [-1, 1]

What a sample looks like depends on --cache being on, never on the cache: where none can be kept, the same
pixels are made anew each time. As in the paper (appendix 6.2) a picture is resized to `load_size` and cropped
in whole pixels; without --cache the crop lies between pixels, by half a one at most.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from pix2pix import images
from pix2pix.data import PairDataset, choose_view
from pix2pix.files import sync_folder
from pix2pix.pairs import PairSource, Picture, crop_resize, picture_size

RECIPE = 1
"""Part of a cache's name; counts up when the same pairs would become other bytes."""
ZOOM = 0.6
"""small-data shows as little as this share of a crop's side: its pictures are kept so much larger."""
ALIGNMENT = 64
CHUNK = 64
"""Pairs that are resized at once, so that a slow disk does not fill the memory."""
Sides = tuple[np.ndarray, ...]
"""What is kept of a pair, [C, H, W] each: input and target, or the target alone where it makes the input."""


def as_floats(levels: Tensor) -> Tensor:
    """Pixels as they travel -> float32 in [-1, 1]; what is float already is returned as it is."""
    if levels.dtype == torch.uint8:
        return levels.float().div_(255).mul_(2).sub_(1)
    return levels.float().div_(32767) if levels.dtype == torch.int16 else levels


def _as_levels(array: np.ndarray, color: str) -> np.ndarray:
    """float [H, W, C] in [-1, 1] -> [C, H, W]: uint8 for rgb, which has no more levels, else int16."""
    planes = array.transpose(2, 0, 1)
    levels = images.to_integers(planes, np.uint8) if color == "rgb" else np.rint(planes * 32767)
    return np.ascontiguousarray(levels, np.uint8 if color == "rgb" else "<i2")


class ResizedPairs(PairDataset):
    """Pairs whose samples are crops of what is kept of them: `input`, `target` [C, S, S] for `as_floats`."""

    store: PairStore | None = None

    def __getitem__(self, sample: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = sample
        sides = self.resized(index) if self.store is None else self.store[index]
        if self.config.augment == "small-data":  # zooms between pixels, so each sample is resized from these
            pictures = [_picture(side) for side in sides]
            return self.example(pictures[0] if len(pictures) == 2 else None, pictures[-1], epoch, index)
        side, (height, width) = self.config.resolution, sides[-1].shape[1:]
        view = choose_view(self.config, (width, height), epoch, index)
        left = min(round(view.box[0] * width), width - side)
        top = min(round(view.box[1] * height), height - side)
        crops = [np.array(kept[:, top : top + side, left : left + side]) for kept in sides]
        x, y = (torch.from_numpy(crop) for crop in (self._derived(crops[0]) if len(crops) == 1 else crops))
        if view.mirror:
            x, y = x.flip(-1), y.flip(-1)
        return {"input": x, "target": y}

    def resized(self, index: int) -> Sides:
        """What is kept of a pair, made from its files."""
        input_picture, target = self.source.load(index)
        y = self._resize(target)
        if input_picture is not None:
            x: Picture | None = self._resize(input_picture)
        else:  # lightness is a matter of single pixels; anything else is drawn from each crop anew
            assert self.task.derive is not None
            x = self.task.derive(_photo(y)) if self.task.input_color == "l" else None
        if x is None or self.config.augment == "small-data":
            kept = [y] if input_picture is None or x is None else [x, y]
            return tuple(_as_levels(images.to_array(_photo(side), "rgb"), "rgb") for side in kept)
        model = self.model
        return (
            _as_levels(images.to_array(x, model.input_color, model.in_channels), model.input_color),
            _as_levels(images.to_array(y, model.output_color, model.out_channels), model.output_color),
        )

    def _resize(self, picture: Picture) -> Picture:
        """The whole picture, its shorter side (or, with --fit squash, both) as long as crops are cut from."""
        config, (width, height) = self.config, picture_size(picture)
        short = min(width, height)
        if config.augment == "none":
            return self._cropped(picture, choose_view(config, (width, height), 0, 0))
        load = config.resolved_load_size
        if config.augment == "small-data":
            if short <= (load := math.ceil(load / ZOOM)):
                return picture
        elif config.fit == "squash":
            return crop_resize(picture, (load, load), (0, 0, width, height))
        size = max(load, round(width * load / short)), max(load, round(height * load / short))
        return crop_resize(picture, size, (0, 0, width, height))

    def _derived(self, photo: np.ndarray) -> Sides:
        """Input and target from the crop of a photograph."""
        model, picture = self.model, _picture(photo)
        assert self.task.derive is not None
        x = images.to_array(self.task.derive(picture), model.input_color, model.in_channels)
        if model.output_color == "rgb":
            return _as_levels(x, model.input_color), photo
        y = images.to_array(picture, model.output_color, model.out_channels)
        return _as_levels(x, model.input_color), _as_levels(y, model.output_color)


def _photo(picture: Picture) -> Image.Image:
    if isinstance(picture, np.ndarray):
        picture = images.to_picture(images.to_array(picture, "rgb"), "rgb")
    return images.to_rgb(picture)


def _picture(planes: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))


# ---- on the disk ------------------------------------------------------------------------------------------


class PairStore:
    """A cache's folder, read: `store[index]` are the sides of a pair. Raises OSError if it is not whole."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            with open(folder / "index.json", encoding="utf-8") as file:
                content = json.load(file)
            self.dtypes: list[str] = content["dtypes"]
            self.size: int = content["bytes"]
            self.index = np.load(folder / "index.npy", allow_pickle=False)  # [N, sides, offset C H W]
        except (ValueError, KeyError, TypeError, EOFError) as error:
            raise OSError(f"{folder} is damaged ({error})") from error
        if os.path.getsize(folder / "pixels.bin") != self.size:
            raise OSError(f"{folder} is damaged: pixels.bin has not the {self.size} bytes that it should")
        self._pixels: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}  # a data worker maps the file itself

    def __getitem__(self, index: int) -> Sides:
        if self._pixels is None:
            self._pixels = np.asarray(np.memmap(self.folder / "pixels.bin", np.uint8, "r"))
        sides = []
        for dtype, (offset, *shape) in zip(self.dtypes, self.index[index].tolist(), strict=True):
            size = math.prod(shape) * np.dtype(dtype).itemsize
            sides.append(self._pixels[offset : offset + size].view(dtype).reshape(shape))
        return tuple(sides)


def cached_pairs(
    pairs: PairDataset,
    where: str,
    say: Callable[[str], None],
    progress: Callable[[Iterable], Iterable] = iter,
) -> ResizedPairs:
    """The pairs, resized as --cache means it, from the folder `where` (`auto`: the user's cache folder).

    A cache that cannot be written or read is said, and done without: the samples are the same, only slower.
    """
    resized = ResizedPairs(pairs.source, pairs.config, pairs.model)
    folder = auto_folder() if where == "auto" else Path(where)
    try:
        path = folder / f"pairs-{_name(pairs)}"
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(path, say):
            try:
                resized.store = PairStore(path)
            except FileNotFoundError:
                _build(path, resized, say, progress, most=0.5 if where == "auto" else 1.0)
                resized.store = PairStore(path)
            except OSError as error:
                say(f"The cache of resized pairs is made again: {error}.")
                shutil.rmtree(path)
                _build(path, resized, say, progress, most=0.5 if where == "auto" else 1.0)
                resized.store = PairStore(path)
    except OSError as error:
        say(f"The resized pairs could not be kept in {folder} ({error}): they are made anew each time.")
    return resized


def auto_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pix2pix" / "pairs"


def _name(pairs: PairDataset) -> str:
    """A hash of all that the kept pixels depend on: every file's content, and how they are resized.

    Contents, for a picture may be mended without a change of its size, and copied with its time. Reading is
    cheap beside the decoding of every picture that comes before each run.
    """
    config, model = pairs.config, pairs.model
    recipe = (
        RECIPE, PIL.__version__, config.task, config.resolution, config.resolved_load_size, config.augment,
        config.fit, config.direction, model.input_color, model.output_color, pairs.source.layout,
        list(pairs.source.names),
    )  # fmt: skip
    digest = hashlib.sha256(repr(recipe).encode())
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for content in pool.map(lambda read: read(), _contents(pairs.source)):
            digest.update(content)
    return digest.hexdigest()[:32]


def _contents(source: PairSource) -> list[Callable[[], bytes]]:
    if source.files:
        return [lambda file=file: hashlib.sha256(file.read_bytes()).digest() for file in source.files]  # type: ignore[misc]

    def pixels(index: int) -> bytes:
        digest = hashlib.sha256()
        for side in source.load(index):
            digest.update(b"" if side is None else np.ascontiguousarray(side).tobytes())
            digest.update(repr(None if side is None else picture_size(side)).encode())
        return digest.digest()

    return [lambda index=index: pixels(index) for index in range(len(source.names))]  # type: ignore[misc]


@contextlib.contextmanager
def _lock(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Of several processes that want one cache, one builds it and the others wait. It ends with its process.

    Where the system or the disk knows no locks, each builds one, and the first that is whole is kept.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(path.with_name(f".{path.name}.lock"), "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another process is making the cache of resized pairs; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass
        yield


def _build(
    path: Path,
    pairs: ResizedPairs,
    say: Callable[[str], None],
    progress: Callable[[Iterable], Iterable],
    most: float,
) -> None:
    """Write the cache beside its place and rename it into it: it is there whole, or not at all.

    `most` is the share of the free disk that it may take; it raises OSError rather than more.
    """
    for leftover in path.parent.glob(f".building-{path.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = path.with_name(f".building-{path.name}-{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        size = _write(temporary, pairs, progress, most)
        with contextlib.suppress(OSError):  # another process may have been first
            os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    say(f"{len(pairs)} resized pairs are kept in {path} ({size / 1e6:.0f} MB), for later runs as well.")


def _write(folder: Path, pairs: ResizedPairs, progress: Callable[[Iterable], Iterable], most: float) -> int:
    """Write pixels.bin, index.npy and index.json; return the bytes of the pixels."""
    index: list[list[tuple[int, ...]]] = []
    dtypes, offset, count = [""], 0, len(pairs)
    free = shutil.disk_usage(folder).free * most
    with open(folder / "pixels.bin", "wb") as file, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in progress(range(0, count, CHUNK)):
            for sides in pool.map(pairs.resized, range(start, min(start + CHUNK, count))):
                row, dtypes = [], [side.dtype.str for side in sides]
                needed = (offset + sum(side.nbytes for side in sides)) * count // (len(index) + 1)
                if needed > free:
                    raise OSError(f"they would take about {needed / 1e6:.3g} MB of {free / 1e6:.3g} MB")
                for side in sides:
                    row.append((offset, *side.shape))
                    file.write(side.tobytes())
                    offset += side.nbytes
                    offset += file.write(b"\0" * (-offset % ALIGNMENT))
                index.append(row)
        file.flush()
        os.fsync(file.fileno())
    np.save(folder / "index.npy", np.array(index, np.int64))
    (folder / "index.json").write_text(json.dumps({"dtypes": dtypes, "bytes": offset}), encoding="utf-8")
    return offset
