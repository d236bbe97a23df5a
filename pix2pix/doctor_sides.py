"""Which pairs have their sides swapped: judged by what sets the two sides of all the others apart.

A photo differs from a map, a drawing or a label picture in how many colours, how much detail, light and
saturation it has. A linear discriminant (Fisher 1936) of the difference between the two sides is fitted over
the set; each pair is scored by the others' fit: 1 is typical, 0 undecided, -1 a typical pair the wrong way.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

LOOKED_AT = 96
"""Side in pixels at which a picture is described; pixels are picked, for a mean would be a new colour."""
FEWEST = 12
"""Pairs that must be there before a set says which side is which."""
SWAPPED = -0.4
"""A pair is swapped below this score."""
FOLDS = 10


def features(rgb: Image.Image) -> np.ndarray:
    """Describe a picture by 13 numbers (float64): light, saturation, palette and detail."""
    small = np.asarray(rgb.resize((LOOKED_AT, LOOKED_AT), Image.Resampling.NEAREST))
    unit = small.astype(np.float32) / 255
    light = unit @ np.array([0.299, 0.587, 0.114], np.float32)
    saturation = unit.max(axis=2) - unit.min(axis=2)
    colours = (small >> 4).astype(np.intp) @ np.array([256, 16, 1])
    shares = np.sort(np.bincount(colours.ravel(), minlength=4096) / colours.size)[::-1]
    shares = shares[shares > 0]
    across, down = np.abs(np.diff(light, axis=1)), np.abs(np.diff(light, axis=0))
    return np.array(
        [
            light.mean(), light.std(), np.percentile(light, 5), np.percentile(light, 95),
            saturation.mean(), saturation.std(), unit[..., 0].mean() - unit[..., 2].mean(),
            -(shares * np.log(shares)).sum(), np.log(shares[0]), np.log(shares[:4].sum()),
            np.log(across.mean() + down.mean() + 0.004), (across < 0.01).mean(), (across > 0.1).mean(),
        ],
        np.float64,
    )  # fmt: skip


def swap_scores(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
    """Features [N, K] of both sides -> a score a pair, [N]; None where the two sides are not told apart."""
    if len(inputs) < FEWEST:
        return None
    difference = inputs - targets
    spread = np.median(np.abs(difference), axis=0)
    difference = difference / (spread + 1e-6 + 0.05 * np.abs(difference).max(axis=0))
    scores = _held_out_scores(difference, np.ones(len(difference), bool))
    scores = _held_out_scores(difference, scores > 0)  # the fit of those that agree
    middle = np.median(scores)
    spread = np.median(np.abs(scores - middle)) * 1.4826
    undecided = np.mean(np.abs(scores) < 0.2)
    if not (middle > 0 and middle > 2 * spread and np.mean(scores > 0) > 0.75 and undecided < 0.12):
        return None
    return scores


def _held_out_scores(difference: np.ndarray, trusted: np.ndarray) -> np.ndarray:
    """The score of each pair by a discriminant fitted to the trusted ones of the other folds."""
    count, width = difference.shape
    fold = np.arange(count) % FOLDS
    scores = np.zeros(count)
    for number in range(FOLDS):
        known = difference[(fold != number) & trusted]
        if len(known) < 2:
            continue
        covariance = np.cov(known.T)
        weight = np.linalg.solve(
            covariance + (0.1 * np.trace(covariance) / width + 1e-9) * np.eye(width), known.mean(axis=0)
        )
        typical = np.median(known @ weight)
        scores[fold == number] = difference[fold == number] @ weight / max(typical, 1e-9)
    return scores
