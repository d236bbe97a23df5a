"""A trained folder without training: small networks with records beside them, as a run leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from pix2pix.config import DiscriminatorConfig, ModelConfig
from pix2pix.metrics import NAMES
from pix2pix.networks import Generator, JudgesPairs
from pix2pix.training_config import TrainingConfig

TINY: dict[str, Any] = {"width": 4, "depth": 5, "resolution": 32, "dropout": 0.0}
VALUES = dict(zip(NAMES, (0.05, 22.5, 0.61, 0.82, 0.5, 0.4, 0.3, 0.4, 31.4), strict=True))
RUN = {
    "command": "accelerate launch train_accelerate.py --task map", "hardware": "a fast machine, 2 cores",
    "seconds": 754.0, "steps": 400, "training_pairs": 320, "held_out": False, "software": "pix2pix 9.9",
}  # fmt: skip


def trained_folder(folder: Path, seed: int = 0, task: Any = "map", **training: object) -> Path:
    """Write a small model with its discriminator, samples.png and records into `folder`."""
    torch.manual_seed(seed)
    Generator.from_config(ModelConfig(task=task, **TINY)).save_pretrained(folder)
    JudgesPairs.from_config(DiscriminatorConfig(width=4, layers=1)).save_pretrained(folder / "discriminator")
    Image.new("RGB", (96, 32), (seed, 90, 120)).save(folder / "samples.png")
    config = TrainingConfig(task=task, train_data_dir="/home/ann/secret/town", resolution=32, depth=5)
    write(folder / "training_config.json", config.to_dict() | {"run": RUN} | training)
    best = {"step": 300 + seed, **VALUES, "count": 24, "metrics_version": 1, "selection": VALUES["swd"]}
    record = {
        "metrics_version": 1, "best_metric": "swd", "history": [best, best],
        "best": best | {"intervals": {"psnr": [21.5, 23.25], "l1": [0.045, 0.055]}},
        "baselines": {
            "copy_input": dict.fromkeys(NAMES, 0.25) | {"psnr": 9.5, "swd": 77.9, "l1": 0.35},
            "mean_target": dict.fromkeys(NAMES, 0.125) | {"psnr": 23.75, "swd": 133.0, "l1": 0.0875},
        },
    }  # fmt: skip
    write(folder / "metrics.json", record)
    for private in (
        "checkpoints/step-00000001/G.pt",
        "logs/events",
        "validation/step-00000001.png",
        "notes.txt",
    ):
        (folder / private).parent.mkdir(parents=True, exist_ok=True)
        (folder / private).write_bytes(b"stays here")
    return folder


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
