"""A stranger's checkpoint file becomes named tensors; nothing that it holds is ever run.

A PyTorch pickle is read by torch's own reader of weights alone, which refuses every object that is no tensor.
"""

from __future__ import annotations

import math
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pix2pix.errors import ModelError

ACCEPTED = (
    "What can be imported: generators of pytorch-CycleGAN-and-pix2pix (latest_net_G.pth), of HugGAN's "
    "script (.pth, pytorch_model.bin), and of the article's Keras notebook (.h5)."
)
NESTED = 4
"""Dictionaries inside each other, such as {"state_dict": {...}}, are followed so deep."""

Kind = Literal["torch", "safetensors", "keras"]


def kind_of(path: Path) -> Kind:
    """Tell what a file is by its first bytes, whatever its name. Raises ModelError if it is no checkpoint."""
    if path.is_dir():
        inside = sorted(file.name for file in path.iterdir() if file.suffix in (".pth", ".bin", ".h5", ".pt"))
        hint = f"Name the file: it holds {', '.join(inside[:8])}." if inside else f"Name a file. {ACCEPTED}"
        raise ModelError(f"{path} is a folder. {hint}")
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    if head.startswith(b"PK"):
        return _kind_of_zip(path)
    if head.startswith(b"\x80"):
        return "torch"  # a pickle, as PyTorch before 1.6 wrote it
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    raise ModelError(f"{path} is {_named(path, head)}. {ACCEPTED}")


def _kind_of_zip(path: Path) -> Kind:
    """A zip file, which may not unpack to more than it shows: PyTorch and Keras do not compress weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged or incomplete ({error}): copy or download it again.") from error
    if sum(entry.file_size for entry in entries) > 2 * path.stat().st_size + (1 << 20):
        raise ModelError(f"{path} would unpack to far more than its size, as no checkpoint does: refused.")
    names = {entry.filename.split("/")[-1] for entry in entries}
    if "model.weights.h5" in names:
        return "keras"
    if "constants.pkl" in names:
        raise ModelError(
            f"{path} is a TorchScript program: save the generator's state_dict() instead. {ACCEPTED}"
        )
    if "data.pkl" not in names:
        raise ModelError(f"{path} is a zip file without weights. {ACCEPTED}")
    return "torch"


def _named(path: Path, head: bytes) -> str:
    if not head:
        return "empty"
    if path.suffix == ".t7" or head[:4] == b"\x04\0\0\0" or head[:2] == b"4\n":
        return "a checkpoint of the original Lua code (Torch 7), whose format is not read here"
    if path.suffix == ".onnx":
        return "an ONNX file: a program with frozen weights, not a checkpoint"
    if path.suffix in (".pb", ".index", ".meta") or ".data-" in path.name or path.name == "checkpoint":
        return "of TensorFlow's own formats; save the generator as .h5: generator.save('generator.h5')"
    return f"no checkpoint (it begins with {head[:8]!r})"


def read_tensors(path: Path, kind: Kind) -> dict[str, Tensor]:
    """Return every tensor of a PyTorch or safetensors file by its dotted name, nested dictionaries included.

    Raises ModelError for a file that is damaged, or holds anything that would have to be run.
    """
    content = _read_safetensors(path) if kind == "safetensors" else _read_pickle(path)
    tensors = dict(_flattened(content))
    if not tensors:
        raise ModelError(f"{path} holds {type(content).__name__} and no weights by name. {ACCEPTED}")
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ModelError(f"{path}: {name} is no plain tensor ({tensor.layout}, {tensor.device}).")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ModelError(f"{path}: {name} claims the shape {list(tensor.shape)} with far fewer numbers.")
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as safetensors ({error}): copy it again.") from error


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():  # of other pickle protocols; what is wrong is said below
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(_refusal(path, str(error))) from error
    except Exception as error:  # a damaged pickle breaks its reader in any way
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ModelError(f"{path} is damaged or incomplete ({reason}): copy or download it again.") from error


def _refusal(path: Path, reason: str) -> str:
    named = re.search(r"GLOBAL ([\w.]+)", reason) or re.search(r"'([\w.]+\.[\w.]+)'", reason)
    what = f"asks for {named[1]}" if named else "is a damaged pickle, or asks for more than tensors"
    return (
        f"{path} was refused, and nothing of it was run: it {what}, where weights alone are read. A pickle "
        "can run any program. If it is your own, save the weights alone where it was made: "
        "torch.save(generator.state_dict(), 'net_G.pth')"
    )


def _flattened(content: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Mapping) and depth < NESTED:
        for name, value in content.items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            else:
                yield from _flattened(value, f"{prefix}{name}.", depth + 1)


def described(tensors: Mapping[str, Tensor], limit: int = 5) -> str:
    """The first names and shapes of a file, for a message: how many there are, and how large."""
    first = [f"{name} {list(tensor.shape)}" for name, tensor in list(tensors.items())[:limit]]
    count = sum(math.prod(tensor.shape) for tensor in tensors.values())
    more = ", ..." if len(tensors) > limit else ""
    return f"{len(tensors)} tensors of {count:,} numbers: {', '.join(first)}{more}"
