"""What a run has to show: every validation measured and drawn, the best one's weights in the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import device

from pix2pix import images
from pix2pix.data import PairDataset
from pix2pix.evaluation import Evaluation, Record, as_read, baselines, evaluate
from pix2pix.files import replacing, write_json
from pix2pix.inference import Translator
from pix2pix.networks import Generator, JudgesPairs
from pix2pix.run_folder import persistently
from pix2pix.training_config import TrainingConfig
from pix2pix.watchdog import Watchdog

SAID = ("l1", "psnr", "ssim", "sharpness", "lab", "swd")


@dataclass
class Results:
    """The record of a run in its folder: metrics.json, validation/, samples.png, and the published model."""

    folder: Path
    config: TrainingConfig
    training: PairDataset | None
    """The pairs whose mean target is a baseline; None if they are not at hand."""
    validation: PairDataset
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self.record = Record(self.config.best_metric)
        self.watchdog = Watchdog(self.config.gan_mode)
        self.improving: bool | None = None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the results."""
        return {
            "record": self.record.content,
            "watchdog": self.watchdog.state(),
            "improving": self.improving,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave; earlier versions kept the verdicts alone of the watchdog."""
        self.record = Record(self.config.best_metric, state["record"])
        self.watchdog = Watchdog(self.config.gan_mode)
        self.watchdog.load_state(state.get("watchdog") or {"verdicts": state["verdicts"]})
        self.improving = state.get("improving")

    def measure_baselines(self) -> None:
        """Measure, once, what the results stand beside."""
        if self.record.content["baselines"]:
            return
        found = baselines(self.validation, self.training, self.config.validation_pairs)
        self.record.content["baselines"] = {name: measures.as_dict() for name, measures in found.items()}
        for name, measures in found.items():
            self.say(f"{name}: " + ", ".join(f"{key} {getattr(measures, key):.4g}" for key in SAID))

    def rehearse(self, G: Generator, on: device) -> None:
        """Measure one pair and keep nothing: what validation cannot do is found before hours of training."""
        translate = Translator(G, self.validation.model, on)
        evaluate(
            lambda pictures: translate([as_read(p, self.validation.model) for p in pictures]),
            self.validation,
            1,
        )

    def validate(self, step: int, G: Generator, D: JudgesPairs, on: device) -> Evaluation:
        """Measure and draw what G makes of the validation pairs; publish G and D if it is the best so far."""
        translate = Translator(G, self.validation.model, on)
        outputs: list[Any] = []

        def watched(pictures: list) -> list:
            drawn = translate([as_read(picture, self.validation.model) for picture in pictures])
            arrays = (images.to_array(picture, "raw") for picture in drawn)
            outputs.extend(images.to_integers(array, np.uint8) for array in arrays)
            return drawn

        result = evaluate(watched, self.validation, self.config.validation_pairs)
        self.improving = self.record.add(step, result.measures)
        verdict = self.watchdog.outputs(step, outputs)
        text = ", ".join(f"{name} {getattr(result.measures, name):.4g}" for name in SAID)
        self.say(f"step {step}: {text}{' (best so far)' if self.improving else ''}")
        if verdict:
            self.say(verdict)
        persistently("The validation", lambda: self._write(step, result, G, D), self.say)
        return result

    def _write(self, step: int, result: Evaluation, G: Generator, D: JudgesPairs) -> None:
        _write_sheet(result, self.folder / "validation" / f"step-{step:08d}.png")
        if self.improving:
            G.save_pretrained(self.folder)
            D.save_pretrained(self.folder / "discriminator")
            _write_sheet(result, self.folder / "samples.png")
        self.write_record()

    def write_record(self) -> None:
        write_json(self.folder / "metrics.json", {**self.record.content, "watchdog": self.watchdog.verdicts})


def _write_sheet(result: Evaluation, path: Path) -> None:
    with replacing(path) as temporary:
        result.sheet.save(temporary)
