"""Paired image-to-image translation (Isola et al. 2017), from pairs of images to a Hub repository."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pix2pix.inference import Translator
    from pix2pix.networks import PatchDiscriminator, ResNetGenerator, UNetGenerator

__version__ = "0.1.0"
__all__ = ["PatchDiscriminator", "ResNetGenerator", "Translator", "UNetGenerator", "__version__"]

_HOME_OF = {
    "PatchDiscriminator": "pix2pix.networks",
    "ResNetGenerator": "pix2pix.networks",
    "Translator": "pix2pix.inference",
    "UNetGenerator": "pix2pix.networks",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for (PEP 562): `import pix2pix` stays free of torch."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
