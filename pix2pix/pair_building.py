"""Writing pairs as a data set: an imagefolder with metadata.jsonl, which `datasets` and training both read.

    DIR/train/metadata.jsonl          {"input_file_name": "input/x.jpg", "target_file_name": "target/x.png"}
    DIR/train/input/x.jpg  DIR/train/target/x.png  DIR/val/...  DIR/test/...

Files are copied byte for byte. Only what readers would see differently is drawn anew, as PNG: a picture that
lies on its side by its EXIF, one that is fitted to its partner's size, and an input made from a photo.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pix2pix import images
from pix2pix.errors import ConfigError, DataError, ImageError, listed
from pix2pix.pair_matching import Match
from pix2pix.pairs import check_pair
from pix2pix.tasks import get_task

ORIENTATION = 0x0112


@dataclass(frozen=True)
class Built:
    """What was written: pairs of each split; and what was not, with the reason."""

    splits: Mapping[str, int]
    left_out: Sequence[str]


@dataclass(frozen=True)
class Building:
    """How pairs are written."""

    task: str | None = None
    """Makes the input from a photo: colorize or sketch."""
    resize: bool = False
    """Fit the target to the input's size where they differ; without it such a pair is left out."""
    side_by_side: bool = False
    """One PNG a pair, input left and target right, in place of two files and metadata.jsonl."""

    def __post_init__(self) -> None:
        if self.task is not None and get_task(self.task).derive is None:
            raise ConfigError(
                f"--task {self.task} does not make its input from a photo; colorize and sketch do. "
                "Give two folders."
            )


def build(
    splits: Mapping[str, Sequence[Match]],
    output: Path,
    building: Building,
    progress: Callable[[Iterable[Match]], Iterable[Match]] = iter,
) -> Built:
    """Write the pairs of each split into the new folder `output`, whole or not at all.

    A pair that cannot be used is left out. DataError, and nothing is written, where that leaves none.
    """
    left_out: list[str] = []
    counts: dict[str, int] = {}
    with new_folder(output) as temporary:
        for split, pairs in splits.items():
            rows = []
            for pair in progress(pairs):
                try:
                    rows.append(_write_pair(pair, temporary / split, building))
                except ImageError as error:
                    left_out.append(str(error))
            if rows and not building.side_by_side:
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                (temporary / split / "metadata.jsonl").write_text(lines, encoding="utf-8")
            if rows:
                counts[split] = len(rows)
            else:
                shutil.rmtree(temporary / split, ignore_errors=True)
        if not counts:
            raise DataError(f"No pair can be used, and nothing was written:\n{listed(left_out)}")
    return Built(counts, left_out)


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Yield a folder beside `output` that takes its name when the block ends well, and else disappears."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"--output {output} exists and is not empty; nothing is overwritten. Name another.")
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}-{secrets.token_hex(6)}")
    temporary.mkdir()
    try:
        yield temporary
        if output.exists():
            output.rmdir()
        os.replace(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_pair(pair: Match, folder: Path, building: Building) -> dict[str, str]:
    """Write one pair below the split's folder; return its row of metadata.jsonl."""
    target = _open(pair.b)
    if pair.a is None:
        derive = get_task(building.task or "").derive
        assert derive is not None  # Building has checked it
        made: Image.Image | None = derive(images.to_rgb(target))
        side = made
    else:
        made, side = None, _open(pair.a)
    assert side is not None
    fitted = _fitted(side, target, pair, building)
    if building.side_by_side:
        return write_side_by_side(side, fitted or target, folder / f"{pair.key}.png")
    row = {}
    sides = (("input", pair.a, side, made is not None), ("target", pair.b, fitted or target, bool(fitted)))
    for name, file, picture, drawn in sides:
        again = drawn or (file is not None and _is_turned(file))
        ending = ".png" if again or file is None else file.suffix
        path = folder / name / f"{pair.key}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if again or file is None:
            _savable(picture).save(path, "PNG")
        else:
            shutil.copyfile(file, path)
        row[f"{name}_file_name"] = path.relative_to(folder).as_posix()
    return row


def _open(file: Path) -> Image.Image:
    if file.suffix.lower() == ".npy":
        raise ImageError(f"{file}: an array; an imagefolder holds pictures. Save it as PNG or TIFF.")
    return images.open_picture(file)


def _fitted(side: Image.Image, target: Image.Image, pair: Match, building: Building) -> Image.Image | None:
    """The target in the input's size where it must change; ImageError where it may not."""
    if side.size == target.size:
        return None
    if not building.resize:
        check_pair(side, target, f"{pair.a} and {pair.b}")
    # Few colours are labels, and between two labels there is no third.
    is_palette = target.mode in ("P", "1") or images.to_rgb(target).getcolors(64) is not None
    resample = Image.Resampling.NEAREST if is_palette else Image.Resampling.BICUBIC
    return images.crop_resize(target, side.size, resample=resample)


def write_side_by_side(left: Image.Image, right: Image.Image, path: Path) -> dict[str, str]:
    """Write two pictures of one size as one PNG, in RGB; return its row of metadata.jsonl."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = [images.to_rgb(picture) for picture in (left, right)]
    both = Image.new("RGB", (2 * left.width, left.height))
    both.paste(sides[0], (0, 0))
    both.paste(sides[1], (left.width, 0))
    both.save(path, "PNG")
    return {"file_name": path.name}


def _is_turned(file: Path) -> bool:
    with Image.open(file) as picture:
        return bool(picture.getexif().get(ORIENTATION, 1) != 1)


def _savable(picture: Image.Image) -> Any:
    """In a mode that PNG has."""
    known = picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I")
    return picture if known else images.to_rgb(picture)
