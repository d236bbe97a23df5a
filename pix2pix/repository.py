"""A Hub id or a folder becomes a local folder whose configuration can be read."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from pix2pix.errors import ModelError

MODEL_FILES = ("config.json", "model.safetensors")
LARGEST_CONFIG = 1 << 20
"""Bytes; a configuration is a page of text, anything larger is not one."""


def resolve(
    source: str | os.PathLike[str],
    *,
    subfolder: str = "",
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Path:
    """Return the local folder with config.json and model.safetensors of a folder or Hub repository.

    Raises ModelError saying what is missing and what to do.
    """
    if os.path.isfile(source):
        raise ModelError(f"{source} is a file; name the folder that it lies in.")
    if os.path.isdir(source):
        found = Path(source)
    elif isinstance(source, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        found = _download(source, subfolder, revision, token, cache_dir, local_files_only)
    else:
        raise ModelError(_neither(source))
    folder = found / subfolder
    missing = " and ".join(name for name in MODEL_FILES if not (folder / name).is_file())
    if missing:
        raise ModelError(
            f"{source}{f' ({subfolder})' if subfolder else ''} is no model: {missing} is missing. A trained "
            f"model's folder holds {' and '.join(MODEL_FILES)}; training writes them into its --output_dir."
        )
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """Return config.json's object. Raises ModelError if it is too large or no JSON object."""
    path = folder / "config.json"
    if path.stat().st_size > LARGEST_CONFIG:
        raise ModelError(
            f"{path} has {path.stat().st_size} bytes; a configuration has at most {LARGEST_CONFIG}."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds {type(content).__name__}, not a JSON object.")
    return content


def _download(
    source: str,
    subfolder: str,
    revision: str | None,
    token: str | bool | None,
    cache_dir: str | os.PathLike[str] | None,
    local_files_only: bool,
) -> Path:
    import httpx2
    import huggingface_hub
    from huggingface_hub import errors

    prefix = f"{subfolder}/" if subfolder else ""

    def fetch(offline: bool) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                source,
                revision=revision,
                token=token,
                cache_dir=None if cache_dir is None else Path(cache_dir),
                local_files_only=offline,
                allow_patterns=[prefix + name for name in MODEL_FILES],
            )
        )

    try:
        return fetch(local_files_only)
    except errors.HFValidationError as error:
        raise ModelError(_neither(source)) from error
    except errors.GatedRepoError as error:
        raise ModelError(f"{source} is gated: ask for access on its page, then run: hf auth login") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{source} is no folder here, and the Hub shows no such repository: check the name; "
            "if it is a private one, run: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{source} has no revision {revision!r}.") from error
    except errors.LocalEntryNotFoundError as error:
        off = local_files_only or isinstance(error.__cause__, errors.OfflineModeIsEnabled)
        reason = "looking on the Hub is switched off" if off else "the Hub cannot be reached"
        raise ModelError(
            f"{source} is no folder here and not (wholly) in the cache, and {reason}. Check the name and the "
            "connection, and download it once before working offline."
        ) from error
    except (errors.HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        try:
            return fetch(True)  # what was downloaded once stays usable
        except (errors.LocalEntryNotFoundError, OSError):
            raise ModelError(f"{source} could not be downloaded: {error}") from error


def _neither(source: object) -> str:
    return f"{str(source)!r} is neither a folder here nor a Hub id such as user/pix2pix-map."
