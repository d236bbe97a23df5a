"""What a facade is made of: storeys, columns of windows and their parts, labelled as in the paper's data.

The style of a house, and with it its colours, can be told from its labels: shutters go with
plaster, pillars with stone, bare windows with concrete, and sills and moldings alone with brick.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pix2pix.drawing import Colour

# The labels of CMP Facades (Tyleček and Šára 2013) and their colours in the paper's data.
LABELS: dict[str, Colour] = {
    "background": (0, 0, 170),
    "facade": (0, 0, 255),
    "window": (0, 85, 255),
    "door": (0, 170, 255),
    "cornice": (0, 255, 255),
    "sill": (85, 255, 170),
    "balcony": (170, 255, 85),
    "blind": (255, 255, 0),
    "deco": (255, 170, 0),
    "molding": (255, 85, 0),
    "pillar": (255, 0, 0),
    "shop": (170, 0, 0),
}
STYLES = ("brick", "plaster", "stone", "concrete")


@dataclass(frozen=True)
class Part:
    """A labelled rectangle: left, top, right, bottom (unit coordinates); `dark`: a window with no curtain."""

    label: str
    box: tuple[float, float, float, float]
    dark: bool = False


@dataclass
class Facade:
    """A house front; `parts` are in drawing order, the later over the earlier."""

    style: str
    left: float
    right: float
    top: float
    ground: float
    parts: list[Part] = field(default_factory=list)

    def add(self, label: str, x0: float, y0: float, x1: float, y1: float, dark: bool = False) -> None:
        self.parts.append(Part(label, (x0, y0, x1, y1), dark))


def plan_facade(rng: np.random.Generator) -> Facade:
    """A front of 2 to 5 storeys and 3 to 6 columns, with door or shop below and a cornice above."""
    style = STYLES[int(rng.integers(len(STYLES)))]
    left, right = (
        rng.choice([-0.02, rng.uniform(0.04, 0.12)]),
        1 - rng.choice([-0.02, rng.uniform(0.04, 0.12)]),
    )
    house = Facade(style, left, right, rng.uniform(0.05, 0.17), rng.uniform(0.9, 0.95))
    columns, storeys = int(rng.integers(3, 7)), int(rng.integers(3, 6))
    inset = rng.uniform(0.03, 0.06)
    edges = np.linspace(left + inset, right - inset, columns + 1)
    first = house.ground - (house.ground - house.top) / (storeys - 0.1) * rng.uniform(1.0, 1.2)
    floors = np.linspace(house.top + 0.055, first, storeys)  # tops of the storeys, and of the ground floor
    house.add("facade", left, house.top, right, house.ground)
    if style == "stone":
        _pillars(house, edges, floors)
    house.add("cornice", left - 0.015, house.top - 0.005, right + 0.015, house.top + 0.03)
    house.add("cornice", left, first - 0.022, right, first - 0.002)
    tall, wide = rng.uniform(0.54, 0.64), rng.uniform(0.46, 0.6)
    with_deco = bool(rng.random() < 0.5)
    rows_of_balconies = set(rng.permutation(storeys - 1)[: int(rng.integers(1, 3))].tolist())
    middle_only = bool(rng.random() < 0.5)
    for row in range(storeys - 1):
        height = float(floors[row + 1] - floors[row])
        for column in range(columns):
            a, b = float(edges[column]), float(edges[column + 1])
            central = abs(column - (columns - 1) / 2) < 1
            balcony = row in rows_of_balconies and row > 0 and (central or not middle_only)
            balcony = balcony and style in ("stone", "concrete")
            half = (b - a) * wide * {"concrete": 0.62, "plaster": 0.42}.get(style, 0.5)
            x, y0 = (a + b) / 2, float(floors[row]) + height * 0.2
            window = (x - half, y0, x + half, y0 + height * tall)
            _window(house, window, height, balcony, with_deco and row < storeys - 2, bool(rng.random() < 0.6))
    _ground_floor(house, edges, first, rng)
    return house


def _pillars(house: Facade, edges: np.ndarray, floors: np.ndarray) -> None:
    for x in edges.tolist():
        house.add("pillar", x - 0.011, float(floors[0]), x + 0.011, float(floors[-1]) - 0.022)


def _window(
    house: Facade,
    box: tuple[float, float, float, float],
    height: float,
    balcony: bool,
    deco: bool,
    dark: bool,
) -> None:
    """One window with what its style puts round it."""
    x0, y0, x1, y1 = box
    half = (x1 - x0) / 2
    house.add("window", x0, y0, x1, y1, dark)
    if house.style == "plaster":
        house.add("blind", x0 - half * 0.62, y0, x0, y1)
        house.add("blind", x1, y0, x1 + half * 0.62, y1)
    if house.style in ("stone", "brick"):
        house.add("molding", x0 - half * 0.25, y0 - height * 0.09, x1 + half * 0.25, y0)
    if balcony:
        house.add("balcony", x0 - half * 0.4, y1 - height * 0.22, x1 + half * 0.4, y1 + height * 0.07)
    elif house.style != "concrete":
        house.add("sill", x0 - half * 0.25, y1, x1 + half * 0.25, y1 + height * 0.06)
    if deco and house.style in ("stone", "plaster"):
        house.add("deco", x0 + half * 0.4, y1 + height * 0.09, x1 - half * 0.4, y1 + height * 0.2)


def _ground_floor(house: Facade, edges: np.ndarray, first: float, rng: np.random.Generator) -> None:
    """A door, and shops or windows beside it."""
    columns = len(edges) - 1
    height = house.ground - first
    door = int(rng.integers(columns))
    shops = house.style == "concrete" or bool(rng.random() < 0.4)
    for column in range(columns):
        a, b = float(edges[column]), float(edges[column + 1])
        x, half = (a + b) / 2, (b - a) / 2
        if column == door:
            wide = max(0.03, half * 0.52)
            if house.style in ("stone", "plaster"):
                house.add(
                    "deco", x - wide * 1.25, first + height * 0.1, x + wide * 1.25, first + height * 0.2
                )
            house.add("door", x - wide, first + height * 0.2, x + wide, house.ground)
        elif shops:
            house.add(
                "shop", a + half * 0.12, first + height * 0.12, b - half * 0.12, house.ground - height * 0.06
            )
        else:
            box = (x - half * 0.5, first + height * 0.26, x + half * 0.5, first + height * 0.68)
            _window(house, box, height, False, False, bool(rng.random() < 0.6))
