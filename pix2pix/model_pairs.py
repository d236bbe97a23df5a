"""The pairs that a model is measured on or draws from, read as they were in its training."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError
from pix2pix.training_config import TrainingConfig

RECORD = "training_config.json"
TOY = "toy"
KEPT = ("direction", "fit", "layout", "input_column", "target_column", "train_split", "validation_split")
"""What of the training's configuration says how its pairs are read."""


def declare_pair_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that say where pairs lie and how, for a command line."""
    parser.add_argument("--direction", choices=("AtoB", "BtoA"), help="which side is the input")
    parser.add_argument("--layout", help="how the pairs lie: side_by_side, two_folders, photos, columns")
    parser.add_argument("--input_column", metavar="C", help="picture column of side A")
    parser.add_argument("--target_column", metavar="C", help="picture column of side B")


def training_record(model: str, folder: Path) -> dict[str, Any]:
    """What the training of a model noted; nothing where there is no such note.

    `model` is the folder or Hub id that was named, and `folder` where its files are. Of a Hub repository the
    note is fetched at the same commit as the weights.
    """
    path = folder / RECORD
    if not path.is_file() and not Path(model).is_dir():
        found = _fetched(model, folder)
        if found is None:
            return {}
        path = found
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Mend or remove it.") from error
    return content if isinstance(content, dict) else {}


def _fetched(model: str, folder: Path) -> Path | None:
    import httpx2
    from huggingface_hub import errors, hf_hub_download

    try:
        # The folder is .../snapshots/COMMIT of the cache that the weights are in.
        cache = folder.parent.parent.parent
        return Path(hf_hub_download(model, RECORD, revision=folder.name, cache_dir=cache))
    except errors.RemoteEntryNotFoundError:
        return None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, httpx2.HTTPError, OSError):
        warnings.warn(
            f"{RECORD} of {model} could not be fetched: which side of the pairs is the input is not known; "
            "name it with --direction.",
            stacklevel=2,
        )
        return None


def pairs_config(
    model: ModelConfig, record: Mapping[str, Any], data: str, **given: str | None
) -> TrainingConfig:
    """How the pairs of `data` (a folder, a Hub id, or `toy`) are read for a model.

    As its training read its own, but for the flags that are `given`. Raises ConfigError for what cannot be.
    """
    flags: dict[str, Any] = {name: record[name] for name in KEPT if record.get(name) is not None}
    named = {name: value for name, value in given.items() if value}
    if Path(data).is_dir() and any(Path(data).rglob("*.parquet")):
        flags["dataset_name"] = data  # a data set as the Hub has it, here
    elif Path(data).is_dir():
        flags["train_data_dir"] = data
    elif data == TOY:
        flags = {"toy_pairs": record.get("toy_pairs", 400), "load_size": record.get("load_size")}
    else:
        flags["dataset_name"] = data
    # The training's own data may have lain otherwise than these.
    if named.get("layout", "columns") not in ("auto", "columns"):
        flags.pop("input_column", None)
        flags.pop("target_column", None)
    if flags.get("dataset_name") or "input_column" in named or "target_column" in named:
        flags.pop("layout", None)
    flags |= {
        "input_color": model.input_color if model.input_color in ("grey", "raw") else "auto",
        "output_color": model.output_color if model.output_color in ("grey", "raw") else "auto",
        "input_channels": model.in_channels if model.input_color == "raw" else None,
        "output_channels": model.out_channels if model.output_color == "raw" else None,
    }
    return TrainingConfig(task=model.task, resolution=model.resolution, **(flags | named))
