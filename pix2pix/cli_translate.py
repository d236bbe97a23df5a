"""`pix2pix translate`: pictures and videos in, pictures and videos out, a file each."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.allocator import keep_memory
from pix2pix.errors import ConfigError, listed

if TYPE_CHECKING:
    from pix2pix.translation import Translation
    from pix2pix.translation_jobs import Job

EXAMPLES = """examples:
  pix2pix translate --model user/pix2pix-map photo.jpg folder/ 'shots/**/*.png' clip.mp4 --output maps
  pix2pix translate --model runs/map --data user/my-pairs --split test --output drawn
  torchrun --nproc_per_node 4 -m pix2pix translate --model runs/map folder/ --output maps

Sub-folders keep their names. A file that was made from the same input by the same model is left as it is, so
that the same command goes on where it was stopped. Pictures are turned as a viewer shows them. Videos
(pip install "pix2pix[video]") become mp4, with frame times and sound; an odd width or height grows by one.

exit status: 0 all done; 1 some could not be done and are listed; 2 nothing could be done
"""


def declare(commands: Any) -> None:
    parser = commands.add_parser(
        "translate",
        help="translate pictures and videos with a trained model",
        description="Translate pictures and videos with a trained model, each to a file of its name and size "
        "in the output folder: a picture to a PNG, a .npy array to a .npy array, a video to an .mp4.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("input", nargs="*", help="picture, video, folder of them, or quoted pattern")
    add("--model", required=True, metavar="M", help="folder of a trained model, or its Hub id")
    add("--output", required=True, type=Path, metavar="DIR", help="folder to write into")
    add("--revision", metavar="R", help="branch, tag or commit of the model on the Hub")
    add("--data", metavar="D", help="in place of INPUT: folder with pairs, or a Hub data set: its inputs")
    add("--split", default="test", metavar="S", help="with --data: which split (default: test)")
    add("--direction", choices=("AtoB", "BtoA"), help="with --data: which side is the input")
    add("--layout", help="with --data: side_by_side, two_folders, photos or columns")
    add("--input_column", metavar="C", help="with --data: picture column of side A")
    add("--target_column", metavar="C", help="with --data: picture column of side B")
    add("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1, mps")
    add("--backend", default="auto", metavar="B", help="what runs the model: auto (default), torch, ...")
    add("--batch_size", default=1, type=int, metavar="N", help="read N at a time; equal sizes go together")
    add("--seed", default=0, type=int, metavar="N", help="for a model that leaves dropout on")
    add("--format", default="png", choices=("png", "jpg", "webp"), help="of written pictures (default: png)")
    add("--quality", type=int, metavar="N", help="1 to 100 (jpg: 95, webp: 90 and at 100 lossless)")
    add("--crf", default=18, type=int, metavar="N", help="of videos: 0 lossless to 51 (default: 18)")
    add("--overwrite", action="store_true", help="also what is done already")
    add("--json", action="store_true", help="tell what was done as JSON on standard output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Translate every input; one that fails does not stop the others."""
    from pix2pix import repository
    from pix2pix.config import ModelConfig
    from pix2pix.progress import Progress
    from pix2pix.provenance import model_identity
    from pix2pix.translation import Settings, Translation, UnusableError
    from pix2pix.work_sharing import Place, Terminated, WorkSharing, terminable

    began = time.monotonic()
    _check(options)
    place = Place.from_environment()
    jobs = _jobs_of_paths(options) if options.input else None  # a mistyped path is told first
    folder = repository.resolve(options.model, revision=options.revision)
    model = ModelConfig.from_dict(repository.read_config(folder))
    jobs = jobs or _jobs_of_data(options, folder, model)
    settings = Settings(
        identity=model_identity(folder),
        seed=options.seed,
        noisy=model.inference_dropout,
        quality=options.quality,
        crf=options.crf,
        variant="int8" if "int8" in options.backend else "",  # the others agree to one 8-bit level
        batch_size=options.batch_size,
        overwrite=options.overwrite,
    )
    progress = Progress(len(jobs), None if place.is_main and not options.json else False)
    loud = not options.json and not (progress.shown and sys.stdout.isatty())

    def say(text: str) -> None:
        if loud:
            print(text, flush=True)

    def load() -> Any:
        from pix2pix.inference import Translator

        revision = options.revision if Path(options.model).is_dir() else folder.name  # the same commit
        device = place.device(options.device)
        translate = Translator.from_pretrained(
            options.model, revision=revision, device=device, backend=options.backend
        )
        if translate.backend == "torch":  # what loading a graph took had better be given back
            keep_memory()
        return translate

    with WorkSharing(options.output, place) as sharing:
        work = Translation(jobs, settings, load, sharing, say, progress)
        try:
            with terminable():
                work.run()
                others = sharing.wait_for_others()
        except UnusableError as error:
            raise error.reason from None
        except (KeyboardInterrupt, Terminated) as error:
            progress.clear()
            return _interrupted(work, isinstance(error, Terminated))
        progress.clear()
    if not place.is_main and sharing.has_locks:
        return 0  # the first process speaks for all of them
    made = {sharing.name(target) for target in work.made} | set(others)
    return _report(work, made, options, time.monotonic() - began)


