"""G as an exported graph in ONNX Runtime, without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pix2pix import graphs
from pix2pix.errors import ModelError


class OnnxBackend:
    """An ONNX graph on the CPU; several threads may call."""

    name = "onnx"
    device = "cpu"

    def __init__(self, path: Path):
        """Raises ModelError if ONNX Runtime cannot run it."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = graphs.thread_count()
        options.enable_mem_pattern = False  # plans memory for one size, and ours vary
        options.log_severity_level = 3  # errors; they are raised, too
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # pybind's exceptions share no other base
            raise ModelError(f"{path} cannot be run by ONNX Runtime: {_first_line(error)}") from error
        self._input = self._session.get_inputs()[0].name

    def draw(self, x: np.ndarray, seed: int = 0) -> np.ndarray:
        """float32 [B, H, W, in channels] in [-1, 1] -> [B, H, W, out channels]; no seed matters."""
        given = np.ascontiguousarray(x.transpose(0, 3, 1, 2))  # [B, C, H, W]
        try:
            y = self._session.run(None, {self._input: given})[0]
        except Exception as error:
            raise ModelError(f"ONNX Runtime could not run the model: {_first_line(error)}") from error
        return y.transpose(0, 2, 3, 1)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
