"""Doing translation jobs: what is done is left, one that fails does not stop the rest, work is shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix import provenance
from pix2pix.errors import UserError
from pix2pix.progress import Progress
from pix2pix.translation_jobs import Job
from pix2pix.video import translate_video
from pix2pix.work_sharing import WorkSharing

if TYPE_CHECKING:
    from pix2pix.inference import Translator

TROUBLES = (UserError, OSError, MemoryError, RuntimeError)


class UnusableError(Exception):
    """The model itself cannot be used: no picture can be done."""

    def __init__(self, reason: Exception):
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True)
class Settings:
    """What decides on the pixels beside the picture and the model, and how the work is done."""

    identity: str
    """The model's."""
    seed: int = 0
    noisy: bool = False
    """Whether the contract leaves dropout on: only then the seed matters."""
    quality: int | None = None
    crf: int = 18
    variant: str = ""
    """A backend whose pictures differ visibly from the others'."""
    batch_size: int = 1
    overwrite: bool = False


@dataclass
class Translation:
    """The jobs of one command, in one process of it."""

    jobs: Sequence[Job]
    settings: Settings
    load: Callable[[], Translator]
    """The translator, built when the first picture needs it."""
    sharing: WorkSharing
    say: Callable[[str], None]
    progress: Progress
    failed: dict[Path, str] = field(default_factory=dict)
    """Reasons by target, of this process and of what it saw of others."""
    made: set[Path] = field(default_factory=set)
    seen: int = 0
    _translator: Any = None

    def run(self) -> None:
        """Do every job that is open, one's own share first, then what no other process has done."""
        waiting: list[Job] = []
        group: list[tuple[Job, str]] = []
        for job in self.sharing.order(self.jobs):
            if self.is_settled(job):
                self.seen += 1
            elif not self.sharing.claim(job.target):
                waiting.append(job)
            else:
                group += self._opened(job)
                if len(group) >= self.settings.batch_size or (group and job.is_video):
                    self._do(group)
                    group = []
        self._do(group)
        for job in waiting if self.sharing.place.is_main else []:
            # Whoever has it in hand may die over it.
            self.sharing.wait_for(job.target)
            self._do(self._opened(job))

    def is_settled(self, job: Job) -> bool:
        """Whether the job is done, or was tried by some process and failed."""
        if job.target in self.failed or job.target in self.made:
            return True
        noted = self.sharing.noted(job.target)
        if noted is not None:
            if "failed" in noted:
                self.failed[job.target] = noted["failed"]
            return True
        return not self.settings.overwrite and self.is_done(job)

    def is_done(self, job: Job) -> bool:
        """Whether the file is there, made from this input by this model."""
        try:
            return provenance.is_marked(job.target, self.mark(job))
        except OSError:
            return False

    def mark(self, job: Job) -> str:
        """What the job's file must carry. Raises OSError if its input is not there."""
        settings = self.settings
        seed = settings.seed if settings.noisy else None
        look = settings.crf if job.is_video else settings.quality
        return provenance.mark(job.stamp(), settings.identity, seed, look, settings.variant)

    def _opened(self, job: Job) -> list[tuple[Job, str]]:
        """The claimed job with its mark; nothing (and no claim) if it has been settled just before."""
        if self.is_settled(job):
            self._close(job)
            return []
        try:
            return [(job, self.mark(job))]
        except OSError as error:
            reason = f"{job.source}: no such file. Check the path."
            self._fail(job, error if not isinstance(error, FileNotFoundError) else UserError(reason))
            return []

    # ---------------------------------------------------------------- one group

    def _do(self, group: Sequence[tuple[Job, str]]) -> None:
        """Translate some claimed jobs; each is released."""
        if not group:
            return
        self.progress.show(self.seen, group[0][0].source, force=self.seen == 0)
        for job, marked in group:
            if job.is_video:
                self._attempt(job, partial(self._video, job, marked))
        pictures: list[tuple[Job, str, Any]] = []
        for job, marked in group:
            if not job.is_video:
                try:
                    pictures.append((job, marked, job.load()))
                except TROUBLES as error:
                    self._fail(job, error)
        if not pictures:
            return
        try:
            drawn = self._draw([picture for _, _, picture in pictures]) if len(pictures) > 1 else None
        except TROUBLES:  # one of them: each alone tells which
            drawn = None
        for number, (job, marked, picture) in enumerate(pictures):
            one = None if drawn is None else drawn[number]
            self._attempt(job, partial(self._picture, job, marked, picture, one))

    def _attempt(self, job: Job, do: Callable[[], list[str]]) -> None:
        try:
            notes = do()
        except TROUBLES as error:
            self._fail(job, error)
            return
        self.made.add(job.target)
        self.sharing.made.append(self.sharing.name(job.target))
        if self.settings.overwrite:  # the mark may be of an earlier run
            self.sharing.note(job.target, {"made": job.source})
        self._close(job)
        self.progress.clear()
        self.say(f"{job.source} -> {job.target}" + "".join(f" ({note})" for note in notes))
        self.progress.show(self.seen, job.source)

    def _picture(self, job: Job, marked: str, picture: Any, drawn: Any) -> list[str]:
        drawn = self._draw([picture])[0] if drawn is None else drawn
        provenance.save_marked(drawn, job.target, marked, self.settings.quality)
        return []

    def _video(self, job: Job, marked: str) -> list[str]:
        return translate_video(
            self._draw,
            job.files[0],
            job.target,
            crf=self.settings.crf,
            comment=provenance.sentence(marked),
            group=max(4, self.settings.batch_size),
            progress=lambda share: self.progress.show(self.seen, job.source, share),
        )

    def _draw(self, pictures: list[Any]) -> list[Any]:
        if self._translator is None:
            try:
                self._translator = self.load()
            except TROUBLES as error:
                raise UnusableError(error) from error
        return self._translator(pictures, seed=self.settings.seed)

    def _fail(self, job: Job, error: BaseException) -> None:
        reason = str(error) or type(error).__name__
        reason = reason if job.source in reason else f"{job.source}: {reason}"
        self.failed[job.target] = reason
        self.sharing.note(job.target, {"failed": reason})
        self._close(job)

    def _close(self, job: Job) -> None:
        self.seen += 1
        self.sharing.release(job.target)
