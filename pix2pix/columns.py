"""Pairs in picture columns: of a folder's metadata.jsonl or metadata.csv, and of a `datasets` data set."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pix2pix.errors import DataError, listed
from pix2pix.pairs import Columns, PairSource, Photos, TwoFiles
from pix2pix.tasks import TASKS, get_task
from pix2pix.training_config import TrainingConfig

COLUMN_NAMES = (
    ("imageA", "imageB"), ("input", "target"), ("source", "target"), ("input_image", "target_image"),
    ("A", "B"), ("image_A", "image_B"), ("conditioning_image", "image"),
)  # fmt: skip


# ---- which column is which --------------------------------------------------------------------------------


def choose_columns(available: Sequence[str], config: TrainingConfig, where: str) -> tuple[str | None, str]:
    """Return the columns of (A, B), whatever the direction; A is None where the task makes it from B."""
    a, b = config.input_column, config.target_column
    for flag, name in (("input_column", a), ("target_column", b)):
        if name and name not in available:
            raise DataError(f"--{flag} {name}: {where} has the picture columns {_listing(available)}.")
    if a and a == b:
        raise DataError(f"--input_column and --target_column are both {a}: a pair is two pictures.")
    others = [name for name in available if name not in (a, b)]
    if a and b:
        return a, b
    if a and len(others) == 1:
        return a, others[0]
    if a is None and b is None:
        pair = next((names for names in COLUMN_NAMES if set(names) <= set(available)), None)
        if pair is not None:
            return pair
    target = b or (available[0] if len(available) == 1 else None)
    if a is None and target and get_task(config.task).derive:
        require_derivable(config, f"{where} with the one picture column {target}")
        return None, target
    if b and len(others) == 1:
        return others[0], b
    raise DataError(
        f"{where} has the picture columns {_listing(available)}; which are input and target? "
        "Name them with --input_column and --target_column."
    )


def require_derivable(config: TrainingConfig, where: str) -> None:
    """Raise DataError unless the task makes its input from a photo, and nothing else is asked for."""
    if get_task(config.task).derive is None:
        able = " or ".join(f"--task {task.id}" for task in TASKS.values() if task.derive)
        raise DataError(
            f"{where}: there is one picture each, and task {config.task!r} does not make its input from a "
            f"photo. Give pairs, or {able}."
        )
    if config.direction != "AtoB":
        raise DataError(
            f"{where}: --direction {config.direction} has no meaning, for the task makes the input from the "
            "photo. Leave it away."
        )
    if config.input_color == "raw":
        raise DataError(
            f"{where}: --input_color raw has no meaning, for the task makes the input from the photo."
        )


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


# ---- metadata.jsonl, metadata.csv -------------------------------------------------------------------------


def metadata_file(folder: Path) -> Path | None:
    """The folder's table of pictures, if it has one."""
    return next(
        (folder / name for name in ("metadata.jsonl", "metadata.csv") if (folder / name).is_file()), None
    )


