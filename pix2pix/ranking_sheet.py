"""The worst and the best of what was measured on one sheet: input | output | truth, names and figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFont

from pix2pix.config import ModelConfig
from pix2pix.contact_sheet import INK, PAPER
from pix2pix.data import PairDataset
from pix2pix.evaluation import as_shown, images_like, shown_input
from pix2pix.metrics import HIGHER_IS_BETTER, Measures
from pix2pix.pairs import Picture

RANKED_BY = ("l1", "psnr", "ssim", "sharpness")
ROWS = 6
SIDE, GAP, POINTS = 192, 8, 13
HEADINGS = ("input", "output", "truth")


def worst_to_best(measures: Measures, by: str) -> list[int]:
    """The measured pictures in order, the worst first; equal ones as they come."""
    return sorted(
        range(len(measures.per_picture[by])), key=lambda number: _merit(measures.per_picture[by][number], by)
    )


def _merit(value: float, by: str) -> float:
    if by == "sharpness":  # best at 1; 0.5 is as far as 2
        return -abs(math.log(max(value, 1e-12)))
    return value if HIGHER_IS_BETTER[by] else -value


def ranking_sheet(
    translate: Callable[[Picture], Picture],
    dataset: PairDataset,
    chosen: Sequence[int],
    measures: Measures,
    by: str = "l1",
) -> Image.Image:
    """RGB: on the left the worst of the pairs `chosen`, on the right the best; of few pairs, each only once.

    `measures` are those of the pairs, in the same order.
    """
    order = worst_to_best(measures, by)
    worst = order[: min(ROWS, math.ceil(len(order) / 2))]
    best = order[len(worst) :][-ROWS:][::-1]
    font = ImageFont.load_default(size=POINTS)
    head, line = 4 * POINTS, 2 * POINTS
    across = len(HEADINGS) * (SIDE + GAP) + GAP
    sheet = Image.new("RGB", (2 * across, head + len(worst) * (SIDE + line + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for left, title, numbers in ((0, f"worst by {by}", worst), (across, f"best by {by}", best)):
        draw.text((left + across // 2, POINTS), title, INK, font=font, anchor="mm")
        for column, heading in enumerate(HEADINGS):
            middle = left + GAP + column * (SIDE + GAP) + SIDE // 2
            draw.text((middle, head - POINTS), heading, INK, font=font, anchor="mm")
        for row, number in enumerate(numbers):
            top = head + row * (SIDE + line + GAP)
            text = caption(dataset.source.names[chosen[number]], measures, number)
            draw.text((left + GAP, top + line // 2), _fitted(text, across - 2 * GAP, font), INK, font, "lm")
            for column, picture in enumerate(_three(translate, dataset, chosen[number])):
                cell = (left + GAP + column * (SIDE + GAP), top + line)
                sheet.paste(_in_cell(picture), cell)
    return sheet


def caption(name: str, measures: Measures, number: int) -> str:
    values = {key: measures.per_picture[key][number] for key in RANKED_BY}
    return (
        f"{name}   l1 {values['l1']:.3f}  psnr {values['psnr']:.1f}  ssim {values['ssim']:.2f}  "
        f"sharpness {values['sharpness']:.2f}"
    )


def _three(
    translate: Callable[[Picture], Picture], dataset: PairDataset, index: int
) -> tuple[Image.Image, Image.Image, Image.Image]:
    model: ModelConfig = dataset.model
    x, y = dataset.picture_pair(index)
    return shown_input(x, model), as_shown(translate(x)), as_shown(images_like(y, model))


def _in_cell(picture: Image.Image) -> Image.Image:
    """A picture of whatever size in a cell, centred; a smaller one is enlarged by whole pixels."""
    scale = max(1, SIDE // max(picture.size))
    shown = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    shown.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (SIDE, SIDE), PAPER)
    cell.paste(shown, ((SIDE - shown.width) // 2, (SIDE - shown.height) // 2))
    return cell


def _fitted(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, its beginning replaced by dots where it is too long: the end of a name tells most."""
    if font.getlength(text) <= width:
        return text
    while len(text) > 1 and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text
