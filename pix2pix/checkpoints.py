"""Training state on disk: written whole or not at all, recognised when damaged, rotated late.

A checkpoint is a folder `step-00001000` with one .pt file for each part of the state and a manifest.json with
every file's size and SHA-256, which is written last.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pix2pix.errors import UserError
from pix2pix.files import sync_folder

PREFIX = "step-"
MANIFEST = "manifest.json"
NETWORKS = ("G", "D")
OLD = ".old-"
"""Before the name of a checkpoint that another one of the same step is replacing."""
ABANDONED = ".abandoned-"
"""Before the name of a checkpoint that the run has gone back behind."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another run."""


def expected_bytes(G: nn.Module, D: nn.Module, averaged: bool) -> int:
    """What a checkpoint takes: the weights, Adam's two moments of each, and the moving average."""
    size_G, size_D = (sum(p.numel() * p.element_size() for p in network.parameters()) for network in (G, D))
    return 3 * (size_G + size_D) + (size_G if averaged else 0)


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any], limit: int | None = None) -> Path:
    """Write the parts of `state` (tensors, plain values) as `folder/step-N`, then rotate to `limit` of them.

    The folder appears under its name in one rename, after everything in it has reached the disk. One of the
    same step is there until then, and the new one is never what rotation removes: a run that went back to an
    early step needs it more than the later ones.
    """
    final = folder / f"{PREFIX}{step:08d}"
    old = folder / f"{OLD}{final.name}"
    temporary = folder / f".writing-{final.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    files = {}
    for name, part in state.items():
        path = temporary / f"{name}.pt"
        with open(path, "wb") as file:
            torch.save(part, file)
            file.flush()
            os.fsync(file.fileno())
        files[path.name] = {"size": path.stat().st_size, "sha256": _sha256(path)}
    with open(temporary / MANIFEST, "w", encoding="utf-8") as file:
        json.dump({"step": step, "files": files}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(temporary)
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(final, old)
    os.replace(temporary, final)
    sync_folder(folder)
    shutil.rmtree(old, ignore_errors=True)
    if limit is not None:
        others = [path for path in list_checkpoints(folder) if path != final]
        for path in others[max(limit - 1, 0) :]:
            _remove(path)
    return final


def remove_leftovers(folder: Path) -> None:
    """Remove what interrupted writes and removals left behind; put back what was about to be replaced."""
    for old in folder.glob(f"{OLD}*"):
        final = old.with_name(old.name.removeprefix(OLD))
        if not final.exists():
            os.replace(old, final)
    for pattern in (".writing-*", ".removing-*", f"{OLD}*"):
        for leftover in folder.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)


def set_aside_after(folder: Path, step: int, say: Callable[[str], None]) -> None:
    """Rename the checkpoints after a step: a run that goes on from it must not find them as the newest.

    They stay on the disk, for nobody asked to lose them, and are neither listed nor rotated.
    """
    for path in reversed(list_checkpoints(folder)):
        if int(path.name[5:]) <= step:
            continue
        name = f"{ABANDONED}{path.name}"
        taken = [found.name for found in folder.glob(f"{name}*")]
        number = next(n for n in itertools.count(1) if (name if n == 1 else f"{name}-{n}") not in taken)
        aside = path.with_name(name if number == 1 else f"{name}-{number}")
        os.replace(path, aside)
        say(f"Checkpoint {path.name} is after step {step} and set aside as {aside.name}.")


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, the newest first; anything else in it is left alone."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.glob(f"{PREFIX}*") if p.is_dir() and p.name[5:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[5:]), reverse=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Verify a checkpoint; return its state by part, on the CPU. Raises CheckpointError naming the damage."""
    problem = damage(path)
    if problem:
        raise CheckpointError(f"Checkpoint {path} cannot be used: {problem}.")
    # Only tensors and plain values: a checkpoint that came from elsewhere runs no code.
    files = sorted(path.glob("*.pt"))
    return {file.stem: torch.load(file, map_location="cpu", weights_only=True) for file in files}


def load_parts(path: Path, names: Sequence[str]) -> list[dict[str, Any] | None]:
    """Parts of a checkpoint that was found whole, on the CPU; None for one that it does not have."""
    files = [path / f"{name}.pt" for name in names]
    return [torch.load(f, map_location="cpu", weights_only=True) if f.exists() else None for f in files]


def newest_checkpoint(folder: Path, say: Callable[[str], None], finite: bool = False) -> Path | None:
    """Return the newest whole checkpoint; what is damaged is passed over and said.

    With `finite` so is one whose networks hold values that are not finite: going back to it helps nobody.
    """
    for path in list_checkpoints(folder):
        problem = damage(path)
        if problem is not None:
            say(f"Checkpoint {path.name} is damaged ({problem}); trying the one before it.")
        elif finite and not_finite(_networks(path)):
            say(f"Checkpoint {path.name} holds weights that are not finite; trying the one before it.")
        else:
            return path
    return None


def not_finite(state: Mapping[str, Any]) -> bool:
    """Whether G or D of a checkpoint's state holds a value that is not finite."""
    values = [value for name in NETWORKS for value in state.get(name, {}).values()]
    return any(
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and not bool(torch.isfinite(value).all())
        for value in values
    )


def damage(path: Path) -> str | None:
    """Say what is wrong with a checkpoint, or None: every file of its manifest is there with its hash."""
    try:
        files = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, facts in files.items():
            if (path / name).stat().st_size != facts["size"]:
                return f"{name} has {(path / name).stat().st_size} bytes instead of {facts['size']}"
            if _sha256(path / name) != facts["sha256"]:
                return f"the content of {name} has changed"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST} is unreadable ({error})"
    return None


def random_state() -> dict[str, Any]:
    """The state of every random generator that a step may draw from, in tensors and plain values."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": [value.tolist() if isinstance(value, np.ndarray) else value for value in numpy_state],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put every random generator back to what `random_state` gave."""
    random.setstate(state["python"])
    np.random.set_state(tuple(state["numpy"]))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _networks(path: Path) -> dict[str, Any]:
    """G and D of a checkpoint: the optimizers, twice their size, need not be read to judge them."""
    parts = zip(NETWORKS, load_parts(path, NETWORKS), strict=True)
    return {name: state for name, state in parts if state is not None}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _remove(path: Path) -> None:
    """Remove a checkpoint under another name, so that an interrupted removal leaves no damaged one."""
    doomed = path.with_name(f".removing-{path.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    os.replace(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)
