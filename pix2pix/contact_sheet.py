"""Rows of pictures on one sheet, with a heading over each column: validation grids, samples.png."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from pix2pix import images

PAPER, INK = (250, 249, 246), (60, 60, 66)
GAP = 8
COLUMNS = 3
"""Of a validation sheet and of samples.png: input, output, truth."""


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]], headings: Sequence[str], gap: int = GAP, side: int | None = None
) -> Image.Image:
    """Return an RGB sheet: one row of pictures under another, `headings` above the columns.

    Every picture fills a cell of `side` pixels (default: the first picture's width), shrunk to fit, centred.
    """
    side = side or rows[0][0].width
    points = _points(side)
    font = ImageFont.load_default(size=points)
    head = 2 * points
    columns = len(headings)
    sheet = Image.new("RGB", (columns * (side + gap) + gap, head + len(rows) * (side + gap)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        middle = gap + column * (side + gap) + side // 2
        draw.text((middle, head // 2), heading, INK, font=font, anchor="mm")
    for number, row in enumerate(rows):
        for column, picture in enumerate(row):
            fitted = images.to_rgb(picture).copy()
            fitted.thumbnail((side, side), Image.Resampling.LANCZOS)
            left = gap + column * (side + gap) + (side - fitted.width) // 2
            top = head + number * (side + gap) + (side - fitted.height) // 2
            sheet.paste(fitted, (left, top))
    return sheet


def inputs_of(sheet: Image.Image) -> list[Image.Image]:
    """The pictures in the first column of a sheet of COLUMNS; none of a picture that is no such sheet."""
    side = (sheet.width - GAP) // COLUMNS - GAP
    head = 2 * _points(side)
    rows, rest = divmod(sheet.height - head, side + GAP) if side > 0 else (0, 1)
    if rest or rows < 1 or COLUMNS * (side + GAP) + GAP != sheet.width:
        return []
    tops = [head + row * (side + GAP) for row in range(rows)]
    return [sheet.crop((GAP, top, GAP + side, top + side)) for top in tops]


def _points(side: int) -> int:
    return max(11, side // 14)
