"""What happens to a visitor's pictures: read, translated, written where only that visitor is told, forgotten.

Nothing here knows the page. Files lie in a folder of the demo's own, under names that cannot be guessed, and
are removed after an hour.
"""

from __future__ import annotations

import contextlib
import html
import re
import secrets
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pix2pix import images, uploads, usage
from pix2pix.card_facts import SHOWN
from pix2pix.config import TaskId
from pix2pix.contact_sheet import inputs_of
from pix2pix.errors import ImageError, UserError
from pix2pix.offers import Offer, ServingError
from pix2pix.serving import Catalogue, Served
from pix2pix.tasks import TASKS

KEPT = 3000.0
"""Seconds; with the time between two sweeps it stays under an hour."""
SWEEP = 300.0
EXAMPLES = "examples"
EXAMPLES_FROM = 3_000_000
"""Index of the first drawn example: no training and no validation scene."""
FRAME = 512
"""Longest side in pixels of a live picture."""


@dataclass(frozen=True)
class Outcome:
    """One translated picture."""

    before: Path
    """What the page shows of the input."""
    after: Path
    """What it shows of the output."""
    output: Path
    """The output, a PNG of the input's size."""
    size: tuple[int, int]
    seconds: float
    name: str
    """The file's name, as the visitor's computer has it."""
    offer: Offer
    notice: str | None


@dataclass(frozen=True)
class Batch:
    """Several translated pictures."""

    pictures: list[Path]
    archive: Path | None
    report: str


