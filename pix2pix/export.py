"""A trained model becomes an ONNX file that anything can run, once it is seen to draw the same pictures.

The file carries the whole contract as metadata ("pix2pix"): what goes in and out, and of which weights.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pix2pix import backends, graph_making, graph_trust, graphs, images, metrics, quantization, toy
from pix2pix.backend_torch import TorchBackend
from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError, ModelError
from pix2pix.files import replacing
from pix2pix.inference import Translator
from pix2pix.patience import HubError, brief, limit_waiting, refusal, retry
from pix2pix.quantization import Cost

if TYPE_CHECKING:
    from pix2pix.data import PairDataset

PICTURES = 4
"""Drawn pictures to check on where none are given."""
LARGEST_SIDE = 1024
"""A given picture is reduced to it before the check."""
MOST_PAIRS = 100


class ExportError(ModelError):
    """The file was not kept: it draws other pictures than the model."""


@dataclass(frozen=True)
class Exported:
    """What was written, and what it was checked on."""

    path: Path
    precision: str
    runner: str
    """What ran the graph for the check."""
    batches: list[list[int]]
    """[B, H, W] of each."""
    cost: Cost
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"path": str(self.path)}


def export(
    folder: Path,
    config: ModelConfig,
    output: Path,
    *,
    precision: str = "fp32",
    pictures: Sequence[Path] = (),
    calibration: PairDataset | None = None,
) -> Exported:
    """Write the model in `folder` to `output`, in fp32, fp16 or int8, once it passes the check.

    fp32 must draw what PyTorch draws to one 8-bit level, on `pictures` or drawn ones, alone and in batches.
    fp16 and int8 are compared by their mean difference, and with `calibration` (int8 needs it) by the PSNR on
    its pairs. Raises ExportError with the figures, and keeps no file, where that is not so.
    """
    if config.inference_dropout:
        raise ConfigError("This model leaves dropout on, and a graph draws no noise: it cannot be exported.")
    if precision == "int8" and calibration is None:
        raise ConfigError("int8 is calibrated on pairs: name them with --calibration DATA.")
    runner = require_runner()
    network = graph_making.exportable(folder, config)
    batches = _batches(network, pictures)
    with replacing(output) as temporary:
        with tempfile.TemporaryDirectory() as beside:
            plain = Path(beside) / "model.onnx"
            graph_making.write_graph(network, plain)
            if precision == "int8":
                assert calibration is not None
                _quantize(plain, temporary, network, runner, batches, calibration)
            elif precision == "fp16":
                quantization.halve(plain, temporary)
            else:
                temporary.write_bytes(plain.read_bytes())
        graph = backends.open_graph(runner, temporary)
        cost = _cost(network, graph, batches, calibration)
        _require_good(output, precision, cost)
        facts = graphs.Facts(
            graphs.sha256(folder / "model.safetensors"), config.to_dict(), precision, cost.largest
        )
        graphs.stamped(temporary, facts)
        del graph
    graph_trust.trust(output, facts.weights, config)
    return Exported(
        output, precision, runner, [list(x.shape[:3]) for x in batches], cost, output.stat().st_size
    )


def _quantize(
    plain: Path,
    target: Path,
    network: TorchBackend,
    runner: str,
    batches: list[np.ndarray],
    calibration: PairDataset,
) -> None:
    """Leave `target` with as many int8 convolutions as are good enough, or with the fewest tried."""
    arrays = _read(calibration, network)
    for in_float in quantization.IN_FLOAT:
        quantization.quantize(plain, target, arrays, in_float)
        if not _cost(network, backends.open_graph(runner, target), batches, calibration).objections():
            return


def require_runner() -> str:
    """The fastest library here that runs a graph. Raises ConfigError if there is none."""
    found = list(backends.installed())
    if not found:
        raise ConfigError('Nothing here can run a graph to check it: pip install "pix2pix[onnx]".')
    return found[0]


def push(path: Path, repo_id: str, commit: str, precision: str, revision: str = "main") -> str:
    """Upload an exported file into the repository whose weights it was made from; return its address.

    `commit` is the one that the model was read at: if the repository has moved on, nothing is uploaded.
    Raises HubError with what to do.
    """
    from huggingface_hub import HfApi, get_token

    api, name = HfApi(token=get_token(), library_name="pix2pix"), graphs.NAMES[precision]
    if not api.token:
        raise HubError(
            f"There is no token to write to {repo_id} with. Run: hf auth login   (or set HF_TOKEN)"
        )
    limit_waiting()
    try:
        retry(
            lambda: api.upload_file(
                path_or_fileobj=path,
                path_in_repo=name,
                repo_id=repo_id,
                revision=revision,
                parent_commit=commit,
                commit_message=f"Exported graph, {precision}",
            ),
            say=lambda _: None,
        )
    except Exception as error:  # the upload has many layers
        reason = refusal(error, repo_id) or f"{path} could not be uploaded to {repo_id}: {brief(error)}."
        raise HubError(f"{reason} The file is kept.") from error
    return f"{api.endpoint}/{repo_id}/blob/{revision}/{name}"


def _require_good(output: Path, precision: str, cost: Cost) -> None:
    objections = cost.objections()
    if precision == "fp32" and not cost.largest <= graph_making.LARGEST_DIFFERENCE:
        objections = [f"a pixel differs by {cost.largest:.3g} levels of 255 from PyTorch (1 is the limit)"]
    if objections:
        raise ExportError(f"{output} was not kept: in {precision}, {' and '.join(objections)}.")


def _cost(network: TorchBackend, graph: Any, batches: list[np.ndarray], pairs: PairDataset | None) -> Cost:
    """Compare on the batches, or, where there are pairs, on those, which count in full."""
    largest, means = 0.0, []
    for x in batches:
        difference = np.abs(network.draw(x) - graph.draw(x)) * 127.5
        difference = np.nan_to_num(difference, nan=np.inf)
        largest = max(largest, float(difference.max()))
        means.append(float(difference.mean()))
    if pairs is None:
        return Cost(largest, float(np.mean(means)), None)
    from pix2pix.evaluation import as_read, levels, spread

    config = network.config
    both = [Translator.with_backend(config, network), Translator.with_backend(config, graph)]
    means, lost = [], []
    for index in spread(len(pairs), min(MOST_PAIRS, len(pairs))):
        given, truth = pairs.picture_pair(index)
        full, small = (levels(translate(as_read(given, config)), config) for translate in both)
        for a, b, target in zip(full, small, levels(truth, config), strict=True):
            difference = np.abs(a.astype(int) - b)
            largest = max(largest, float(difference.max()))
            means.append(float(difference.mean()))
            lost.append(metrics.psnr(a, target) - metrics.psnr(b, target))
    return Cost(largest, float(np.mean(means)), float(np.mean(lost)))


def _read(pairs: PairDataset, network: TorchBackend) -> list[np.ndarray]:
    """The inputs of some pairs, each a batch of one as the network reads it."""
    from pix2pix.evaluation import spread

    chosen = spread(len(pairs), min(quantization.CALIBRATED_ON, len(pairs)))
    return [graph_making.padded(pairs.picture_pair(index)[0], network)[None] for index in chosen]


def _batches(network: TorchBackend, files: Sequence[Path]) -> list[np.ndarray]:
    """Batches [B, H, W, C] to check on: every picture alone, and two batches of them in other sizes."""
    config = network.config
    if config.input_color == "raw":
        return graph_making.seeded_pictures(network)
    if files:
        pictures = [images.open_picture(path) for path in files]
        for picture in pictures:
            picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    else:
        pictures = [toy.draw_pair(config.task, index, 256)[0] for index in range(PICTURES)]
    side = max(network.generator.smallest, network.generator.multiple)
    together = []
    for size in ((side, side), (2 * side, side)):
        chosen = (pictures * 2)[:3]
        resized = [picture.resize(size, Image.Resampling.BICUBIC) for picture in chosen]
        together.append(np.stack([graph_making.padded(picture, network) for picture in resized]))
    return [graph_making.padded(picture, network)[None] for picture in pictures] + together
