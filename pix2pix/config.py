"""Every number a model depends on, in frozen dataclasses that refuse what cannot work.

They are what config.json and discriminator/config.json hold; a run's own numbers are in training_config.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pix2pix import __version__
from pix2pix.errors import ConfigError, ModelError

CONTRACT_VERSION = 1
T = TypeVar("T")

TaskId = Literal["map", "map-to-aerial", "colorize", "day-night", "night-day", "sketch", "facades", "custom"]
GeneratorName = Literal[
    "unet_256", "unet_128", "unet_article", "resnet_9blocks", "resnet_6blocks", "unet_huggan"
]  # fmt: skip
DiscriminatorName = Literal["patch", "pixel", "article", "multiscale"]
NormName = Literal["instance", "batch", "none"]
UpsampleName = Literal["transpose", "resize", "resize_3x3"]
DropoutBlocks = Literal["first_three", "after_innermost"]
ColorName = Literal["rgb", "grey", "l", "ab", "raw"]

CHANNELS = {"rgb": 3, "grey": 1, "l": 1, "ab": 2}
"""Channels of a colour space; `raw` has as many as the data have."""

RANGES: dict[str, tuple[float, float]] = {
    "width": (1, 1024), "depth": (2, 12), "dropout": (0, 0.99), "resolution": (16, 8192), "layers": (0, 6),
    "in_channels": (1, 64), "out_channels": (1, 64), "input_channels": (1, 64), "output_channels": (1, 64),
    "norm_epsilon": (1e-12, 1),
}  # fmt: skip
"""The least and the most of numbers that a model is built from."""

DEPTHS = {
    "unet_256": 8, "unet_128": 7, "unet_article": 7, "resnet_9blocks": 9, "resnet_6blocks": 6,
    "unet_huggan": 8,
}  # fmt: skip
"""Encoder blocks of a U-Net, residual blocks of a ResNet, where no depth is given."""


@dataclass(frozen=True)
class ModelConfig:
    """The inference contract: all that is needed to draw the same picture again (config.json)."""

    task: TaskId = "custom"
    generator: GeneratorName = "unet_256"
    width: int = 64
    """Channels of the first layer."""
    depth: int | None = None
    """Encoder blocks (U-Net) or residual blocks (ResNet); None: what the generator's name says."""
    norm: NormName = "instance"
    norm_epsilon: float = 1e-5
    """What a norm adds to the variance; Keras has 1e-3."""
    dropout: float = 0.5
    dropout_blocks: DropoutBlocks = "first_three"
    """Decoder blocks of unet_256 and unet_128 with dropout: the paper's first three, or all of the full width
    but the innermost, as in pytorch-CycleGAN-and-pix2pix."""
    upsample: UpsampleName = "transpose"
    in_channels: int = 3
    out_channels: int = 3
    input_color: ColorName = "rgb"
    output_color: ColorName = "rgb"
    resolution: int = 256
    """Side in pixels of the training crops."""
    normalization: Literal["picture", "running"] = "picture"
    """Statistics at inference: of the picture itself (paper, section 3.3), or batch norm's running ones."""
    inference_dropout: bool = False
    """Dropout stays on at inference, seeded per picture (the paper's only noise)."""
    contract_version: int = CONTRACT_VERSION
    library_version: str = __version__

    def __post_init__(self) -> None:
        check_types(self, "")
        for name in ("width", "resolution", "dropout", "norm_epsilon", "in_channels", "out_channels"):
            check_range(name, getattr(self, name), *RANGES[name])
        check_range("depth", self.resolved_depth, *RANGES["depth"])
        for side, color, channels in (
            ("input", self.input_color, self.in_channels),
            ("output", self.output_color, self.out_channels),
        ):
            if channels != CHANNELS.get(color, channels):
                raise ConfigError(f"{side}_color {color!r} has {CHANNELS[color]} channels, not {channels}.")
        if (self.output_color == "ab") != (self.input_color == "l"):
            raise ConfigError(
                f"Colour goes from {self.input_color!r} to {self.output_color!r}: hues 'ab' are drawn from "
                "lightness 'l', and from nothing else."
            )
        if self.normalization == "running" and self.norm != "batch":
            raise ConfigError(f"Only norm 'batch' has running statistics, not {self.norm!r}.")

    @property
    def resolved_depth(self) -> int:
        return DEPTHS[self.generator] if self.depth is None else self.depth

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ModelConfig:
        """Read config.json's content; unknown fields are ignored, a newer contract is refused."""
        if not isinstance(content, Mapping) or "generator" not in content:
            raise ModelError("config.json has no field 'generator': this is not a pix2pix model.")
        return _read_contract(cls, content, "config.json")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """What rebuilds D from discriminator/config.json."""

    discriminator: DiscriminatorName = "patch"
    width: int = 64
    layers: int = 3
    norm: NormName = "instance"
    in_channels: int = 6
    """Channels of the input and the output picture together."""
    contract_version: int = CONTRACT_VERSION
    library_version: str = __version__

    def __post_init__(self) -> None:
        check_types(self, "")
        check_range("width", self.width, *RANGES["width"])
        check_range("layers", self.layers, *RANGES["layers"])
        check_range("in_channels", self.in_channels, 2, 128)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DiscriminatorConfig:
        if not isinstance(content, Mapping) or "discriminator" not in content:
            raise ModelError("config.json has no field 'discriminator': this is not a pix2pix discriminator.")
        return _read_contract(cls, content, "discriminator/config.json")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        upper = "" if math.isinf(high) else f" and at most {high}"
        raise ConfigError(f"{name} is {value}; it must be at least {low}{upper}.")


def _read_contract(cls: type[T], content: Mapping[str, Any], where: str) -> T:
    """Build a configuration from JSON, of a contract version that we know."""
    version = content.get("contract_version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= CONTRACT_VERSION:
        raise ModelError(
            f"{where} has contract version {version!r}; this pix2pix {__version__} knows 1 to "
            f"{CONTRACT_VERSION}. For a later one: pip install -U pix2pix"
        )
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    try:
        return cls(**{name: value for name, value in content.items() if name in names})
    except ConfigError as error:
        raise ModelError(f"{where} cannot be used: {error}") from error


def check_types(config: Any, prefix: str) -> None:
    """Refuse a value of another type than the field's: JSON from outside can hold anything."""
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if not _fits(value, hints[field.name]):
            raise ConfigError(f"{prefix}{field.name} is {value!r}; it must be {_rule(hints[field.name])}.")


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_args(hint):  # a union such as `int | None`
        return any(_fits(value, option) for option in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _rule(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if get_args(hint):
        return " or ".join(_rule(option) for option in get_args(hint))
    names = {
        int: "a whole number",
        float: "a finite number",
        str: "text",
        bool: "true or false",
        type(None): "none",
    }
    return names[hint]
