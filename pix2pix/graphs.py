"""A model's exported graph: where it lies, and whether it is this model's.

It is shipped beside the weights, as onnx/model.onnx, or kept in the user's cache. Its metadata hold the hash
of the weights that it was made from and their contract: a graph that does not fit both is never run. They are
read here without a library, for ONNX's own reads all of the weights first.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pix2pix import __version__, repository
from pix2pix.config import ModelConfig
from pix2pix.errors import ModelError, UserError
from pix2pix.patience import limit_waiting

NAME = "onnx/model.onnx"
NAMES = {"fp32": NAME, "fp16": "onnx/model_fp16.onnx", "int8": "onnx/model_int8.onnx"}
"""Where a graph of each precision lies in a model's folder and repository."""
CONTRACT, WEIGHTS, VERSION, PRECISION = (
    f"pix2pix.{name}" for name in ("contract", "weights_sha256", "library_version", "precision")
)
LARGEST = 2 << 30  # a protobuf has no more
_MARGIN = 16 << 20


class GraphError(ModelError):
    """A graph that is missing, damaged, foreign, or draws other pictures than its model."""


@dataclass(frozen=True)
class Facts:
    """What stands in a graph about itself."""

    weights: str
    """SHA-256 of the model.safetensors that it was made from."""
    contract: Mapping[str, Any]
    """Their config.json."""
    precision: str = "fp32"
    difference: float | None = None
    """The largest from PyTorch's pictures when it was made, in 8-bit levels."""
    mean_difference: float | None = None
    psnr_loss: float | None = None
    """dB, where it was measured."""

    def as_metadata(self) -> dict[str, str]:
        contract = json.dumps(dict(self.contract), sort_keys=True)
        found = {CONTRACT: contract, WEIGHTS: self.weights, VERSION: __version__, PRECISION: self.precision}
        for name in ("difference", "mean_difference", "psnr_loss"):
            value = getattr(self, name)
            found |= {} if value is None else {f"pix2pix.{name}": f"{value:.6g}"}
        return found


def sha256(path: Path) -> str:
    return repository.file_hash(path, 64)


def stamped(path: Path, facts: Facts) -> None:
    """Write facts into an ONNX file that has none: a protobuf's fields may simply be added at its end."""
    with open(path, "ab") as file:
        for key, value in facts.as_metadata().items():
            entry = _field(1, key.encode()) + _field(2, value.encode())
            file.write(_field(14, entry))


