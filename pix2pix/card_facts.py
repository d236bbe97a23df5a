"""What a model card says, in words and figures, taken from the records of a trained folder and nothing else.

Run facts are what only a run can tell; training_config.json keeps them under "run".
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import shlex
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pix2pix import __version__
from pix2pix.config import ModelConfig
from pix2pix.intervals import RESAMPLES
from pix2pix.metrics import better
from pix2pix.tasks import Task


class Shown(NamedTuple):
    """A measure as a card shows it."""

    name: str
    aim: str
    digits: int
    title: str


SHOWN = {
    "swd": Shown("SWD", "↓", 1, "Sliced Wasserstein distance of patches (x 1000)"),
    "lab": Shown("Lab histograms", "↑", 3, "Lab histogram intersection"),
    "sharpness": Shown("Sharpness", "→ 1", 3, "Sharpness over the truth's"),
    "ssim": Shown("SSIM", "↑", 3, "SSIM"),
    "psnr": Shown("PSNR (dB)", "↑", 2, "PSNR (dB)"),
    "l1": Shown("L1", "↓", 4, "Mean absolute error (0 to 1)"),
}
"""The measures of a card, in their order."""
HUES = {
    "lab_a": Shown("Histogram of a (green to red)", "↑", 3, "Histogram intersection of a*"),
    "lab_b": Shown("Histogram of b (blue to yellow)", "↑", 3, "Histogram intersection of b*"),
}
"""What a card says, too, of a model that draws hues alone."""
BASELINES = {"copy_input": "copied input", "mean_target": "mean target", "l1_only": "trained on L1 alone"}


def run_facts(
    arguments: Sequence[str],
    *,
    seconds: float,
    steps: int,
    training_pairs: int | None,
    held_out: bool,
    processes: int = 1,
) -> dict[str, Any]:
    """Return the run facts. `arguments` as in sys.argv; `held_out`: there was no split to validate on.

    `training_pairs` is None where nobody knows: a stream is not counted.
    """
    import torch

    home = str(Path.home())
    command = shlex.join(["accelerate", "launch", Path(arguments[0]).name, *arguments[1:]])
    return {
        "command": command.replace(home, "~") if len(home) > 1 else command,
        "hardware": hardware(processes),
        "seconds": round(seconds, 1),
        "steps": steps,
        "training_pairs": training_pairs,
        "held_out": held_out,
        "software": f"pix2pix {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}",
    }


def seconds_before(folder: Path) -> float:
    """How long the run in `folder` had taken when its card was last written; a resumed run counts on."""
    try:
        content = json.loads((folder / "training_config.json").read_text(encoding="utf-8"))
        return float(content["run"]["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def hardware(processes: int = 1) -> str:
    """Name what this process computes on, such as `2 x NVIDIA H200` or `AMD EPYC 7B13, 2 cores`.

    Cores are those that the process may use.
    """
    import torch

    if torch.cuda.is_available():
        return f"{processes} x {torch.cuda.get_device_name()}"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{name}, {cores} core{'s' if cores > 1 else ''}"


# ---- measures ---------------------------------------------------------------------------------------------


def measures(record: Mapping[str, Any], training: Mapping[str, Any], model: ModelConfig) -> dict[str, Any]:
    """The table of measures, and what must be said beside it."""
    best, baselines = record.get("best") or {}, record.get("baselines", {})
    known = SHOWN | HUES if model.output_color == "ab" else SHOWN
    shown = {key: words for key, words in known.items() if key in best}
    names = [name for name in BASELINES if name in baselines]
    intervals = best.get("intervals", {})
    rows, beaten = [], {}
    for key, (name, aim, digits, _) in shown.items():
        interval = " to ".join(f"{end:.{digits}f}" for end in intervals.get(key, ()))
        others = [baselines[baseline][key] for baseline in names]
        rows.append(
            {
                "label": f"{name} {aim}",
                "value": f"{best[key]:.{digits}f}",
                "interval": interval or "–",
                "baselines": [f"{value:.{digits}f}" for value in others],
            }
        )
        winners = zip(names, others, strict=True)
        beaten[name] = [BASELINES[baseline] for baseline, value in winners if better(key, value, best[key])]
    return {
        "rows": rows,
        "intervals": intervals,
        "resamples": RESAMPLES,
        "baseline_names": [BASELINES[name] for name in names],
        "measured": _measured_on(record, training) if best else "",
        "step": best.get("step"),
        "metrics_version": record.get("metrics_version"),
        "selection": _selection(record),
        "beaten": "; ".join(f"{name} ({', '.join(who)})" for name, who in beaten.items() if who),
        "blur": "mean target" in [name for who in beaten.values() for name in who],
    }


def _measured_on(record: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    pairs, held_out = f"{record['best']['count']} pairs", training.get("run", {}).get("held_out")
    if is_drawn(training):
        return f"{pairs} of the drawn town that training never saw"
    if record.get("split"):
        return f"{pairs} of the split `{record['split']}`"
    if held_out is None or "validation_split" not in training:
        return pairs
    return (
        f"{pairs} held out of training"
        if held_out
        else f"{pairs} of the split `{training['validation_split']}`"
    )


def _selection(record: Mapping[str, Any]) -> str:
    """How the published weights were chosen: the measure that chose them is a little flattered by it."""
    tries, key = len(record.get("history", [])), record.get("best_metric")
    if key not in SHOWN or tries < 2:
        return ""
    return (
        f"These are the best of {tries} validations by {SHOWN[key].name} on these same pairs, "
        "which flatters that measure a little."
    )


# ---- training ---------------------------------------------------------------------------------------------


def about_training(
    folder: Path,
    model: ModelConfig,
    training: Mapping[str, Any],
    judge: Mapping[str, Any],
    blend: float | None = None,
) -> list[tuple[str, str]]:
    """What there is to say about where a model comes from, as (name, value).

    `judge`: D's configuration; `blend`: what `pix2pix release --blend` was given.
    """
    run = training.get("run", {})
    pairs = f"{run['training_pairs']} from " if run.get("training_pairs") else ""
    facts = {
        "Training pairs": pairs + _data_text(training) if training else None,
        "Terms of the data": _terms(training),
        "Started from": training.get("init_from"),
        "Generator": f"{_generator_text(model)}, {_parameters(folder / 'model.safetensors')}",
        "Discriminator": _discriminator_text(judge),
        "Objective": _objective_text(training),
        "Training": _training_text(training, model),
        "Weights": _weights_text(blend),
        "Time": f"{_duration(run['seconds'])} on {run['hardware']}" if "seconds" in run else None,
        "Software": run.get("software") or f"pix2pix {model.library_version}",
    }
    return [(name, value) for name, value in facts.items() if value]


def task_words(task: Task, model: ModelConfig) -> dict[str, Any]:
    known = task.id != "custom"
    return {
        "task": task.id,
        "title": task.title if known else "Picture to picture",
        "sentence": task.sentence if known else "Translates a picture as its training pairs do.",
        "input_name": task.input_name,
        "target_name": task.target_name,
        "example": task.input_name.replace(" ", "-"),
        "resolution": model.resolution,
    }


def is_drawn(training: Mapping[str, Any]) -> bool:
    """Whether the drawn town was learned: a training that names no data."""
    return bool(training) and not (training.get("dataset_name") or training.get("train_data_dir"))


def data_names(training: Mapping[str, Any]) -> tuple[str, str]:
    """The data set's identifier and readable name. Of a folder only its last part: its path is private."""
    if training.get("dataset_name"):
        name = training["dataset_name"]
        return (name, name) if hub_id(name) else ("local", Path(name).name)
    if training.get("train_data_dir"):
        return "local", Path(training["train_data_dir"]).name
    return ("drawn-town", "Drawn town") if training else ("unknown", "unknown")


