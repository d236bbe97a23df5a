"""What several measures are made of: the two sets checked, filtered planes, gradients and Lab histograms.

It stands below the measures (metrics.py), their intervals and the sliced Wasserstein distance, which all
build on it. A constant here is part of what METRICS_VERSION stands for.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pix2pix.cielab import rgb_to_lab
from pix2pix.errors import ImageError
from pix2pix.images import LUMA

SHARPNESS_FLOOR = 0.01  # grey levels a pixel, added above and below the line: constant over constant is 1
LAB_BINS = ((50, 0.0, 100.0), (111, -110.0, 110.0), (111, -110.0, 110.0))  # odd: a = b = 0 is mid-bin


def checked(
    outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Both sets as lists of [H, W, C], after the checks that every measure shares."""
    if len(outputs) != len(targets) or not len(outputs):
        raise ImageError(f"{len(outputs)} outputs for {len(targets)} targets: give one for one, at least one")
    for number, (output, target) in enumerate(zip(outputs, targets, strict=True)):
        if output.shape != target.shape or output.ndim not in (2, 3) or 0 in output.shape:
            raise ImageError(
                f"pair {number}: output of shape {output.shape}, target of shape {target.shape}: "
                "both are [H, W, C] and equal; resize or convert one of them"
            )
        if output.dtype != np.uint8 or target.dtype != np.uint8:
            raise ImageError(
                f"pair {number}: {output.dtype} and {target.dtype}: pictures are measured as uint8, 0 to 255"
            )
        if output.shape[2:] != outputs[0].shape[2:]:
            raise ImageError(
                f"pair {number}: shape {output.shape} in a set that begins with {outputs[0].shape}: "
                "all pictures of a set have the same channels"
            )
    first, second = (
        [p[:, :, None] if p.ndim == 2 else p for p in pictures] for pictures in (outputs, targets)
    )
    return first, second


def filtered(maps: np.ndarray, window: np.ndarray, axis: int) -> np.ndarray:
    """[..., H, W] -> by a symmetric window of odd length along `axis` (-2 or -1), where it fits."""
    radius = len(window) // 2
    length = maps.shape[axis] - 2 * radius

    def shifted(start: int) -> np.ndarray:
        part = slice(start, start + length)
        return maps[..., part] if axis == -1 else maps[..., part, :]

    result = shifted(radius) * window[radius]
    for offset in range(radius):
        pair = shifted(offset) + shifted(2 * radius - offset)
        pair *= window[offset]
        result += pair
    return result


def _luminance(picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W, C] -> float32 [H, W] in [0, 255]."""
    pixels = picture.astype(np.float32)
    return pixels @ LUMA if picture.shape[2] == 3 else pixels.mean(axis=2)


def gradient(picture: np.ndarray) -> float:
    """Mean length of the luminance's gradient, grey levels a pixel."""
    luminance = _luminance(picture)
    across, down = np.zeros_like(luminance), np.zeros_like(luminance)
    across[:, :-1], down[:-1] = np.diff(luminance, axis=1), np.diff(luminance, axis=0)
    return float(np.hypot(across, down).mean(dtype=np.float64))


def ratio(output: Any, target: Any) -> Any:
    """Of gradients, numbers or arrays: the output's over the target's, SHARPNESS_FLOOR added to both."""
    return (output + SHARPNESS_FLOOR) / (target + SHARPNESS_FLOOR)


def lab_histograms(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Of L*, a* and b* each [pictures, bins]: counts of pixels, so that a picture weighs by its size."""
    counts = [np.zeros((len(pictures), bins)) for bins, _, _ in LAB_BINS]
    for number, picture in enumerate(pictures):
        rgb = picture if picture.shape[2] == 3 else np.repeat(_luminance(picture)[:, :, None], 3, axis=2)
        lab = rgb_to_lab(rgb.reshape(-1, 3).astype(np.float32) / 255)
        for count, values, (bins, lowest, highest) in zip(counts, lab.T, LAB_BINS, strict=True):
            indices = ((values - lowest) * (bins / (highest - lowest))).astype(np.int64)
            count[number] = np.bincount(np.clip(indices, 0, bins - 1), minlength=bins)
    return counts


def intersection(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Of two sets' histograms, [pictures, bins] each: what their pooled shares have in common."""
    return float(left_in_common(outputs.sum(0), targets.sum(0)))


def left_in_common(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """[..., bins] counts -> [...]: the intersection of their shares."""
    shares = [counts / counts.sum(-1, keepdims=True) for counts in (outputs, targets)]
    return np.minimum(*shares).sum(-1)
