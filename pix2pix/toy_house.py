"""A house of the street view: its gable, its windows, its door and shop.

What a house is made of says what colour it has: gable and windows fix wall and roof. The windows that shine
at night are the ones with curtains by day. So every task on these pictures has an answer to be learned.
"""

from __future__ import annotations

import math

import numpy as np

from pix2pix.drawing import INK, Colour, Points, lit, mix, oval
from pix2pix.toy_street_plan import House
from pix2pix.toy_view import WINDOW_LIGHT, View

GLASS: Colour = (92, 122, 148)
CURTAIN: Colour = (240, 228, 196)
FRAME: Colour = (246, 242, 232)
# (gable, arched windows) -> wall, roof. Lightness differs from entry to entry, so that grey tells the hue.
COATS: dict[tuple[str, bool], tuple[Colour, Colour]] = {
    ("gable", False): ((240, 216, 158), (178, 84, 62)),
    ("gable", True): ((222, 148, 118), (92, 84, 96)),
    ("steps", False): ((164, 78, 62), (112, 62, 56)),
    ("steps", True): ((124, 74, 66), (84, 76, 84)),
    ("bell", False): ((112, 152, 150), (84, 96, 110)),
    ("bell", True): ((244, 232, 208), (148, 92, 70)),
    ("eaves", False): ((228, 178, 94), (158, 76, 56)),
    ("eaves", True): ((214, 164, 164), (104, 96, 104)),
    ("flat", False): ((150, 176, 194), (214, 210, 200)),
    ("flat", True): ((176, 190, 142), (226, 220, 204)),
    ("mansard", False): ((226, 208, 184), (82, 96, 118)),
    ("mansard", True): ((196, 136, 90), (98, 88, 84)),
}
DOORS: dict[str, Colour] = {
    "gable": (58, 104, 92),
    "steps": (40, 62, 70),
    "bell": (124, 56, 48),
    "eaves": (62, 88, 124),
    "flat": (140, 84, 52),
    "mansard": (52, 84, 72),
}


def _roof_outline(house: House) -> list[tuple[float, float]]:
    """The silhouette above the wall, left to right."""
    x0, x1, top, rise = house.left, house.left + house.width, house.base - house.wall, house.roof
    middle, w = (x0 + x1) / 2, house.width
    if house.gable == "gable":
        return [(x0 - 0.008, top), (middle, top - rise), (x1 + 0.008, top)]
    if house.gable == "steps":
        left = []
        for k in range(4):
            left += [(x0 + w * 0.115 * k, top - rise * k / 4), (x0 + w * 0.115 * k, top - rise * (k + 1) / 4)]
        return left + [(x0 + x1 - x, y) for x, y in reversed(left)]
    if house.gable == "bell":
        t = np.linspace(0, 1, 9)
        x, y = x0 + w * 0.5 * (t**0.75) * 0.8, top - rise * (0.5 - 0.5 * np.cos(math.pi * t))
        left = list(zip(x.tolist(), y.tolist(), strict=True))
        return left + [(x0 + x1 - x, y) for x, y in reversed(left)]
    if house.gable == "eaves":
        return [(x0 - 0.006, top), (x0 + 0.012, top - rise), (x1 - 0.012, top - rise), (x1 + 0.006, top)]
    if house.gable == "mansard":
        return [(x0, top), (x0 + w * 0.09, top - rise), (x1 - w * 0.09, top - rise), (x1, top)]
    return [(x0 - 0.006, top), (x0 - 0.006, top - 0.02), (x1 + 0.006, top - 0.02), (x1 + 0.006, top)]


def draw_house(view: View, house: House, sun_left: bool) -> None:
    wall, roof = COATS[house.gable, house.arched]
    wall, roof = lit(wall, house.shade), lit(roof, house.shade)
    x0, x1, top = house.left, house.left + house.width, house.base - house.wall
    stack = x0 + house.width * (0.2 + 0.6 * house.chimney)
    if house.gable != "bell":
        high = top - house.roof * (1.1 if house.gable != "flat" else 0.6) - 0.02
        view.rect(stack - 0.01, high, stack + 0.01, top, (148, 88, 74))
        view.rect(stack - 0.013, high, stack + 0.013, high + 0.01, (116, 74, 66))
    outline = _roof_outline(house)
    walled = house.gable in ("steps", "bell")  # the wall itself makes the gable
    view.polygon(outline, wall if walled else roof)
    view.rect(x0, top, x1, house.base, wall)
    if walled:
        view.line(outline, mix(wall, (255, 250, 240), 0.65), 0.007)
        if not view.ink:
            view.rect(x0, top - 0.002, x1, top + 0.002, wall)
    _draw_roof_detail(view, house, roof)
    view.wash_rect(x0, top, x1, top + 0.014, (40, 30, 50), 0.22)  # under the eaves
    dark = (x1 - house.width * 0.09, x1) if sun_left else (x0, x0 + house.width * 0.09)
    view.wash_rect(dark[0], top, dark[1], house.base, (40, 30, 60), 0.13)
    _draw_windows(view, house, wall)
    _draw_ground_floor(view, house, wall)


