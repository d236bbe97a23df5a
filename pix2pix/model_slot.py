"""One offer, and what is loaded of it: one load however many ask, and nothing new before it works."""

from __future__ import annotations

import logging
import math
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from pix2pix import card_text, model_sources, repository
from pix2pix.card_text import plain
from pix2pix.config import ModelConfig
from pix2pix.errors import ModelError, UserError
from pix2pix.model_sources import HubUnreachable, RepositoryGone
from pix2pix.offers import Offer, ServingError

if TYPE_CHECKING:
    from pix2pix.inference import Translator

logger = logging.getLogger("pix2pix")
LOCAL_PATH = re.compile(r"(?<![\w:/.])/(?:[^\s/'\"]+/)+[^\s'\"]+")
KEPT = 3
"""How many older revisions of the cache are tried where the newest does not work."""


@dataclass(frozen=True)
class Loaded:
    offer: Offer
    folder: Path
    state: str
    """The commit, or what tells a folder's model from its next one."""
    translate: Translator
    card: str
    measures: Mapping[str, float]
    bytes: int


class Slot:
    """The place of one offer. Any thread may ask; `lock` is held while something loads, never longer."""

    def __init__(self, offer: Offer, folder: Path | None = None, device: Any = "auto"):
        self.offer, self.folder, self.device = offer, folder, device
        self.listed = True
        """Whether it is still offered; an owner may take a repository away."""
        self.loaded: Loaded | None = None
        self.good: tuple[Path, str] | None = None
        """The folder and state that loaded last: what is evicted comes back from there."""
        self.problem: str | None = None
        """Why it cannot serve, until a renewal finds otherwise."""
        self.remark: str | None = None
        """Why something older than the newest serves."""
        self.outage: str | None = None
        """Why nothing is known about the newest."""
        self.downloaded: set[str] = set()
        """Commits that were fetched since the start: what they replace is removed from the disk again."""
        self.used = 0
        self.lock = threading.Lock()

    def ready(self) -> Loaded:
        """What serves; loads it at the first call. Raises ServingError, at once where it is known to fail."""
        loaded = self.loaded
        if loaded is not None:
            return loaded
        if self.problem is None:
            with self.lock:  # others wait here for the one that loads
                if self.loaded is None and self.problem is None:
                    self._load_first()
                loaded = self.loaded
        if loaded is None:
            raise ServingError(self.problem or f"{self.offer.name} was put away.")
        return loaded

    def renew(self, newest: str | None = None) -> None:
        """Take up what is newest (the commit, if it is known already), and try again what failed.

        Raises HubUnreachable; every other failure becomes `problem` or `remark`.
        """
        try:
            state = newest or self._newest()
        except HubUnreachable as error:
            self.outage = plain(str(error))
            raise
        except RepositoryGone as error:
            self._withdraw(error)
            return
        except UserError as error:  # a folder that is not there, perhaps only being replaced
            self.outage = self._told(error, self.folder)
            return
        self.outage = None
        with self.lock:
            if self.good is not None and self.good[1] == state:
                self.problem = self.remark = None  # it may have been away
            elif self.good is not None or self.problem is not None:
                self._replace(state)
            elif self.offer.origin == "hub":  # nobody has asked for it yet
                self.offer = replace(self.offer, revision=state)

    # ---- what happens under the lock

    def _load_first(self) -> None:
        wanted, reasons = self.offer.revision, list[str]()
        for folder, state in self._versions(reasons):
            try:
                self._put(self._read(folder, state))
            except UserError as error:
                reasons.append(self._told(error, folder))
                continue
            if reasons and self.offer.revision != wanted:
                self.remark = f"{reasons[0]} {self._older()} serves."
            return
        self.problem = reasons[0]

    def _versions(self, reasons: list[str]) -> Iterator[tuple[Path, str]]:
        """Folders to load from, the best first; what cannot be had is added to the reasons."""
        if self.good is not None:
            yield self.good
        tried = None
        try:
            state = self.offer.revision or self._newest()
            tried = self._fetch(state)
        except UserError as error:
            reasons.append(self._told(error, self.folder))
            if isinstance(error, RepositoryGone):
                return
        else:
            yield tried, state
        if self.offer.origin == "hub":
            kept = [folder for folder in model_sources.kept_folders(self.offer.name) if folder != tried]
            yield from ((folder, folder.name) for folder in kept[:KEPT])

    def _replace(self, state: str) -> None:
        folder = None
        try:
            folder = self._fetch(state)
            self._put(self._read(folder, state))
            self.problem = self.remark = None
            for commit in self.downloaded - {state}:
                model_sources.forget(commit)
            self.downloaded &= {state}
        except UserError as error:
            told = self._told(error, folder)
            if self.good is None:
                self.problem = told
            else:
                self.problem, self.remark = None, f"{told} {self._older()} goes on."

    def _withdraw(self, error: UserError) -> None:
        """What its owner has taken away is not served any more, though it could be."""
        with self.lock:
            self.problem, self.loaded = self._told(error, self.folder), None

    def _put(self, loaded: Loaded) -> None:
        self.offer, self.good, self.loaded = loaded.offer, (loaded.folder, loaded.state), loaded

    # ---- where from, and what is read

    def _newest(self) -> str:
        if self.folder is not None:
            return model_sources.folder_state(self.folder)
        return model_sources.newest_commit(self.offer.name)

    def _fetch(self, state: str) -> Path:
        if self.folder is not None:
            return self.folder
        if not model_sources.is_kept(self.offer.name, state):
            self.downloaded.add(state)
        return model_sources.fetch(self.offer.name, state)

    def _read(self, folder: Path, state: str) -> Loaded:
        """Load and try out a model. Raises ModelError for whatever is wrong with it."""
        from pix2pix.inference import Translator  # torch: the page is up before it is loaded

        offer = replace(self.offer, revision=state) if self.offer.origin == "hub" else self.offer
        try:
            config = ModelConfig.from_dict(repository.read_config(folder))
            if config.task not in (offer.task, "custom"):
                raise ModelError(f"{offer.name} is a model for {config.task}, not for {offer.task}.")
            translate = Translator.from_pretrained(folder, device=self.device)
            translate(Image.new("RGB", (8, 8), (90, 120, 150)))  # finite weights may still draw what is not
            card, measures = card_text.card_of(folder), card_text.measures_of(folder)
            return Loaded(offer, folder, state, translate, card, measures, _bytes_of(folder))
        except UserError:
            raise
        except Exception as error:  # a stranger's files may break what they like, but nothing besides
            logger.warning("%s cannot be loaded", offer.name, exc_info=True)
            raise ModelError(f"{offer.name} cannot be loaded ({type(error).__name__}).") from error

    def _told(self, error: UserError, folder: Path | None) -> str:
        """A reason in plain words, without the server's own paths: visitors read it."""
        logger.warning("%s: %s", self.offer.name, error)
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if folder is not None:
            text = text.replace(f"{folder}{os.sep}", f"{self.offer.name}: ")
            text = text.replace(str(folder), self.offer.name)
        text = plain(LOCAL_PATH.sub("a file of the server", text))
        return text if text.endswith((".", "…")) else f"{text}."

    def _older(self) -> str:
        revision = self.offer.revision
        return f"Its earlier revision {revision[:7]}" if revision else "What was loaded before"


def _bytes_of(folder: Path) -> int:
    """Memory that the weights take as float32, whatever they are stored as."""
    from safetensors import safe_open

    with safe_open(folder / repository.MODEL_FILES[1], framework="np") as file:
        return 4 * sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
