"""What a translator draws on held-out pairs, measured and shown beside the baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pix2pix import images, metrics
from pix2pix.config import ModelConfig
from pix2pix.contact_sheet import contact_sheet
from pix2pix.data import PairDataset
from pix2pix.pairs import Picture

BATCH = 16
SHEET_ROWS = 6
MEAN_OF = 1000
"""Training targets that make up the mean target; of a larger set, that many spread evenly over it."""


@dataclass(frozen=True)
class Evaluation:
    """Measures over some pairs, a few of them as a sheet input | output | truth, and their names."""

    measures: metrics.Measures
    sheet: Image.Image
    names: Sequence[str]
    chosen: Sequence[int]
    """Which pairs of the data set they are."""
    outputs: Sequence[np.ndarray]
    """What was drawn, as levels; of raw channels, each by itself."""
    targets: Sequence[np.ndarray]


def evaluate(translate: Callable[[list], list], dataset: PairDataset, limit: int = 0) -> Evaluation:
    """Translate the pairs at the training resolution and measure them; `limit` takes that many of them."""
    model = dataset.model
    chosen = spread(len(dataset), limit)
    shown = {chosen[position] for position in spread(len(chosen), SHEET_ROWS)}
    outputs: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    rows: list[list[Image.Image]] = []
    for start in range(0, len(chosen), BATCH):
        members = chosen[start : start + BATCH]
        pairs = [dataset.picture_pair(index) for index in members]
        for index, (x, y), drawn in zip(members, pairs, translate([x for x, _ in pairs]), strict=True):
            outputs += levels(drawn, model)
            targets += levels(y, model)
            if index in shown:
                rows.append([shown_input(x, model), as_shown(drawn), as_shown(images_like(y, model))])
    sheet = contact_sheet(rows, ("input", "output", "truth"))
    names = [dataset.source.names[index] for index in chosen]
    return Evaluation(metrics.measure(outputs, targets), sheet, names, chosen, outputs, targets)


def baselines(
    dataset: PairDataset, training: PairDataset | None, limit: int = 0
) -> dict[str, metrics.Measures]:
    """Measure what needs no model: `copy_input`, and `mean_target`, the mean of the training targets.

    One that has no meaning here (an input with other channels than the target, no training pairs) is absent.
    """
    model = dataset.model
    pairs = [dataset.picture_pair(index) for index in spread(len(dataset), limit)]
    targets = [array for _, y in pairs for array in levels(y, model)]
    found = {}
    both_raw = model.input_color == model.output_color == "raw" and model.in_channels == model.out_channels
    if model.output_color != "raw" or both_raw:
        copies = [
            array for x, _ in pairs for array in levels(x if both_raw else shown_input(x, model), model)
        ]
        found["copy_input"] = metrics.measure(copies, targets)
    if training is not None:
        mean = mean_target(training)
        found["mean_target"] = metrics.measure([array for _ in pairs for array in mean], targets)
    return found


def mean_target(training: PairDataset) -> list[np.ndarray]:
    """The pixel-wise mean of the training targets, as levels."""
    chosen = spread(len(training), MEAN_OF)
    total: list[np.ndarray] | None = None
    for index in chosen:
        target = training.picture_pair(index)[1]
        arrays = [array.astype(np.float64) for array in levels(target, training.model)]
        total = arrays if total is None else [t + a for t, a in zip(total, arrays, strict=True)]
    assert total is not None
    return [np.rint(array / len(chosen)).astype(np.uint8) for array in total]


def levels(picture: Picture, model: ModelConfig) -> list[np.ndarray]:
    """A picture as the measures compare it: uint8 [H, W, 3], or [H, W, 1] (grey; each raw channel)."""
    if model.output_color == "raw":
        array = images.to_integers(images.to_array(picture, "raw", model.out_channels), np.uint8)
        return [array[..., c : c + 1] for c in range(array.shape[2])]
    color = "grey" if model.output_color == "grey" else "rgb"
    return [images.to_integers(images.to_array(picture, color), np.uint8)]


def as_read(picture: Picture, model: ModelConfig) -> Picture:
    """A picture as the translator takes it: raw channels make no picture, so arrays are asked of it."""
    if model.output_color != "raw" or isinstance(picture, np.ndarray):
        return picture
    return images.to_array(picture, "raw" if model.input_color == "raw" else "rgb")


def images_like(picture: Picture, model: ModelConfig) -> Picture:
    """The truth as the model would draw it: grey where it draws grey."""
    if model.output_color == "grey":
        return images.to_picture(images.to_array(picture, "grey"), "grey")
    return picture


def shown_input(picture: Picture, model: ModelConfig) -> Image.Image:
    """The input as G sees it: without colours where it reads lightness or grey."""
    if model.input_color in ("l", "grey"):
        array = images.to_array(picture, model.input_color)
        return images.to_picture(array, model.input_color).convert("RGB")
    return as_shown(picture)


def as_shown(picture: Picture) -> Image.Image:
    """Any picture as RGB for a sheet; of an array, its first three channels (or the first, as grey)."""
    if isinstance(picture, Image.Image):
        return images.to_rgb(picture)
    array = images.to_array(picture, "raw")
    return images.to_picture(array[..., :3] if array.shape[2] >= 3 else array[..., :1], "raw").convert("RGB")


def spread(length: int, limit: int) -> list[int]:
    """All indices, or `limit` of them spread evenly: neighbours in a data set are often alike."""
    if limit == 0 or length <= limit:
        return list(range(length))
    return [round(position) for position in np.linspace(0, length - 1, limit)]


class Record:
    """metrics.json: every validation of a run, the best of them, and the baselines."""

    def __init__(self, best_metric: str, content: dict[str, Any] | None = None):
        self.best_metric = best_metric
        self.content: dict[str, Any] = content or {
            "metrics_version": metrics.METRICS_VERSION,
            "best_metric": best_metric,
            "best": None,
            "baselines": {},
            "history": [],
        }

    def add(self, step: int, measures: metrics.Measures) -> bool:
        """Append a validation; return whether it is the best so far."""
        values = {"step": step, **measures.as_dict()}
        self.content["history"].append(values)
        best = self.content["best"]
        is_best = best is None or metrics.better(
            self.best_metric, getattr(measures, self.best_metric), best["selection"]
        )
        if is_best:
            selection = getattr(measures, self.best_metric)
            self.content["best"] = values | {"selection": selection, "intervals": measures.intervals}
        return is_best
