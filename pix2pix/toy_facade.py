"""A house front, drawn twice from one plan: as a photo, and as the labels of its parts."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from pix2pix.drawing import Canvas, Colour, lit, mix, noise, to_image
from pix2pix.toy_facade_plan import LABELS, Facade, Part

Box = tuple[float, float, float, float]

# Wall, trim, door and shutters of each style.
COATS: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
    "brick": ((170, 92, 74), (226, 214, 192), (46, 74, 70), (70, 92, 84)),
    "plaster": ((238, 208, 148), (250, 240, 216), (122, 74, 50), (94, 132, 112)),
    "stone": ((214, 200, 174), (232, 222, 202), (78, 66, 58), (120, 110, 98)),
    "concrete": ((192, 204, 208), (238, 240, 238), (62, 84, 104), (120, 134, 142)),
}
SKY: Colour = (176, 208, 230)
NEIGHBOUR: Colour = (150, 146, 148)
PAVEMENT: Colour = (178, 172, 166)
AWNINGS: dict[str, Colour] = {
    "brick": (58, 96, 84),
    "plaster": (188, 84, 66),
    "stone": (64, 84, 122),
    "concrete": (214, 138, 74),
}


def snapped(box: Box, size: int) -> Box:
    """`box` on whole pixels of a picture of `size`, at least one wide and high: what aligns both drawings."""
    x0, y0, x1, y1 = (round(edge * size) for edge in box)
    return x0 / size, y0 / size, max(x1, x0 + 1) / size, max(y1, y0 + 1) / size


def draw_labels(facade: Facade, size: int) -> Image.Image:
    """The parts in the flat colours of `LABELS`, no blends, size x size."""
    picture = Image.new("RGB", (size, size), LABELS["background"])
    draw = ImageDraw.Draw(picture)
    for part in facade.parts:
        x0, y0, x1, y1 = (round(edge * size) for edge in snapped(part.box, size))
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), LABELS[part.label])
    return picture


def draw_facade(facade: Facade, size: int, rng: np.random.Generator) -> Image.Image:
    """The house as a photo, size x size; `rng` gives the light and the grain, never the parts."""
    canvas = Canvas(size, SKY)
    _paint_surroundings(canvas, facade, size)
    for part in facade.parts:
        _PAINTERS[part.label](canvas, facade, part, snapped(part.box, size))
    photo = np.asarray(canvas.finish(), np.float32)
    gain = 1 + 0.016 * noise(rng, size, 256) + 0.014 * noise(rng, size, 40) + 0.02 * noise(rng, size, 4)
    gain *= np.linspace(1.05, 0.95, size, dtype=np.float32)[:, None]  # the street is darker than the roof
    warmth = np.array([1.0, 1.0, 1.0], np.float32) + np.array([0.03, 0.0, -0.03], np.float32) * rng.uniform(
        -1, 1
    )
    return to_image(photo * gain[..., None] * warmth.astype(np.float32))


def _paint_surroundings(canvas: Canvas, facade: Facade, size: int) -> None:
    for k in range(12):  # the sky pales towards the roofs
        canvas.rect(0, k / 48, 1, 1, mix((138, 184, 222), (222, 234, 238), k / 11))
    x0, top, x1, ground = snapped((facade.left, facade.top, facade.right, facade.ground), size)
    for a, b in ((-0.1, x0), (x1, 1.1)):
        if b > 0 and a < 1:
            canvas.rect(a, top + 0.1, b, 1, NEIGHBOUR)
            canvas.rect(a, top + 0.1, b, top + 0.125, lit(NEIGHBOUR, 0.8))
            for y in np.arange(top + 0.17, ground - 0.1, 0.16):
                canvas.rect(a + (b - a) * 0.25, y, a + (b - a) * 0.75, y + 0.085, lit(NEIGHBOUR, 0.66))
    canvas.rect(0, ground, 1, 1, PAVEMENT)
    canvas.wash_rect(0, ground, 1, ground + 0.014, (30, 30, 44), 0.35)
    for x in np.arange(0.08, 1, 0.17):
        canvas.line([(x, ground), (x + (x - 0.5) * 0.12, 1)], lit(PAVEMENT, 0.88), 0.003)


def _shadow(canvas: Canvas, box: Box, below: float, opacity: float = 0.3) -> None:
    """A soft shadow thrown by a part that stands out, `below` its lower edge."""
    x0, _, x1, y1 = box
    for share in (1.0, 0.6):
        drop = below * share
        canvas.wash_rect(x0, y1, x1, y1 + drop, (34, 28, 44), opacity / 2)


def _wall(canvas: Canvas, facade: Facade, part: Part, box: Box) -> None:
    x0, y0, x1, y1 = box
    wall = COATS[facade.style][0]
    canvas.rect(*box, wall)
    if facade.style == "brick":
        for row, y in enumerate(np.arange(y0, y1, 0.0145)):
            canvas.wash_rect(x0, y, x1, y + 0.003, (232, 206, 180), 0.3)
            for x in np.arange(x0 + 0.02 * (row % 2), x1, 0.04):
                canvas.wash_rect(x, y, x + 0.02, y + 0.0145, (110, 50, 40), 0.1)
    elif facade.style == "stone":
        for row, y in enumerate(np.arange(y0, y1, 0.042)):
            canvas.wash_rect(x0, y, x1, y + 0.003, (120, 104, 84), 0.3)
            for x in np.arange(x0 + 0.05 * (row % 2), x1, 0.1):
                canvas.wash_rect(x, y, x + 0.003, y + 0.042, (120, 104, 84), 0.3)
    elif facade.style == "concrete":
        for y in np.arange(y0 + 0.08, y1, 0.11):
            canvas.wash_rect(x0, y, x1, y + 0.004, (90, 100, 106), 0.25)
    canvas.wash_rect(x0, y1 - 0.03, x1, y1, (60, 50, 50), 0.25)  # the plinth
    canvas.wash_rect(x1 - 0.02, y0, x1, y1, (40, 34, 50), 0.12)


def _window(canvas: Canvas, facade: Facade, part: Part, box: Box) -> None:
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    frame = COATS[facade.style][1]
    glass = (74, 92, 110) if part.dark else (120, 142, 156)
    canvas.rect(*box, frame)
    inner = (x0 + w * 0.09, y0 + h * 0.055, x1 - w * 0.09, y1 - h * 0.055)
    canvas.rect(*inner, glass)
    a, b, c, d = inner
    if not part.dark:  # drawn curtains
        for left, right in ((a, a + (c - a) * 0.34), (c - (c - a) * 0.34, c)):
            canvas.rect(left, b, right, d, (224, 216, 200))
    canvas.wash(
        [(a, b), (a + (c - a) * 0.75, b), (a, b + (d - b) * 0.6)], (226, 240, 250), 0.35
    )  # the sky in it
    canvas.wash_rect(a, b, c, b + h * 0.07, (20, 20, 34), 0.4)
    middle = (x0 + x1) / 2
    canvas.line([(middle, b), (middle, d)], frame, w * 0.07)
    canvas.line([(a, b + (d - b) * 0.34), (c, b + (d - b) * 0.34)], frame, h * 0.035)


def _door(canvas: Canvas, facade: Facade, part: Part, box: Box) -> None:
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    _, trim, wood, _ = COATS[facade.style]
    canvas.rect(*box, trim)
    canvas.rect(x0 + w * 0.1, y0 + h * 0.05, x1 - w * 0.1, y1, wood)
    canvas.rect(x0 + w * 0.16, y0 + h * 0.08, x1 - w * 0.16, y0 + h * 0.24, (112, 132, 144))
    for k in range(2):
        left = x0 + w * (0.17 + 0.35 * k)
        for top, bottom in ((0.32, 0.6), (0.66, 0.92)):
            canvas.rect(left, y0 + h * top, left + w * 0.3, y0 + h * bottom, lit(wood, 1.25))
            canvas.rect(
                left + w * 0.04, y0 + h * (top + 0.02), left + w * 0.3, y0 + h * bottom, lit(wood, 0.86)
            )
    canvas.line([((x0 + x1) / 2, y0 + h * 0.26), ((x0 + x1) / 2, y1)], lit(wood, 0.7), 0.003)
    canvas.rect(x0 + w * 0.52, y0 + h * 0.6, x0 + w * 0.57, y0 + h * 0.64, (226, 196, 120))


def _cornice(canvas: Canvas, facade: Facade, part: Part, box: Box) -> None:
    x0, y0, x1, y1 = box
    trim, h = COATS[facade.style][1], box[3] - box[1]
    _shadow(canvas, box, 0.022)
    canvas.rect(*box, trim)
    canvas.rect(x0, y0, x1, y0 + h * 0.3, lit(trim, 1.06))
    canvas.rect(x0, y0 + h * 0.62, x1, y1, lit(trim, 0.86))
    if h > 0.024 and facade.style != "concrete":
        for x in np.arange(max(x0, -0.02) + 0.006, x1, 0.026):  # dentils
            canvas.rect(x, y0 + h * 0.62, x + 0.012, y1, lit(trim, 0.68))


def _slab(canvas: Canvas, facade: Facade, part: Part, box: Box) -> None:
    """A sill or a molding: a bar of trim with a bright top and a shadow."""
    x0, y0, x1, y1 = box
    trim = COATS[facade.style][1]
    _shadow(canvas, box, 0.012)
    canvas.rect(*box, lit(trim, 0.94))
    canvas.rect(x0, y0, x1, y0 + (y1 - y0) * 0.4, lit(trim, 1.06))


def _balcony(canvas: Canvas, facade: Facade, part: Part, box: Box) -> None:
    x0, y0, x1, y1 = box
    h = y1 - y0
    iron, floor = (52, 54, 62), lit(COATS[facade.style][1], 0.86)
    _shadow(canvas, box, 0.02, 0.4)
    canvas.wash_rect(x0, y0, x1, y1, (40, 42, 54), 0.35)
    canvas.rect(x0, y1 - h * 0.2, x1, y1, floor)
    canvas.rect(x0, y0, x1, y0 + h * 0.09, iron)
    count = max(4, round((x1 - x0) / 0.0135))
    for k in range(count + 1):
        x = x0 + 0.002 + (x1 - x0 - 0.004) * k / count
        canvas.line([(x, y0), (x, y1 - h * 0.2)], iron, 0.003)
    if facade.style == "stone":  # flowers
        for k in range(5):
            x = x0 + (x1 - x0) * (k + 0.5) / 5
            canvas.blob([(x, y0 + h * 0.04, 0.009, 0.008)], (86, 122, 70))
            canvas.blob([(x + 0.003, y0, 0.005, 0.005)], (206, 78, 84))


def _blind(canvas: Canvas, facade: Facade, part: Part, box: Box) -> None:
    x0, y0, x1, y1 = box
    colour = COATS[facade.style][3]
    canvas.rect(*box, lit(colour, 0.82))
    w, h = x1 - x0, y1 - y0
    slats = 8
    for k in range(slats):
        y = y0 + h * (0.05 + 0.9 * k / slats)
        canvas.rect(x0 + w * 0.12, y, x1 - w * 0.12, y + h * 0.9 / slats * 0.6, lit(colour, 1.12))


def _deco(canvas: Canvas, facade: Facade, part: Part, box: Box) -> None:
    x0, y0, x1, y1 = box
    trim, wall = COATS[facade.style][1], COATS[facade.style][0]
    w, h = x1 - x0, y1 - y0
    canvas.rect(*box, trim)
    canvas.rect(x0 + w * 0.06, y0 + h * 0.14, x1 - w * 0.06, y1 - h * 0.14, lit(wall, 0.9))
    for k in (0.25, 0.5, 0.75):
        r = h * (0.3 if k == 0.5 else 0.2)
        canvas.blob([(x0 + w * k, (y0 + y1) / 2, r, r)], lit(trim, 1.02))


def _pillar(canvas: Canvas, facade: Facade, part: Part, box: Box) -> None:
    x0, y0, x1, y1 = box
    trim, w = COATS[facade.style][1], box[2] - box[0]
    canvas.rect(*box, trim)
    canvas.rect(x0, y0, x0 + w * 0.3, y1, lit(trim, 1.06))
    canvas.rect(x1 - w * 0.3, y0, x1, y1, lit(trim, 0.8))
    canvas.rect(x0, y0, x1, y0 + 0.014, lit(trim, 1.04))
    canvas.rect(x0, y1 - 0.014, x1, y1, lit(trim, 0.92))


def _shop(canvas: Canvas, facade: Facade, part: Part, box: Box) -> None:
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    colour = AWNINGS[facade.style]
    canvas.rect(*box, lit(colour, 0.62))
    canvas.rect(x0 + w * 0.06, y0 + h * 0.3, x1 - w * 0.06, y1 - h * 0.12, (252, 220, 160))
    for k, goods in enumerate(((176, 84, 70), (88, 124, 110), (212, 160, 84), (96, 110, 150))):
        left = x0 + w * (0.12 + 0.2 * k)
        canvas.rect(left, y0 + h * (0.6 + 0.06 * (k % 2)), left + w * 0.14, y1 - h * 0.12, goods)
    canvas.wash(
        [(x0 + w * 0.06, y0 + h * 0.3), (x0 + w * 0.5, y0 + h * 0.3), (x0 + w * 0.06, y0 + h * 0.8)],
        (255, 255, 255),
        0.25,
    )
    stripes = 8
    for k in range(stripes):  # the awning
        a = x0 + w * k / stripes
        canvas.rect(a, y0, a + w / stripes, y0 + h * 0.32, colour if k % 2 else (246, 240, 228))
    canvas.wash_rect(x0, y0 + h * 0.32, x1, y0 + h * 0.4, (30, 24, 34), 0.35)


_PAINTERS = {
    "facade": _wall,
    "window": _window,
    "door": _door,
    "cornice": _cornice,
    "sill": _slab,
    "molding": _slab,
    "balcony": _balcony,
    "blind": _blind,
    "deco": _deco,
    "pillar": _pillar,
    "shop": _shop,
}
