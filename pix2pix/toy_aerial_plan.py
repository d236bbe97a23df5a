"""Where everything stands in a town seen from above: water, roads, then what is built between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pix2pix.drawing import Array, Colour, lit, mix, oval, ribbon

ROOFS: tuple[Colour, ...] = ((178, 92, 66), (150, 74, 60), (196, 122, 84), (112, 84, 74), (96, 104, 116))
FLAT_ROOFS: tuple[Colour, ...] = ((186, 184, 180), (160, 164, 168), (204, 198, 186), (148, 142, 138))
CROPS: tuple[Colour, ...] = ((206, 186, 118), (172, 140, 98), (192, 164, 108), (216, 202, 146))
CARS: tuple[Colour, ...] = ((236, 236, 232), (60, 66, 76), (176, 52, 44), (56, 92, 142), (196, 196, 198))
# Share of each block kind, and the spacing of streets, per kind of neighbourhood.
DISTRICTS: tuple[tuple[dict[str, float], float], ...] = (
    ({"terrace": 0.66, "park": 0.18, "hall": 0.16}, 0.25),
    ({"houses": 0.76, "park": 0.14, "hall": 0.05, "terrace": 0.05}, 0.24),
    ({"houses": 0.46, "crops": 0.28, "park": 0.08, "wood": 0.18}, 0.29),
    ({"houses": 0.38, "terrace": 0.32, "hall": 0.1, "park": 0.2}, 0.25),
)


@dataclass(frozen=True)
class Building:
    """corners (4, 2) in order round the roof; a gable's ridge runs along the side from corner 0 to 1."""

    corners: Array
    roof: str  # "gable", "hip" or "flat"
    colour: Colour
    height: float


@dataclass(frozen=True)
class Road:
    path: Array
    width: float
    main: bool = False


@dataclass
class Town:
    """Everything on the ground, in unit coordinates."""

    angle: float
    greens: list[tuple[Array, Colour]] = field(default_factory=list)
    lots: list[tuple[Array, Colour]] = field(default_factory=list)
    crops: list[tuple[Array, Colour, int]] = field(default_factory=list)
    water: list[Array] = field(default_factory=list)
    banks: list[Array] = field(default_factory=list)
    roads: list[Road] = field(default_factory=list)
    paths: list[Array] = field(default_factory=list)
    hedges: list[Array] = field(default_factory=list)
    pitches: list[Array] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    trees: list[tuple[float, float, float]] = field(default_factory=list)
    cars: list[tuple[Array, Colour]] = field(default_factory=list)

    def at(self, u: float, v: float) -> tuple[float, float]:
        """From the street grid's frame (origin at the centre) to the picture's."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return 0.5 + c * u - s * v, 0.5 + s * u + c * v

    def places(self, uv: Array) -> Array:
        """`at` for many points (n, 2)."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return 0.5 + uv @ np.array([[c, s], [-s, c]])

    def quad(self, u0: float, v0: float, u1: float, v1: float) -> Array:
        return np.array([self.at(u0, v0), self.at(u1, v0), self.at(u1, v1), self.at(u0, v1)])


class Taken:
    """Ground that is taken, as a small raster: what keeps houses out of the river and off the road."""

    CELLS = 192

    def __init__(self) -> None:
        self._image = Image.new("L", (self.CELLS, self.CELLS))
        self._draw = ImageDraw.Draw(self._image)

    def mark(self, shape: Array) -> None:
        self._draw.polygon([(x * self.CELLS, y * self.CELLS) for x, y in shape.tolist()], 1)

    def any(self, points: Array) -> bool:
        return bool(self.each(points).any())

    def each(self, points: Array) -> NDArray[np.bool_]:
        """For points (n, 2): which lie on taken ground. Points beyond the edge count as on it."""
        cells = np.clip((points * self.CELLS).astype(int), 0, self.CELLS - 1)
        pixels = self._image.load()
        assert pixels is not None
        return np.array([pixels[x, y] != 0 for x, y in cells.tolist()], bool)


