"""A run's folder: which one, whether it can hold the run, and whether it is the run that is resumed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pix2pix.config import TrainingConfig
from pix2pix.errors import UserError, listed
from pix2pix.pairs import PairSource

PATIENCE = 600.0
"""Seconds for which a write is tried again while the disk refuses it."""
PAUSE = 2.0
"""Seconds between two tries."""

MAY_CHANGE = {
    "output_dir", "resume_from_checkpoint", "report_to", "log_steps", "checkpointing_steps",
    "checkpoints_total_limit", "validation_steps", "validation_pairs", "dataloader_num_workers", "compile",
    "cpu", "max_train_steps", "num_train_epochs", "train_data_dir", "dataset_name", "dataset_revision",
    "train_batch_size", "gradient_accumulation_steps", "find_batch_size", "license", "data_terms",
    "push_to_hub", "hub_model_id", "hub_private_repo", "push_steps",
}  # fmt: skip
"""Flags that leave a resumed run what it is. The data are compared by what they are, not where they lie, and
the batch by pairs per step."""


def choose_output_dir(config: TrainingConfig) -> Path:
    """The folder named, or the next free runs/NAME, runs/NAME-2, ...; for resuming the last one in use.

    Raises UserError for a folder that holds another run.
    """
    resuming = config.resume_from_checkpoint is not None
    if config.output_dir is not None:
        folder = Path(config.output_dir)
        if (folder / "training_config.json").exists() and not resuming:
            raise UserError(
                f"--output_dir {folder} holds another run. Go on with it by --resume_from_checkpoint latest, "
                "or name a new folder: nothing is overwritten."
            )
        return folder
    name = config.task if config.dataset_name or config.train_data_dir else "toy"
    taken: list[Path] = []
    while (folder := Path("runs") / (name if not taken else f"{name}-{len(taken) + 1}")).exists():
        taken.append(folder)
    return taken[-1] if resuming and taken else folder


def resume_command(folder: Path) -> str:
    """The command line of this run, with what makes it go on."""
    kept, skip = [], False
    for argument in sys.argv[1:]:
        if skip or argument.split("=")[0] in ("--output_dir", "--resume_from_checkpoint"):
            skip = not skip and "=" not in argument
            continue
        kept.append(argument)
    words = ["accelerate", "launch", sys.argv[0], *kept, "--output_dir", str(folder)]
    return shlex.join([*words, "--resume_from_checkpoint", "latest"])


def require_room(folder: Path, needed: int) -> None:
    """Create the folder; raise UserError if it cannot be written to or has fewer than `needed` bytes free."""
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
    if free < needed:
        raise UserError(
            f"--output_dir {folder} has {free / 1e9:.2f} GB free; this run's checkpoints and model need "
            f"about {needed / 1e9:.2f} GB. Free some, name another folder, or lower "
            "--checkpoints_total_limit."
        )


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


def fingerprint(source: PairSource) -> str:
    """A hash of what the pairs are: their names and, of files, their sizes. A moved folder keeps it."""
    digest = hashlib.sha256(repr((source.layout, list(source.names))).encode())
    for file in source.files:
        digest.update(str(os.path.getsize(file)).encode())
    return digest.hexdigest()


def require_same_run(
    saved: Mapping[str, Any], config: TrainingConfig, data: str, pairs_per_step: int
) -> None:
    """Raise UserError if a resumed run would not be the one that was saved, naming every difference."""
    before, now = saved["config"], dataclasses.asdict(config)
    differences = [
        f"--{name} was {before[name]!r} and is now {now[name]!r}"
        for name in now
        if name in before and name not in MAY_CHANGE and before[name] != now[name]
    ]
    if saved["data"] != data:
        differences.append("the training pairs are others than before (their names, number or file sizes)")
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
