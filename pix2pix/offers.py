"""What may serve a task: the models that the settings name, the owner's on the Hub, the one that ships."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pix2pix.errors import ConfigError, UserError
from pix2pix.repository import MODEL_FILES
from pix2pix.tasks import TASKS

MODELS_VARIABLE, OWNER_VARIABLE = "PIX2PIX_MODELS", "PIX2PIX_HUB_OWNER"
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
OWNER = re.compile(r"\w[\w.-]*", re.ASCII)


class ServingError(UserError):
    """A task or a model that is not served, or that nothing can serve at this time."""


@dataclass(frozen=True)
class Offer:
    """One model that may serve a task."""

    key: str
    """Short and safe in a URL; the same after a restart and for every revision. Only ever looked up."""
    task: str
    name: str
    """user/pix2pix-map on the Hub, else the folder's name; "shipped" for the one of model_cards/."""
    origin: str
    """hub, folder or shipped."""
    revision: str | None = None
    """The commit on the Hub, where it is known."""
    url: str | None = None
    """Its page on the Hub."""


def hub_offer(task: str, name: str, revision: str | None = None) -> Offer:
    from huggingface_hub import constants

    return Offer(_key(task, "hub", name, name), task, name, "hub", revision, f"{constants.ENDPOINT}/{name}")


def folder_offer(task: str, folder: Path) -> Offer:
    where = folder.expanduser().resolve()
    return Offer(_key(task, "folder", str(where), where.name), task, where.name, "folder")


def shipped_offer(task: str) -> Offer:
    return Offer("shipped", task, "shipped", "shipped")


def _key(task: str, origin: str, source: str, name: str) -> str:
    """A word to recognise it by, and a digest so that no two are the same."""
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{word}-{hashlib.sha256(f'{task} {origin} {source}'.encode()).hexdigest()[:6]}".lstrip("-")


def shipped_folders(root: Path) -> dict[str, Path]:
    """The folders of model_cards/ that hold a model, by task."""
    found = {task: root / task for task in TASKS}
    return {
        task: folder
        for task, folder in found.items()
        if all((folder / name).is_file() for name in MODEL_FILES)
    }


def wanted_models(models: Sequence[str], environment: Mapping[str, str]) -> dict[str, list[str]]:
    """The Hub ids and folders that are named for each task: by --model, else by PIX2PIX_MODELS.

    Raises ConfigError for one that cannot be, naming it.
    """
    said = [item.strip() for item in environment.get(MODELS_VARIABLE, "").split(",")]
    by_variable = _by_task([item for item in said if item], MODELS_VARIABLE)
    return by_variable | _by_task(models, "--model")


def _by_task(settings: Sequence[str], where: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for setting in settings:
        task, equals, source = (part.strip() for part in setting.partition("="))
        if not (task and equals and source):
            raise ConfigError(
                f"{where} holds {setting!r}; it must be TASK=ID_OR_DIR, such as map=user/pix2pix-map."
            )
        if task not in TASKS:
            raise ConfigError(
                f"{where} holds {setting!r}; there is no task {task!r}. The tasks are {', '.join(TASKS)}."
            )
        if not Path(source).expanduser().is_dir() and not HUB_ID.fullmatch(source):
            raise ConfigError(
                f"{where} holds {setting!r}; {source!r} is neither a folder here nor a Hub id such as "
                "user/pix2pix-map."
            )
        if source not in found.setdefault(task, []):
            found[task].append(source)
    return found


def wanted_owner(hub_owner: str | None, environment: Mapping[str, str]) -> str | None:
    """Whose models on the Hub are served. Raises ConfigError for what is no user's name."""
    where = "--hub_owner" if hub_owner else OWNER_VARIABLE
    owner = (hub_owner or environment.get(OWNER_VARIABLE, "")).strip()
    if owner and not OWNER.fullmatch(owner):
        raise ConfigError(f"{where} is {owner!r}; it must be the name of a user or organisation on the Hub.")
    return owner or None