def thread_count() -> int:
    """Threads for a graph: what OMP_NUM_THREADS allows, as torch heeds it; 0: the library's own choice."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdigit() else 0


def cache_folder() -> Path:
    """Where graphs are kept that were made on first use."""
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "pix2pix" / "onnx"


def cached(weights: str, config: ModelConfig) -> Path:
    """The place in the cache of the graph of a model."""
    of = json.dumps([weights, config.to_dict(), __version__], sort_keys=True)
    return cache_folder() / f"{hashlib.sha256(of.encode()).hexdigest()}.onnx"


def fault(path: Path, weights: str, size: int, config: ModelConfig, precision: str = "fp32") -> str:
    """Why a file is not the graph of the model with these weights (SHA-256, bytes); empty if it is."""
    most = min(LARGEST, 4 * size + _MARGIN)  # weights may be in half precision, with room for the graph
    if path.stat().st_size > most:
        return f"it has {path.stat().st_size:,} bytes, and a graph of these weights at most {most:,}"
    try:
        found = read_metadata(path)
        contract = ModelConfig.from_dict(json.loads(found[CONTRACT]))
    except KeyError:
        return "it was not written by `pix2pix export`"
    except (ValueError, RecursionError) as error:  # a UserError is one
        return f"it is damaged or no graph of ours ({error})"
    if found.get(WEIGHTS) != weights:
        return "it was made from other weights"
    if contract != config:
        return "it was made for another config.json"
    if found.get(PRECISION) != precision:
        return f"its precision is {found.get(PRECISION)}, not {precision}"
    return ""


def fetched(folder: Path, name: str, token: str | bool | None = None) -> Path | None:
    """A file of the Hub repository whose snapshot `folder` is, whole and as the Hub states it; or None."""
    if folder.parent.name != "snapshots" or not folder.parents[1].name.startswith("models--"):
        return None
    import httpx2
    from huggingface_hub import HfApi, RepoFile, errors
    from huggingface_hub.constants import is_offline_mode

    if is_offline_mode():
        return None
    source, commit, cache = folder.parents[1].name[8:].replace("--", "/"), folder.name, folder.parents[2]
    limit_waiting()
    api = HfApi(token=token, library_name="pix2pix", library_version=__version__)
    try:
        entries = api.get_paths_info(source, [name], revision=commit)
        stated = [entry for entry in entries if isinstance(entry, RepoFile)]
        if not stated or stated[0].size > LARGEST:
            return None
        path = Path(api.hf_hub_download(source, name, revision=commit, cache_dir=cache))
    except (errors.HfHubHTTPError, httpx2.HTTPError, OSError):
        return None
    expected = repository.stated_hash(stated[0])
    if repository.file_hash(path, len(expected)) != expected:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        return None
    return path


# ------------------------------------------------------------------------------------------- inside the file


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file. Raises GraphError for another file, and for one that names others."""
    found: dict[str, str] = {}
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            try:
                for number, value in _fields(view, 0, len(view)):
                    if number == 14:  # ModelProto.metadata_props, of StringStringEntryProto
                        entry = dict(_fields(view, *_span(value)))
                        key, text = (_text(view, _span(entry[part])) for part in (1, 2))
                        found[key] = text
                    elif number == 7:  # ModelProto.graph
                        _require_whole(view, *_span(value), depth=0)
                    elif number == 25:  # ModelProto.functions
                        raise GraphError("it has functions of its own")
            finally:
                view.release()
    except (KeyError, IndexError, TypeError, OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise GraphError(f"{path.name} is no ONNX file, or damaged") from error
    return found


Span = tuple[int, int]


def _fields(view: memoryview, start: int, end: int) -> Iterator[tuple[int, int | Span]]:
    """The fields of a protobuf message: number, and value or the span of its bytes."""
    while start < end:
        key, start = _varint(view, start)
        kind = key & 7
        if kind == 0:
            value, start = _varint(view, start)
            yield key >> 3, value
            continue
        if kind == 2:
            length, start = _varint(view, start)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("no protobuf")
        if start + length > end:
            raise ValueError("cut off")
        yield key >> 3, (start, start + length)
        start += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        byte = view[at + place]
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at + place + 1
    raise ValueError("no protobuf")


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes as a protobuf has it."""
    head = bytearray([number << 3 | 2])
    length = len(content)
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    return bytes(head) + bytes([length]) + content


def _span(value: int | Span) -> Span:
    if isinstance(value, int):
        raise TypeError("a number in place of a message")
    return value


def _text(view: memoryview, span: Span) -> str:
    return bytes(view[slice(*span)]).decode("utf-8")


def _require_whole(view: memoryview, start: int, end: int, depth: int) -> None:
    """Raises ModelError where a tensor of a GraphProto lies in another file."""
    if depth > 4:
        raise GraphError("its graphs lie too deep inside each other")
    for number, value in _fields(view, start, end):
        if number == 5:  # initializer, a TensorProto
            _require_inside(view, _span(value))
        elif number == 15:  # sparse_initializer
            raise GraphError("it has sparse weights")
        elif number == 1:  # node
            for part, attribute in _fields(view, *_span(value)):
                for kind, inner in _fields(view, *_span(attribute)) if part == 5 else ():
                    if kind in (5, 10):  # a tensor, tensors
                        _require_inside(view, _span(inner))
                    elif kind in (6, 11):  # a graph, graphs
                        _require_whole(view, *_span(inner), depth=depth + 1)


def _require_inside(view: memoryview, span: Span) -> None:
    fields = _fields(view, *span)
    if any(number == 13 or (number == 14 and value == 1) for number, value in fields):
        raise GraphError("its weights lie in another file")
