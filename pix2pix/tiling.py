"""A picture too large for one pass: where its overlapping tiles lie, and how they are blended.

Tiles start at multiples of the network's own, so that neighbours agree wherever both see the same; the
network's statistics are those of a reduced copy of the whole picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Stretch:
    """What one row (or column) of tiles takes from a side of the picture, and where its drawing belongs."""

    take: np.ndarray
    """The picture's position for each of the tile's; mirrored where the tile reaches over the border."""
    inside: slice
    """The tile's positions that lie in the picture..."""
    place: slice
    """...where they lie there..."""
    weight: np.ndarray
    """...and how much they count. All tiles' weights at a position add up to 1."""


def padded_side(side: int, multiple: int, smallest: int) -> int:
    """The length to which a side is padded: a multiple, and at least `smallest`."""
    return math.ceil(max(side, smallest) / multiple) * multiple


def stretches(side: int, multiple: int, smallest: int, tile: int, overlap: int) -> list[Stretch]:
    """Cut a side into tiles of one length that overlap by `overlap` or more, both rounded up to multiples.

    A tile's weight falls towards its cut ends, over the length of the overlap.
    """
    padded = padded_side(side, multiple, smallest)
    before = (padded - side) // 2
    positions = np.pad(np.arange(side), (before, padded - side - before), mode="symmetric")
    overlap = padded_side(overlap, multiple, 0)
    tile = min(padded, padded_side(max(tile, 2 * overlap), multiple, smallest))
    starts = _starts(padded, tile, overlap, multiple)
    ramp = np.minimum(1, (np.arange(tile, dtype=np.float32) + 0.5) / max(overlap, 1))
    ramp = ramp * ramp * (3 - 2 * ramp)  # level at both ends; two that cross still add up to 1
    weights, total = [], np.zeros(padded, np.float32)
    for start in starts:
        weight = np.ones(tile, np.float32)
        weight *= ramp if start > 0 else 1
        weight *= ramp[::-1] if start + tile < padded else 1
        weights.append(weight)
        total[start : start + tile] += weight
    cut = []
    for start, weight in zip(starts, weights, strict=True):
        inside = slice(max(before - start, 0), min(before + side - start, tile))
        place = slice(start + inside.start - before, start + inside.stop - before)
        weight = (weight / total[start : start + tile])[inside]
        cut.append(Stretch(positions[start : start + tile], inside, place, weight))
    return cut


def _starts(length: int, tile: int, overlap: int, multiple: int) -> list[int]:
    """As few tiles as overlap enough, spread evenly, each at a multiple."""
    if length <= tile:
        return [0]
    gaps = math.ceil((length - tile) / (tile - overlap))
    return [round(number * (length - tile) / gaps / multiple) * multiple for number in range(gaps + 1)]


def reduced_copy(array: np.ndarray, pixels: int, smallest: int) -> np.ndarray:
    """float32 [H, W, C] -> [h, w, C] with about `pixels` pixels at most, once its sides are >= `smallest`."""
    sides = array.shape[:2]
    shrink = math.sqrt(max(1, math.prod(max(side, smallest) for side in sides) / pixels))
    most = max(1, pixels // smallest)  # a ribbon is squeezed: its short side is padded to `smallest`
    height, width = (max(1, min(round(side / shrink), most)) for side in sides)
    if (height, width) == sides:
        return array
    planes = [
        np.asarray(Image.fromarray(array[..., c]).resize((width, height), Image.Resampling.BOX))
        for c in range(array.shape[2])
    ]
    return np.stack(planes, axis=2)
