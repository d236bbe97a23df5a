"""What runs G behind the translator: PyTorch, ONNX Runtime or OpenVINO; all draw the same to one 8-bit level.

A backend takes and gives arrays. Those that run an exported graph need no torch; without one, or for tiles
and dropout, which want the network itself, it is PyTorch.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pix2pix import graph_trust, graphs
from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError, ModelError
from pix2pix.patience import log

if TYPE_CHECKING:
    from pix2pix.backend_torch import TorchBackend

BACKENDS = ("auto", "torch", "onnx", "openvino", "onnx-int8", "openvino-int8")
LIBRARIES = {"openvino": "openvino", "onnx": "onnxruntime"}
"""What a backend that runs graphs needs, the fastest first."""


class Backend(Protocol):
    """Draws whole pictures, whose sides are multiples of the network's own."""

    name: str
    device: Any

    def draw(self, x: np.ndarray, seed: int = 0) -> np.ndarray:
        """float32 [B, H, W, in channels] in [-1, 1] -> [B, H, W, out channels] in [-1, 1]."""
        ...


def split_name(backend: str) -> tuple[str, str]:
    """A backend's name -> what runs, and the precision of its graph. Raises ConfigError for another name."""
    if backend not in BACKENDS:
        raise ConfigError(f"There is no backend {backend!r}; the backends are {', '.join(BACKENDS)}.")
    name, _, precision = backend.partition("-")
    return name, precision or "fp32"


def require_library(name: str) -> None:
    """Raises ConfigError, saying what to install, where a backend's library is missing."""
    if find_spec(LIBRARIES[name]) is None:
        raise ConfigError(
            f'Backend {name!r} needs {LIBRARIES[name]}: pip install "pix2pix[{name}]", or take torch.'
        )


def installed() -> list[str]:
    """The backends for graphs whose libraries are here, the fastest first."""
    return [name for name, library in LIBRARIES.items() if find_spec(library) is not None]


def first_installed() -> str:
    """The fastest of them. Raises ConfigError, saying what to install, where there is none."""
    found = installed()
    if not found:
        raise ConfigError('A graph is run by onnxruntime or openvino: pip install "pix2pix[onnx]".')
    return found[0]


def is_cpu(device: object) -> bool:
    """Whether a device named by the user is the CPU; `auto` is, where nothing looks like a GPU.

    Asked before torch is imported, which takes a second; where there may be a GPU, torch decides.
    """
    if str(device) != "auto":
        return str(device) == "cpu"
    if find_spec("torch") is None:
        return True
    drivers = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    if sys.platform.startswith("linux") and not any(Path(driver).exists() for driver in drivers):
        return True
    from pix2pix.backend_torch import choose_device

    return choose_device("auto").type == "cpu"


def require_known(backend: str) -> None:
    """Raises ConfigError for a backend that does not exist, or whose library is not installed."""
    name, _ = split_name(backend)
    if name in LIBRARIES:
        require_library(name)


