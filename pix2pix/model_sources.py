"""Where the files of a served model come from: one commit on the Hub, the cache without it, or a folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix import repository
from pix2pix.card_text import LARGEST_CARD, LARGEST_RECORD
from pix2pix.errors import ModelError
from pix2pix.offers import ServingError
from pix2pix.patience import brief, limit_waiting

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LARGEST_WEIGHTS = 1 << 30
"""Bytes; the paper's generator has 218 MB. What a server of 16 GB is asked to load must have a bound."""
ASIDE = {"README.md": 16 * LARGEST_CARD, "metrics.json": LARGEST_RECORD}
"""Files that a model can do without, with the most bytes that are downloaded of them."""


class HubUnreachable(ServingError):
    """The Hub does not answer, or has troubles of its own: nothing is known about the repository."""


class RepositoryGone(ServingError):
    """The Hub says that there is no such repository, or that it is closed."""


def newest_commit(name: str) -> str:
    """Ask the Hub. Raises RepositoryGone or HubUnreachable."""
    import httpx2
    from huggingface_hub import errors

    try:
        commit = _api().model_info(name, expand=["sha"], timeout=10).sha
    except errors.RepositoryNotFoundError as error:  # a gated one too
        raise RepositoryGone(f"{name} is no longer on the Hub, or is closed.") from error
    except (errors.HfHubHTTPError, errors.HFValidationError, httpx2.HTTPError, OSError) as error:
        raise HubUnreachable(f"The Hub could not be asked for {name} ({brief(error)}).") from error
    if commit is None:
        raise HubUnreachable(f"The Hub did not say which commit of {name} is the newest.")
    return commit


def fetch(name: str, commit: str) -> Path:
    """The folder in the cache with the model's files of one commit, its card and its measures.

    Raises ModelError where it is no model of ours, too large, or cannot be downloaded.
    """
    if not is_kept(name, commit):
        _require_bearable(name, commit)
    folder = repository.resolve(name, revision=commit)
    for file, largest in ASIDE.items():
        if not (folder / file).is_file():
            with suppress(Exception):  # a card is no reason to do without the model
                if 0 < _size(_api(), name, file, commit) <= largest:
                    _api().hf_hub_download(name, file, revision=commit)
    return folder


def is_kept(name: str, commit: str) -> bool:
    """Whether the cache holds the model's files of a commit."""
    return _is_whole(_snapshots(name) / commit)


def kept_folders(name: str) -> list[Path]:
    """What the cache holds of a repository in whole, the last downloaded first."""
    with suppress(OSError):
        whole = [folder for folder in _snapshots(name).iterdir() if _is_whole(folder)]
        return sorted(whole, key=lambda folder: folder.stat().st_mtime, reverse=True)
    return []


def forget(commit: str) -> None:
    """Remove one commit from the cache; files that other commits share stay."""
    from huggingface_hub import scan_cache_dir

    with suppress(Exception):  # room on the disk is no reason to fail
        scan_cache_dir(_cache()).delete_revisions(commit).execute()


def kept_models(owner: str) -> dict[str, str]:
    """The repositories of an owner that the cache holds, and the task of each: for when the Hub is gone."""
    found = {}
    for path in sorted(_cache().glob(f"models--{owner}--*")):
        name = f"{owner}/{path.name.split('--', 2)[2]}"
        for folder in kept_folders(name)[:1]:
            with suppress(ModelError, OSError):
                found[name] = str(repository.read_config(folder).get("task"))
    return found


def folder_state(folder: Path) -> str:
    """What changes when a folder's model does."""
    try:
        stats = [(folder / name).stat() for name in repository.MODEL_FILES]
    except OSError as error:
        raise ModelError(f"{folder} is no longer a model: {error.strerror}.") from error
    return " ".join(f"{stat.st_mtime_ns}+{stat.st_size}" for stat in stats)


def _require_bearable(name: str, commit: str) -> None:
    try:
        size = _size(_api(), name, repository.MODEL_FILES[1], commit)
    except Exception as error:
        raise ModelError(f"The Hub could not be asked for {name} ({brief(error)}).") from error
    if size > LARGEST_WEIGHTS:
        raise ModelError(
            f"{name} has weights of {size / 1e9:.1f} GB; at most {LARGEST_WEIGHTS / 1e9:.1f} GB are served."
        )


def _size(api: HfApi, name: str, file: str, commit: str) -> int:
    """What the Hub says a file's bytes are; 0 where there is no such file."""
    from huggingface_hub import RepoFile

    return sum(f.size for f in api.get_paths_info(name, [file], revision=commit) if isinstance(f, RepoFile))


def _is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in repository.MODEL_FILES)


def _snapshots(name: str) -> Path:
    return _cache() / f"models--{name.replace('/', '--')}" / "snapshots"


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _api() -> HfApi:
    from huggingface_hub import HfApi

    limit_waiting()
    return HfApi(library_name="pix2pix")
