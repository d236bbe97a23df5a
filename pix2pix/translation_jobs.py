"""What is to be translated into which file: of files, folders and patterns, or the inputs of a data set."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pix2pix import images
from pix2pix.config import TaskId
from pix2pix.errors import ConfigError, listed
from pix2pix.pairs import SUFFIXES, PairSource, Picture, load_picture
from pix2pix.tasks import get_task
from pix2pix.video import VIDEO_SUFFIXES

ENDING_OF = {"png": ".png", "jpg": ".jpg", "webp": ".webp"}


@dataclass(frozen=True)
class Job:
    """One file to be written."""

    source: str
    """What it is made from, as a person would name it."""
    target: Path
    files: tuple[Path, ...]
    """The files behind it; none for a row of a data set by name."""
    row: tuple[PairSource, int, TaskId] | None = None
    """The pair whose input is translated, where it comes from a data set."""

    @property
    def is_video(self) -> bool:
        return self.target.suffix == ".mp4"

    def load(self) -> Picture:
        """Decode the picture upright. Raises ImageError."""
        if self.row is None:
            return load_picture(self.files[0])
        pairs, index, task = self.row
        picture, target = pairs.load(index)
        if picture is not None:
            return picture
        derive = get_task(task).derive
        assert derive is not None  # or there would be an input
        photo = target if isinstance(target, Image.Image) else images.to_picture(target, "rgb")
        return derive(images.to_rgb(photo))

    def stamp(self) -> str:
        """What changes when the input does: its size and time. Raises OSError if it is not there."""
        found = [os.stat(file) for file in self.files]
        parts = [f"{status.st_size}:{status.st_mtime_ns}" for status in found]
        if self.row is not None:
            pairs, index, task = self.row
            parts.append(f"{pairs.layout}:{pairs.identity}:{index}:{task}")
        return " ".join(parts)


def jobs_of_paths(inputs: Sequence[str], output: Path, picture_format: str = "png") -> list[Job]:
    """The jobs of files, folders and patterns, in a fixed order; nothing would be overwritten by another.

    Raises ConfigError where two would get one name or an input would be overwritten, and for nothing to do.
    """
    require_folder(output)
    targets: dict[Path, Path] = {}
    clashes = []
    for source, name in (found for text in inputs for found in _found(text, output)):
        target = output / name.with_suffix(_ending(source, picture_format))
        before = targets.setdefault(target, source)
        if before != source and before.resolve() != source.resolve():
            clashes.append(f"{before} and {source} would both become {target}")
    inside = {source.resolve() for source in targets.values()}
    clashes += [f"{target} is an input" for target in targets if target.resolve() in inside]
    if clashes:
        raise ConfigError(f"Nothing was translated:\n{listed(clashes)}\nChoose another --output folder.")
    if not targets:
        raise ConfigError(f"There is no picture in {', '.join(inputs)}.")
    return [Job(str(source), target, (source,)) for target, source in sorted(targets.items())]


def jobs_of_pairs(pairs: PairSource, task: TaskId, output: Path, picture_format: str = "png") -> list[Job]:
    """A job for the input of every pair, named as the pair is. Raises ConfigError if two get one name."""
    require_folder(output)
    jobs: dict[Path, Job] = {}
    for index, name in enumerate(pairs.names):
        files = _files_of(pairs, index)
        ending = _ending(files[0], picture_format) if files else ENDING_OF[picture_format]
        outside = Path(name).is_absolute() or ".." in Path(name).parts
        below = f"{index:06d}" if outside or not files else os.path.splitext(name)[0]
        job = Job(str(files[0]) if files else name, output / f"{below}{ending}", files, (pairs, index, task))
        before = jobs.setdefault(job.target, job)
        if before is not job:
            raise ConfigError(f"{before.source} and {job.source} would both become {job.target}; rename one.")
    return [job for _, job in sorted(jobs.items())]


def require_folder(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is a file; name a folder.")


def _files_of(pairs: PairSource, index: int) -> tuple[Path, ...]:
    """The files of one pair; those of a source are in the order of its pairs."""
    if not pairs.files:
        return ()
    each = len(pairs.files) // len(pairs.names)
    return tuple(pairs.files[index * each : (index + 1) * each])


def _ending(source: Path, picture_format: str) -> str:
    suffix = source.suffix.lower()
    if suffix in VIDEO_SUFFIXES or (suffix == ".gif" and _is_animated(source)):
        return ".mp4"
    return ".npy" if suffix == ".npy" else ENDING_OF[picture_format]


def _is_animated(file: Path) -> bool:
    try:
        with Image.open(file, formats=["GIF"]) as picture:
            return bool(getattr(picture, "is_animated", False))
    except Exception:  # readers raise nearly anything on a damaged file, which is told when it is its turn
        return False


def _found(text: str, output: Path) -> Iterator[tuple[Path, Path]]:
    """Yield every file that an argument means, and its name below the output folder."""
    path = Path(text)
    if path.is_dir():
        yield from _in_folder(path, output)
    elif path.exists() or not glob.has_magic(text):
        yield path, Path(path.name)
    else:
        yield from _matching(text, output)


def _in_folder(folder: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    """The pictures and videos below a folder; no hidden files, no earlier results."""
    results = output.resolve()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if _is_meant(file, name) and not file.resolve().is_relative_to(results):
            yield file, name


def _matching(pattern: str, output: Path) -> Iterator[tuple[Path, Path]]:
    """What a pattern matches; names count from the last folder before its first wildcard."""
    plain = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        plain.append(part)
    root, results = Path(*plain), output.resolve()
    for match in sorted(map(Path, glob.glob(pattern, recursive=True))):
        name = match.relative_to(root)
        if _is_meant(match, name) and not match.resolve().is_relative_to(results):
            yield match, name


def _is_meant(file: Path, name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return file.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES and not hidden and file.is_file()
