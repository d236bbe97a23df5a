"""`pix2pix translate`: pictures in, pictures out, a file each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.errors import ConfigError, UserError, listed
from pix2pix.files import replacing

if TYPE_CHECKING:
    from pix2pix.inference import Translator


def declare(commands: Any) -> None:
    parser = commands.add_parser(
        "translate",
        help="translate pictures with a trained model",
        description="Translate pictures with a trained model. Each becomes a PNG of its name and size in the "
        "output folder; a .npy array becomes a .npy array.",
    )
    parser.add_argument("input", nargs="+", type=Path, help="picture, or folder of pictures")
    parser.add_argument(
        "--model", required=True, metavar="M", help="folder of a trained model, or its Hub id"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder to write into")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of the model on the Hub")
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1, mps"
    )
    parser.add_argument("--seed", default=0, type=int, metavar="N", help="for a model that leaves dropout on")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Translate every input; one that fails does not stop the others."""
    targets = plan(options.input, options.output)
    from pix2pix.inference import Translator

    translate = Translator.from_pretrained(options.model, revision=options.revision, device=options.device)
    failures = []
    for target, source in targets.items():
        try:
            translate_file(translate, source, target, options.seed)
            print(f"{source} -> {target}", flush=True)
        except (UserError, OSError, MemoryError, RuntimeError) as error:
            reason = str(error) or type(error).__name__
            failures.append(reason if str(source) in reason else f"{source}: {reason}")
    if failures:
        count = f"{len(failures)} of {len(targets)} files"
        print(f"{count} could not be translated:\n{listed(failures, len(failures))}", file=sys.stderr)
    return 1 if failures else 0


def plan(inputs: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Return the picture behind every file to be written; nothing is overwritten by another, nor is an input.

    Raises ConfigError where two would get one name, and where there is nothing to do.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is a file; name a folder.")
    targets: dict[Path, Path] = {}
    clashes = []
    for source, name in (found for path in inputs for found in pictures_in(path, output)):
        target = output / name.with_suffix(".npy" if name.suffix.lower() == ".npy" else ".png")
        before = targets.setdefault(target, source)
        if before.resolve() != source.resolve():
            clashes.append(f"{before} and {source} would both become {target}")
    inside = {source.resolve() for source in targets.values()}
    clashes += [f"{target} is an input" for target in targets if target.resolve() in inside]
    if clashes:
        raise ConfigError(f"Nothing was translated:\n{listed(clashes)}\nChoose another --output folder.")
    if not targets:
        raise ConfigError(f"There is no picture in {', '.join(map(str, inputs))}.")
    return targets


def pictures_in(path: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each picture of a file or folder, and its name below it; no hidden files, no earlier results."""
    from pix2pix.pairs import SUFFIXES

    if not path.is_dir():
        yield path, Path(path.name)
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        known = file.suffix.lower() in SUFFIXES and file.is_file()
        if known and not hidden and not file.resolve().is_relative_to(output.resolve()):
            yield file, file.relative_to(path)


def translate_file(translate: Translator, source: Path, target: Path, seed: int) -> None:
    """Translate one file; `target` is written whole or not at all."""
    import numpy as np

    from pix2pix.pairs import load_picture

    drawn = translate(load_picture(source), seed=seed)
    with replacing(target) as temporary:
        if isinstance(drawn, np.ndarray):
            np.save(temporary, drawn)
        else:
            drawn.save(temporary)
