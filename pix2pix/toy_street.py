"""The drawn town from the street: one plan, drawn by day, by night, or as a pen drawing."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pix2pix.drawing import INK, PAPER, Colour, lit, mix, noise, oval, to_image
from pix2pix.toy_house import draw_house
from pix2pix.toy_street_plan import Street, Tree
from pix2pix.toy_view import LAMP_LIGHT, MOON, NIGHT, WINDOW_LIGHT, View, moonlight

# A tree's shape fixes its leaf.
LEAVES: dict[str, Colour] = {
    "round": (92, 138, 76),
    "poplar": (206, 164, 70),
    "cherry": (238, 182, 190),
    "pine": (52, 94, 78),
}


def draw_street(street: Street, size: int, mood: str, rng: np.random.Generator) -> Image.Image:
    """The view, size x size, "day", "night" or "sketch"; `rng` gives the paper's grain, never the scene."""
    view = View(size, street, mood)
    _draw_sky(view, street)
    for ridge, haze in street.hills:
        view.polygon(ridge, view.hazy((96, 128, 108), haze))
    for left, width, height, kind in street.skyline:
        _draw_far_house(view, left, width, street.skyline_base, height, kind)
    _draw_ground(view, street)
    for house in street.houses:
        draw_house(view, house, street.sun[0] < 0.5)
    for tree in street.trees:
        _draw_tree(view, tree, street.sun[0] < 0.5)
    for x in street.lamps:
        _draw_lamp(view, x, street.base + 0.03)
    if street.front == "canal":
        _draw_canal(view, street)
    for x, kind in street.traffic if street.front != "green" else []:
        (_draw_boat if street.front == "canal" else _draw_car)(view, x, street.base, kind)
    picture = view.finish()
    if view.ink:
        return picture.convert("L").convert("RGB")
    grain = 1 + 0.01 * noise(rng, size, 256) + 0.006 * noise(rng, size, 64) + 0.01 * noise(rng, size, 6)
    return to_image(np.asarray(picture, np.float32) * grain[..., None])


def _draw_sky(view: View, street: Street) -> None:
    x, y = street.sun
    if view.night:
        for a, b, bright in street.stars:
            r = 0.0016 + 0.0016 * bright
            view.lamp(oval(a, b * 0.5, r, r, 6), mix(NIGHT[0], (235, 238, 255), 0.35 + 0.6 * bright), 0.0)
        view.lamp(oval(x, y, 0.042, 0.042), MOON, 0.55)
        view.wash_blob(
            [(x - 0.012, y - 0.008, 0.011, 0.011), (x + 0.014, y + 0.01, 0.008, 0.008)], (216, 206, 180), 0.5
        )
    else:
        view.wash_blob([(x, y, r, r) for r in (0.14, 0.105, 0.075)], (255, 246, 214), 0.2)
        view.blob([(x, y, 0.042, 0.042)], (255, 248, 222))
    for cloud in street.clouds:
        view.blob(cloud, mix(view.sky[1], (255, 255, 255), 0.75) if not view.night else (150, 152, 176))


def _draw_far_house(view: View, left: float, width: float, base: float, height: float, kind: str) -> None:
    top, right, middle = base - height, left + width, left + width / 2
    wall, roof = view.hazy((214, 200, 184), 0.5), view.hazy((150, 104, 96), 0.45)
    if kind in ("gable", "flat"):
        view.rect(left, top, right, base, wall)
        if kind == "gable":
            view.polygon([(left - 0.005, top), (middle, top - 0.06), (right + 0.005, top)], roof)
    else:
        stone, lead = view.hazy((224, 206, 178), 0.3), view.hazy((96, 122, 124), 0.3)
        view.rect(left, top + 0.1, right, base, stone)
        view.rect(left - 0.006, top + 0.1, right + 0.006, top + 0.115, stone)
        if kind == "dome":
            dome = [*oval(middle, top + 0.1, width * 0.46, 0.075)[12:], (middle + width * 0.46, top + 0.1)]
            view.polygon(dome, lead)
            view.polygon(
                [(middle - 0.006, top + 0.03), (middle, top - 0.04), (middle + 0.006, top + 0.03)], lead
            )
        elif kind == "spire":
            view.polygon([(left, top + 0.1), (middle, top - 0.1), (right, top + 0.1)], lead)
        else:
            view.polygon(
                [
                    (left, top + 0.1),
                    (middle - 0.01, top + 0.03),
                    (middle + 0.01, top + 0.03),
                    (right, top + 0.1),
                ],
                lead,
            )
            view.line([(middle, top + 0.035), (middle, top - 0.02)], lead, 0.006)
        face = oval(middle, top + 0.155, 0.021, 0.021)
        if view.night:
            view.lamp(face, (236, 214, 156), 0.4)
        else:
            view.polygon(face, (248, 240, 220))
        view.line(
            [(middle, top + 0.142), (middle, top + 0.155), (middle + 0.01, top + 0.155)], (70, 66, 70), 0.003
        )


