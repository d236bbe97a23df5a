"""A pencil in unit coordinates: (0, 0) is the top left corner, (1, 1) the bottom right one.

Shapes are drawn two or three times larger than asked and reduced, which is what makes their edges smooth
and lets one plan be drawn at any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Array = NDArray[np.float64]
Points = Sequence[Sequence[float]] | Array
Ellipse = tuple[float, float, float, float]  # centre x, centre y, radius x, radius y

INK: Colour = (0, 0, 0)
PAPER: Colour = (255, 255, 255)


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """The colour `t` of the way from `a` (t = 0) to `b` (t = 1)."""
    return (round(a[0] + (b[0] - a[0]) * t), round(a[1] + (b[1] - a[1]) * t), round(a[2] + (b[2] - a[2]) * t))


def lit(colour: Colour, gain: float) -> Colour:
    """`colour` under `gain` times the light."""
    return (
        min(255, round(colour[0] * gain)),
        min(255, round(colour[1] * gain)),
        min(255, round(colour[2] * gain)),
    )


def noise(rng: np.random.Generator, size: int, cells: int, cells_down: int = 0) -> NDArray[np.float32]:
    """Smooth noise, size x size, about N(0, 1): a lattice of `cells` across, whatever the size."""
    lattice = rng.standard_normal((cells_down or cells, cells), dtype=np.float32)
    return np.asarray(Image.fromarray(lattice).resize((size, size), Image.Resampling.BICUBIC))


def ribbon(path: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """The outline (2n, 2) of a band of `width` along `path` (n, 2)."""
    along = np.gradient(path, axis=0)
    along /= np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-9
    side = np.stack([-along[:, 1], along[:, 0]], axis=1) * (width / 2)
    return np.concatenate([path + side, (path - side)[::-1]])


def oval(cx: float, cy: float, rx: float, ry: float, points: int = 24) -> NDArray[np.float64]:
    """An ellipse as a polygon (points, 2)."""
    turn = np.linspace(0, 2 * math.pi, points, endpoint=False)
    return np.stack([cx + rx * np.cos(turn), cy + ry * np.sin(turn)], axis=1)


class Canvas:
    """A square RGB picture to draw on in unit coordinates; `finish` gives it at `size` x `size`.

    tone: what the light of the scene makes of every colour (None leaves colours alone).
    ink:  draw contours in black on white in place of fills; washes and glows are left out.
    """

    def __init__(
        self,
        size: int,
        background: Colour = PAPER,
        tone: Callable[[Colour], Colour] | None = None,
        ink: bool = False,
    ) -> None:
        self.size = size
        self.factor = 3 if size < 192 else 2
        self.scale = size * self.factor
        self.tone = tone
        self.ink = ink
        self.pen = max(2, round(self.factor * max(0.8, size / 256)))
        self.image = Image.new("RGB", (self.scale, self.scale), PAPER if ink else background)
        self.light = Image.new("RGB", (max(8, size // 2), max(8, size // 2)))
        self.shining = False
        self._draw = ImageDraw.Draw(self.image)
        self._wash = ImageDraw.Draw(self.image, "RGBA")  # this mode blends; the plain one replaces
        self._light = ImageDraw.Draw(self.light)

    def _fill(self, colour: Colour) -> Colour:
        return PAPER if self.ink else self.tone(colour) if self.tone else colour

    def _pixels(self, points: Points) -> list[tuple[float, float]]:
        scale = self.scale
        rows = points.tolist() if isinstance(points, np.ndarray) else points
        return [(x * scale, y * scale) for x, y in rows]

    def polygon(self, points: Points, colour: Colour) -> None:
        pixels = self._pixels(points)
        self._draw.polygon(pixels, self._fill(colour))
        if self.shining:  # what stands before a lamp hides it
            self.glow(points, (0, 0, 0))
        if self.ink:
            self._draw.line([*pixels, pixels[0]], INK, self.pen)

    def rect(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        self.polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour)

    def blob(self, ellipses: Sequence[Ellipse], colour: Colour) -> None:
        """The union of ellipses, as one shape with one contour."""
        boxes = [
            ((x - rx) * self.scale, (y - ry) * self.scale, (x + rx) * self.scale, (y + ry) * self.scale)
            for x, y, rx, ry in ellipses
        ]
        if self.ink:
            pen = self.pen * 0.6
            for a, b, c, d in boxes:
                self._draw.ellipse((a - pen, b - pen, c + pen, d + pen), INK)
            boxes = [(a + pen, b + pen, c - pen, d - pen) for a, b, c, d in boxes if c - a > 2 * pen < d - b]
        fill, shrink = self._fill(colour), self.light.width / self.scale
        for box in boxes:
            self._draw.ellipse(box, fill)
            if self.shining:
                self._light.ellipse([edge * shrink for edge in box], (0, 0, 0))

    def line(self, points: Points, colour: Colour, width: float) -> None:
        """A stroke of at least one pixel; in ink it is as thin as every contour."""
        stroke = self.pen if self.ink else max(1, round(width * self.scale))
        self._draw.line(self._pixels(points), INK if self.ink else self._fill(colour), stroke, joint="curve")

    def wash(self, points: Points, colour: Colour, opacity: float) -> None:
        """A translucent polygon: shade, glint or haze. Contours know nothing of it."""
        if not self.ink:
            self._wash.polygon(self._pixels(points), (*self._fill(colour), round(255 * opacity)))

    def wash_rect(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, opacity: float) -> None:
        self.wash(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour, opacity)

    def wash_blob(self, ellipses: Sequence[Ellipse], colour: Colour, opacity: float = 1.0) -> None:
        """A translucent union of ellipses (overlaps blend twice)."""
        if self.ink:
            return
        fill = (*self._fill(colour), round(255 * opacity))
        for x, y, rx, ry in ellipses:
            box = ((x - rx) * self.scale, (y - ry) * self.scale, (x + rx) * self.scale, (y + ry) * self.scale)
            self._wash.ellipse(box, fill)

    def lamp(self, points: Points, colour: Colour, glow: float = 1.0) -> None:
        """A polygon that shines: its colour escapes the tone, and a glow surrounds it."""
        self._draw.polygon(self._pixels(points), colour)
        self.glow(points, lit(colour, glow))

    def glow(self, points: Points, colour: Colour) -> None:
        """Soft light from a polygon that itself stays as it is."""
        self.shining = True
        scale = self.light.width
        self._light.polygon([(x * scale, y * scale) for x, y in points], colour)

    def finish(self) -> Image.Image:
        """The picture, reduced to `size` x `size`, with the glow of its lamps added."""
        picture = self.image.reduce(self.factor)
        if not self.shining:
            return picture
        near = np.asarray(self.light.filter(ImageFilter.GaussianBlur(self.light.width * 0.012)), np.float32)
        far = np.asarray(self.light.filter(ImageFilter.GaussianBlur(self.light.width * 0.05)), np.float32)
        glow = Image.fromarray(np.clip(0.35 * near + 0.8 * far, 0, 255).astype(np.uint8))
        glow = glow.resize((self.size, self.size), Image.Resampling.BICUBIC)
        base, more = np.asarray(picture, np.float32), np.asarray(glow, np.float32)
        return to_image(255 - (255 - base) * (1 - more / 255))  # screen: light adds, and never clips


def to_image(array: NDArray[Any]) -> Image.Image:
    """A float array (H, W, 3) in [0, 255], rounded and clipped, as an RGB picture."""
    return Image.fromarray(np.clip(array + 0.5, 0, 255).astype(np.uint8))
