"""A network and its folder: config.json and model.safetensors, read strictly, written atomically.

Only safetensors are read, and their header is compared with the network before a byte is allocated.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import safetensors
import safetensors.torch
import torch
from torch import nn
from typing_extensions import Self

from pix2pix import repository
from pix2pix.config import DiscriminatorConfig, ModelConfig
from pix2pix.errors import ModelError, listed
from pix2pix.files import replacing, write_json


class Pretrained(nn.Module):
    """Mixin: `from_config`, `from_pretrained` and `save_pretrained` for a network with a configuration."""

    config: ModelConfig | DiscriminatorConfig | None = None
    config_class: ClassVar[type[ModelConfig] | type[DiscriminatorConfig]]

    @staticmethod
    def build(config: Any) -> Pretrained:
        """Return the network of a configuration, of the class that it names, whichever class is asked."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: ModelConfig | DiscriminatorConfig) -> Self:
        """Build the network that a configuration describes, with torch's own initial weights."""
        network = cls.build(config)
        if not isinstance(network, cls):
            raise ModelError(
                f"This is a {type(network).__name__}, not a {cls.__name__}: "
                f"use pix2pix.networks.{type(network).__name__} in its place."
            )
        network.config = config
        return network

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        subfolder: str = "",
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load from a Hub id or a folder, strictly, on the CPU, in eval mode; half precision becomes float32.

        Raises ModelError when the repository or a file is missing, damaged, or belongs to another network.
        """
        folder = repository.resolve(
            source,
            subfolder=subfolder,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        return cls.from_folder(folder, cls.config_class.from_dict(repository.read_config(folder)))

    @classmethod
    def from_folder(cls, folder: Path, config: ModelConfig | DiscriminatorConfig) -> Self:
        """Load model.safetensors of a folder into the network of a configuration that is already read."""
        with torch.device("meta"):  # shapes without memory: absurd numbers must cost nothing
            network = cls.from_config(config)
        load_weights(network, folder / "model.safetensors")
        return network.eval()

    def save_pretrained(self, folder: str | os.PathLike[str], half: bool = False) -> None:
        """Write config.json and model.safetensors into a folder; `half` stores the weights as float16."""
        if self.config is None:
            raise ValueError(
                f"This {type(self).__name__} was built from bare numbers; build it by from_config."
            )
        folder = Path(folder)
        save_weights(self, folder / "model.safetensors", half)
        write_json(folder / "config.json", self.config.to_dict())


def save_weights(module: nn.Module, path: Path, half: bool = False) -> None:
    """Write the module's parameters and buffers, atomically; `half` stores floats as float16.

    Raises ModelError where a weight is not finite, or too large for half precision: nobody could load it.
    Raises OSError where the disk refuses it, as any other write does: callers wait for room.
    """
    state = {}
    for name, tensor in module.state_dict().items():
        kept = tensor.detach().cpu()
        kept = kept.half() if half and kept.is_floating_point() else kept
        if not torch.isfinite(kept).all():
            reason = (
                "is too large for half precision: save it without"
                if torch.isfinite(tensor).all()
                else "is not finite: training has diverged"
            )
            raise ModelError(f"{path} was not written: weight {name} {reason}.")
        state[name] = kept.clone(memory_format=torch.contiguous_format)
    with replacing(path) as temporary:
        try:
            safetensors.torch.save_file(state, temporary, metadata={"format": "pt"})
        except safetensors.SafetensorError as error:
            raise OSError(f"{path} was not written: {error}") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a module, which may lie on the meta device, strictly from a file; floats become float32.

    Raises ModelError naming what is missing, unknown, of another shape or type, or not finite.
    """
    expected = module.state_dict()
    shapes = {name: list(tensor.shape) for name, tensor in expected.items()}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            found = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _require_same(shapes, found, path)
            state = {name: file.get_tensor(name) for name in found}
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} cannot be read as safetensors ({error}). It is damaged or incomplete: "
            "download or copy it again."
        ) from error
    for name, tensor in state.items():
        if tensor.is_floating_point() != expected[name].is_floating_point():
            raise ModelError(f"{path}: weight {name} holds {tensor.dtype}, which is no type for it.")
        if tensor.is_floating_point():
            state[name] = tensor.float()
        if not _is_finite(state[name]):
            raise ModelError(f"{path}: weight {name} is not finite; the model is broken, load another.")
    module.load_state_dict(state, strict=True, assign=True)
    module.requires_grad_(True)


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether every value is: a finite sum says so in one reading, and only an overflow asks for more."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _require_same(expected: dict[str, list[int]], found: dict[str, list[int]], path: Path) -> None:
    problems = [f"missing: {name} {expected[name]}" for name in expected if name not in found]
    problems += [f"unknown: {name} {found[name]}" for name in found if name not in expected]
    problems += [
        f"shape of {name}: {found[name]}, the configuration says {expected[name]}"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    if problems:
        raise ModelError(
            f"{path} does not fit its config.json in {len(problems)} weights:\n{listed(problems)}\n"
            "The two files belong to different models; nothing was loaded."
        )
