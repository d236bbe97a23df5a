"""What a model's folder tells about itself, made harmless: a stranger may have written it."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LARGEST_CARD = 1 << 16
"""Bytes of README.md that are read."""
LARGEST_RECORD = 1 << 20
SHOWN = ("psnr", "ssim", "l1", "sharpness", "lab", "swd")

# Every pattern is linear in the text: a card must not be able to keep the server busy.
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.S)
SAMPLES = re.compile(r"<!-- pix2pix:samples -->[^<]*<!-- /pix2pix:samples -->")  # a caption of no picture
ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
IMAGE = re.compile(r"!\[([^\[\]]*)\]\([^()]*\)")
LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^()]*)\)")
SAFE = re.compile(r"https?://[\w.~:/?#@!$&'*+,;=%-]+", re.ASCII)
UNSAFE_TARGET = re.compile(r"\](?=\()(?!\(https?://)|\](?=:)(?!:[ \t]+https?://)")
NESTED = re.compile(r"^(?:[ \t]*>){4,}", re.M)
PROGRAM = re.compile(r"^([ \t>]*(?:```+|~~~+)[ \t]*)mermaid\b", re.M | re.I)


def card_of(folder: Path) -> str:
    """The body of README.md in Markdown, harmless; "" where there is none."""
    return harmless(SAMPLES.sub("", FRONT_MATTER.sub("", _card_source(folder))))


def harmless(markdown: str) -> str:
    """Markdown without raw HTML, without pictures, and with links to http(s) alone.

    A picture would tell a stranger's server who is looking; its words stay.
    """
    text = "".join(c for c in markdown if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    text = TAG.sub("", _without_comments(text))
    text = IMAGE.sub(lambda match: f"*{match[1].strip()}*" if match[1].strip() else "", text)
    text = LINK.sub(lambda match: match[0] if SAFE.fullmatch(match[2].strip()) else match[1], text)
    # What is left of either, however it is written, no longer reads as one.
    text = UNSAFE_TARGET.sub(r"]\\", text).replace("![", r"!\[").replace("<", "&lt;")
    text = PROGRAM.sub(r"\1text", NESTED.sub("> ", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def measures_of(folder: Path) -> dict[str, float]:
    """The measures that metrics.json holds of the best weights, else those that the card claims, else {}."""
    try:
        path = folder / "metrics.json"
        if path.stat().st_size <= LARGEST_RECORD:
            found = _numbers(json.loads(path.read_text(encoding="utf-8"))["best"])
            if found:
                return found
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass  # no measures are no reason not to serve
    return _claimed(_card_source(folder))


def plain(text: str, longest: int = 300) -> str:
    """One short line that neither HTML nor Markdown nor a terminal takes for more than words."""
    line = " ".join(ERROR_NUMBER.sub("", text).split()).translate(str.maketrans("<>[]`", "‹›()'"))
    line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _card_source(folder: Path) -> str:
    try:
        with open(folder / "README.md", "rb") as file:
            return file.read(LARGEST_CARD).decode("utf-8", errors="replace").replace("\r\n", "\n")
    except OSError:
        return ""


def _without_comments(text: str) -> str:
    first, *rest = text.split("<!--")
    return first + "".join(part.partition("-->")[2] for part in rest)


def _claimed(card: str) -> dict[str, float]:
    import yaml

    match = FRONT_MATTER.match(card)
    try:
        content = yaml.safe_load(match[1]) if match else {}
        metrics = [
            metric
            for model in content.get("model-index", [])
            for result in model["results"]
            for metric in result["metrics"]
        ]
        return _numbers({metric["type"]: metric["value"] for metric in metrics})
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _numbers(content: Mapping[str, Any]) -> dict[str, float]:
    found = {name: content.get(name) for name in SHOWN} if isinstance(content, Mapping) else {}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
