"""A graph in 8-bit integers, calibrated on pictures; whether it is good enough is measured, never assumed."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pix2pix.errors import ConfigError

MEAN_LEVELS, PSNR_LOSS = 0.5, 0.1
"""What int8 (or half precision) may cost against fp32: levels of 255 on average, and dB."""
IN_FLOAT = ((1, 1), (1, 2), (2, 2), (2, 3))
"""How many convolutions stay in float at the beginning and at the end, tried in turn until the pictures are
good enough: the outermost ones read and draw the very pixels, and lose most by eight bits."""
CALIBRATED_ON = 32
"""Pictures that the ranges of the activations come from."""


@dataclass(frozen=True)
class Cost:
    """How a smaller graph's pictures differ from those of fp32."""

    largest: float
    """In 8-bit levels."""
    mean: float
    psnr_loss: float | None
    """dB, on pairs with a truth; None where there were none."""

    def objections(self) -> list[str]:
        """Why it is not good enough; nothing if it is."""
        found = []
        if not self.mean < MEAN_LEVELS:
            found.append(f"pictures differ by {self.mean:.3f} levels on average ({MEAN_LEVELS} is the limit)")
        if self.psnr_loss is not None and not self.psnr_loss < PSNR_LOSS:
            found.append(f"PSNR falls by {self.psnr_loss:.3f} dB ({PSNR_LOSS} is the limit)")
        return found


def quantize(
    source: Path, target: Path, arrays: Iterable[np.ndarray], in_float: tuple[int, int] = IN_FLOAT[0]
) -> None:
    """Write `source`'s graph with int8 convolutions, weights by channel, to `target`.

    `arrays` are batches [B, H, W, C] in [-1, 1] like those it will see. So many convolutions at the beginning
    and at the end stay in float (`in_float`). Raises ConfigError where onnx is missing.
    """
    quantization, onnx = _libraries()

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.inputs: Iterator[dict[str, np.ndarray]] = (
                {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)} for x in arrays
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.inputs, None)

    kinds = ("Conv", "ConvTranspose")
    nodes = [node for node in onnx.load(str(source)).graph.node if node.op_type in kinds]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger().addFilter(_no_advice)
        try:
            prepared = Path(folder) / "prepared.onnx"
            quantization.shape_inference.quant_pre_process(
                str(source), str(prepared), skip_symbolic_shape=True, skip_optimization=True
            )
            quantization.quantize_static(
                str(prepared),
                str(target),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(kinds),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=[node.name for node in (*nodes[: in_float[0]], *nodes[-in_float[1] :])],
            )
        finally:
            logging.getLogger().removeFilter(_no_advice)


def halve(source: Path, target: Path) -> None:
    """Write `source`'s graph in half precision to `target`; pictures go in and come out in float32."""
    _, onnx = _libraries()
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights too small for half precision, which become the smallest
        half = convert_float_to_float16(onnx.load(str(source)), keep_io_types=True)
    onnx.save(half, str(target))


def _libraries():  # type: ignore[no-untyped-def]
    try:
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization import shape_inference  # noqa: F401  # an attribute from here on
    except ImportError as error:
        raise ConfigError(f'A smaller graph needs {error.name}: pip install "pix2pix[onnx]".') from error
    return quantization, onnx


def _no_advice(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