def plan_town(rng: np.random.Generator) -> Town:
    """A town: water and the main road first, then streets, then blocks in what is left, then trees."""
    town, taken = Town(angle=rng.uniform(-0.55, 0.55) + rng.choice([0, math.pi / 2])), Taken()
    shares, spacing = DISTRICTS[int(rng.integers(len(DISTRICTS)))]
    _plan_water(town, taken, rng)
    wet = Taken()
    for shape in town.banks:
        wet.mark(shape)
    _plan_main_road(town, taken, rng)
    columns, rows = _plan_streets(town, wet, spacing, rng)
    roofs = [ROOFS[i] for i in rng.permutation(len(ROOFS))[:3]]
    plans = {
        "houses": _houses,
        "terrace": _terrace,
        "hall": _hall,
        "park": _park,
        "wood": _wood,
        "crops": _crops,
    }
    kinds, odds = list(shares), np.array(list(shares.values()))
    for u0, u1 in pairwise(columns):
        for v0, v1 in pairwise(rows):
            block = (u0 + 0.017, v0 + 0.017, u1 - 0.017, v1 - 0.017)
            kind = kinds[int(rng.choice(len(kinds), p=odds))]
            low, high = town.quad(*block).min(0), town.quad(*block).max(0)
            if (low < 1).all() and (high > 0).all():
                plans[kind](town, taken, block, roofs, rng)
    _plan_verges(town, wet, rng)
    _plan_cars(town, wet, rng)
    return town


def _curve(rng: np.random.Generator, angle: float, offset: float, bend: float) -> Array:
    """A winding line (48, 2) right across the picture, `offset` from its centre."""
    t = np.linspace(-0.85, 0.85, 48)
    phase, turns = rng.uniform(0, 2 * math.pi), rng.uniform(2.5, 4.5)
    across = offset + bend * np.sin(turns * t + phase)
    c, s = math.cos(angle), math.sin(angle)
    return np.stack([0.5 + c * t - s * across, 0.5 + s * t + c * across], axis=1)


def _plan_water(town: Town, taken: Taken, rng: np.random.Generator) -> None:
    kind = rng.choice(["river", "lake", "none"], p=[0.42, 0.23, 0.35])
    if kind == "river":
        path = _curve(
            rng, town.angle + rng.uniform(-0.5, 0.5), rng.uniform(-0.25, 0.25), rng.uniform(0.05, 0.12)
        )
        width = rng.uniform(0.1, 0.17)
        town.water.append(ribbon(path, width))
        town.banks.append(ribbon(path, width + 0.05))
        taken.mark(ribbon(path, width + 0.07))
        if rng.random() < 0.5:  # a quay on one side
            along = ribbon(path, width + 0.075)
            town.roads.append(Road(along[: len(path)], 0.028))
            taken.mark(ribbon(along[: len(path)], 0.045))
    elif kind == "lake":
        cx, cy = rng.uniform(0.1, 0.9, 2)
        turn = np.linspace(0, 2 * math.pi, 40, endpoint=False)
        wobble = 1 + 0.13 * np.sin(2 * turn + rng.uniform(0, 6)) + 0.07 * np.sin(3 * turn + rng.uniform(0, 6))
        rim = np.stack([np.cos(turn), np.sin(turn)], 1) * (rng.uniform(0.19, 0.3) * wobble)[:, None]
        town.water.append(rim + np.array([cx, cy]))
        town.banks.append(rim * (1 + 0.045 / np.hypot(*rim.T))[:, None] + np.array([cx, cy]))
        taken.mark(town.banks[0])


def _plan_main_road(town: Town, taken: Taken, rng: np.random.Generator) -> None:
    turn = town.angle + math.pi / 2 + rng.uniform(-0.35, 0.35)  # across a river rather than along it
    path = _curve(rng, turn, rng.uniform(-0.3, 0.3), rng.uniform(0.02, 0.1))
    town.roads.append(Road(path, 0.05, main=True))
    taken.mark(ribbon(path, 0.085))


def _plan_streets(
    town: Town, wet: Taken, spacing: float, rng: np.random.Generator
) -> tuple[list[float], list[float]]:
    """Streets along both axes of the grid, broken where there is water; their offsets bound the blocks."""
    lines: list[list[float]] = []
    for axis, stretch in ((0, 1.0), (1, 1.45)):
        at = [-0.85 + rng.uniform(0, spacing)]
        while at[-1] < 0.8:
            at.append(at[-1] + spacing * stretch * rng.uniform(0.8, 1.25))
        lines.append(at)
        for offset in at:
            t = np.linspace(-0.85, 0.85, 69)
            still = np.full_like(t, offset)
            path = town.places(np.stack([still, t] if axis == 0 else [t, still], axis=1))
            dry = ~wet.each(path) & (np.abs(path - 0.5) < 0.56).all(axis=1)
            for run in np.split(np.arange(len(t)), np.flatnonzero(np.diff(dry)) + 1):
                if dry[run[0]] and len(run) > 2:
                    town.roads.append(Road(path[run], 0.028))
    return lines[0], lines[1]


Block = tuple[float, float, float, float]