def _check(options: argparse.Namespace) -> None:
    if bool(options.input) == bool(options.data):
        raise ConfigError("Say what to translate: files and folders, or --data with a data set; one of them.")
    if options.quality is not None and not 1 <= options.quality <= 100:
        raise ConfigError(f"--quality {options.quality}: it is a number from 1 to 100.")
    if options.quality is not None and options.format == "png":
        raise ConfigError(
            "--quality is for jpg and webp; a png loses nothing. Leave it away, or add --format."
        )
    if not 0 <= options.crf <= 51:
        raise ConfigError(f"--crf {options.crf}: it is a number from 0 (lossless) to 51.")
    if options.batch_size < 1:
        raise ConfigError(f"--batch_size {options.batch_size}: it is at least 1.")


def _jobs_of_paths(options: argparse.Namespace) -> list[Job]:
    from pix2pix.translation_jobs import jobs_of_paths

    return jobs_of_paths(options.input, options.output, options.format)


def _jobs_of_data(options: argparse.Namespace, folder: Path, model: Any) -> list[Job]:
    from pix2pix.layouts import find_pairs
    from pix2pix.model_pairs import pairs_config, training_record
    from pix2pix.translation_jobs import jobs_of_pairs

    names = ("direction", "layout", "input_column", "target_column")
    given = {name: getattr(options, name) for name in names}
    config = pairs_config(model, training_record(options.model, folder), options.data, **given)
    pairs = find_pairs(config, options.split)
    if pairs is None:
        raise ConfigError(f"{options.data} has no split {options.split!r}; name another with --split.")
    return jobs_of_pairs(pairs, model.task, options.output, options.format)


def _report(work: Translation, made: set[str], options: argparse.Namespace, seconds: float) -> int:
    """Tell what was done and what could not be; return the exit status."""
    if options.json:
        files = []
        for job in work.jobs:
            reason = work.failed.get(job.target)
            new = work.sharing.name(job.target) in made
            state = "failed" if reason else "translated" if new else "done before"
            entry = {"input": job.source, "output": str(job.target), "state": state}
            files.append(entry | ({"reason": reason} if reason else {}))
        print(json.dumps({"model": options.model, "seconds": round(seconds, 3), "files": files}, indent=2))
    before = work.seen - len(work.failed) - len(made)
    if before > 0 and not options.json:
        some = "all" if before == len(work.jobs) else f"{before} of {len(work.jobs)}"
        print(f"{some} were done before and are left as they are; --overwrite makes them anew")
    if work.failed:
        reasons = [work.failed[target] for target in sorted(work.failed)]
        count = f"{len(reasons)} of {len(work.jobs)} files"
        print(f"{count} could not be translated:\n{listed(reasons, len(reasons))}", file=sys.stderr)
    return 1 if work.failed else 0


def _interrupted(work: Translation, terminated: bool) -> int:
    """Tell how far the work is and how it goes on; return the exit status."""
    status = 143 if terminated else 130
    place = work.sharing.place
    if not place.is_main and work.sharing.has_locks and work.sharing.is_alive(0):
        return status  # the first process speaks for all of them
    left = [job.source for job in work.jobs if not work.is_settled(job)]
    if not left:
        return status
    count = len(work.jobs)
    print(
        f"{'ended by SIGTERM' if terminated else 'interrupted'}: {len(left)} of {count} files are not done:\n"
        f"{listed(left, 5)}\nNo file is half written. To go on with these, the same command again:\n"
        f"  {place.command()}",
        file=sys.stderr,
    )
    return status
