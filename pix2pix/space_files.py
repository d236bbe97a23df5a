"""What a Space of the demo is made of: the files of a checkout, its requirements and its front matter."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pix2pix.errors import ConfigError, UserError
from pix2pix.repository import MODEL_FILES

OURS = ("app.py", "app.css", "LICENSE", "requirements.txt", "pix2pix/", "model_cards/")
"""What in a Space is the demo's, beside README.md."""
SOURCES = (
    "app.py",
    "app.css",
    "LICENSE",
    "pix2pix/*.py",
    "pix2pix/py.typed",
    "model_cards/template.md",
    *(f"model_cards/*/{name}" for name in ("README.md", *MODEL_FILES, "metrics.json", "samples.png")),
)
"""All that is uploaded from a checkout, beside what is written for the Space: no run, cache or secret."""
TEXT = (".py", ".css", ".md", ".json", ".txt", ".typed")
NEEDED = ("huggingface_hub", "jinja2", "numpy", "pillow", "safetensors", "torch")
"""The package's own dependencies; gradio is the Space's SDK, and nothing trains there."""
CPU_WHEELS = "--extra-index-url https://download.pytorch.org/whl/cpu"
PYTHON = "3.11"


def front_matter(
    requirements: str, models: Sequence[str] = (), hardware: str | None = None
) -> dict[str, Any]:
    """A Space's settings, as they open its README.md; the SDK's version is the pin in requirements.txt."""
    pin = re.search(r"^gradio==([\w.]+)$", requirements, re.M)
    if pin is None:
        raise ConfigError("requirements.txt pins no gradio==X: a Space needs to know its version.")
    return {
        "title": "pix2pix",
        "emoji": "🎨",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "gradio",
        "sdk_version": pin[1],
        "python_version": PYTHON,
        "app_file": "app.py",
        "short_description": "Aerial to map, grey to colour, drawing to photo",
        **({"models": list(models)} if models else {}),
        "suggested_hardware": hardware or "cpu-basic",
        "license": "apache-2.0",
        "tags": ["pix2pix", "image-to-image"],
    }


def space_requirements(requirements: str, hardware: str | None = None) -> str:
    """The lines of requirements.txt that a Space needs; without a GPU, PyTorch's much smaller CPU build."""
    name = re.compile(r"[\w.-]+")
    lines = [line for line in requirements.splitlines() if (m := name.match(line)) and m[0] in NEEDED]
    cpu = hardware is None or hardware.startswith("cpu")
    return "\n".join([*([CPU_WHEELS] if cpu else []), *lines]) + "\n"


class Checkout:
    """The project's files, as a clone holds them."""

    def __init__(self, root: Path):
        self.root = root
        missing = [name for name in ("app.py", "requirements.txt") if not (root / name).is_file()]
        if missing:
            raise UserError(
                f"{' and '.join(missing)} is not beside the package in {root}: an installed wheel does "
                "not hold the demo. Run this from a clone of the project, where pip install -e . was run."
            )
        self.requirements = (root / "requirements.txt").read_text(encoding="utf-8")

    def files(self, hardware: str | None) -> dict[str, Path | bytes]:
        """What is uploaded, beside README.md: paths in the Space and where each comes from."""
        found: dict[str, Path | bytes] = {
            path.relative_to(self.root).as_posix(): path
            for pattern in SOURCES
            for path in sorted(self.root.glob(pattern))
            if path.is_file() and not path.is_symlink()
        }
        return found | {"requirements.txt": space_requirements(self.requirements, hardware).encode()}


def is_text_of_ours(name: str) -> bool:
    return name.startswith(OURS) and name.endswith((*TEXT, "LICENSE"))


def text_hashes(files: Mapping[str, Path | bytes]) -> dict[str, str]:
    """git's hashes of the text files, as the Hub will state them; what is large it states in another way."""
    found = {}
    for name, source in files.items():
        if is_text_of_ours(name):
            content = source if isinstance(source, bytes) else source.read_bytes()
            found[name] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return found


def digest_of(hashes: Mapping[str, str]) -> str:
    """One name for many files: stands in README.md, and tells later whether somebody changed them."""
    return hashlib.sha1("".join(f"{name} {hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()


BODY = """
# pix2pix in the browser

Give a picture, see its translation: aerial photo to map, grey to colour, day to night, drawing to photo.
Every task has its model; the page names it, with its revision, its measures and its card. Nothing that you
upload is kept for longer than an hour.

Which models are served is set in this Space's variables:

| variable | what it says |
|---|---|
| `PIX2PIX_MODELS` | a model for each task, such as `map=user/pix2pix-map,colorize=user/pix2pix-colorize` |
| `PIX2PIX_HUB_OWNER` | whose models are found on the Hub by their tags, for the tasks not named above |

Where neither gives a model, or the Hub is away, a small one serves that ships with the demo. A new revision
of a model is taken up within minutes. The API is described at the foot of the page.

A wish or an error is best told where the code lives; this Space was made by `pix2pix publish-space`, which
replaces the demo's files when it is run again and keeps this text and every other file.
"""
