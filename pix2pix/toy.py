"""The drawn town: picture pairs for every task, drawn by a seed, so that training needs no download.

    aerial, map_ = draw_pair("map", index=0, size=256)

A pair is a pure function of its arguments, on any machine; one index is one scene, at every size and for
both directions of a task. The pictures are made to be learned from: what the input shows decides the target.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from pix2pix.errors import ConfigError
from pix2pix.tasks import lightness
from pix2pix.toy_aerial import draw_aerial, draw_map
from pix2pix.toy_aerial_plan import Town, plan_town
from pix2pix.toy_facade import draw_facade, draw_labels
from pix2pix.toy_facade_plan import Facade, plan_facade
from pix2pix.toy_street import draw_street
from pix2pix.toy_street_plan import Street, plan_street

# What each task is drawn from: the kinds of its input and its target.
_SIDES = {
    "map": ("aerial", "map"),
    "map-to-aerial": ("map", "aerial"),
    "colorize": ("grey", "day"),
    "day-night": ("day", "night"),
    "night-day": ("night", "day"),
    "sketch": ("sketch", "day"),
    "facades": ("labels", "facade"),
}
TASKS: tuple[str, ...] = tuple(_SIDES)
KINDS: tuple[str, ...] = ("aerial", "map", "day", "night", "sketch", "grey", "facade", "labels")
SMALLEST = 16

Plan = Town | Street | Facade


def draw_pair(task: str, index: int, size: int = 256, seed: int = 0) -> tuple[Image.Image, Image.Image]:
    """The input and the target of pair `index`: two RGB pictures, size x size, aligned to the pixel.

    `custom` gives the pairs of `map`. Raises ConfigError (a ValueError) for an unknown task, a size below
    16, and a negative index or seed.
    """
    task = "map" if task == "custom" else task
    if task not in _SIDES:
        raise ConfigError(f"Task {task!r} is not one the drawn town has; choose one of {', '.join(TASKS)}.")
    input_kind, target_kind = _SIDES[task]
    plan = _plan(target_kind, index, size, seed)
    target = _draw(target_kind, plan, index, size, seed)
    if input_kind == "grey":
        return _grey(target), target
    return _draw(input_kind, plan, index, size, seed), target


def draw_scene(kind: str, index: int, size: int = 256, seed: int = 0) -> Image.Image:
    """Scene `index` as one of `KINDS`: an RGB picture, size x size. Raises as `draw_pair` does."""
    if kind not in KINDS:
        raise ConfigError(f"Kind {kind!r} is not one the drawn town has; choose one of {', '.join(KINDS)}.")
    return _draw(kind, _plan(kind, index, size, seed), index, size, seed)


def _plan(kind: str, index: int, size: int, seed: int) -> Plan:
    """What is on scene `index`; kinds of one family share it."""
    if size < SMALLEST:
        raise ConfigError(f"size is {size}; the drawn town needs at least {SMALLEST} pixels.")
    if index < 0 or seed < 0:
        raise ConfigError(f"index is {index} and seed is {seed}; neither may be negative.")
    # The last two numbers say what the draws are for: never renumber them, or every picture changes.
    if kind in ("aerial", "map"):
        return plan_town(np.random.default_rng([seed, index, 0, 0]))
    if kind in ("facade", "labels"):
        return plan_facade(np.random.default_rng([seed, index, 2, 0]))
    return plan_street(np.random.default_rng([seed, index, 1, 0]))


def _draw(kind: str, plan: Plan, index: int, size: int, seed: int) -> Image.Image:
    if isinstance(plan, Town):
        rng = np.random.default_rng([seed, index, 0, 1])
        return draw_map(plan, size) if kind == "map" else draw_aerial(plan, size, rng)
    if isinstance(plan, Facade):
        rng = np.random.default_rng([seed, index, 2, 1])
        return draw_labels(plan, size) if kind == "labels" else draw_facade(plan, size, rng)
    rng = np.random.default_rng([seed, index, 1, 1])
    picture = draw_street(plan, size, "day" if kind == "grey" else kind, rng)
    return _grey(picture) if kind == "grey" else picture


def _grey(picture: Image.Image) -> Image.Image:
    """What the colorize task sees of a picture, as three equal channels."""
    return lightness(picture).convert("RGB")
