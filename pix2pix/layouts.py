"""Finding the pairs of a folder or of a Hub data set, in whichever of the four layouts they lie.

    side_by_side  A is the left half of each file, B the right
    two_folders   train/A and train/B, A/train and B/train, trainA and trainB, or A and B: paired by stem
    photos        each file is a target, of which the task makes the input
    columns       two picture columns: metadata.jsonl or metadata.csv in the folder, or a `datasets` data set

Nothing is dropped in silence: what cannot be paired is an error, and what is no picture is in `ignored`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pix2pix.columns import (
    from_dataset,
    from_metadata,
    metadata_columns,
    metadata_file,
    read_metadata,
    require_derivable,
)
from pix2pix.errors import DataError, listed
from pix2pix.pairs import SUFFIXES, Drawn, PairSource, Photos, SideBySide, TwoFiles, names_in
from pix2pix.tasks import get_task
from pix2pix.training_config import TrainingConfig

FOLDER_NAMES = (("A", "B"), ("a", "b"), ("input", "target"), ("inputs", "targets"), ("source", "target"))
SPLIT_NAMES = ("train", "training", "val", "validation", "valid", "test", "testing")
VALIDATION_NAMES = ("val", "validation", "valid")
PROBED = 100
"""Files whose shape tells the layout; of a larger set, that many spread evenly over it."""

# What lies beside pictures without being meant as one.
DOCUMENTS = {
    ".txt", ".md", ".rst", ".json", ".jsonl", ".csv", ".tsv", ".html", ".pdf", ".yaml", ".yml",
    ".py", ".parquet",
}  # fmt: skip
DOCUMENT_NAMES = {"readme", "license", "licence", "copying", "notice", "thumbs", "desktop"}

ORIENTATION = 0x0112  # EXIF; 5 and above are turned by 90 degrees

Sides = tuple[Path, Path]


def find_pairs(config: TrainingConfig, split: str) -> PairSource | None:
    """Return the pairs of a split, or None where there is no such split. Raises DataError with what is wrong.

    The training split must be there. For validation `val`, `validation` and `valid` mean the same.
    """
    names: tuple[str, ...] = (split,)
    if split != config.train_split and split in VALIDATION_NAMES:
        names = (split, *(name for name in VALIDATION_NAMES if name != split))
    if config.dataset_name:
        return from_dataset(config, names, required=split == config.train_split)
    if config.train_data_dir:
        return _from_folder(Path(config.train_data_dir), names, config)
    if split == config.train_split:
        return Drawn(config.task, config.toy_pairs, config.resolved_load_size)
    return Drawn(config.task, 24, config.resolution, first=1_000_000)  # far from any training scene


def _from_folder(root: Path, names: Sequence[str], config: TrainingConfig) -> PairSource | None:
    if not root.is_dir():
        raise DataError(f"--train_data_dir {root} is not a folder. Give the folder that holds the pairs.")
    for name in names:
        sides = _find_sides(root, name, config)
        if sides or (root / name).is_dir():
            return _read(root / name if (root / name).is_dir() else root, sides, config)
    if names[0] != config.train_split:
        return None
    # Without folders for splits, everything is training data.
    splits = _split_folders(root)
    if splits or config.train_split != "train":
        there = (
            ", ".join(splits or sorted(child.name for child in root.iterdir() if child.is_dir()))
            or "no folder"
        )
        raise DataError(
            f"There is no split {config.train_split!r} in {root}; there is {there}. "
            "Name the split with --train_split, or give its folder as --train_data_dir."
        )
    return _read(root, _find_sides(root, "", config), config)


def _read(folder: Path, sides: Sides | None, config: TrainingConfig) -> PairSource:
    """The pairs below `folder`, or in the two folders `sides`."""
    layout = config.layout
    if layout == "auto" and (config.input_column or config.target_column):
        layout = "columns"
    metadata = metadata_file(folder) if layout in ("auto", "columns") else None
    if metadata:
        rows = read_metadata(metadata)
        if layout == "columns" or len(metadata_columns(rows)) > 1:
            return _with_ignored(from_metadata(folder, rows, config), scan(folder))
    if layout == "columns":
        raise DataError(f"--layout columns: there is no metadata.jsonl or metadata.csv in {folder}.")
    if layout == "two_folders" or (layout == "auto" and sides):
        return _from_two_folders(folder, sides, config)
    files = scan(folder)
    pictures = [file for file in files if _is_picture(file)]
    if not pictures:
        raise _empty(folder)
    square = layout == "auto" and _are_squares_side_by_side(pictures)
    if layout == "side_by_side" or square:
        return _with_ignored(SideBySide(folder, pictures, config.direction, square), files)
    if layout == "auto" and get_task(config.task).derive is None:
        raise _unclear(folder, pictures)
    require_derivable(config, str(folder))
    return _with_ignored(Photos(folder, pictures), files)


# ---- files ------------------------------------------------------------------------------------------------


def scan(folder: Path) -> list[Path]:
    """All files below the folder in a fixed order, but for hidden ones and documents. Links are followed."""
    found, seen = [], set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if os.path.realpath(here) in seen:  # a link back up
            folders.clear()
            continue
        seen.add(os.path.realpath(here))
        paths = [
            Path(os.path.normpath(os.path.join(here, name))) for name in files if not name.startswith(".")
        ]
        found += [path for path in paths if not _is_document(path)]
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read: {error.strerror}.")


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _is_document(file: Path) -> bool:
    return file.suffix.lower() in DOCUMENTS or file.stem.lower() in DOCUMENT_NAMES


def _with_ignored(source: PairSource, files: Sequence[Path]) -> PairSource:
    used = set(source.files)
    source.ignored = [file for file in files if file not in used]
    return source


def _empty(folder: Path) -> DataError:
    endings = Counter(path.suffix.lower() or path.name for path in folder.rglob("*") if path.is_file())
    there = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(5)) or "nothing"
    hint = f" Parquet files are read by --dataset_name {folder}." if ".parquet" in endings else ""
    return DataError(
        f"There is no picture in {folder}: there is {there}, and pictures end in "
        f"{', '.join(sorted(SUFFIXES))}.{hint}"
    )


# ---- one file a pair, or photos ---------------------------------------------------------------------------


def _are_squares_side_by_side(pictures: Sequence[Path]) -> bool:
    """Whether most of the pictures are twice as wide as high."""
    step = -(-len(pictures) // PROBED)
    sizes = [size for size in map(_header_size, pictures[::step]) if size]
    return 2 * sum(width == 2 * height for width, height in sizes) > len(sizes)


def _header_size(file: Path) -> tuple[int, int] | None:
    """(width, height) as seen upright, without decoding; None for a damaged file: check_pairs names it."""
    try:
        if file.suffix.lower() == ".npy":
            height, width = np.load(file, mmap_mode="r", allow_pickle=False).shape[:2]
            return width, height
        with Image.open(file) as picture:
            turned = picture.getexif().get(ORIENTATION, 1) >= 5
            return picture.size[::-1] if turned else picture.size
    except Exception:  # readers raise nearly anything on a damaged file
        return None


def _unclear(folder: Path, pictures: Sequence[Path]) -> DataError:
    example = next(
        (f"{file.name} is {size[0]}x{size[1]}" for file in pictures if (size := _header_size(file))),
        f"{pictures[0].name} cannot be read",
    )
    return DataError(
        f"How the pairs lie in {folder} is not clear: two squares side by side would be twice as wide as "
        f"high ({example}), and there are no two folders A and B, and no metadata.jsonl with two picture "
        "columns. "
        "If each file is a pair all the same, say --layout side_by_side; if each is a photo to learn from, "
        "say --task colorize or --task sketch."
    )


# ---- two folders ------------------------------------------------------------------------------------------


def _find_sides(root: Path, split: str, config: TrainingConfig) -> Sides | None:
    """The folders A and B of a split; of no split, if it is empty. One without the other is a DataError."""
    if config.layout not in ("auto", "two_folders") or config.input_column or config.target_column:
        return None
    found: dict[tuple[str, str], Sides] = {}
    halves: list[Sides] = []
    for a, b in FOLDER_NAMES:
        places = [(root / a, root / b)]
        if split:
            places = [
                (root / split / a, root / split / b),
                (root / a / split, root / b / split),
                (root / f"{split}{a}", root / f"{split}{b}"),
            ]
        for sides in places:
            if all(side.is_dir() for side in sides):
                # Where case does not count, A and a are one folder.
                found.setdefault((_identity(sides[0]), _identity(sides[1])), sides)
            elif any(side.is_dir() for side in sides):
                halves.append(sides)
    if len(found) > 1:
        places_found = "; ".join(f"{a} and {b}" for a, b in found.values())
        raise DataError(
            f"There are several pairs of folders: {places_found}. Which is meant? Move the others away."
        )
    if not found and halves and not metadata_file(root / split):
        there, missing = sorted(halves[0], key=lambda side: not side.is_dir())
        raise DataError(
            f"There is {there}, but no {missing}: two folders of pairs come together. "
            "If the first holds no pairs, say which --layout is meant."
        )
    return next(iter(found.values()), None)


def _identity(folder: Path) -> str:
    stat = folder.stat()
    return f"{stat.st_dev}:{stat.st_ino}" if stat.st_ino else str(folder.resolve())


def _split_folders(root: Path) -> list[str]:
    """The folders below root that stand for a split, in any layout: val, A/val, valA."""
    sides = {side for pair in FOLDER_NAMES for side in pair}
    named = {split + side for split in SPLIT_NAMES for side in ("", *sides)}
    found = [child.name for child in root.iterdir() if child.is_dir() and child.name in named]
    found += [f"{side}/{split}" for side in sides for split in SPLIT_NAMES if (root / side / split).is_dir()]
    return sorted(found)


def _from_two_folders(folder: Path, sides: Sides | None, config: TrainingConfig) -> PairSource:
    if sides is None:
        names = "; ".join(" and ".join(pair) for pair in FOLDER_NAMES)
        raise DataError(f"--layout two_folders: {folder} has no two folders named like {names}.")
    side_a, side_b = sides
    beside = (side_a.name, side_b.name) in FOLDER_NAMES and side_a.parent == side_b.parent
    files = scan(side_a.parent) if beside else [*scan(side_a), *scan(side_b)]
    problems: list[str] = []
    a, b = (_by_stem(side, problems) for side in sides)
    problems += [f"{a[stem]} has no partner in {side_b}" for stem in sorted(a.keys() - b.keys())]
    problems += [f"{b[stem]} has no partner in {side_a}" for stem in sorted(b.keys() - a.keys())]
    if problems:
        raise DataError(
            f"{len(problems)} files are not paired one to one by their stems (names without the ending):\n"
            f"{listed(problems)}\nRename, add or remove them."
        )
    if not a:
        raise _empty(side_a)
    pairs = [(a[stem], b[stem]) for stem in sorted(a)]
    return _with_ignored(TwoFiles(side_a, pairs, config.direction), files)


def _by_stem(side: Path, problems: list[str]) -> dict[str, Path]:
    """Pictures by their path below `side` without the ending; two of one stem go to `problems`."""
    found: dict[str, Path] = {}
    for file in filter(_is_picture, scan(side)):
        stem = os.path.splitext(names_in(side, [file])[0])[0]
        if stem in found:
            problems.append(f"{found[stem]} and {file.name} have the same stem: which one is meant?")
        found[stem] = file
    return found
