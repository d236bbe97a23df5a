"""A Hub id or a folder becomes a local folder whose configuration can be read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix import __version__
from pix2pix.errors import ModelError
from pix2pix.files import replacing
from pix2pix.patience import brief, limit_waiting, retry

if TYPE_CHECKING:
    from huggingface_hub import HfApi, RepoFile

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
        cache = None if cache_dir is None else Path(cache_dir)
        remote = _Remote(source, subfolder, revision or "main", token, cache)
        found = _from_hub(remote, local_files_only)
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


def stated_hash(file: RepoFile) -> str:
    """The hash that the Hub states for a file: SHA-256 of a large one, git's SHA-1 of any other."""
    return file.lfs.sha256 if file.lfs else file.blob_id


def file_hash(path: Path, length: int) -> str:
    """A file's hash as the Hub states it, with `length` hexadecimal digits: 64 is SHA-256, 40 git's SHA-1."""
    digest = hashlib.sha256() if length == 64 else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Remote:
    """The two model files of a Hub repository, in the cache or on the way there."""

    source: str
    subfolder: str
    revision: str
    token: str | bool | None
    cache_dir: Path | None

    @property
    def names(self) -> list[str]:
        return [f"{self.subfolder}/{name}" if self.subfolder else name for name in MODEL_FILES]

    def cached(self, revision: str) -> Path | None:
        """The repository's folder in the cache at a revision, if both files are there."""
        from huggingface_hub import try_to_load_from_cache

        found = [try_to_load_from_cache(self.source, name, self.cache_dir, revision) for name in self.names]
        paths = [Path(path) for path in found if isinstance(path, str)]
        return paths[0].parents[self.names[0].count("/")] if len(paths) == len(self.names) else None

    def fetch(self) -> Path:
        """Return the folder as the Hub has it now. What it has not yet is downloaded, and checked once."""
        from huggingface_hub import HfApi

        limit_waiting()
        api = HfApi(token=self.token, library_name="pix2pix", library_version=__version__)
        commit = str(api.repo_info(self.source, revision=self.revision, timeout=10).sha)
        folder = self.cached(commit) or self._download(api, commit)
        if self.cached(self.revision) != folder:
            # The cache learns what the branch means only now that all of it is there: an older whole copy
            # stays usable when a download breaks off.
            with suppress(OSError), replacing(folder.parent.parent / "refs" / self.revision) as temporary:
                temporary.write_text(commit)
        return folder

    def _download(self, api: HfApi, commit: str) -> Path:
        from huggingface_hub import RepoFile

        files = api.get_paths_info(self.source, self.names, revision=commit)
        stated = {file.path: file for file in files if isinstance(file, RepoFile)}
        missing = [name for name in self.names if name not in stated]
        if missing:
            raise ModelError(
                f"{self.source} has no {' and no '.join(missing)}: it is no pix2pix model. Only safetensors "
                "are loaded, pickled weights (.bin, .pth) never."
            )
        if stated[self.names[0]].size > LARGEST_CONFIG:
            raise ModelError(f"{self.source} is no pix2pix model: its {self.names[0]} is no page of text.")
        for name in self.names:
            path = Path(api.hf_hub_download(self.source, name, revision=commit, cache_dir=self.cache_dir))
            expected = stated_hash(stated[name])
            if file_hash(path, len(expected)) != expected:
                path.resolve().unlink()
                path.unlink(missing_ok=True)
                raise ModelError(
                    f"{name} of {self.source} arrived damaged: it is not what the Hub says it has "
                    f"({expected[:12]}...). It was removed from the cache; try again to download it anew."
                )
            if path.name == "config.json":
                _require_ours(self.source, read_config(path.parent))  # before gigabytes of something else
        return path.parents[self.names[0].count("/")]


def _from_hub(remote: _Remote, local_files_only: bool) -> Path:
    """The repository's folder: as the Hub has it, or from the cache when the Hub cannot be asked."""
    import httpx2
    from huggingface_hub import errors
    from huggingface_hub.constants import is_offline_mode

    try:
        cached = remote.cached(remote.revision)
    except errors.HFValidationError as error:
        raise ModelError(_neither(remote.source)) from error
    if local_files_only or is_offline_mode():
        if cached is None:
            raise ModelError(
                f"{remote.source} is no folder here and not (wholly) in the cache, and looking on the Hub is "
                "switched off. Check the name, and download it once before working offline."
            )
        return cached
    try:
        # With a copy at hand there is no reason to wait for a Hub that stumbles.
        return retry(remote.fetch, attempts=3 if cached is None else 1)
    except (errors.HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        if cached is None:
            raise ModelError(_reason(remote, error)) from error
        reason = f"The Hub could not be asked for {remote.source} ({brief(error)})"
        warnings.warn(f"{reason}; the copy in the cache is used.", stacklevel=4)
        return cached


def _reason(remote: _Remote, error: Exception) -> str:
    from huggingface_hub import errors

    source = remote.source
    if isinstance(error, errors.GatedRepoError):
        return f"{source} is gated: ask for access at https://hf.co/{source}, then run: hf auth login"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{source} is no folder here, and the Hub shows no such repository: check the name; "
            "if it is a private one, run: hf auth login"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{source} has no revision {remote.revision!r}: name a branch, a tag or a commit of it."
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code == 401:
        return "The Hub refused the token (401). Get another, then run: hf auth login --force"
    return (
        f"{source} is no folder here and not (wholly) in the cache, and the Hub cannot be reached "
        f"({brief(error)}). Check the name and the connection."
    )


def _require_ours(source: str, config: Mapping[str, Any]) -> None:
    if not {"generator", "discriminator"} & config.keys():
        other = config.get("library_name") or config.get("model_type") or config.get("_class_name")
        what = f"a model of another library ({other})" if isinstance(other, str) else "no pix2pix model"
        raise ModelError(f"{source} is {what}: its config.json names no generator of ours.")


def _neither(source: object) -> str:
    return f"{str(source)!r} is neither a folder here nor a Hub id such as user/pix2pix-map."
