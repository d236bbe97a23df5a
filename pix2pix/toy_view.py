"""The hour of a street view: by day, by night, or as a pen drawing, which knows no hour."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pix2pix.drawing import Canvas, Colour, mix
from pix2pix.toy_street_plan import Sky, Street

NIGHT: Sky = ((14, 20, 52), (58, 66, 118))
MOON: Colour = (250, 244, 214)
WINDOW_LIGHT: Colour = (255, 206, 116)
LAMP_LIGHT: Colour = (255, 226, 160)


class View(Canvas):
    """A canvas that knows the hour: `mood` is "day", "night" or "sketch"."""

    def __init__(self, size: int, street: Street, mood: str) -> None:
        self.night = mood == "night"
        self.sky = NIGHT if self.night else street.day
        super().__init__(size, self.sky[1], tone=moonlight if self.night else None, ink=mood == "sketch")
        if not self.ink:
            fade = np.linspace(0, 1, 64)[:, None] ** 0.8
            rows = np.array(self.sky[0]) * (1 - fade) + np.array(self.sky[1]) * fade
            strip = Image.fromarray(rows[:, None].round().astype(np.uint8))
            height = round(self.scale * (street.base - 0.08))
            self.image.paste(strip.resize((self.scale, height), Image.Resampling.BICUBIC), (0, 0))

    def hazy(self, colour: Colour, haze: float) -> Colour:
        """`colour` with the air of this hour in front of it, given so that the tone is already undone."""
        return mix(colour, (176, 186, 222) if self.night else self.sky[1], haze)


def moonlight(colour: Colour) -> Colour:
    """Colours by night: a third of the light, most of what is left blue."""
    grey = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    red, green, blue = (0.7 * value + 0.3 * grey for value in colour)
    return round(8 + 0.29 * red), round(12 + 0.32 * green), round(30 + 0.43 * blue)
