"""Rows of pictures on one sheet, with a heading over each column: validation grids, samples.png."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from pix2pix import images

PAPER, INK = (250, 249, 246), (60, 60, 66)


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]], headings: Sequence[str], gap: int = 8, side: int | None = None
) -> Image.Image:
    """Return an RGB sheet: one row of pictures under another, `headings` above the columns.

    Every picture fills a cell of `side` pixels (default: the first picture's width), shrunk to fit, centred.
    """
    side = side or rows[0][0].width
    points = max(11, side // 14)
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
