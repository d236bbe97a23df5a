"""Another project's weights, put where our networks have theirs.

A layout says where the other project keeps each block's convolution and norm; here they are fitted together,
so that both networks compute the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError, ModelError, listed
from pix2pix.networks import Generator

OF_A_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Place:
    """A block of ours, and the names of the same convolution and norm in the other project."""

    block: str
    conv: str
    norm: str | None = None
    swapped: bool = False
    """The convolution reads the decoder's channels first and then the skip's; ours the skip's first."""
    transposed: bool = False


@dataclass(frozen=True)
class Recognized:
    """What a checkpoint turned out to be: a contract with its project's own policies, and our weights."""

    origin: str
    """The network, such as `U-Net of pytorch-CycleGAN-and-pix2pix`."""
    config: ModelConfig
    weights: dict[str, Tensor]
    parameters: int
    """Trained numbers in the file, running statistics not counted."""
    policy: str
    """How that implementation itself draws its results."""


def norm_of(state: Mapping[str, Tensor], place: Place) -> str:
    """Return the norm that a layout's names show: batch, instance (trained or not) or none.

    Running statistics without a trained scale, behind a convolution with a bias, are what old versions of
    PyTorch saved with an instance norm that never used them.
    """
    trained, running = (f"{place.norm}.{part}" in state for part in ("weight", "running_mean"))
    bias = f"{place.conv}.bias" in state
    if running and (trained or not bias):
        return "batch"
    return "instance" if trained or running or bias else "none"


def colours(in_channels: int, out_channels: int) -> dict[str, Any]:
    """The contract's fields for the channels: 1 to 2 is lightness to hues, as both projects scale them."""
    names = {1: "grey", 3: "rgb"}
    sides = ("l", "ab") if (in_channels, out_channels) == (1, 2) else None
    into, out = sides or (names.get(in_channels, "raw"), names.get(out_channels, "raw"))
    return {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "input_color": into,
        "output_color": out,
    }


def contract(**fields: Any) -> ModelConfig:
    try:
        return ModelConfig(**fields)
    except ConfigError as error:
        raise ModelError(f"The network in the checkpoint cannot be one of ours: {error}") from error


def assemble(config: ModelConfig, places: Sequence[Place], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of `config`'s network, float32, made of another project's `state`.

    Raises ModelError naming what is missing, left over, or of another shape or type.
    """
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in Generator.from_config(config).state_dict().items()}
    builder = _Builder(expected, dict(state))
    for place in places:
        builder.convolution(place)
        builder.normalization(place)
    builder.require_complete()
    return builder.weights


class _Builder:
    """Takes tensors out of `state` until none is left, and notes what does not fit."""

    def __init__(self, expected: Mapping[str, torch.Size], state: dict[str, Tensor]):
        self.expected, self.state = expected, state
        self.weights: dict[str, Tensor] = {}
        self.problems: list[str] = []

    def convolution(self, place: Place) -> None:
        weight = self._take(f"{place.conv}.weight", f"{place.block}.conv.weight", None)
        if place.swapped and weight.ndim == 4:
            channels = 0 if place.transposed else 1
            weight = weight.roll(weight.shape[channels] // 2, channels)
        self.weights[f"{place.block}.conv.weight"] = weight.contiguous()
        ours = f"{place.block}.conv.bias"
        if ours in self.expected:
            self.weights[ours] = self._take(f"{place.conv}.bias", ours, 0.0)

    def normalization(self, place: Place) -> None:
        theirs, ours = place.norm, f"{place.block}.norm"
        bias = self.state.pop(f"{place.conv}.bias", None)  # left where our norm is right behind it
        if f"{ours}.weight" in self.expected:
            self.weights[f"{ours}.weight"] = self._take(f"{theirs}.weight", f"{ours}.weight", 1.0)
            self.weights[f"{ours}.bias"] = self._take(f"{theirs}.bias", f"{ours}.bias", 0.0)
        if f"{ours}.running_mean" in self.expected:
            mean = self._take(f"{theirs}.running_mean", f"{ours}.running_mean", None)
            if bias is not None and bias.shape == mean.shape:
                mean = mean - bias.float()  # a norm takes off its mean, and with it every bias before it
            self.weights[f"{ours}.running_mean"] = mean
            self.weights[f"{ours}.running_var"] = self._take(
                f"{theirs}.running_var", f"{ours}.running_var", None
            )
            self.weights[f"{ours}.num_batches_tracked"] = torch.tensor(0)
        if place.norm is not None:
            for part in OF_A_NORM[2:]:
                self.state.pop(f"{theirs}.{part}", None)

    def _take(self, theirs: str, ours: str, default: float | None) -> Tensor:
        """The tensor `theirs` in the shape of `ours`; where there is none, a constant if one is given."""
        shape = self.expected[ours]
        tensor = self.state.pop(theirs, None)
        if tensor is None:
            if default is None:
                self.problems.append(f"missing: {theirs} {list(shape)}")
            return torch.full(shape if default is not None else (1, 1), default or 0.0)
        if tensor.shape != shape:
            self.problems.append(f"shape of {theirs}: {list(tensor.shape)}, expected {list(shape)}")
        elif not tensor.is_floating_point():
            self.problems.append(f"type of {theirs}: {tensor.dtype}, no weight")
        elif not torch.isfinite(tensor).all():
            self.problems.append(f"{theirs} is not finite: that training has diverged")
        return tensor.detach().float()

    def require_complete(self) -> None:
        self.problems += [f"unknown: {name} {list(tensor.shape)}" for name, tensor in self.state.items()]
        if self.problems:
            raise ModelError(
                f"The checkpoint looks like a known network and is not quite one, in {len(self.problems)} "
                f"places:\n{listed(self.problems)}\nNothing was imported: it would draw other pictures."
            )
