"""What each task turns into what, and how its input is made from a photograph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from pix2pix import images
from pix2pix.config import ColorName, TaskId
from pix2pix.errors import ConfigError


@dataclass(frozen=True)
class Task:
    """One kind of translation; `derive` makes the input from a target picture, where that is possible."""

    id: TaskId
    title: str
    sentence: str
    input_name: str
    target_name: str
    input_color: ColorName = "rgb"
    output_color: ColorName = "rgb"
    derive: Callable[[Image.Image], Image.Image] | None = None


def lightness(photo: Image.Image) -> Image.Image:
    """Return the grey picture with the photo's CIE lightness (L mode, same size)."""
    steps = np.rint((images.to_array(photo, "l")[..., 0] + 1) * 32768).astype(np.intp)
    return Image.fromarray(_greys()[steps])


@cache
def _greys() -> np.ndarray:
    """The grey levels of 65,537 evenly spaced lightnesses: looking up is far quicker than converting."""
    scale = np.linspace(-1, 1, 65537, dtype=np.float32)
    return np.asarray(images.to_picture(scale[None, :, None], "l"))[0]


# ---- a pen drawing of a photo -----------------------------------------------------------------------------

DRAWN_AT = 256
"""The longest short side at which contours are sought: larger pictures get the same drawing, larger."""


def edges(photo: Image.Image) -> Image.Image:
    """Return a pen drawing of a photo: black contours on white, RGB, same size.

    Canny's edges (1986: gradient, thinning, hysteresis), of the gradient that stands out from its surround
    (Grigorescu, Petkov, Westenberg 2003), so that outlines are drawn and grass is not.
    """
    scale = min(1.0, DRAWN_AT / min(photo.size))
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    grey = (
        np.asarray(images.to_rgb(photo).convert("L").resize(size, Image.Resampling.BILINEAR), np.float32)
        / 255
    )
    pixel = max(min(size) / DRAWN_AT, 0.5)  # what a pixel of the largest drawing measures here
    line = _contours(_blurred(grey, 1.5 * pixel), pixel)
    pen = Image.fromarray(_blurred(line.astype(np.float32), 0.6 * max(pixel, 0.7)))
    ink = np.clip(2.2 * np.asarray(pen.resize(photo.size, Image.Resampling.BICUBIC)), 0, 1)
    return Image.fromarray(np.rint(255 * (1 - ink)).astype(np.uint8)).convert("RGB")


def _contours(grey: np.ndarray, pixel: float) -> np.ndarray:
    """Smooth grey [H, W] in [0, 1] -> bool [H, W]: lines one pixel wide."""
    gx, gy = _shifted(grey, 0, 1) - _shifted(grey, 0, -1), _shifted(grey, 1, 0) - _shifted(grey, -1, 0)
    steepness = np.hypot(gx, gy) * (pixel / 2)
    height, width = grey.shape
    cells = max(1, round(width / (16 * pixel))), max(1, round(height / (16 * pixel)))
    mean = Image.fromarray(steepness).resize(cells, Image.Resampling.BOX)
    around = np.asarray(mean.resize((width, height), Image.Resampling.BICUBIC))
    contrast = steepness - 0.9 * around
    # Dark and foggy photos have outlines too: the threshold is the photo's own, above what noise reaches.
    threshold = max(0.012, float(np.percentile(contrast, 93)))
    ridge = _is_ridge(steepness, gx, gy) & (contrast > 0.4 * threshold)
    line = _grown(ridge & (contrast > threshold), ridge)
    radius = max(1, round(6 * pixel))  # a stroke is worth its ink if it crosses half of such a window
    return _grown(line & (_count_around(line, radius) > 2 * radius), line)


def _is_ridge(steepness: np.ndarray, gx: np.ndarray, gy: np.ndarray) -> np.ndarray:
    """Where the steepness is highest across the edge, to 45 degrees."""
    across = np.abs(gy) < 0.414 * np.abs(gx)  # tan 22.5 degrees
    along = np.abs(gx) < 0.414 * np.abs(gy)
    falling = gx * gy > 0

    def towards(sign: int) -> np.ndarray:
        diagonal = np.where(falling, _shifted(steepness, sign, sign), _shifted(steepness, sign, -sign))
        straight = np.where(across, _shifted(steepness, 0, sign), _shifted(steepness, sign, 0))
        return np.where(across | along, straight, diagonal)

    return (steepness >= towards(1)) & (steepness > towards(-1))


def _grown(seed: np.ndarray, within: np.ndarray) -> np.ndarray:
    """The parts of a bool mask [H, W] that hang together with the seed, as far as 64 pixels from it."""
    for _ in range(64):
        padded = np.pad(seed, 1)
        rows = padded[:-2] | padded[1:-1] | padded[2:]
        grown = (rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]) & within
        if np.array_equal(grown, seed):
            break
        seed = grown
    return seed


def _count_around(mask: np.ndarray, radius: int) -> np.ndarray:
    """How much of a bool mask [H, W] is set in the square window about each pixel (by an integral image)."""
    sums = np.pad(mask.astype(np.int32), [(radius + 1, radius)] * 2).cumsum(0).cumsum(1)
    side = 2 * radius + 1
    return sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]


def _shifted(values: np.ndarray, down: int, right: int) -> np.ndarray:
    """values[y + down, x + right] at [y, x], for steps of at most 1; the border is repeated."""
    height, width = values.shape
    return np.pad(values, 1, mode="edge")[1 + down : 1 + down + height, 1 + right : 1 + right + width]


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of float32 [H, W] in float: Pillow's has 8 bits, too coarse for gradients."""
    radius = max(1, round(2.5 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1, dtype=np.float32) / sigma) ** 2)
    kernel /= kernel.sum()
    for _ in range(2):  # rows, then columns
        padded = np.pad(values, [(radius, radius), (0, 0)], mode="edge")
        blurred = np.zeros_like(values)
        for offset, weight in enumerate(kernel):
            blurred += weight * padded[offset : offset + len(values)]
        values = blurred.T
    return values


# ---- the tasks --------------------------------------------------------------------------------------------

TASKS: dict[str, Task] = {
    task.id: task
    for task in (
        Task("map", "Aerial photo to map", "Draws the map of what an aerial photo shows.",
             "aerial photo", "map"),
        Task("map-to-aerial", "Map to aerial photo", "Imagines the ground that a map describes.",
             "map", "aerial photo"),
        Task("colorize", "Grey to colour", "Colours a black-and-white photograph.",
             "grey photo", "colour photo", "l", "ab", lightness),
        Task("day-night", "Day to night", "Shows a scene by night.", "day", "night"),
        Task("night-day", "Night to day", "Shows a scene by day.", "night", "day"),
        Task("sketch", "Drawing to photo", "Turns a line drawing into a picture.",
             "drawing", "photo", derive=edges),
        Task("facades", "Labels to facade", "Builds a facade from coloured labels.", "labels", "facade"),
        Task("custom", "Your own pairs", "Translates as its training pairs do.", "input", "target"),
    )
}  # fmt: skip


def get_task(task_id: str) -> Task:
    """Return the task, or say which there are."""
    if task_id not in TASKS:
        raise ConfigError(f"There is no task {task_id!r}; the tasks are {', '.join(TASKS)}.")
    return TASKS[task_id]
