"""A run's folder: which one, whether it can hold the run, and whether it is the run that is resumed."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pix2pix.checkpoints import list_checkpoints
from pix2pix.errors import UserError, listed
from pix2pix.files import write_json
from pix2pix.pairs import PairSource
from pix2pix.training_config import TrainingConfig

RUN_FILE = "training_config.json"
MODEL_FILES = ("config.json", "model.safetensors", "metrics.json", "checkpoints/")
"""What a run writes under names that a model of somebody else's may have, too."""

PATIENCE = 600.0
"""Seconds for which a write is tried again while the disk refuses it."""
PAUSE = 2.0
"""Seconds between two tries."""

MAY_CHANGE = {
    "output_dir", "resume_from_checkpoint", "report_to", "log_steps", "checkpointing_steps",
    "checkpoints_total_limit", "validation_steps", "validation_pairs", "dataloader_num_workers", "compile",
    "cpu", "max_train_steps", "num_train_epochs", "train_data_dir", "dataset_name", "dataset_revision",
    "train_batch_size", "gradient_accumulation_steps", "find_batch_size", "license", "data_terms",
    "push_to_hub", "hub_model_id", "hub_private_repo", "push_steps", "compile_mode",
}  # fmt: skip
"""Flags that leave a resumed run what it is. The data are compared by what they are, not where they lie, and
the batch by pairs per step."""


def choose_output_dir(config: TrainingConfig) -> Path:
    """The folder named, or the next free runs/NAME, runs/NAME-2, ...; for resuming the last one in use.

    Raises UserError for a folder that holds another run or a model: nothing of it may be overwritten.
    """
    resuming = config.resume_from_checkpoint is not None
    if config.output_dir is not None:
        folder = Path(config.output_dir)
        found = [name for name in (RUN_FILE, *MODEL_FILES) if (folder / name.rstrip("/")).exists()]
        if RUN_FILE in found and not resuming:
            raise UserError(
                f"--output_dir {folder} holds another run ({', '.join(found)}). Go on with it by "
                "--resume_from_checkpoint latest, or name a new folder: nothing is overwritten."
            )
        is_run = RUN_FILE in found or "checkpoints/" in found
        if found and not (resuming and is_run):  # nor does `latest` begin a run over somebody's model
            raise UserError(
                f"--output_dir {folder} holds {', '.join(found)}, which this run would overwrite. "
                "Name a new folder."
            )
        return folder
    name = config.task if config.dataset_name or config.train_data_dir else "toy"
    taken: list[Path] = []
    while (folder := Path("runs") / (name if not taken else f"{name}-{len(taken) + 1}")).exists():
        taken.append(folder)
    return taken[-1] if resuming and taken else folder


def write_config(folder: Path, config: TrainingConfig) -> None:
    """Write down what the run is told; what an earlier part of it took (`run`) stays."""
    path = folder / RUN_FILE
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = {"run": before["run"]} if "run" in before else {}
    write_json(path, config.to_dict() | kept)


def launch_words(processes: int, device: str) -> list[str]:
    """What starts a script on as many processes; `device` is the type of theirs."""
    if processes == 1:
        return ["accelerate", "launch"]
    if device == "cpu":
        return ["torchrun", "--nproc_per_node", str(processes)]  # accelerate starts one process on a CPU
    return ["accelerate", "launch", "--multi_gpu", "--num_processes", str(processes)]


def resume_command(folder: Path, launch: Sequence[str] = ("accelerate", "launch")) -> str:
    """The command line of this run, with what makes it go on; `launch` are the words before the script."""
    kept, skip = [], False
    for argument in sys.argv[1:]:
        if skip or argument.split("=")[0] in ("--output_dir", "--resume_from_checkpoint"):
            skip = not skip and "=" not in argument
            continue
        kept.append(argument)
    words = [*launch, sys.argv[0], *kept, "--output_dir", str(folder)]
    return shlex.join([*words, "--resume_from_checkpoint", "latest"])


