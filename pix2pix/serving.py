"""Which model serves which task, from where; what takes over when one fails; what is new on the Hub.

    catalogue = Catalogue.from_settings(["map=user/pix2pix-map"], hub_owner="user")
    catalogue.start()                          # in the background: asks the Hub, loads, asks again
    served = catalogue.served("map")           # loads at the first call; later calls cost nothing
    picture = served.translate(image)          # served.offer, .card, .measures and .notice say what drew it

A task's models are those named for it, else the owner's found on the Hub by tag; the one that ships with
the project is always last. What a visitor sends is looked up among their keys and is never a path or an id.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix import card, model_sources, offers
from pix2pix.card_text import plain
from pix2pix.model_sources import HubUnreachable
from pix2pix.offers import Offer, ServingError
from pix2pix.tasks import TASKS

if TYPE_CHECKING:
    from pix2pix.inference import Translator
    from pix2pix.model_slot import Slot

__all__ = ["Catalogue", "Offer", "Served", "ServingError"]

CAPACITY, CAPACITY_BYTES = 8, 4 << 30
"""The most models, and bytes of weights, that are kept in memory; a free Space has 16 GB."""
MOST_OF_A_TASK = 20
"""Models of one owner and task that are offered, the newest ones."""
SHOWN = ("key", "name", "origin", "revision", "url")
Slots = dict[str, "Slot"]

logger = logging.getLogger("pix2pix")


@dataclass(frozen=True)
class Served:
    """An offer, loaded."""

    offer: Offer
    """The one that really serves, at the revision that does."""
    translate: Translator
    card: str
    """The model's card in harmless Markdown, or ""."""
    measures: Mapping[str, float]
    """psnr, ssim, l1, sharpness, lab, swd: those that were measured."""
    notice: str | None
    """What failed and what serves instead; None where all is well."""