def metadata_columns(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Picture columns and their keys, as `datasets` has them: X_file_name for X, file_name for image."""
    keys = [key for key in rows[0] if isinstance(key, str)]
    found = {key.removesuffix("_file_name"): key for key in keys if key.endswith("_file_name")}
    return found | ({"image": "file_name"} if "file_name" in keys else {})


def from_metadata(folder: Path, rows: Sequence[dict[str, Any]], config: TrainingConfig) -> PairSource:
    """The pairs that the rows of a folder's metadata file name."""
    keys = metadata_columns(rows)
    a, b = choose_columns(list(keys), config, f"The metadata of {folder}")
    problems: list[str] = []

    def path_of(row: dict[str, Any], number: int, column: str) -> Path:
        value = row.get(keys[column])
        if not isinstance(value, str) or not value:
            problems.append(f"row {number}: {keys[column]} is {value!r}, no file name")
            return folder
        path = Path(os.path.normpath(folder / value))
        if not path.is_file():
            problems.append(f"row {number}: {path} is missing")
        return path

    numbered = list(enumerate(rows, start=1))
    targets = [path_of(row, number, b) for number, row in numbered]
    inputs = [path_of(row, number, a) for number, row in numbered] if a else []
    if problems:
        raise DataError(
            f"{len(problems)} files in the metadata of {folder} are missing:\n{listed(problems)}\n"
            "Add them, or remove their rows."
        )
    if a is None:
        return Photos(folder, targets)
    return TwoFiles(folder, list(zip(inputs, targets, strict=True)), config.direction, layout="columns")


def read_metadata(metadata: Path) -> list[dict[str, Any]]:
    """The rows of a metadata file. Raises DataError saying which line is wrong."""
    try:
        text = metadata.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
        if metadata.suffix == ".csv":
            rows: list[Any] = list(csv.DictReader(io.StringIO(text, newline="")))
        else:
            rows = [
                _json_line(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()
            ]
    except (ValueError, OSError, csv.Error) as error:
        raise DataError(f"{metadata} cannot be read: {error}") from error
    if not rows:
        raise DataError(
            f"{metadata} has no rows. A row names two files, in input_file_name and target_file_name."
        )
    return rows


def _json_line(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise ValueError(f"line {number} is {line.strip()[:40]}, not an object with input_file_name")
    return row


# ---- data sets of the Hub, or of a folder that `datasets` reads -------------------------------------------


def from_dataset(config: TrainingConfig, names: Sequence[str], required: bool) -> PairSource | None:
    """The pairs of the first of these splits that exists. If none does: None, or DataError if `required`."""
    loaded = _load_split(config, names)
    if not isinstance(loaded, tuple):
        import datasets

        pictures = [key for key, kind in loaded.features.items() if _holds_pictures(kind)]
        a, b = choose_columns(pictures, config, f"The data set {config.dataset_name}")
        for column in filter(None, (a, b)):
            loaded = loaded.cast_column(column, datasets.Image(decode=False))
        return Columns(loaded, a, b) if config.direction == "AtoB" or a is None else Columns(loaded, b, a)
    if required:
        raise DataError(
            f"The data set {config.dataset_name} has the splits {_listing(loaded)}, not {names[0]!r}. "
            "Name one with --train_split."
        )
    return None


def open_stream(config: TrainingConfig, names: Sequence[str]) -> tuple[Any, str | None, str] | None:
    """The rows of the first of these splits that exists, read as they are needed, with the columns of
    (input, target) and their pictures not decoded; None if there is no such split.
    """
    loaded = _load_split(config, names, streaming=True)
    if isinstance(loaded, tuple):
        return None
    import datasets

    if loaded.features is None:
        loaded = loaded._resolve_features()  # files without a schema: the first rows tell
    pictures = [key for key, kind in loaded.features.items() if _holds_pictures(kind)]
    a, b = choose_columns(pictures, config, f"The data set {config.dataset_name}")
    for column in filter(None, (a, b)):
        loaded = loaded.cast_column(column, datasets.Image(decode=False))
    return (loaded, a, b) if config.direction == "AtoB" or a is None else (loaded, b, a)


def rows_of_shard(rows: Any, shard: int) -> Iterator[dict[str, Any]]:
    """The rows of one shard (file) of a stream in their own order, which is what numbers them."""
    # Not by `for row in`: in a data worker that would leave all but every n-th shard to the other workers.
    for row in rows.shard(rows.num_shards, shard).iter(batch_size=1):
        yield {column: values[0] for column, values in row.items()}


def _load_split(config: TrainingConfig, names: Sequence[str], streaming: bool = False) -> Any:
    """The rows of the first split that there is of `names`, or a tuple of the splits that there are."""
    import datasets  # takes most of a second: only who reads column data pays
    import httpx2

    name, revision = str(config.dataset_name), config.dataset_revision
    try:
        splits = datasets.get_dataset_split_names(name, revision=revision)
        split = next((split for split in names if split in splits), None)
        if split is None:
            return tuple(map(str, splits))
        return datasets.load_dataset(name, revision=revision, split=split, streaming=streaming)
    except (OSError, ValueError, httpx2.HTTPError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"The data set {name!r} cannot be loaded: {reason}\nCheck its name and revision, your "
            "connection, and for a private one your token (hf auth login)."
        ) from error


def _holds_pictures(kind: Any) -> bool:
    import datasets

    # Parquet files that another library wrote have the two fields of a picture, but not its name.
    return isinstance(kind, datasets.Image) or (isinstance(kind, dict) and set(kind) == {"bytes", "path"})