def require_room(folder: Path, needed: int) -> None:
    """Create the folder; raise UserError if it cannot be written to or has fewer than `needed` bytes free.

    A resumed run's checkpoints have their room already, but the next is written before an old one goes.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 4096)
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(
            f"--output_dir {folder} cannot be written to ({error.strerror}). Name another folder."
        ) from error
    present = [_size(path) for path in list_checkpoints(folder / "checkpoints")]
    lacking = max(needed - sum(present), max(present, default=0))
    if free < lacking:
        raise UserError(
            f"--output_dir {folder} has {_said(free)} free; this run's checkpoints and model need "
            f"about {_said(lacking)}{' more' if present else ''}. Free some, name another folder, or lower "
            "--checkpoints_total_limit."
        )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _said(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def persistently(what: str, write: Callable[[], Any], say: Callable[[str], None]) -> Any:
    """Do a write; while the disk refuses it, say so and try again: a paused run is better than a lost one.

    After PATIENCE seconds raises UserError. What was there before is still there: writes are atomic.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return write()
        except OSError as error:
            if time.monotonic() >= until:
                raise UserError(
                    f"{what} could not be written for {PATIENCE / 60:.0f} minutes ({error}). What was "
                    "written before is whole; make room and go on with --resume_from_checkpoint latest."
                ) from error
            say(f"{what} could not be written ({error}). The run waits for room and tries again.")
            time.sleep(PAUSE)


def fingerprint(*sources: PairSource) -> str:
    """A hash of what the pairs are: their names and, of files, their sizes. A moved folder keeps it."""
    digest = hashlib.sha256()
    for source in sources:
        sizes = [os.path.getsize(file) for file in source.files]
        digest.update(repr((source.layout, list(source.names), sizes, source.identity)).encode())
    return digest.hexdigest()


def require_same_run(
    saved: Mapping[str, Any],
    config: TrainingConfig,
    data: str,
    pairs_per_step: int,
    mixed_precision: str | None = None,
) -> None:
    """Raise UserError if a resumed run would not be the one that was saved, naming every difference.

    `mixed_precision` is the one in use: a launcher may set it where the flag does not. Where it is known of
    both runs it is what counts.
    """
    before, now = dict(saved["config"]), config.to_dict()
    # Where the resized pairs are kept may change; that they are resized is what the samples depend on.
    for flags in (before, now):
        flags["cache"] = "off" if flags.get("cache", "off") == "off" else "on"
    if mixed_precision is not None and saved.get("mixed_precision") is not None:
        before["mixed_precision"], now["mixed_precision"] = saved["mixed_precision"], mixed_precision
    differences = [
        f"--{name} was {before[name]!r} and is now {now[name]!r}"
        for name in now
        if name in before and name not in MAY_CHANGE and before[name] != now[name]
    ]
    sizes = before.get("train_batch_size"), now["train_batch_size"]
    if config.norm == "batch" and None not in sizes and sizes[0] != sizes[1]:
        differences.append(
            f"--train_batch_size was {sizes[0]} and is now {sizes[1]}: batch norm's statistics depend on it"
        )
    if saved["data"] != data:
        differences.append("the pairs are others than before (their names, number or file sizes)")
    if saved["pairs_per_step"] != pairs_per_step:
        differences.append(
            f"a step saw {saved['pairs_per_step']} pairs and would now see {pairs_per_step} (processes x "
            "--train_batch_size x --gradient_accumulation_steps)"
        )
    if differences:
        raise UserError(
            f"This is not the run that the checkpoint is of:\n{listed(differences)}\n"
            "Give it as it was, or start a new run in another --output_dir."
        )


def schedule_changes(saved: Mapping[str, Any], total_steps: int) -> str | None:
    """A sentence for a resumed run that ends at another step than the one that was saved, or None."""
    before = saved.get("total_steps")
    if before is None or before == total_steps:
        return None
    return f"The schedule now ends at step {total_steps} instead of {before}: the learning rate follows it."


def require_own_checkpoint(path: str | os.PathLike[str], output: Path) -> None:
    """Raise UserError unless the path is a checkpoint's place in this run: another run would end up as two.

    The message says what to give in its place.
    """
    given = Path(path)
    run = given.resolve().parent if given.name == "checkpoints" else given.resolve()
    inside = list_checkpoints(run / "checkpoints")
    if inside:
        raise UserError(
            f"--resume_from_checkpoint {given} holds checkpoints and is none itself. Give one of them, such "
            f"as {inside[0]}, or latest, with --output_dir {run}."
        )
    folder = given.resolve().parent
    if folder == (output / "checkpoints").resolve():
        return
    if folder.name == "checkpoints" and given.is_dir():
        raise UserError(
            f"--resume_from_checkpoint {given} is of the run in {folder.parent}, not of the one in {output}. "
            f"Go on with that run by --output_dir {folder.parent}."
        )
    raise UserError(
        f"--resume_from_checkpoint {given} is no checkpoint of the run in {output}: those are in "
        f"{output / 'checkpoints'}. Give one of them, or latest; --output_dir says which run goes on."
    )
