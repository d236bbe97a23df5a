"""A graph's file: what is read of it before anything runs it, and how it comes from the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_inference import contract, network

from pix2pix import Translator, backends, graphs
from pix2pix.errors import ModelError

TOWN = "ann/town"
FACTS = graphs.Facts("ab" * 32, contract().to_dict(), difference=0.25)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "cache_folder", lambda: tmp_path / "graphs")


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def stamped(path: Path, content: bytes = b"") -> Path:
    path.write_bytes(content)
    graphs.stamped(path, FACTS)
    return path


def test_what_is_written_into_a_graph_is_read_back_and_onnx_reads_it_too(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "a.onnx"
    node = onnx.helper.make_node("Tanh", ["x"], ["y"])
    kind = onnx.helper.make_tensor_value_info
    ends = [[kind(name, onnx.TensorProto.FLOAT, ["n"])] for name in "xy"]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", *ends)), path)
    stamped(path, path.read_bytes())
    found = graphs.read_metadata(path)
    assert found[graphs.WEIGHTS] == FACTS.weights
    assert found[graphs.PRECISION] == "fp32"
    assert float(found["pix2pix.difference"]) == 0.25
    onnx.checker.check_model(onnx.load(path))
    assert found == {entry.key: entry.value for entry in onnx.load(path).metadata_props}


TENSOR_ELSEWHERE = field(13, field(1, b"location"))
HOSTILE = {
    "empty": b"",
    "a page": b"<!DOCTYPE html>",
    "cut off": field(7, b"12345678")[:-3],
    "a length without end": b"\x3a" + b"\xff" * 12,
    "weights elsewhere": field(7, field(5, TENSOR_ELSEWHERE)),
    "weights elsewhere, by their location alone": field(7, field(5, bytes([14 << 3, 1]))),
    "a constant elsewhere": field(7, field(1, field(5, field(5, TENSOR_ELSEWHERE)))),
    "a constant elsewhere in a branch": field(7, field(1, field(5, field(6, field(5, TENSOR_ELSEWHERE))))),
    "functions": field(25, b""),
    "sparse weights": field(7, field(15, b"")),
    "text that is none": field(14, field(1, b"\xff") + field(2, b"\xff")),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_before_a_library_sees_it(tmp_path, content):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    if content:
        with pytest.raises(graphs.GraphError):
            graphs.read_metadata(path)
    assert graphs.fault(path, FACTS.weights, 1, contract())


def test_graphs_inside_graphs_end_somewhere(tmp_path):
    content = b""
    for _ in range(9):
        content = field(1, field(5, field(6, content)))
    path = stamped(tmp_path / "a.onnx", field(7, content))
    with pytest.raises(graphs.GraphError, match="too deep"):
        graphs.read_metadata(path)


@pytest.mark.parametrize(
    ("weights", "config", "precision", "reason"),
    [
        (FACTS.weights, contract(), "fp32", ""),
        ("cd" * 32, contract(), "fp32", "other weights"),
        (FACTS.weights, contract(norm="batch"), "fp32", "another config.json"),
        (FACTS.weights, contract(), "int8", "precision is fp32, not int8"),
    ],
)
def test_a_graph_fits_its_weights_contract_and_precision_or_is_at_fault(
    tmp_path, weights, config, precision, reason
):
    found = graphs.fault(stamped(tmp_path / "a.onnx"), weights, 1, config, precision)
    assert reason in found
    assert bool(found) == bool(reason)


# ---- from the Hub -----------------------------------------------------------------------------------------


@pytest.fixture
def published(loopback, tmp_path):
    """A repository with a model and its graph; the names and bytes of its files."""
    folder = tmp_path / "model"
    network(contract()).save_pretrained(folder)
    backends.open_backend("onnx", folder, contract(), "cpu", local_files_only=True)
    (made,) = graphs.cache_folder().glob("*.onnx")
    files = {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")}
    files[graphs.NAME] = made.read_bytes()
    made.unlink()
    loopback.add_repo(TOWN, files)
    return files


def load(tmp_path: Path, **options) -> Translator:
    return Translator.from_pretrained(TOWN, cache_dir=tmp_path / "hub", device="cpu", **options)


def test_a_graph_comes_with_the_model_from_the_hub_when_it_is_asked_for(loopback, published, tmp_path):
    assert load(tmp_path).backend == "torch"
    assert not loopback.count(f"GET /{TOWN}/resolve/.*onnx")
    assert load(tmp_path, backend="onnx").backend == "onnx"
    assert not list((tmp_path / "graphs").glob("*")), "nothing had to be exported"
    assert load(tmp_path).backend in ("onnx", "openvino"), "now it is here"


def test_nothing_is_fetched_where_only_local_files_are_to_be_read(loopback, published, tmp_path):
    load(tmp_path)
    before = len(loopback.requests)
    assert load(tmp_path, backend="onnx", local_files_only=True).backend == "onnx"
    assert len(loopback.requests) == before
    assert list((tmp_path / "graphs").glob("*.onnx")), "it was made"


def test_a_repository_without_a_graph_gets_one_made_here(loopback, published, tmp_path):
    del published[graphs.NAME]
    loopback.add_repo("ann/village", published)
    translate = Translator.from_pretrained("ann/village", cache_dir=tmp_path / "hub", backend="onnx")
    assert translate.backend == "onnx"
    with pytest.raises(ModelError, match=r"no onnx/model_int8\.onnx.*pix2pix export --int8"):
        Translator.from_pretrained("ann/village", cache_dir=tmp_path / "hub", backend="onnx-int8")


def test_a_graph_that_arrived_damaged_is_thrown_away(loopback, published, tmp_path):
    load(tmp_path)
    loopback.fail("GET .*onnx", "corrupt")
    assert load(tmp_path, backend="onnx").backend == "onnx"
    assert not list((tmp_path / "hub").rglob("*.onnx"))
    assert list((tmp_path / "graphs").glob("*.onnx")), "it was made here"
