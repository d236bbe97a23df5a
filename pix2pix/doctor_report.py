"""A diagnosis for people: a table for the terminal, and a sheet of the pictures it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

from PIL import Image, ImageChops, ImageDraw, ImageFont

from pix2pix.contact_sheet import INK, PAPER, contact_sheet
from pix2pix.doctor import Case, Diagnosis, Finding
from pix2pix.doctor_evidence import preview
from pix2pix.errors import LIMIT, ImageError
from pix2pix.pairs import PairSource

SHEET_ROWS = 40
CELL = 192


def as_text(diagnosis: Diagnosis) -> str:
    """What was looked at, a table of the findings, and their cases (20 each, then a count)."""
    splits = ", ".join(f"{split} {count}" for split, count in diagnosis.splits.items())
    lines = [
        f"pairs   {splits} ({diagnosis.layout})",
        f"sizes   {_tally(diagnosis.sizes)}",
        f"modes   {_tally(diagnosis.modes)}",
        *(f"unclear {reason}" for reason in diagnosis.unclear),
        "",
    ]
    faults = [finding for finding in diagnosis.findings if finding.fault]
    notes = [finding for finding in diagnosis.findings if not finding.fault]
    if faults:
        lines += ["finding       count  what", *map(_row, faults), ""]
    for finding in faults:
        lines += [f"{finding.title}:", *_cases(finding), f"  -> {finding.advice}", ""]
    for finding in notes:
        lines += [f"to know: {len(finding.cases)} {finding.title}.", f"  {finding.advice}", ""]
    count = sum(max(1, len(finding.cases)) for finding in faults)
    lines.append(f"{count} finding{'' if count == 1 else 's'}." if count else "healthy: no findings.")
    return "\n".join(lines)


def _row(finding: Finding) -> str:
    return f"{finding.kind:12}{max(1, len(finding.cases)):7}  {finding.title}"


def _cases(finding: Finding) -> list[str]:
    lines = []
    for case in finding.cases[:LIMIT]:
        name = case.label.removeprefix(f"{case.split}: ")
        is_told = finding.kind in ("unusable", "unpaired") and name in case.detail
        text = case.detail if is_told else f"{case.label}  {case.detail}".rstrip()
        lines += [f"  {line}" for line in text.splitlines()]
    left = len(finding.cases) - LIMIT
    return [*lines, f"  ... and {left} more"] if left > 0 else lines


def _tally(counts: Mapping[str, int], most: int = 6) -> str:
    named = [f"{name} ({count})" for name, count in list(counts.items())[:most]]
    rest = len(counts) - most
    return ", ".join([*named, f"{rest} others"] if rest > 0 else named) or "none"


# ---- the sheet --------------------------------------------------------------------------------------------


def sheet(diagnosis: Diagnosis, sources: Mapping[str, PairSource]) -> Image.Image | None:
    """A row for each faulty pair: what it is, input, target, and the proof; None without any.

    The proof is the twin's target, or the difference of a shifted pair's sides as they lie, laid together.
    """
    cases = [(finding, case) for finding in diagnosis.findings if finding.fault for case in finding.cases]
    rows = [_sheet_row(finding, case, sources) for finding, case in cases[:SHEET_ROWS]]
    if len(cases) > SHEET_ROWS:
        rows.append([_words([f"... and {len(cases) - SHEET_ROWS} more"])])
    return contact_sheet(rows, ("finding", "input", "target", "compare"), side=CELL) if rows else None


def _sheet_row(finding: Finding, case: Case, sources: Mapping[str, PairSource]) -> list[Image.Image]:
    words = [finding.kind.upper(), case.label, "", case.detail]
    if case.index is None:
        return [_words(words)]
    try:
        sides = _load(sources[case.split], case.index)
        if case.twin is not None:
            sides.append(_load(sources[case.twin[0]], case.twin[1])[1])
        elif case.shift is not None:
            sides.append(_laid_together(*sides))
    except ImageError:
        return [_words(words)]
    return [_words(words), *sides]


def _load(source: PairSource, index: int) -> list[Image.Image]:
    """Input and target, small; where the task derives its input, a word in its place."""
    pictures = source.load(index)
    shown = [
        _words(["(made from the target)"]) if picture is None else preview(picture) for picture in pictures
    ]
    for picture in shown:
        picture.thumbnail((2 * CELL, 2 * CELL))
    return shown


def _laid_together(a: Image.Image, b: Image.Image) -> Image.Image:
    """Both pictures' lightness in one: the input in red, the target in cyan, so that a shift shows."""
    red, cyan = (_outline(side) for side in (a, b))
    return Image.merge("RGB", (ImageChops.invert(cyan), ImageChops.invert(red), ImageChops.invert(red)))


def _outline(picture: Image.Image) -> Image.Image:
    """How steep the lightness is, 0..255."""
    light = picture.convert("L")
    right = ImageChops.difference(light, ImageChops.offset(light, 1, 0))
    down = ImageChops.difference(light, ImageChops.offset(light, 0, 1))
    return ImageChops.lighter(right, down).point([min(255, 3 * level) for level in range(256)])


def _words(lines: Sequence[str]) -> Image.Image:
    """A cell of text, the first line larger."""
    cell = Image.new("RGB", (CELL, CELL), PAPER)
    draw = ImageDraw.Draw(cell)
    top = 6
    for number, line in enumerate(lines):
        size = 14 if number == 0 else 12
        font = ImageFont.load_default(size=size)
        for part in wrap(line, 28, break_long_words=True)[:7] or [""]:
            draw.text((4, top), part, INK, font=font)
            top += size + 3
    return cell
