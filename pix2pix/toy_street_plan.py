"""What stands along a street of the town: houses, trees, lamps, and what lies before and behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pix2pix.drawing import Colour, Ellipse

Sky = tuple[Colour, Colour]  # at the top, at the horizon

# By the number of clouds, so that a drawing of the sky says what colour it has.
DAYS: tuple[Sky, ...] = (
    ((96, 160, 216), (206, 230, 240)),
    ((122, 176, 210), (244, 224, 198)),
    ((134, 184, 222), (226, 238, 242)),
    ((150, 178, 200), (222, 226, 226)),
    ((110, 168, 206), (250, 214, 190)),
)
GABLES = ("gable", "steps", "bell", "eaves", "flat", "mansard")


@dataclass(frozen=True)
class House:
    left: float
    width: float
    base: float
    wall: float  # height of the wall
    roof: float  # height of the roof above it
    gable: str
    arched: bool
    storeys: int
    columns: int
    curtains: NDArray[np.bool_]  # (storeys, columns)
    door: int  # its column
    shop: bool
    shutters: bool
    chimney: float  # where on the roof, 0 to 1
    shade: float  # a little lighter or darker than its coat


@dataclass(frozen=True)
class Tree:
    kind: str
    x: float
    base: float
    height: float
    crown: list[Ellipse]


@dataclass(frozen=True)
class Street:
    """A view along a row of houses; `front` is "road", "canal" or "green"."""

    front: str
    base: float
    day: Sky
    sun: tuple[float, float]  # and the moon, by night
    clouds: list[list[Ellipse]]
    hills: list[tuple[list[tuple[float, float]], float]]
    skyline: list[tuple[float, float, float, str]]  # left, width, height, kind
    skyline_base: float
    houses: list[House]
    trees: list[Tree]
    lamps: list[float]
    stars: NDArray[np.float64]
    tufts: list[tuple[float, float]]  # grass and flowers of the green
    traffic: list[tuple[float, str]]  # cars on the road or boats on the canal: where, and which kind


def plan_street(rng: np.random.Generator) -> Street:
    front = str(rng.choice(["road", "canal", "green"]))
    base = {"road": 0.83, "canal": 0.7, "green": 0.8}[front] + rng.uniform(-0.02, 0.02)
    horizon = base - rng.uniform(0.1, 0.2)
    houses, gaps = _plan_houses(rng, base)
    trees = [_plan_tree(rng, x, base + 0.004, rng.uniform(0.2, 0.32)) for x in gaps]
    if front != "canal":
        spots = rng.permutation(np.linspace(0.08, 0.92, 5))[: int(rng.integers(0, 3))]
        trees += [_plan_tree(rng, float(x), base + 0.035, rng.uniform(0.17, 0.24)) for x in spots]
    step = rng.uniform(0.26, 0.36)
    sun_x = rng.uniform(0.1, 0.4) + 0.5 * int(rng.integers(2))
    clouds = [_plan_cloud(rng) for _ in range(int(rng.integers(len(DAYS))))]
    kinds = ("sail", "barge") if front == "canal" else ("car", "van")
    traffic = [(float(x), str(rng.choice(kinds))) for x in rng.permutation([0.16, 0.4, 0.64, 0.86])]
    return Street(
        front=front,
        base=base,
        day=DAYS[len(clouds)],
        sun=(sun_x, rng.uniform(0.09, 0.16)),
        clouds=clouds,
        hills=_plan_hills(rng, horizon),
        skyline=_plan_skyline(rng),
        skyline_base=base,
        houses=houses,
        trees=trees,
        lamps=[float(x) for x in np.arange(rng.uniform(0.04, 0.2), 1.0, step)],
        stars=rng.uniform(0, 1, (42, 3)),
        tufts=[(float(x), base + 0.06 + 0.12 * float(y)) for x, y in rng.uniform(0, 1, (26, 2))],
        traffic=traffic[: int(rng.integers(0, 3))],
    )


def _plan_houses(rng: np.random.Generator, base: float) -> tuple[list[House], list[float]]:
    """A row of houses from edge to edge, and the gaps in it (where a tree stands)."""
    houses: list[House] = []
    gaps: list[float] = []
    left, last = -rng.uniform(0.0, 0.12), ""
    loose = rng.uniform(0, 0.5)
    zoom = rng.uniform(0.95, 1.4)
    tall = min(zoom, 1.25) * rng.uniform(0.9, 1.05)
    while left < 1:
        if houses and rng.random() < loose and (not gaps or left - gaps[-1] > 0.25):
            gaps.append(left + 0.055)
            left += 0.11
            continue
        gable = str(rng.choice([kind for kind in GABLES if kind != last]))
        columns = int(rng.integers(2, 4)) + (gable in ("eaves", "flat", "mansard"))
        storeys = int(rng.integers(2, 4)) + (gable in ("flat", "steps") and rng.random() < 0.4)
        width = columns * zoom * rng.uniform(0.056, 0.068)
        wall = tall * (0.03 + 0.088 * storeys) * rng.uniform(0.95, 1.08)
        rise = {"gable": 0.5, "steps": 0.55, "bell": 0.52, "eaves": 0.3, "flat": 0.1, "mansard": 0.34}[gable]
        houses.append(
            House(
                left=left,
                width=width,
                base=base,
                wall=wall,
                roof=min(width, 0.22) * rise * rng.uniform(0.9, 1.15),
                gable=gable,
                arched=bool(rng.random() < 0.45),
                storeys=storeys,
                columns=columns,
                curtains=rng.random((storeys, columns)) < 0.55,
                door=int(rng.integers(columns)),
                shop=bool(rng.random() < 0.3),
                shutters=bool(rng.random() < 0.35),
                chimney=rng.uniform(0.15, 0.85),
                shade=rng.uniform(0.97, 1.03),
            )
        )
        left, last = left + width, gable
    return houses, gaps


def _plan_tree(rng: np.random.Generator, x: float, base: float, height: float) -> Tree:
    kind = str(rng.choice(["round", "poplar", "cherry", "pine"], p=[0.4, 0.2, 0.2, 0.2]))
    crown: list[Ellipse] = []
    if kind == "poplar":
        height *= 1.15
        crown = [(x, base - height * 0.55, height * 0.16, height * 0.45)]
    elif kind in ("round", "cherry"):
        height *= 1.0 if kind == "round" else 0.8
        count, spread = (5, 0.2) if kind == "round" else (8, 0.25)
        r = height * (0.22 if kind == "round" else 0.15)
        crown = [(x, base - height * 0.66, r * 1.2, r * 1.2)]
        for turn in np.linspace(0, 2 * math.pi, count, endpoint=False) + rng.uniform(0, 1):
            cx, cy = (
                x + height * spread * math.cos(turn),
                base - height * (0.66 + 0.8 * spread * math.sin(turn)),
            )
            crown.append((cx, cy, r * rng.uniform(0.85, 1.1), r * rng.uniform(0.85, 1.05)))
    return Tree(kind, x, base, height, crown)


def _plan_cloud(rng: np.random.Generator) -> list[Ellipse]:
    x, y, r = rng.uniform(0, 1), rng.uniform(0.06, 0.3), rng.uniform(0.025, 0.045)
    lobes = [(-1.7, 0.25, 0.7), (-0.7, -0.2, 1.0), (0.5, -0.35, 1.15), (1.5, 0.15, 0.8), (0, 0.35, 0.9)]
    return [(x + a * r * rng.uniform(0.9, 1.2), y + b * r, s * r * 1.35, s * r * 0.72) for a, b, s in lobes]


def _plan_hills(rng: np.random.Generator, horizon: float) -> list[tuple[list[tuple[float, float]], float]]:
    """Ridges from far to near, with how much haze lies over each."""
    hills = []
    peaks = rng.random() < 0.4
    for k, haze in enumerate((0.62, 0.36)):
        x = np.linspace(-0.02, 1.02, 40)
        y = horizon - 0.1 + 0.09 * k + np.zeros_like(x)
        for wave in range(1, 4):
            y -= rng.uniform(0.02, 0.05) / wave * np.sin(wave * rng.uniform(3, 6) * x + rng.uniform(0, 6))
        if peaks and k == 0:
            foot = rng.uniform(0, 1, 3)
            y -= np.maximum(0, rng.uniform(0.14, 0.2) - 0.75 * np.abs(x[:, None] - foot).min(axis=1))
        hills.append(([*zip(x.tolist(), y.tolist(), strict=True), (1.02, 1.0), (-0.02, 1.0)], haze))
    return hills


def _plan_skyline(rng: np.random.Generator) -> list[tuple[float, float, float, str]]:
    """The roofs behind the row, and the tower every town has."""
    skyline, left = [], -0.05
    while left < 1:
        width = rng.uniform(0.07, 0.13)
        skyline.append((left, width, rng.uniform(0.26, 0.4), str(rng.choice(["gable", "flat"]))))
        left += width * rng.uniform(0.9, 1.2)
    tower = str(rng.choice(["spire", "dome", "clock"]))
    return [*skyline, (rng.uniform(0.12, 0.8), 0.085, rng.uniform(0.5, 0.58), tower)]
