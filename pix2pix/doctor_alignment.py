"""How far one side of a pair is shifted against the other, found from where their contours agree.

The two sides may look quite different (a photo and its labels), but contours lie in the same places and run
in the same directions. So not pixels are correlated but gradients, as a complex field whose angle is doubled:
dark on light and light on dark are one direction then (Fitch et al. 2002, orientation correlation).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

SIDE = 128
"""The longest side in pixels at which contours are compared."""
FURTHEST = 25
"""The largest shift that is tried, in pixels of SIDE."""
CLEAR = 0.22
"""By how much the agreement must be better elsewhere, as a share of the set's typical agreement."""
STRENGTH = 3.5
"""Deviations by which a peak stands out at all."""
NEAR = 2.0
"""A peak this close, in pixels of SIDE, is no shift: drawn borders are not exact."""
TYPICAL = 4.5
"""The agreement, in deviations, that half of a set must reach before single pairs can be judged: contours
that have nothing in common reach 3.5 somewhere by chance."""


class Agreement(NamedTuple):
    """How well the contours of a pair agree, in deviations over all shifts tried."""

    shift: tuple[float, float]
    """Where they agree best: the target lies that many pixels to the right and below."""
    best: float
    in_place: float
    distance: float
    """Length of the shift in pixels of SIDE."""


def agreement(a: Image.Image, b: Image.Image) -> Agreement:
    """Compare the contours of two RGB pictures of one size."""
    scale = min(1.0, SIDE / max(a.size))
    size = (max(1, round(a.width * scale)), max(1, round(a.height * scale)))
    first, second = _contours(a, size), _contours(b, size)
    radius = min(FURTHEST, min(size) // 4)
    energy = float(np.sqrt((np.abs(first) ** 2).sum() * (np.abs(second) ** 2).sum()))
    if radius < 3 or energy < 1e-6:
        return Agreement((0.0, 0.0), 0.0, 0.0, 0.0)
    surface = _standardized(_surface(first, second, radius) / energy)
    row, column = np.unravel_index(int(surface.argmax()), surface.shape)
    down, right = int(row) - radius, int(column) - radius
    in_place = float(surface[radius - 1 : radius + 2, radius - 1 : radius + 2].max())
    scales = a.width / size[0], a.height / size[1]
    shift = (
        (right + _between(surface[row], int(column))) * scales[0],
        (down + _between(surface[:, column], int(row))) * scales[1],
    )
    return Agreement(shift, float(surface.max()), in_place, float(np.hypot(right, down)))


def shifted(agreements: list[Agreement]) -> list[int] | None:
    """Which pairs of a set are shifted; None where the contours of the two sides have nothing in common."""
    if not agreements:
        return None
    typical = float(np.median([found.best for found in agreements]))
    if typical < TYPICAL:
        return None
    return [
        number
        for number, found in enumerate(agreements)
        if found.distance > NEAR and found.best > STRENGTH and found.best - found.in_place > CLEAR * typical
    ]


def _between(values: np.ndarray, at: int) -> float:
    """Where the top of the parabola through a peak and its neighbours lies, within half a step."""
    if not 0 < at < len(values) - 1:
        return 0.0
    left, middle, right = (float(value) for value in values[at - 1 : at + 2])
    bend = left - 2 * middle + right
    return float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _contours(rgb: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """complex64 [H, W]: strength of the contour, at twice its angle; faded out at the border."""
    unit = np.asarray(rgb.resize(size, Image.Resampling.BOX), np.float32) / 255
    right, down = np.zeros_like(unit), np.zeros_like(unit)
    right[:, 1:-1] = unit[:, 2:] - unit[:, :-2]
    down[1:-1] = unit[2:] - unit[:-2]
    steepest = (right**2 + down**2).argmax(axis=2)[..., None]  # of the three channels
    gradient = np.take_along_axis(right, steepest, 2) + 1j * np.take_along_axis(down, steepest, 2)
    gradient = gradient[..., 0]
    strength = np.abs(gradient)
    bounded = np.minimum(strength, 3 * strength.mean())  # one bright lamp must not outweigh a street
    field = (gradient / np.maximum(strength, 1e-9)) ** 2 * bounded
    field *= _window(size[1])[:, None] * _window(size[0])[None]
    return (field - field.mean()).astype(np.complex64)


def _window(length: int) -> np.ndarray:
    """0 at both ends, 1 from 12 pixels of SIDE inwards: what a shift left at a border is no contour."""
    steps = np.arange(length, dtype=np.float32)
    margin = max(1.0, length / SIDE * 4)
    return np.clip(np.minimum(steps, steps[::-1]) / (2 * margin) - 0.5, 0, 1)


def _surface(first: np.ndarray, second: np.ndarray, radius: int) -> np.ndarray:
    """The correlation at shifts of up to `radius`, [2 radius + 1, 2 radius + 1]; in place is the middle."""
    shape = [side + radius + 2 for side in first.shape]  # zeros beside, so that nothing wraps around
    spectrum = np.conj(np.fft.fft2(first, shape)) * np.fft.fft2(second, shape)
    rolled = np.roll(np.fft.ifft2(spectrum).real, (radius, radius), (0, 1))
    return rolled[: 2 * radius + 1, : 2 * radius + 1].astype(np.float32)


def _standardized(surface: np.ndarray) -> np.ndarray:
    """Peaks alone: slightly smoothed, less the mean around, in deviations."""
    padded = np.pad(surface, 1, mode="edge")
    rows = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    smooth = 0.25 * rows[:, :-2] + 0.5 * rows[:, 1:-1] + 0.25 * rows[:, 2:]
    radius = 5
    side = 2 * radius + 1
    sums = np.pad(smooth, [(radius + 1, radius)] * 2, mode="edge").astype(np.float64).cumsum(0).cumsum(1)
    around = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    peaks = smooth - around / side**2
    return peaks / max(float(peaks.std()), 1e-9)