def _build(
    town: Town, taken: Taken, box: Block, roof: str, colour: Colour, height: float, along_v: bool = False
) -> bool:
    """Put up a building if its ground is free, and mark it taken."""
    x, y = town.at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    if abs(x - 0.5) > 0.56 or abs(y - 0.5) > 0.56:
        return False
    corners = town.quad(*box)
    if along_v:
        corners = corners[[1, 2, 3, 0]]
    middle = corners.mean(0)
    inner = middle + (corners - middle) * 0.84  # neighbours may share a wall
    probes = np.concatenate([inner, (inner + inner[[3, 0, 1, 2]]) / 2, middle[None]])
    if taken.any(probes):
        return False
    town.buildings.append(Building(corners, roof, colour, height))
    taken.mark(inner)
    return True


def _scatter(
    town: Town, taken: Taken, block: Block, count: int, rng: np.random.Generator, radius: float
) -> None:
    """Up to `count` trees on the free ground of a block."""
    spots = town.places(rng.uniform(block[:2], block[2:], (count, 2)))
    sizes = radius * rng.uniform(0.7, 1.35, count)
    for (x, y), size, bad in zip(spots.tolist(), sizes.tolist(), taken.each(spots), strict=True):
        if not bad and -0.02 < x < 1.02 and -0.02 < y < 1.02:
            town.trees.append((x, y, size))


def _houses(town: Town, taken: Taken, block: Block, roofs: list[Colour], rng: np.random.Generator) -> None:
    """Detached houses in two rows, back gardens between them."""
    u0, v0, u1, v1 = block
    count = max(1, int((v1 - v0) / 0.078))
    depth, step, centre = 0.05, (v1 - v0) / count, (u0 + u1) / 2
    town.hedges.append(np.array([town.at(centre, v0), town.at(centre, v1)]))
    for k in range(count):
        middle = v0 + (k + 0.5) * step
        for front, fence in ((u0 + 0.012, u0), (u1 - 0.012 - depth, u1)):
            low, high = middle - step / 2, middle + step / 2
            garden = mix((182, 176, 134), (166, 172, 118), rng.random())
            town.lots.append((town.quad(min(fence, centre), low, max(fence, centre), high), garden))
            w, d = rng.uniform(0.042, 0.058), depth * rng.uniform(0.85, 1.1)
            box = (front, middle - w / 2, front + d, middle + w / 2)
            roof = "hip" if rng.random() < 0.4 else "gable"
            _build(town, taken, box, roof, roofs[int(rng.integers(3))], 0.013, along_v=rng.random() < 0.7)
        town.hedges.append(np.array([town.at(u0, middle + step / 2), town.at(u1, middle + step / 2)]))
    _scatter(town, taken, block, 6 + 3 * count, rng, 0.011)


def _terrace(town: Town, taken: Taken, block: Block, roofs: list[Colour], rng: np.random.Generator) -> None:
    """Town houses wall to wall round a courtyard."""
    u0, v0, u1, v1 = block
    town.lots.append((town.quad(*block), (190, 182, 166)))
    depth = 0.052
    for low, high, fixed, along_v in (
        (v0, v1, (u0, u0 + depth), True),
        (v0, v1, (u1 - depth, u1), True),
        (u0 + depth, u1 - depth, (v0, v0 + depth), False),
        (u0 + depth, u1 - depth, (v1 - depth, v1), False),
    ):
        count = max(1, round((high - low) / rng.uniform(0.075, 0.11)))
        cuts = np.linspace(low, high, count + 1)
        for a, b in pairwise(cuts.tolist()):
            box = (fixed[0], a, fixed[1], b) if along_v else (a, fixed[0], b, fixed[1])
            if rng.random() < 0.95:
                _build(town, taken, box, "gable", roofs[int(rng.integers(3))], 0.022, along_v)
    _scatter(town, taken, (u0 + 0.07, v0 + 0.07, u1 - 0.07, v1 - 0.07), 7, rng, 0.012)


def _hall(town: Town, taken: Taken, block: Block, roofs: list[Colour], rng: np.random.Generator) -> None:
    """One or two flat-roofed halls, and their parked cars."""
    u0, v0, u1, v1 = block
    town.lots.append((town.quad(*block), (168, 166, 162)))
    cut = v0 + (v1 - v0) * rng.uniform(0.4, 0.7)
    colour = FLAT_ROOFS[int(rng.integers(len(FLAT_ROOFS)))]
    if not _build(town, taken, (u0 + 0.015, v0 + 0.015, u1 - 0.015, cut - 0.01), "flat", colour, 0.02):
        for u in np.arange(u0 + 0.01, u1 - 0.07, 0.075):  # where a road cuts the block, workshops
            for v in np.arange(v0 + 0.01, v1 - 0.06, 0.075):
                _build(town, taken, (u, v, u + 0.062, v + 0.05), "flat", colour, 0.016)
    if rng.random() < 0.5:
        _build(
            town, taken, (u0 + 0.015, cut + 0.01, (u0 + u1) / 2, v1 - 0.015), "flat", lit(colour, 0.92), 0.03
        )
    for u in np.arange((u0 + u1) / 2 + 0.02, u1 - 0.02, 0.018):
        spot = town.quad(u, cut + 0.015, u + 0.01, cut + 0.036)
        if rng.random() < 0.65 and not taken.any(spot):
            town.cars.append((spot, CARS[int(rng.integers(len(CARS)))]))
    _scatter(town, taken, (u0, v1 - 0.02, u1, v1), 6, rng, 0.011)


