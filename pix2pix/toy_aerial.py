"""A town from above, drawn twice from one plan: as an aerial photo, and as the map of the same ground."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pix2pix.drawing import Array, Canvas, Colour, lit, mix, noise, oval, ribbon, to_image
from pix2pix.toy_aerial_plan import Building, Town

# The map's colours; every pixel of a map is one of them or, on an edge, a blend of two.
LAND: Colour = (0xF2, 0xEB, 0xDC)
WATER: Colour = (0xA3, 0xCC, 0xFF)
BUILDING: Colour = (0xCF, 0xC8, 0xBE)
BUILDING_EDGE: Colour = (0xB0, 0xA6, 0x9A)
VEGETATION: Colour = (0xBA, 0xDE, 0xA2)
ROAD: Colour = (0xFF, 0xFF, 0xFF)
ROAD_CASING: Colour = (0xC4, 0xB8, 0xA4)
MAP_PALETTE = (LAND, WATER, BUILDING, BUILDING_EDGE, VEGETATION, ROAD, ROAD_CASING)

# What the sun makes of a picture: gain per channel, from a hazy morning to a late afternoon.
SUNS = ((1.0, 1.0, 1.0), (1.08, 1.02, 0.92), (0.95, 1.0, 1.06), (1.1, 1.06, 1.0), (1.04, 0.97, 0.9))


def draw_map(town: Town, size: int) -> Image.Image:
    """The town in the flat colours of `MAP_PALETTE`, size x size."""
    canvas = Canvas(size, LAND)
    for shape, _ in town.greens:
        canvas.polygon(shape, VEGETATION)
    for shape in town.banks:
        canvas.polygon(shape, VEGETATION)
    for path in town.paths:
        canvas.line(path, ROAD, 0.009)
    for shape in town.water:
        canvas.polygon(shape, WATER)
    for road in town.roads:
        canvas.polygon(ribbon(road.path, road.width + 0.01), ROAD_CASING)
    for road in town.roads:  # after every casing, so that crossings stay open
        canvas.polygon(ribbon(road.path, road.width), ROAD)
    for building in town.buildings:
        canvas.polygon(building.corners, BUILDING)
        canvas.line([*building.corners, building.corners[0]], BUILDING_EDGE, 0.004)
    return canvas.finish()


def draw_aerial(town: Town, size: int, rng: np.random.Generator) -> Image.Image:
    """The town as a photo from above, size x size; `rng` gives the light and the grain, never the ground."""
    turn = rng.uniform(0, 2 * math.pi)
    sun = (math.cos(turn), math.sin(turn))  # points towards the sun
    canvas = Canvas(size, (164, 166, 120))
    _paint_ground(canvas, town)
    _paint_shadows(canvas, town, sun)
    for shape, colour in town.cars:
        canvas.polygon(shape, colour)
    for building in town.buildings:
        _paint_roof(canvas, building, sun)
    _paint_trees(canvas, town, sun, rng)
    return _photograph(canvas.finish(), rng)


def _paint_ground(canvas: Canvas, town: Town) -> None:
    for shape, colour in town.lots + town.greens:
        canvas.polygon(shape, colour)
    for shape, colour, furrows in town.crops:
        canvas.polygon(shape, colour)
        for k in range(1, furrows):
            t = k / furrows
            ends = [shape[0] + (shape[1] - shape[0]) * t, shape[3] + (shape[2] - shape[3]) * t]
            canvas.line(ends, lit(colour, 0.9 if k % 2 else 1.06), 0.004)
    for hedge in town.hedges:
        canvas.line(hedge, (124, 140, 86), 0.005)
    for pitch in town.pitches:
        middle = pitch.mean(0)
        canvas.polygon(pitch, (136, 164, 90))
        inner = middle + (pitch - middle) * 0.88
        canvas.line([*inner, inner[0]], (236, 236, 226), 0.0035)
        canvas.line([(inner[1] + inner[2]) / 2, (inner[3] + inner[0]) / 2], (236, 236, 226), 0.0035)
        ring = oval(middle[0], middle[1], 0.014, 0.014, 16)
        canvas.line([*ring, ring[0]], (236, 236, 226), 0.0035)
    for shape in town.banks:
        canvas.polygon(shape, (116, 148, 84))
    for path in town.paths:
        canvas.line(path, (206, 194, 164), 0.009)
    for shape in town.water:
        canvas.polygon(shape, (66, 104, 122))
        canvas.line([*shape, shape[0]], (150, 150, 116), 0.006)
    for road in town.roads:
        canvas.polygon(ribbon(road.path, road.width + 0.01), (196, 190, 178))
    for road in town.roads:
        canvas.polygon(ribbon(road.path, road.width), (124, 124, 128) if road.main else (138, 137, 138))
    for road in town.roads:
        if road.main:
            fine = np.linspace(0, 1, 56)
            coarse = np.linspace(0, 1, len(road.path))
            xy = np.stack([np.interp(fine, coarse, road.path[:, k]) for k in (0, 1)], axis=1)
            for k in range(0, len(fine) - 1, 2):
                canvas.line(xy[k : k + 2], (232, 230, 220), 0.004)


def _paint_shadows(canvas: Canvas, town: Town, sun: tuple[float, float]) -> None:
    """Each roof, and each tree, swept away from the sun: one mask, so that shadows do not add up."""
    scale = canvas.size
    mask = Image.new("L", (scale, scale))
    draw = ImageDraw.Draw(mask)
    away = -np.array(sun)
    for building in town.buildings:
        foot = building.corners
        top = foot + away * building.height * 1.25
        for k in range(4):
            side = np.stack([foot[k - 1], foot[k], top[k], top[k - 1]])
            draw.polygon([(x * scale, y * scale) for x, y in side.tolist()], 255)
        draw.polygon([(x * scale, y * scale) for x, y in top.tolist()], 255)
    for x, y, r in town.trees:
        cx, cy = (x + away[0] * r * 0.9) * scale, (y + away[1] * r * 0.9) * scale
        draw.ellipse((cx - r * scale, cy - r * scale, cx + r * scale, cy + r * scale), 255)
    mask = mask.filter(ImageFilter.GaussianBlur(scale * 0.0022)).resize(
        canvas.image.size, Image.Resampling.BILINEAR
    )
    canvas.image.paste((38, 44, 66), (0, 0), mask.point(lambda value: value * 0.48))


def _paint_roof(canvas: Canvas, building: Building, sun: tuple[float, float]) -> None:
    a, b, c, d = building.corners

    def face(points: list[Array], outward: Array) -> None:
        slope = float(outward @ np.array(sun)) / (float(np.hypot(*outward)) + 1e-9)
        canvas.polygon(np.array(points), lit(building.colour, 1.02 + 0.24 * slope))

    if building.roof == "flat":
        middle = building.corners.mean(0)
        canvas.polygon(building.corners, lit(building.colour, 1.14))
        canvas.polygon(middle + (building.corners - middle) * 0.9, building.colour)
        for s, t in ((0.3, 0.35), (0.66, 0.6)):  # what stands on flat roofs
            at = a + (b - a) * s + (d - a) * t
            canvas.polygon(at + (building.corners - middle) * 0.1, lit(building.colour, 0.8))
            canvas.polygon(
                at + (building.corners - middle) * 0.1 + np.array(sun) * 0.004, lit(building.colour, 1.2)
            )
        return
    left, right = (a + d) / 2, (b + c) / 2  # the ridge
    if building.roof == "hip":
        left, right = left + (right - left) * 0.28, right + (left - right) * 0.28
        face([a, d, left], a - b)
        face([b, c, right], b - a)
    face([a, b, right, left], a - d)
    face([d, c, right, left], d - a)
    canvas.line([left, right], lit(building.colour, 1.3), 0.003)


def _paint_trees(canvas: Canvas, town: Town, sun: tuple[float, float], rng: np.random.Generator) -> None:
    tints = rng.uniform(0, 1, len(town.trees)).tolist()
    for (x, y, r), tint in zip(town.trees, tints, strict=True):
        leaf = mix((62, 98, 52), (98, 128, 60), tint)
        dx, dy = sun[0] * r * 0.3, sun[1] * r * 0.3
        canvas.blob([(x, y, r, r)], lit(leaf, 0.78))
        canvas.blob([(x + dx, y + dy, r * 0.72, r * 0.72)], leaf)
        canvas.blob([(x + 1.5 * dx, y + 1.5 * dy, r * 0.36, r * 0.36)], lit(leaf, 1.25))


def _photograph(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Texture where there is grass or water, drifting light over all, and the grain of film."""
    size = picture.width
    photo = np.asarray(picture, np.float32)
    red, green, blue = photo[..., 0], photo[..., 1], photo[..., 2]
    grass = np.clip((green - np.maximum(red * 0.6 + blue * 0.4, 1)) / 40, 0, 1)
    water = np.clip((blue - red - 20) / 30, 0, 1)
    fine, clump = noise(rng, size, 256), noise(rng, size, 48)
    ripple, drift = noise(rng, size, 24, 96), noise(rng, size, 4)
    gain = 1 + 0.02 * fine + 0.02 * clump + 0.025 * drift + grass * (0.045 * clump + 0.045 * fine)
    gain += water * (0.045 * ripple + 0.02 * fine)
    sun = np.array(SUNS[int(rng.integers(len(SUNS)))], np.float32) * np.float32(rng.uniform(0.98, 1.1))
    return to_image(photo * gain[..., None] * sun)