def open_backend(
    backend: str,
    folder: Path,
    config: ModelConfig,
    device: Any,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Backend:
    """What draws by the model in `folder`. `auto` takes a graph that is there already, on a CPU, else torch.

    One that is named also fetches the graph of a Hub repository, unless `local_files_only`, or makes one.
    Raises ModelError where the model is damaged, and ConfigError for what this machine has not.
    """
    name, precision = split_name(backend)
    if name in LIBRARIES and str(device) not in ("auto", "cpu"):
        raise ConfigError(f"Backend {name!r} draws on the CPU, not on {device}: leave the device away.")
    if config.inference_dropout or name == "torch":  # its noise is torch's
        return open_torch(folder, config, device)
    if name == "auto":
        return _ready(folder, config, device) or open_torch(folder, config, device)
    return _named(name, precision, folder, config, None if local_files_only else (token,))


def open_torch(folder: Path, config: ModelConfig, device: Any) -> TorchBackend:
    """The network in PyTorch. Raises ModelError, saying what for, where PyTorch is not installed."""
    try:
        from pix2pix.backend_torch import TorchBackend
        from pix2pix.networks import Generator
    except ImportError as error:
        raise ModelError(
            f"This needs PyTorch, which is not here ({error}): it draws what has no exported graph, with "
            "dropout, or more than 16 megapixels. Run: pip install torch"
        ) from error
    return TorchBackend(Generator.from_folder(folder, config), config, device, owned=True)


def open_graph(name: str, path: Path, stays: bool = False) -> Backend:
    """The backend called `name` over an exported graph that has been checked.

    If the file `stays` where it is, what makes the next start faster is kept in the user's cache.
    """
    if name == "openvino":
        from pix2pix.backend_openvino import OpenVinoBackend

        return OpenVinoBackend(path, graph_trust.kept_for(path) if stays else None)
    from pix2pix.backend_onnx import OnnxBackend

    return OnnxBackend(path)


@dataclass(frozen=True)
class _Weights:
    """A model: its folder and contract, and its weights by SHA-256 and size, which graphs are told by."""

    folder: Path
    config: ModelConfig
    digest: str
    size: int

    @staticmethod
    def of(folder: Path, config: ModelConfig) -> _Weights:
        path = folder / "model.safetensors"
        return _Weights(folder, config, graph_trust.sha256(path), path.stat().st_size)


def _ready(folder: Path, config: ModelConfig, device: Any) -> Backend | None:
    """The fastest backend for a graph that is there already and is the model's; None without one."""
    shipped = folder / graphs.NAMES["fp32"]
    if not installed() or not (shipped.is_file() or any(graphs.cache_folder().glob("*.onnx"))):
        return None  # before the weights are hashed
    if not is_cpu(device):
        return None
    model = _Weights.of(folder, config)
    found = [path for path in (shipped, graphs.cached(model.digest, config)) if path.is_file()]
    for path in found:
        try:
            _require_own(path, model)
        except graphs.GraphError as error:
            log(str(error))
            continue
        for name in installed():
            try:
                return _opened(name, path, model)
            except (ModelError, ImportError) as error:
                log(f"Not with {name}: {error}")
    return None


def _named(
    name: str, precision: str, folder: Path, config: ModelConfig, hub: tuple[str | bool | None] | None
) -> Backend:
    """The model's graph: shipped, on the Hub (asked with the token in `hub`), in the cache, or made now."""
    model = _Weights.of(folder, config)
    shipped: Path | None = folder / graphs.NAMES[precision]
    assert shipped is not None
    if not shipped.is_file():
        shipped = graphs.fetched(folder, graphs.NAMES[precision], *hub) if hub else None
    problem = ""
    if shipped:
        try:
            _require_own(shipped, model, precision)
            return _opened(name, shipped, model, precision)
        except ModelError as error:
            problem = str(error)
    if precision != "fp32":
        raise graphs.GraphError(
            f"{problem.rstrip('.') or f'The model has no {graphs.NAMES[precision]}'}. "
            f"`pix2pix export --{precision}` makes one, if that is good enough."
        )
    if problem:
        log(f"{problem}\nA graph is made anew.")
    path = graphs.cached(model.digest, config)
    if not path.is_file() or graphs.fault(path, model.digest, model.size, config):
        _make(name, path, model)
    return open_graph(name, path, stays=True)


def _require_own(path: Path, model: _Weights, precision: str = "fp32") -> None:
    """Raises GraphError where a graph is another model's, or damaged, by what it says of itself."""
    problem = graphs.fault(path, model.digest, model.size, model.config, precision)
    if problem:
        raise graphs.GraphError(f"{path} is not used: {problem}.")


def _opened(name: str, path: Path, model: _Weights, precision: str = "fp32") -> Backend:
    """A graph that came from elsewhere, once it is known to draw what the model's weights draw.

    Raises GraphError where it draws something else: whoever wrote it may say anything. Without PyTorch there
    is nothing to compare it with.
    """
    graph = open_graph(name, path, stays=True)
    if graph_trust.is_trusted(path, model.digest, model.config):
        return graph
    try:
        from pix2pix.graph_making import require_same_pictures
    except ImportError:
        log(f"{path} is used as it came: without PyTorch it cannot be compared with the model's weights.")
        return graph
    require_same_pictures(model.folder, model.config, path, graph, precision)
    graph_trust.trust(path, model.digest, model.config)
    return graph


def _make(name: str, path: Path, model: _Weights) -> None:
    """Export the model to `path`, checked by the backend called `name`."""
    try:
        from pix2pix.graph_making import make_graph
    except ImportError as error:
        raise graphs.GraphError(
            f"There is no exported graph of {model.folder}, and making one needs PyTorch ({error}): run "
            "`pix2pix export` where it is installed, with --push for a model on the Hub."
        ) from error
    log(f"{model.folder} has no exported graph: it is made once, and kept as {path}.")
    make_graph(model.folder, model.config, path, partial(open_graph, name))
    graph_trust.trust(path, model.digest, model.config)