def _draw_ground(view: View, street: Street) -> None:
    base = street.base
    if street.front == "green":
        view.rect(-0.01, base - 0.01, 1.01, 1.01, (126, 164, 94))
        view.wash([(0, 0.93), (1, 0.9), (1, 1), (0, 1)], (86, 128, 74), 0.45)
        view.polygon(
            [(-0.01, base + 0.005), (1.01, base + 0.005), (1.01, base + 0.035), (-0.01, base + 0.035)],
            (214, 200, 168),
        )
        _draw_tufts(view, street)
        view.polygon(
            [(0.47, base + 0.035), (0.53, base + 0.035), (0.66, 1.01), (0.38, 1.01)], (220, 206, 174)
        )
        return
    view.rect(-0.01, base - 0.01, 1.01, 1.01, (204, 196, 182))
    if street.front == "road":
        view.rect(-0.01, base + 0.042, 1.01, 1.01, (130, 130, 136))
        view.rect(-0.01, base + 0.042, 1.01, base + 0.052, (226, 220, 208))
        middle = (base + 0.052 + 1.0) / 2
        for x in np.arange(0.02, 1, 0.16):
            view.rect(x, middle - 0.005, x + 0.08, middle + 0.005, (234, 230, 218))


def _draw_tree(view: View, tree: Tree, sun_left: bool) -> None:
    leaf, x, base, height = LEAVES[tree.kind], tree.x, tree.base, tree.height
    view.wash_blob([(x, base, height * 0.24, 0.009)], (40, 44, 60), 0.25)
    view.rect(x - 0.007, base - height * 0.5, x + 0.007, base, (112, 84, 68))
    side = -1 if sun_left else 1
    if tree.kind == "pine":
        for k in range(3):
            y, w = base - height * (0.14 + 0.25 * k), height * (0.27 - 0.06 * k)
            view.polygon([(x - w, y), (x, y - height * 0.42), (x + w, y)], lit(leaf, 0.92 + 0.1 * k))
            view.wash([(x, y), (x, y - height * 0.42), (x + side * w, y)], (190, 214, 150), 0.16)
        return
    view.blob(tree.crown, leaf)
    light, shadow = mix(leaf, (255, 250, 200), 0.3), lit(leaf, 0.8)
    low = [(a - side * rx * 0.25, b + ry * 0.3, rx * 0.7, ry * 0.65) for a, b, rx, ry in tree.crown]
    high = [(a + side * rx * 0.3, b - ry * 0.32, rx * 0.52, ry * 0.5) for a, b, rx, ry in tree.crown]
    view.wash_blob(low, shadow, 0.55)
    view.wash_blob(high, light, 0.55)


def _draw_lamp(view: View, x: float, base: float) -> None:
    top = base - 0.17
    iron = (52, 58, 64)
    if view.night:
        view.glow(oval(x, base + 0.004, 0.09, 0.016), (190, 150, 86))  # the pool of light below
    view.line([(x, base), (x, top)], iron, 0.006)
    view.rect(x - 0.008, base - 0.012, x + 0.008, base, iron)
    bulb = [(x - 0.008, top), (x + 0.008, top), (x + 0.0125, top - 0.03), (x - 0.0125, top - 0.03)]
    if view.night:
        view.lamp(bulb, LAMP_LIGHT, 1.0)
    else:
        view.polygon(bulb, (240, 236, 214))
    view.polygon([(x - 0.016, top - 0.03), (x, top - 0.045), (x + 0.016, top - 0.03)], iron)


def _draw_tufts(view: View, street: Street) -> None:
    """Grass in the green, every third with a flower."""
    for k, (x, y) in enumerate(street.tufts):
        view.line([(x - 0.008, y - 0.014), (x, y), (x + 0.008, y - 0.014)], (92, 134, 74), 0.004)
        if k % 3 == 0:
            view.blob([(x, y - 0.02, 0.008, 0.008)], (246, 220, 120) if k % 2 else (240, 150, 140))


