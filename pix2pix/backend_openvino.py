"""G as an exported graph in OpenVINO, without torch: the fastest on a CPU of Intel's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from pix2pix import graphs
from pix2pix.errors import ModelError


class OpenVinoBackend:
    """An ONNX graph on the CPU, in float32 whatever faster the processor offers; one call at a time."""

    name = "openvino"
    device = "cpu"

    def __init__(self, path: Path, cache: Path | None = None):
        """Raises ModelError if OpenVINO cannot run it.

        `cache` is a folder for what OpenVINO makes of this file and no other: the next start then need not
        read the graph, which is most of one.
        """
        import openvino

        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if graphs.thread_count():
            settings["INFERENCE_NUM_THREADS"] = graphs.thread_count()
        try:
            core = openvino.Core()
            if cache is not None and _is_writable(cache):
                core.set_property({"CACHE_DIR": str(cache)})
            self._model = core.compile_model(str(path), "CPU", settings)
        except Exception as error:  # pybind's exceptions share no other base
            raise ModelError(f"{path} cannot be run by OpenVINO: {_last_line(error)}") from error

    def draw(self, x: np.ndarray, seed: int = 0) -> np.ndarray:
        """float32 [B, H, W, in channels] in [-1, 1] -> [B, H, W, out channels]; no seed matters."""
        given = np.ascontiguousarray(x.transpose(0, 3, 1, 2))  # [B, C, H, W]
        try:
            y = self._model([given])[0]
        except Exception as error:
            raise ModelError(f"OpenVINO could not run the model: {_last_line(error)}") from error
        return y.transpose(0, 2, 3, 1)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