def _park(town: Town, taken: Taken, block: Block, roofs: list[Colour], rng: np.random.Generator) -> None:
    """Lawn, crossing paths, perhaps a pond, and trees round the rim."""
    u0, v0, u1, v1 = block
    town.greens.append((town.quad(*block), (118, 152, 82)))
    cu, cv = (u0 + u1) / 2, (v0 + v1) / 2
    pitch = town.quad(cu - 0.05, cv - 0.075, cu + 0.05, cv + 0.075)
    pond = oval(*town.at(cu, cv), rng.uniform(0.045, 0.065), rng.uniform(0.035, 0.05))
    centre = rng.choice(["pitch", "pond", "lawn"], p=[0.35, 0.4, 0.25])
    if centre == "pitch" and not taken.any(pitch):
        town.pitches.append(pitch)
        taken.mark(pitch)
    else:
        if centre == "pond" and not taken.any(pond):
            town.water.append(pond)
            taken.mark(pond)
        for ends in ((u0, v0, u1, v1), (u0, v1, u1, v0)):
            town.paths.append(np.array([town.at(*ends[:2]), town.at(*ends[2:])]))
            taken.mark(ribbon(town.paths[-1], 0.016))
    _scatter(town, taken, block, 12, rng, 0.014)
    for rim in (
        (u0, v0, u1, v0 + 0.03),
        (u0, v1 - 0.03, u1, v1),
        (u0, v0, u0 + 0.03, v1),
        (u1 - 0.03, v0, u1, v1),
    ):
        _scatter(town, taken, rim, 8, rng, 0.014)


def _wood(town: Town, taken: Taken, block: Block, roofs: list[Colour], rng: np.random.Generator) -> None:
    town.greens.append((town.quad(*block), (88, 118, 66)))
    area = (block[2] - block[0]) * (block[3] - block[1])
    _scatter(town, taken, block, round(area * 1500), rng, 0.017)


def _crops(town: Town, taken: Taken, block: Block, roofs: list[Colour], rng: np.random.Generator) -> None:
    u0, v0, u1, v1 = block
    cut = u0 + (u1 - u0) * rng.uniform(0.35, 0.65)
    for a, b in ((u0, cut), (cut, u1)):
        colour = CROPS[int(rng.integers(len(CROPS)))]
        town.crops.append((town.quad(a, v0, b, v1), colour, round((b - a) / 0.016)))


def _plan_verges(town: Town, wet: Taken, rng: np.random.Generator) -> None:
    """Trees in a line along the main road."""
    road = next(road for road in town.roads if road.main)
    for side in (ribbon(road.path, 0.082)[:48], ribbon(road.path, 0.082)[48:]):
        fine = np.array([np.interp(np.linspace(0, 47, 40), np.arange(48), side[:, k]) for k in (0, 1)]).T
        size = 0.0105 * rng.uniform(0.85, 1.2, len(fine))
        keep = (rng.random(len(fine)) < 0.7) & ~wet.each(fine)
        town.trees += [
            (x, y, r) for (x, y), r, ok in zip(fine.tolist(), size.tolist(), keep, strict=True) if ok
        ]


def _plan_cars(town: Town, wet: Taken, rng: np.random.Generator) -> None:
    for road in town.roads:
        for _ in range(3 if road.main else 1):
            k = int(rng.integers(1, len(road.path) - 1))
            ahead = road.path[k + 1] - road.path[k - 1]
            ahead /= np.hypot(*ahead) + 1e-9
            side = np.array([-ahead[1], ahead[0]])
            centre = road.path[k] + side * road.width * rng.choice([-0.23, 0.23])
            a, b = ahead * 0.011, side * 0.0052
            corners = np.array([centre - a - b, centre + a - b, centre + a + b, centre - a + b])
            town.cars.append((corners, CARS[int(rng.integers(len(CARS)))]))