def _draw_car(view: View, x: float, base: float, kind: str) -> None:
    """A car or a van on the near lane; a kind has its colour."""
    road = base + 0.12
    long, high, paint = (0.075, 0.038, (196, 84, 68)) if kind == "car" else (0.085, 0.062, (94, 148, 150))
    view.wash_rect(x - long, road - 0.004, x + long, road + 0.008, (30, 30, 40), 0.35)
    top = road - 0.012 - high
    slope = 0.035 if kind == "car" else 0.012
    cabin = [(x - long * 0.75, road - 0.04), (x - long * 0.75 + slope, top), (x + long * 0.5, top)]
    view.polygon([*cabin, (x + long * 0.5 + 0.03, road - 0.04)], lit(paint, 0.92))
    view.rect(x - long, road - 0.042, x + long, road - 0.01, paint)
    for a, b in ((-0.36, 0.02), (0.1, 0.48)):
        view.rect(x + long * a, top + 0.006, x + long * b, road - 0.038, (176, 204, 216))
    for a in (-0.58, 0.58):
        view.blob([(x + long * a, road - 0.01, 0.015, 0.015)], (48, 50, 58))
        view.blob([(x + long * a, road - 0.01, 0.006, 0.006)], (196, 196, 196))
    front = [(x + long - 0.01, road - 0.034), (x + long, road - 0.034), (x + long, road - 0.024)]
    if view.night:
        view.lamp(front, LAMP_LIGHT)
        view.glow(
            [(x + long, road - 0.03), (x + long + 0.12, road - 0.012), (x + long, road)], (170, 140, 84)
        )
    else:
        view.polygon(front, (250, 240, 206))


def _draw_boat(view: View, x: float, base: float, kind: str) -> None:
    y = base + 0.19
    hull = (178, 88, 68) if kind == "sail" else (70, 98, 118)
    view.wash_blob([(x, y + 0.002, 0.085, 0.008)], (30, 44, 56), 0.35)
    if kind == "sail":
        view.line([(x, y - 0.03), (x, y - 0.17)], (110, 82, 66), 0.005)
        view.polygon([(x + 0.006, y - 0.165), (x + 0.07, y - 0.045), (x + 0.006, y - 0.045)], (250, 244, 228))
        view.polygon(
            [(x - 0.006, y - 0.145), (x - 0.045, y - 0.045), (x - 0.006, y - 0.045)], (238, 214, 176)
        )
    else:
        view.rect(x - 0.045, y - 0.062, x + 0.035, y - 0.025, (240, 226, 198))
        for a in (-0.034, -0.01, 0.014):
            pane = [
                (x + a, y - 0.054),
                (x + a + 0.014, y - 0.054),
                (x + a + 0.014, y - 0.04),
                (x + a, y - 0.04),
            ]
            if view.night:
                view.lamp(pane, WINDOW_LIGHT, 0.8)
            else:
                view.polygon(pane, (96, 126, 148))
    view.polygon([(x - 0.085, y - 0.03), (x + 0.085, y - 0.03), (x + 0.06, y), (x - 0.065, y)], hull)
    view.wash(
        [(x - 0.085, y - 0.03), (x + 0.085, y - 0.03), (x + 0.08, y - 0.022), (x - 0.08, y - 0.022)],
        PAPER,
        0.5,
    )


def _draw_canal(view: View, street: Street) -> None:
    """A quay wall, and below it the town upside down in moving water."""
    edge, water = street.base + 0.035, street.base + 0.07
    view.rect(-0.01, edge, 1.01, water, (150, 142, 132))
    view.rect(-0.01, edge - 0.006, 1.01, edge + 0.006, (212, 204, 190))
    if view.ink:
        view.rect(-0.01, water, 1.01, 1.02, PAPER)
        for k in range(14):
            x, y = (k * 0.37 + 0.05) % 0.95, water + (0.98 - water) * (k + 1) / 15
            view.line([(x, y), (x + 0.03, y - 0.006), (x + 0.06, y), (x + 0.09, y - 0.006)], INK, 0)
        return
    scale = view.scale
    pixels = np.asarray(view.image)
    start = round(water * scale)
    depth = (np.arange(scale - start) + 0.5) / scale
    source = np.clip(((water - depth * 1.75) * scale).astype(int), 0, scale - 1)
    sway = (0.004 + 0.03 * depth) * np.sin(depth * 150 / (1 + 4 * depth)) * scale
    across = np.clip(np.arange(scale)[None] + np.round(sway).astype(int)[:, None], 0, scale - 1)
    tint = np.array(moonlight((96, 140, 156)) if view.night else (112, 150, 164), np.float32)
    strength = (0.66 - 0.7 * depth)[:, None, None].astype(np.float32)
    mirrored = pixels[source[:, None], across] * strength + tint * (1 - strength)
    view.image.paste(to_image(mirrored.astype(np.float32)), (0, start))
    for k in range(12):
        x, y = (k * 0.37 + 0.05) % 0.95, water + (1 - water) * (k + 0.7) / 13
        view.wash(
            [(x, y), (x + 0.06, y - 0.003), (x + 0.12, y), (x + 0.06, y + 0.003)], (255, 255, 255), 0.22
        )