def _data_text(training: Mapping[str, Any]) -> str:
    kind, name = data_names(training)
    text = "the drawn town" if kind == "drawn-town" else f"the folder `{name}`"
    if kind == name:
        at = f" at `{training['dataset_revision']}`" if training.get("dataset_revision") else ""
        text = f"[{name}](https://huggingface.co/datasets/{name}){at}"
    return text + (", B to A" if training.get("direction") == "BtoA" else "")


def _terms(training: Mapping[str, Any]) -> str | None:
    if training.get("data_terms"):
        return str(training["data_terms"])
    return "drawn by this package: nobody else's pictures are in it" if is_drawn(training) else None


def _generator_text(model: ModelConfig) -> str:
    kind = "U-Net" if model.generator.startswith("unet") else "ResNet"
    return f"{kind} `{model.generator}`, width {model.width}, {model.norm} norm"


def _discriminator_text(judge: Mapping[str, Any]) -> str | None:
    if "discriminator" not in judge:
        return None
    return (
        f"`{judge['discriminator']}`, depth {judge['layers']}, width {judge['width']}, {judge['norm']} norm"
    )


def _objective_text(training: Mapping[str, Any]) -> str | None:
    terms = {"lambda_gan": f"{training.get('gan_mode')} GAN", "lambda_l1": "L1", "lambda_l2": "L2"}
    terms["lambda_fm"] = "feature matching"
    return (
        " + ".join(f"{training[key]:g} × {name}" for key, name in terms.items() if training.get(key)) or None
    )


def _training_text(training: Mapping[str, Any], model: ModelConfig) -> str | None:
    if "train_batch_size" not in training:
        return None
    parts = [f"{training['run']['steps']} steps"] if "steps" in training.get("run", {}) else []
    parts += [f"batch {training['train_batch_size']}", f"{model.resolution} × {model.resolution} pixels"]
    parts += [f"Adam at {training['learning_rate']:g}, {training['lr_scheduler']} schedule"]
    parts += ["moving average of the weights"] if training.get("use_ema") else []
    return ", ".join([*parts, f"seed {training['seed']}"])


def _weights_text(blend: float | None) -> str | None:
    """Which weights `pix2pix release --blend` took; None where it was not asked for."""
    if blend is None:
        return None
    known: dict[float, str] = {0: "the moving average after the last step", 1: "those after the last step"}
    between = f"average + {blend:g} × (last - average), of the moving average and the last weights"
    return f"{known.get(blend, between)} (`pix2pix release --blend {blend:g}`)"


def _parameters(weights: Path) -> str:
    """Count the weights by the file's header alone."""
    with open(weights, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    count = sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return f"{count / 1e6:.1f} million weights"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def hub_id(name: Any) -> bool:
    """Whether `name` is a Hub id such as user/name, and no folder here."""
    return isinstance(name, str) and bool(re.fullmatch(r"[\w.-]+/[\w.-]+", name)) and not Path(name).exists()
