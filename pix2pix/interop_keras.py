"""The article's generator, as its Keras notebook saves it: kernels are [height, width, inputs, outputs].

HDF5 holds numbers and text alone; what in it points to other files is refused.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pix2pix.errors import ModelError
from pix2pix.interop_files import ACCEPTED
from pix2pix.interop_weights import Place, Recognized, assemble, colours, contract

POLICY = "Keras's predict: batch norm's moving statistics, no dropout"
EPSILON = 1e-3
"""Of Keras's norms, unless the file says otherwise."""
SLOPE = 0.2
PARTS = {
    "kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias",
    "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip
UNNAMED = {4: ("kernel", "bias"), 1: ("gamma", "beta", "moving_mean", "moving_variance")}
"""What vars/0, vars/1, ... of a Keras 3 weights file are, by the dimensions of the first."""
DEEPEST = 12

Layer = dict[str, Tensor]


def recognize_keras(path: Path) -> Recognized:
    """Read a .h5 or .keras file of the article's generator. Raises ModelError saying what it is instead."""
    layers, description = _read(path)
    convolutions = [layer for layer in layers.values() if layer.get("weight", torch.empty(0)).ndim == 4]
    norms = [layer for layer in layers.values() if layer.get("weight", torch.empty(0)).ndim == 1]
    others = len(layers) - len(convolutions) - len(norms)
    transposed = [name for name in layers if "transpose" in name.lower()]
    if transposed:
        raise ModelError(
            f"{path} has transposed convolutions ({transposed[0]}), as TensorFlow's tutorial; the article's "
            f"notebook resizes and convolves. {ACCEPTED}"
        )
    depth = len(convolutions) // 2
    if depth < 2 or len(convolutions) % 2 or len(norms) not in (0, 2 * depth - 2) or others:
        raise ModelError(
            f"{path} has {len(convolutions)} convolutions, {len(norms)} norms and {others} other layers; the "
            f"article's generator has 14, 12 and 0 (depth 7), its discriminator 5, 3 and 0. {ACCEPTED}"
        )
    state: dict[str, Tensor] = {}
    for kind, group in (("conv", convolutions), ("norm", norms)):
        state |= {f"{kind}{i}.{part}": t for i, layer in enumerate(group) for part, t in layer.items()}
    epsilon, dropout = _described(path, description)
    moving = any("running_mean" in layer for layer in norms)
    config = contract(
        generator="unet_article",
        depth=None if depth == 7 else depth,
        width=convolutions[0]["weight"].shape[0],
        norm="batch" if moving else "instance" if norms else "none",
        norm_epsilon=epsilon,
        normalization="running" if moving else "picture",
        dropout=dropout,
        resolution=max(16, 2 ** (depth + 1)),
        **colours(convolutions[0]["weight"].shape[1], convolutions[-1]["weight"].shape[0]),
    )
    parameters = sum(t.numel() for name, t in state.items() if "running" not in name)
    weights = assemble(config, _places(depth, bool(norms)), state)
    return Recognized("U-Net of the article's Keras notebook", config, weights, parameters, POLICY)


def _places(depth: int, normed: bool) -> list[Place]:
    """All levels but the first and the last have a norm; the decoder's channels stand before the skip's."""
    places = [Place("encoder.0", "conv0")]
    for i in range(1, 2 * depth - 1):
        block = f"encoder.{i}" if i < depth else f"decoder.{i - depth}"
        places.append(Place(block, f"conv{i}", f"norm{i - 1}" if normed else None, swapped=i > depth))
    return [*places, Place(f"decoder.{depth - 1}", f"conv{2 * depth - 1}", swapped=True)]


def _described(path: Path, description: Any) -> tuple[float, float]:
    """The norms' epsilon and the dropout of a model saved with its description, else the defaults."""
    settings: dict[str, set[float]] = {"epsilon": set(), "slope": set(), "rate": set()}
    for kind, config in _layers_in(description):
        if "BatchNormalization" in kind or "InstanceNormalization" in kind:
            settings["epsilon"].add(config.get("epsilon", EPSILON))
        elif kind == "LeakyReLU":
            settings["slope"].add(config.get("negative_slope", config.get("alpha", 0.3)))
        elif kind == "Dropout":
            settings["rate"].add(config.get("rate", 0.0))
    if any(not isinstance(v, int | float) or abs(v - SLOPE) > 1e-6 for v in settings["slope"]):
        raise ModelError(f"{path} has LeakyReLU of slope {settings['slope']}; the article's is {SLOPE}.")
    if len(settings["epsilon"]) > 1 or len(settings["rate"]) > 1:
        raise ModelError(f"{path} has norms or dropout of several kinds, unlike the article's: {settings}.")
    return (*(settings["epsilon"] or {EPSILON}), *(settings["rate"] or {0.0}))  # type: ignore[return-value]


def _layers_in(description: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(description, dict):
        config = description.get("config")
        if isinstance(description.get("class_name"), str) and isinstance(config, dict):
            yield description["class_name"], config
        for value in description.values():
            yield from _layers_in(value)
    elif isinstance(description, list):
        for value in description:
            yield from _layers_in(value)


# ---- the file ---------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[dict[str, Layer], Any]:
    """The layers with weights in the model's order, and its description where it was saved with one."""
    try:
        import h5py
    except ImportError as error:
        raise ModelError(
            f'{path} is a Keras file, which needs h5py to be read: pip install "pix2pix[keras]"'
        ) from error
    try:
        size, description = path.stat().st_size, None
        source: Any = path
        if zipfile.is_zipfile(path):  # .keras
            with zipfile.ZipFile(path) as archive:
                source = io.BytesIO(archive.read("model.weights.h5"))
                description = json.loads(archive.read("config.json"))
        with h5py.File(source, "r") as file:
            description = description or json.loads(file.attrs.get("model_config", "null"))
            root = file.get("model_weights", file)
            arrays = dict(_arrays(root, path, size))
            order = [_text(name) for name in root.attrs.get("layer_names", ())]
        return _grouped(arrays, order), description
    except ModelError:
        raise
    except Exception as error:  # HDF5 and JSON break in any way
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ModelError(f"{path} is damaged, or no Keras model ({reason}).") from error


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _arrays(root: Any, path: Path, size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Every array below a group by its path, none larger than the file itself, none from another file."""
    import h5py

    waiting, left = [("", root, 0)], size
    while waiting:
        prefix, group, depth = waiting.pop(0)
        for name in group:
            where = f"{prefix}{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ModelError(f"{path}: {where} points elsewhere, as no Keras model does: refused.")
            item = group[name]
            if isinstance(item, h5py.Group):
                if depth < DEEPEST and not name.startswith("optimizer"):
                    waiting.append((f"{where.replace(chr(92), '/')}/", item, depth + 1))
                continue
            left -= item.nbytes
            if left < 0 or item.is_virtual or item.external:
                raise ModelError(
                    f"{path}: {where} claims {list(item.shape)} numbers that the file does not hold: refused."
                )
            if item.dtype.kind == "f":
                yield where, item[()]


def _grouped(arrays: Mapping[str, np.ndarray], order: list[str]) -> dict[str, Layer]:
    """Arrays by path -> layers, in torch's shapes. Names count up as layers are made; `order` goes before."""
    unnamed: dict[str, list[np.ndarray]] = {}
    named: dict[str, dict[str, np.ndarray]] = {}
    for where, array in sorted(arrays.items(), key=lambda item: _natural(item[0])):
        layer, _, last = where.rpartition("/")
        if layer.endswith("/vars") and last.isdigit():
            unnamed.setdefault(layer, []).append(array)
        else:
            named.setdefault(layer, {})[last.split(":")[0]] = array
    for layer, parts in unnamed.items():
        named[layer] = dict(zip(UNNAMED.get(parts[0].ndim, ()), parts, strict=False))
    places = {name: place for place, name in enumerate(order)}
    ranks = {name: (places.get(name.split("/")[0], len(places)), _natural(name)) for name in named}
    layers = {}
    for name in sorted(named, key=ranks.__getitem__):
        layer_parts = {PARTS[part]: _tensor(array) for part, array in named[name].items() if part in PARTS}
        if layer_parts:
            layers[name] = layer_parts
    return layers


def _natural(name: str) -> list[tuple[int, str]]:
    """conv2d, conv2d_1, conv2d_2, conv2d_10: numbers by their value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _tensor(array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