class Visits:
    """Translates what visitors give, by the models of a catalogue."""

    def __init__(self, catalogue: Catalogue, folder: Path):
        self.catalogue, self.folder = catalogue, folder
        self._drawing = threading.Lock()

    def start(self) -> None:
        """Begin to load models, look for new ones, and forget old files, in the background."""
        self.catalogue.start()
        threading.Thread(target=self._sweep, name="pix2pix-sweep", daemon=True).start()

    # ---- pictures

    def translate(self, task: str, key: str | None, path: str) -> Outcome:
        """Translate the picture in a file. Raises UserError with a sentence for the visitor."""
        name = Path(path).name
        picture = uploads.open_upload(path)
        served = self.catalogue.served(task, key)
        started = time.perf_counter()
        drawn = _draw(served, picture)
        seconds = time.perf_counter() - started
        folder = self._new_folder()
        output = _save(drawn, folder / usage.result_name(task, name))
        shown = uploads.preview(drawn)
        after = output if shown.size == drawn.size else _save(shown, folder / "after.png")
        before = _save(uploads.preview(picture), folder / "before.png")
        return Outcome(before, after, output, drawn.size, seconds, name, served.offer, served.notice)

    def translate_all(
        self, task: str, key: str | None, paths: Sequence[str], progress: Callable[..., Iterable] = iter
    ) -> Batch:
        """Translate several; one that fails does not stop the others, and is named."""
        kept = list(paths)[: uploads.MOST_FILES]
        failures = [html.escape(f"{Path(path).name}: more than {len(kept)}") for path in paths[len(kept) :]]
        folder = self._new_folder()
        done: list[Path] = []
        for path in progress(kept):
            try:
                done.append(self.translate(task, key, path).output)
            except UserError as error:
                failures.append(html.escape(str(error)))
        archive = None
        if done:
            archive = folder / f"{task}.zip"
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
                for number, output in enumerate(done, 1):
                    file.write(output, f"{number:02d}-{output.name}")
        text = f"<p class='done'>{len(done)} of {len(paths)} translated.</p>"
        if failures:
            text += (
                "<ul class='alert' role='alert'>" + "".join(f"<li>{line}</li>" for line in failures) + "</ul>"
            )
        return Batch(done, archive, text)

    def derive(self, task: str, path: str) -> Path:
        """Make a task's input from the photo in a file, such as a drawing. Raises UserError."""
        make = TASKS[_task(task)].derive
        if make is None:
            raise ImageError(f"No input of {TASKS[task].title!r} can be made from a photo.")
        made = make(uploads.open_upload(path))
        return _save(made, self._new_folder() / f"{Path(path).stem[:60]}-drawn.png")

    def translate_frame(self, task: str, key: str | None, frame: Image.Image | None) -> Image.Image | None:
        """Translate a camera's picture, made small; nothing is written."""
        if frame is None:
            return None
        frame = images.to_rgb(frame)
        frame.thumbnail((FRAME, FRAME))
        return _draw(self.catalogue.served(task, key), frame)

    def examples(self, task: str, count: int) -> list[Path]:
        """Inputs to try: those that the shipped model shows on its samples.png, then some from our own pen.

        They are cut out, or drawn, at the first call.
        """
        folder = self.folder / EXAMPLES / task
        paths = [folder / f"{task}-{number + 1}.png" for number in range(count)]
        with self._drawing:
            if not all(path.exists() for path in paths):
                folder.mkdir(parents=True, exist_ok=True)
                for path, picture in zip(paths, self._pictures(task, count), strict=True):
                    _save(picture, path)
        return paths

    def _pictures(self, task: str, count: int) -> list[Image.Image]:
        from pix2pix.toy import draw_pair

        shown, shipped = [], self.catalogue.shipped.get(task)
        if shipped is not None and (shipped / "samples.png").is_file():
            with Image.open(shipped / "samples.png") as sheet:
                shown = inputs_of(sheet.convert("RGB"))[:count]
        drawn = range(EXAMPLES_FROM, EXAMPLES_FROM + count - len(shown))
        return shown + [draw_pair(task, index)[0] for index in drawn]

    def _new_folder(self) -> Path:
        folder = self.folder / secrets.token_urlsafe(24)
        folder.mkdir(mode=0o700)
        return folder

    def _sweep(self) -> None:
        while True:
            time.sleep(SWEEP)
            forget(self.folder, time.time() - KEPT)

    # ---- words

    def label(self, offer: Offer) -> str:
        if offer.origin == "shipped":
            return "ships with this project"
        return offer.name if offer.revision is None else f"{offer.name} @ {offer.revision[:7]}"

    def about(self, served: Served) -> str:
        """The model in Markdown: what it is, what was measured, and its card."""
        offer = served.offer
        where = {
            "hub": f"[{offer.name}]({offer.url})",
            "folder": f"`{offer.name}`, a folder here",
            "shipped": "the small model that ships with this project",
        }[offer.origin]
        lines = [f"**{TASKS[_task(offer.task)].title}** by {where}"]
        lines += [f"Revision `{offer.revision[:12]}`"] if offer.revision else []
        lines += [f"⚠ {served.notice}"] if served.notice else []
        shown = [name for name in SHOWN if name in served.measures]
        if shown:
            lines.append(
                "| " + " | ".join(f"{SHOWN[name].name} {SHOWN[name].aim}" for name in shown) + " |\n"
                "|" + "--:|" * len(shown) + "\n"
                "| " + " | ".join(f"{served.measures[name]:.{SHOWN[name].digits}f}" for name in shown) + " |"
            )
        return "\n\n".join([*lines, served.card])

    def report(self, found: Outcome, bare: bool = False) -> str:
        """One line of HTML under a result."""
        width, height = found.size
        facts = [
            f"{found.seconds:.2f} s" if found.seconds >= 0.01 else "under 0.01 s",
            f"{width} × {height} px",
            html.escape(self.label(found.offer)),
        ]
        text = " · ".join(facts)
        if bare:
            return text
        warning = f"<p class='notice' role='status'>{html.escape(found.notice)}</p>" if found.notice else ""
        return f"<p class='done' role='status'>{text}</p>{warning}"

    def alert(self, error: UserError) -> str:
        return f"<p class='alert' role='alert'>{html.escape(str(error))}</p>"

    def facts(self, found: Outcome) -> Mapping[str, Any]:
        """What the API says about a result."""
        offer = found.offer
        return {
            "task": offer.task, "model": offer.name, "key": offer.key, "origin": offer.origin,
            "revision": offer.revision, "seconds": round(found.seconds, 4), "size": list(found.size),
            "notice": found.notice,
        }  # fmt: skip

    def folder_of(self, offer: Offer) -> str:
        """What names a model that is not on the Hub in the lines that are shown: no path of this machine."""
        return f"model_cards/{offer.task}" if offer.origin == "shipped" else offer.name

    def address(self, origin: str | None) -> str:
        """Where the visitor's browser says that this page is."""
        plain = origin is not None and re.fullmatch(r"https?://[\w.:-]{1,200}", origin, re.ASCII)
        return str(origin) if plain else "http://127.0.0.1:7860"


def forget(folder: Path, before: float) -> None:
    """Remove what was written into a folder before a time, but for the examples; others may do so with us."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name == EXAMPLES:
            continue
        with contextlib.suppress(OSError):  # one that cannot be removed keeps nothing else
            for path in sorted(entry.rglob("*"), reverse=True) if entry.is_dir() else [entry]:
                if path.is_file() and path.stat().st_mtime < before:
                    path.unlink(missing_ok=True)
            if entry.is_dir() and not any(entry.iterdir()) and entry.stat().st_mtime < before:
                entry.rmdir()


def _draw(served: Served, picture: Image.Image) -> Image.Image:
    try:
        return served.translate(picture)
    except MemoryError as error:
        raise ImageError("This picture does not fit into the server's memory. Make it smaller.") from error
    except RuntimeError as error:  # torch says so when memory ends
        if "memory" not in str(error):
            raise
        raise ImageError("This picture does not fit into the server's memory. Make it smaller.") from error


def _save(picture: Image.Image, path: Path) -> Path:
    picture.save(path, compress_level=1)  # the fastest: what is sent over a network is compressed anyway
    return path


def _task(name: str) -> TaskId:
    if name not in TASKS:
        raise ServingError(f"There is no task {name[:40]!r}.")
    return name  # type: ignore[return-value]