def _draw_roof_detail(view: View, house: House, roof: Colour) -> None:
    x0, x1, top, rise = house.left, house.left + house.width, house.base - house.wall, house.roof
    middle = (x0 + x1) / 2
    if house.gable == "gable":
        inner = [(x0 + 0.012, top), (middle, top - rise + 0.016), (x1 - 0.012, top)]
        wall = lit(COATS[house.gable, house.arched][0], house.shade)
        view.polygon(inner, wall)
    if house.gable in ("gable", "steps", "bell"):
        disc = oval(middle, top - rise * 0.36, 0.014, 0.014, 16)
        if view.ink:
            view.polygon(disc, GLASS)
        _draw_pane(view, disc, bool(house.curtains[0, 0]))
    if house.gable in ("eaves", "mansard"):
        for k in range(1, 4):
            y = top - rise * k / 4
            view.wash_rect(x0, y, x1, y + 0.003, lit(roof, 0.7), 0.5)
        count = house.columns - 1
        for k in range(count):
            x = x0 + house.width * (k + 1) / (count + 1)
            view.polygon(
                [(x - 0.02, top - rise * 0.62), (x, top - rise * 1.0), (x + 0.02, top - rise * 0.62)],
                lit(roof, 0.85),
            )
            view.rect(x - 0.015, top - rise * 0.62, x + 0.015, top - 0.012, FRAME)
            pane = [
                (x - 0.009, top - rise * 0.58),
                (x + 0.009, top - rise * 0.58),
                (x + 0.009, top - 0.016),
                (x - 0.009, top - 0.016),
            ]
            _draw_pane(view, pane, bool(house.curtains[0, k]))


def _draw_pane(view: View, shape: Points, curtain: bool) -> None:
    """Glass; with a curtain it is pale by day and shines at night. The pen strokes bare glass only."""
    if view.ink:
        if not curtain:
            (x0, y0), (x1, y1) = np.min(shape, axis=0), np.max(shape, axis=0)
            view.line([(x0, y1), (x1, y0)], INK, 0)
    elif view.night and curtain:
        view.lamp(shape, WINDOW_LIGHT, 0.9)
    else:
        view.polygon(shape, CURTAIN if curtain else GLASS)


def _draw_windows(view: View, house: House, wall: Colour) -> None:
    """Every storey but the ground floor."""
    step, storey = house.width / house.columns, (house.wall - 0.02) / house.storeys
    half, height = min(0.024, step * 0.28), storey * 0.56
    for row in range(house.storeys - 1):
        y = house.base - house.wall + 0.022 + storey * row + storey * 0.14
        for column in range(house.columns):
            x = house.left + step * (column + 0.5)
            if house.shutters and not house.arched:
                for a in (x - half - 0.012, x + half + 0.002):
                    view.rect(a, y, a + 0.01, y + height, lit(DOORS[house.gable], 1.1))
            arch = (
                oval(x, y, half + 0.003, half + 0.003, 16)[8:]
                if house.arched
                else np.array([(x - half, y), (x + half, y)])
            )
            frame = np.concatenate([arch, [(x + half + 0.003, y + height), (x - half - 0.003, y + height)]])
            view.polygon(frame, FRAME)
            inside = np.array([x, y + height / 2]) + (frame - (x, y + height / 2)) * (0.74, 0.86)
            _draw_pane(view, inside, bool(house.curtains[row + 1, column]))
            if not view.ink:
                view.line([(x, y), (x, y + height)], FRAME, 0.003)
                view.line([(x - half, y + height * 0.4), (x + half, y + height * 0.4)], FRAME, 0.003)
                low = y + height
                view.rect(x - half - 0.006, low, x + half + 0.006, low + 0.006, mix(wall, FRAME, 0.7))


def _draw_ground_floor(view: View, house: House, wall: Colour) -> None:
    step, storey = house.width / house.columns, (house.wall - 0.02) / house.storeys
    y0, base = house.base - storey * 0.84, house.base
    view.rect(house.left, base - 0.012, house.left + house.width, base, lit(wall, 0.8))
    for column in range(house.columns):
        x, half = house.left + step * (column + 0.5), min(0.026, step * 0.3)
        curtain = bool(house.curtains[0, column])
        if column == house.door:
            view.rect(x - half - 0.004, y0 - 0.004, x + half + 0.004, base, FRAME)
            view.rect(x - half, y0 + 0.014, x + half, base, DOORS[house.gable])
            _draw_pane(
                view,
                [(x - half, y0), (x + half, y0), (x + half, y0 + 0.011), (x - half, y0 + 0.011)],
                curtain,
            )
            view.rect(x - half - 0.01, base - 0.006, x + half + 0.01, base + 0.003, (190, 184, 174))
        else:
            wide, low = (step * 0.43, base - 0.016) if house.shop else (half, y0 + storey * 0.55)
            view.rect(x - wide - 0.003, y0 - 0.003, x + wide + 0.003, low + 0.003, FRAME)
            _draw_pane(
                view,
                [(x - wide, y0), (x + wide, y0), (x + wide, low), (x - wide, low)],
                curtain or house.shop,
            )
            if not view.ink:
                view.line([(x, y0), (x, low)], FRAME, 0.003)
    if house.shop:
        top, stripes = y0 - 0.022, house.columns * 4
        edge = house.width / stripes
        for k in range(stripes):
            a = house.left + k * edge
            colour = DOORS[house.gable] if k % 2 else FRAME
            view.polygon(
                [(a, top), (a + edge, top), (a + edge, y0 + 0.014), (a, y0 + 0.014)], lit(colour, 1.1)
            )
        view.wash_rect(house.left, y0 + 0.014, house.left + house.width, y0 + 0.03, (30, 26, 46), 0.25)