class Catalogue:
    """The models of every task. Any thread may ask it anything."""

    def __init__(
        self,
        slots: Mapping[str, Sequence[Slot]],
        owner: str | None = None,
        *,
        device: Any = "auto",
        capacity: int = CAPACITY,
        capacity_bytes: int = CAPACITY_BYTES,
        shipped: Mapping[str, Path] | None = None,
    ):
        """`slots` of each task, in the order of offering; a task without one of its own gets the owner's.

        `shipped` are the folders of the models that ship, whose samples are the page's examples.
        """
        self.owner, self.device = owner, device
        self.shipped = dict(shipped or {})
        self.capacity, self.capacity_bytes = capacity, capacity_bytes
        self._slots: dict[str, Slots] = {t: {s.offer.key: s for s in slots.get(t, ())} for t in TASKS}
        self._owners_tasks = {
            task for task in TASKS if all(s.offer.origin == "shipped" for s in self._slots[task].values())
        }
        self._uses = itertools.count(1)
        self._room = threading.Lock()
        self._refreshing = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def from_settings(
        cls,
        models: Sequence[str] = (),
        hub_owner: str | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        shipped: Path | None = None,
        device: Any = "auto",
    ) -> Catalogue:
        """Read --model, --hub_owner, PIX2PIX_MODELS and PIX2PIX_HUB_OWNER; nothing is asked or loaded yet.

        `shipped` holds a folder per task (model_cards/). Raises ConfigError for a setting that cannot be.
        """
        from pix2pix.model_slot import Slot

        wanted = offers.wanted_models(models, environment)
        found = offers.shipped_folders(shipped or card.template_path().parent)
        slots: dict[str, list[Slot]] = {task: [] for task in TASKS}
        for task, sources in wanted.items():
            for source in sources:
                folder = Path(source).expanduser()
                if folder.is_dir():
                    slots[task].append(Slot(offers.folder_offer(task, folder), folder, device))
                else:
                    slots[task].append(Slot(offers.hub_offer(task, source), None, device))
        for task, folder in found.items():
            slots[task].append(Slot(offers.shipped_offer(task), folder, device))
        return cls(slots, offers.wanted_owner(hub_owner, environment), device=device, shipped=found)

    # ---------------------------------------------------------------- what visitors ask

    def tasks(self) -> list[str]:
        """Every task's id, in a fixed order; `custom` only where something serves it."""
        return [task for task in TASKS if task != "custom" or self._offered(task)]

    def offers(self, task: str) -> list[Offer]:
        """The models of a task that are known by now, the default first. Asks nobody."""
        return [slot.offer for slot in self._offered(self._known(task))]

    def served(self, task: str, key: str | None = None) -> Served:
        """The model of that key, or the default; if it fails, the next of the task, with a notice.

        The first call loads it, which others who ask for the same one wait for. Raises ServingError for an
        unknown task or key, and where nothing works.
        """
        slots = self._slots[self._known(task)]
        chosen = slots.get(key) if isinstance(key, str) and key else next(iter(self._offered(task)), None)
        if chosen is None and key:
            raise ServingError(f"No model {plain(repr(key), 60)} serves {task}; choose one of its offers.")
        reason = None
        for slot in self._in_turn(task, chosen):
            try:
                loaded = slot.ready()
            except ServingError as error:
                reason = reason or str(error)
                continue
            slot.used = next(self._uses)
            self._make_room(slot)
            notice = slot.remark if slot is chosen else _fall_back(chosen, reason, loaded.offer)
            return Served(loaded.offer, loaded.translate, loaded.card, loaded.measures, notice)
        raise ServingError(
            f"No model serves {TASKS[task].title!r} at the moment: {reason or 'none is configured.'}"
        )

    def status(self) -> list[dict[str, Any]]:
        """What is served, for a machine to read: every task with its offers."""
        return [
            {
                "task": task,
                "offers": [
                    {
                        **{name: getattr(slot.offer, name) for name in SHOWN},
                        "loaded": slot.loaded is not None,
                        "problem": slot.problem or slot.remark or slot.outage,
                    }
                    for slot in self._offered(task)
                ],
            }
            for task in self.tasks()
        ]

    # ---------------------------------------------------------------- what is new

    def refresh(self) -> None:
        """Ask the Hub what is new and take it up; a new revision is loaded before it replaces the old one.

        What failed is tried again. Never raises for a Hub that is gone: what is there goes on.
        """
        with self._refreshing:
            newest, away = self._find_owners(), None
            for slot in [slot for slots in self._slots.values() for slot in slots.values() if slot.listed]:
                if self._closed.is_set():
                    return
                if away and slot.offer.origin == "hub":
                    slot.outage = away  # one answer that does not come is enough to wait for
                    continue
                try:
                    slot.renew(newest.get(slot.offer.name))
                except HubUnreachable:
                    away = slot.outage
                self._make_room()

    def start(self, every: float = 300.0, preload: bool = True) -> None:
        """Refresh now and about every so many seconds, in the background; load the defaults, one by one."""
        if self._thread is None:
            self._thread = threading.Thread(
                None, self._run, "pix2pix-catalogue", (every, preload), daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End the background work; what is loaded still serves."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self, every: float, preload: bool) -> None:
        while not self._closed.is_set():
            try:
                self.refresh()
                if preload:
                    self._preload()
            except Exception:  # whatever it was, the next round may go well
                logger.exception("The models could not be refreshed")
            self._closed.wait(every * random.uniform(0.9, 1.1))

    def _preload(self) -> None:
        """Load each task's default that has never been: what was put away for others is not fetched back."""
        for task in self.tasks():
            default = next(iter(self._offered(task)), None)
            if default is None or default.good or self._closed.is_set():
                continue
            try:
                self.served(task)
            except ServingError as error:
                logger.warning("%s", error)

    def _find_owners(self) -> dict[str, str]:
        """Bring the owner's models up to date; return the newest commits that were told with them."""
        if self.owner is None:
            return {}
        from pix2pix.discover import find_models

        try:
            found = [m for m in find_models(owner=self.owner) if not (m.private or m.gated)]
        except Exception as error:  # a card of somebody's may be what breaks it
            logger.warning("The models of %s could not be listed: %s", self.owner, error)
            if not any(
                slot.offer.origin == "hub" for slots in self._slots.values() for slot in slots.values()
            ):
                self._offer_owners(model_sources.kept_models(self.owner))
            return {}
        found = [model for model in found if offers.HUB_ID.fullmatch(model.repo_id)]
        self._offer_owners({model.repo_id: model.task for model in found})
        return {model.repo_id: model.revision for model in found}

    def _offer_owners(self, found: Mapping[str, str]) -> None:
        """Offer the models of `found` (name: task) for the tasks for which none was named."""
        from pix2pix.model_slot import Slot

        for task in self._owners_tasks:
            names = [name for name, serves in found.items() if serves == task][:MOST_OF_A_TASK]
            # pix2pix-TASK is what the owner calls the model of a task: a newer trial is no reason to leave it
            names.sort(key=lambda name: name != f"{self.owner}/pix2pix-{task}")
            before = self._slots[task]
            fresh: Slots = {}
            for name in names:
                offer = offers.hub_offer(task, name)
                fresh[offer.key] = before.get(offer.key) or Slot(offer, None, self.device)
                fresh[offer.key].listed = True
            for key, slot in before.items():
                if slot.offer.origin == "hub" and key not in fresh:
                    slot.listed, slot.loaded = False, None
                    slot.problem = f"{slot.offer.name} is no longer offered."
                fresh.setdefault(key, slot)  # a link to what is gone still leads to the task
            shipped = {key: slot for key, slot in fresh.items() if slot.offer.origin == "shipped"}
            self._slots[task] = {k: s for k, s in fresh.items() if k not in shipped} | shipped

    # ---------------------------------------------------------------- looking up

    def _known(self, task: str) -> str:
        if not isinstance(task, str) or task not in TASKS:
            raise ServingError(f"There is no task {plain(repr(task), 60)}; the tasks are {', '.join(TASKS)}.")
        return task

    def _offered(self, task: str) -> list[Slot]:
        return [slot for slot in self._slots[task].values() if slot.listed]

    def _in_turn(self, task: str, chosen: Slot | None) -> Iterator[Slot]:
        if chosen is not None:
            yield chosen
        yield from (slot for slot in self._offered(task) if slot is not chosen)

    def _make_room(self, keep: Slot | None = None) -> None:
        """Put away what was not used for longest, until the rest is within bounds."""
        with self._room:
            slots = (slot for slots in self._slots.values() for slot in slots.values())
            held = [(slot.used, slot, slot.loaded.bytes) for slot in slots if slot.loaded is not None]
            held.sort(key=lambda item: item[0])
            count, total = len(held), sum(item[2] for item in held)
            for _, slot, size in held:
                if count <= self.capacity and total <= self.capacity_bytes:
                    return
                if slot is not keep:
                    slot.loaded = None
                    count, total = count - 1, total - size


def _fall_back(chosen: Slot | None, reason: str | None, instead: Offer) -> str | None:
    if chosen is None:
        return None
    what = "the model that ships with this project" if instead.key == "shipped" else plain(instead.name, 80)
    return f"{reason or f'{chosen.offer.name} does not work.'} In its place serves {what}."
