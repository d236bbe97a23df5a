"""A graph is made from a network by PyTorch, and compared with it on pictures before it may be used."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pix2pix import graphs, images, toy
from pix2pix.backend_torch import TorchBackend
from pix2pix.config import ModelConfig
from pix2pix.files import replacing
from pix2pix.graphs import Facts, GraphError
from pix2pix.networks import Generator
from pix2pix.resize_convolution import compose_resizes

LARGEST_DIFFERENCE = 1.0
"""From the PyTorch network, in 8-bit levels, of a graph in fp32."""
LARGEST_MEAN_DIFFERENCE = 4.0
"""The mean of a smaller graph on drawn pictures of the task: whether it is the model's at all. A good one
differs by less than 1, another model's by tens; how good it is its export has found out."""
_one_at_a_time = threading.Lock()  # torch's exporter keeps global state


def make_graph(folder: Path, config: ModelConfig, path: Path, load: Callable[[Path], Any]) -> Facts:
    """Export the model in `folder` to `path`, atomically, once `load` draws by it as PyTorch does.

    Height, width and batch are free. Raises GraphError where it draws something else.
    """
    network = exportable(folder, config)
    with replacing(path) as temporary:
        write_graph(network, temporary)
        difference, _ = compared(network, load(temporary), seeded_pictures(network))
        require_close(path, difference)
        facts = Facts(graphs.sha256(folder / "model.safetensors"), config.to_dict(), difference=difference)
        graphs.stamped(temporary, facts)
    return facts


def require_same_pictures(
    folder: Path, config: ModelConfig, path: Path, graph: Any, precision: str = "fp32"
) -> None:
    """Raises GraphError where the opened graph at `path` draws other pictures than the model in `folder`."""
    network = exportable(folder, config)
    if precision == "fp32":
        require_close(path, compared(network, graph, seeded_pictures(network))[0])
    else:  # only what is like its task lies within the ranges that it was calibrated for
        require_close(path, compared(network, graph, drawn_pictures(network))[1], LARGEST_MEAN_DIFFERENCE)


def exportable(folder: Path, config: ModelConfig) -> TorchBackend:
    """The network as it is exported: batch norms folded where they can be, instance norms as such."""
    folds = config.normalization == "running"
    network = TorchBackend(Generator.from_folder(folder, config), config, "cpu", owned=folds)
    compose_resizes(network.generator)
    return network


def write_graph(network: TorchBackend, path: Path) -> None:
    """Write the network as a bare ONNX file, with free height, width and batch size."""
    G = network.generator
    side = max(G.smallest, 2 * G.multiple)
    free = {0: "batch", 2: "height", 3: "width"}
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated; the newer exporter takes fifty times longer
        torch.onnx.export(
            G,
            (torch.zeros(2, G.in_channels, side, side + G.multiple),),
            str(path),
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": free, "y": free},
            opset_version=17,
            dynamo=False,
        )


def compared(network: TorchBackend, other: Any, pictures: Iterable[np.ndarray]) -> tuple[float, float]:
    """The largest and the mean difference of two backends, in 8-bit levels, on [B, H, W, C] in [-1, 1]."""
    differences = [np.abs(network.draw(x) - other.draw(x)).ravel() * 127.5 for x in pictures]
    found = np.concatenate(differences).astype(np.float64)
    return (float(found.max()), float(found.mean())) if np.isfinite(found).all() else (np.inf, np.inf)


def require_close(path: Path, difference: float, most: float = LARGEST_DIFFERENCE) -> None:
    """Raises GraphError where a difference in 8-bit levels is above what is allowed."""
    if not difference <= most:
        raise GraphError(
            f"{path} is not used: it draws other pictures than model.safetensors; they differ by "
            f"{difference:.3g} levels of 255, and {most:g} is allowed."
        )


def drawn_pictures(network: TorchBackend, count: int = 2) -> list[np.ndarray]:
    """Drawn inputs of the model's task, batches of one as [1, H, W, C] in [-1, 1]; raw channels: blotches."""
    config = network.config
    if config.input_color == "raw":
        return seeded_pictures(network)
    drawn = [toy.draw_pair(config.task, index, 256)[0] for index in range(count)]
    return [padded(picture, network)[None] for picture in drawn]


def padded(picture: Any, network: TorchBackend) -> np.ndarray:
    """[H, W, C] in [-1, 1], padded as the translator does."""
    array = images.to_array(picture, network.config.input_color, network.config.in_channels)
    G = network.generator
    return images.pad_to_multiple(array, G.multiple, G.smallest)[0]


def seeded_pictures(network: TorchBackend) -> list[np.ndarray]:
    """Two shapes, one of them a batch: soft blotches, as [B, H, W, C] in [-1, 1]."""
    random = np.random.default_rng(0)
    multiple, smallest = network.generator.multiple, network.generator.smallest
    shapes = ((1, smallest, max(smallest, 2 * multiple)), (2, smallest, smallest))
    channels = network.config.in_channels
    return [
        np.stack([_blotches(random, height, width, channels) for _ in range(batch)])
        for batch, height, width in shapes
    ]


def _blotches(random: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    coarse = random.uniform(-1, 1, (height // 8 + 2, width // 8 + 2, channels)).astype(np.float32)
    fine = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    return (0.8 * fine + 0.2 * random.uniform(-1, 1, fine.shape)).astype(np.float32)
