"""Backends: whatever runs a model draws the same picture to one 8-bit level; a foreign graph is never run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from test_inference import KINDS, NORMS, contract, levels, network, photo

from pix2pix import Translator, backends, cli, graph_making, graph_trust, graphs, inference
from pix2pix.backend_openvino import OpenVinoBackend
from pix2pix.errors import ConfigError, ModelError
from pix2pix.networks import Generator

ROOT = Path(__file__).parent.parent
SIZES = ((33, 20), (97, 40), (5, 3))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Graphs of one test are not another's."""
    monkeypatch.setattr(graphs, "cache_folder", lambda: tmp_path / "graphs")


@pytest.fixture
def model(tmp_path) -> Path:
    network(contract()).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def shipped(model: Path) -> Path:
    """The model with its graph, as `export` leaves it."""
    path = model / graphs.NAMES["fp32"]
    assert cli.main(["export", "--model", str(model), "--output", str(path)]) == 0
    return path


def load(model: Path, backend: str = "auto") -> Translator:
    return Translator.from_pretrained(model, device="cpu", backend=backend)


def farthest(one: Translator, other: Translator) -> int:
    given = [photo(*size) for size in SIZES]
    return max(
        int(np.abs(levels(a) - levels(b)).max()) for a, b in zip(one(given), other(given), strict=True)
    )


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_every_backend_draws_the_same(tmp_path, kind, norm):
    config = contract(**kind | norm)
    G = network(config)
    G.save_pretrained(tmp_path)
    reference = Translator(G, config, "cpu")
    for name in ("torch", "onnx", "openvino"):
        translate = load(tmp_path, name)
        assert translate.backend == name
        assert farthest(translate, reference) <= 1
        arrays = [np.asarray(photo(33, 20, seed), np.float32) / 127.5 - 1 for seed in range(3)]
        for one, many in zip(arrays, translate(arrays), strict=True):
            assert np.abs(translate(one) - many).max() < 1e-3, "alone as in company"


@pytest.mark.parametrize("fields", [*KINDS.values(), {"generator": "unet_huggan", "depth": 4},
                                    {"generator": "unet_article", "depth": 3, "norm": "none"}])  # fmt: skip
def test_the_contract_alone_says_what_sizes_the_network_takes(fields):
    G = Generator.from_config(contract(**fields))
    assert inference.grid(contract(**fields)) == (G.multiple, G.smallest)


def test_running_statistics_are_folded_into_the_convolutions(tmp_path):
    network(contract(**NORMS["batch-running"])).save_pretrained(tmp_path)
    kinds = {type(layer).__name__ for layer in load(tmp_path, "torch").generator.modules()}
    assert "BatchNorm2d" not in kinds


def test_auto_takes_a_graph_that_is_there_and_makes_none(model):
    assert load(model).backend == "torch"
    assert not list(model.parent.rglob("*.onnx"))
    shipped(model)
    assert load(model).backend == "openvino"
    assert farthest(load(model), load(model, "torch")) <= 1


def test_auto_goes_on_with_the_graph_that_was_made_on_first_use(model):
    before = sorted(path.name for path in model.rglob("*"))
    assert load(model, "onnx").backend == "onnx"
    assert sorted(path.name for path in model.rglob("*")) == before, "the model's folder is left as it is"
    assert load(model).backend == "openvino"


def test_a_library_that_draws_otherwise_leaves_the_graph_to_the_next(model, monkeypatch, caplog):
    shipped(model)
    shutil.rmtree(graphs.cache_folder().parent / "trusted")
    draw = OpenVinoBackend.draw
    monkeypatch.setattr(OpenVinoBackend, "draw", lambda self, x, seed=0: draw(self, x, seed) * 0.9)
    assert load(model).backend == "onnx"
    assert "Not with openvino" in caplog.text


@pytest.mark.parametrize("spoil", ["other weights", "other contract", "half a file", "no graph"])
def test_a_graph_that_is_not_the_models_is_not_run(model, tmp_path, spoil):
    path = shipped(model)
    if spoil == "other weights":
        network(contract(), seed=1).save_pretrained(model)
    elif spoil == "other contract":
        network(contract(norm_epsilon=1e-3)).save_pretrained(model)
    elif spoil == "half a file":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b"<!DOCTYPE html> 404" * 20)
    assert load(model).backend == "torch"
    translate = load(model, "onnx")  # made anew
    assert farthest(translate, load(model, "torch")) <= 1


def forged(model: Path, tmp_path: Path, precision: str = "fp32") -> Path:
    """A graph that draws by other weights, and says of itself that it is the model's."""
    other = tmp_path / "other"
    network(contract(), seed=1).save_pretrained(other)
    path = model / graphs.NAMES[precision]
    path.parent.mkdir()
    graph_making.write_graph(graph_making.exportable(other, contract()), path)
    weights = graphs.sha256(model / "model.safetensors")
    graphs.stamped(path, graphs.Facts(weights, contract().to_dict(), precision, difference=0.0))
    return path


def test_a_graph_that_lies_about_its_weights_is_not_run(model, tmp_path, caplog):
    path = forged(model, tmp_path)
    assert graphs.fault(path, graphs.sha256(model / "model.safetensors"), 10**6, contract()) == ""
    assert load(model).backend == "torch"
    assert "draws other pictures" in caplog.text
    assert farthest(load(model, "onnx"), load(model, "torch")) <= 1, "another was made"


@pytest.mark.parametrize("name", ["onnx-int8", "openvino-int8"])
def test_an_int8_graph_of_another_model_is_not_run(model, tmp_path, name):
    forged(model, tmp_path, "int8")
    with pytest.raises(ModelError, match=r"draws other pictures.*pix2pix export --int8"):
        load(model, name)


def test_a_strangers_graph_is_compared_once_and_then_known(model, monkeypatch):
    shipped(model)
    shutil.rmtree(graphs.cache_folder().parent / "trusted")
    compared = []
    monkeypatch.setattr(graph_making, "require_same_pictures", lambda *_: compared.append(1))
    assert [load(model).backend, load(model).backend] == ["openvino"] * 2
    assert compared == [1]


def test_a_file_is_hashed_again_only_when_it_was_touched(model, monkeypatch):
    path, read = model / "model.safetensors", []
    plain = graphs.sha256

    def watched(path):
        read.append(path)
        return plain(path)

    monkeypatch.setattr(graphs, "sha256", watched)
    before = graph_trust.sha256(path)
    assert graph_trust.sha256(path) == before == plain(path)
    status = path.stat()
    network(contract(), seed=1).save_pretrained(model)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as old as before, and of the same size
    assert graph_trust.sha256(path) == plain(path) != before
    assert read == [path, path]


def test_what_openvino_keeps_for_the_next_start_may_be_lost_or_damaged(model):
    shipped(model)
    reference = load(model, "torch")
    assert farthest(load(model), reference) <= 1
    (kept,) = (graphs.cache_folder().parent / "compiled").rglob("*.blob")
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes()[: kept.stat().st_size // 2])  # a disk that was full
    assert load(model).backend == "openvino"
    assert farthest(load(model), reference) <= 1
    shutil.rmtree(graphs.cache_folder().parent / "compiled")
    assert farthest(load(model), reference) <= 1


def test_a_graph_exported_anew_within_a_second_is_the_one_that_draws(model):
    shipped(model)
    load(model)
    network(contract(), seed=1).save_pretrained(model)
    shipped(model)
    assert load(model).backend == "openvino"
    assert farthest(load(model), load(model, "torch")) <= 1


def test_weights_outside_of_the_file_are_never_read(model):
    path = shipped(model)
    proto = onnx.load(path)
    onnx.save(proto, path, save_as_external_data=True, location="secret", size_threshold=0)
    with pytest.raises(graphs.GraphError, match="another file"):
        graphs.read_metadata(path)
    assert load(model).backend == "torch"


def test_an_absurdly_large_graph_is_not_run(model):
    path = shipped(model)
    with open(path, "ab") as file:
        file.truncate(path.stat().st_size + (64 << 20))
    assert load(model).backend == "torch"


def test_dropout_that_stays_on_is_torchs(tmp_path):
    network(contract(inference_dropout=True)).save_pretrained(tmp_path)
    assert load(tmp_path).backend == "torch"


def test_a_backend_that_cannot_be_had_is_refused(model, monkeypatch):
    with pytest.raises(ConfigError, match="no backend 'abacus'"):
        load(model, "abacus")
    with pytest.raises(ConfigError, match=r"cuda|CPU"):
        Translator.from_pretrained(model, device="cuda", backend="onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install .*pix2pix\[onnx\]"):
        load(model, "onnx")


def test_an_int8_graph_is_not_made_by_itself(model):
    with pytest.raises(ModelError, match="export"):
        load(model, "openvino-int8")


def test_a_huge_picture_goes_to_torch_tile_by_tile(model):
    shipped(model)
    graph, torch = load(model), load(model, "torch")
    for translate in (graph, torch):
        translate.whole_pixels, translate.tile, translate.overlap = 64 * 64, 48, 16
    given = photo(130, 101)
    assert np.abs(levels(graph(given)) - levels(torch(given))).max() <= 1
    assert graph.backend == "openvino"


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_several_threads_may_call(model, name):
    translate = load(model, name)
    given = [photo(40 + 8 * number, 24, number) for number in range(4)]
    expected = [levels(translate(picture)) for picture in given]
    drawn: list[list[np.ndarray]] = [[] for _ in given]

    def work(number: int) -> None:
        for _ in range(5):
            drawn[number].append(levels(translate(given[number])))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(one, expected[n]) for n in range(4) for one in drawn[n])
    assert [len(of) for of in drawn] == [5] * 4


NO_TORCH = (
    "import sys; sys.modules['torch'] = None\n"  # importing it is an ImportError from here on
    "from pix2pix.cli import main; code = main(sys.argv[1:]); print(code)"
)


def without_torch(*arguments) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NO_TORCH, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["auto", "onnx", "openvino"])
def test_a_picture_is_translated_without_torch(model, tmp_path, backend):
    shipped(model)
    photo(40, 30).save(tmp_path / "a.png")
    flags = ("--backend", backend, "--output", tmp_path / "out")
    run = without_torch("translate", "--model", model, tmp_path / "a.png", *flags)
    assert run.stdout.splitlines()[-1] == "0", run.stderr
    drawn = Image.open(tmp_path / "out" / "a.png")
    assert np.abs(levels(drawn) - levels(load(model, "torch")(photo(40, 30)))).max() <= 1


def test_without_torch_and_without_a_graph_it_is_said_what_to_do(model, tmp_path):
    photo(40, 30).save(tmp_path / "a.png")
    for backend in ("auto", "onnx"):
        flags = ("--backend", backend, "--output", tmp_path / "out")
        run = without_torch("translate", "--model", model, tmp_path / "a.png", *flags)
        assert run.stdout.splitlines()[-1] == "2", run.stderr
        assert "torch" in run.stderr.lower()
        assert "Traceback" not in run.stderr


def test_a_copied_model_brings_its_graph_along(model, tmp_path):
    shipped(model)
    shutil.copytree(model, tmp_path / "copy")
    assert load(tmp_path / "copy").backend == "openvino"


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(model):
    model.chmod(0o555)
    try:
        assert load(model, "onnx").backend == "onnx"
    finally:
        model.chmod(0o755)


def test_batches_are_bounded_and_in_order(model, monkeypatch):
    translate = load(model, "onnx")
    seen = []
    draw = translate._backend.draw

    def watched(x, seed):
        seen.append(x.shape)
        return draw(x, seed)

    monkeypatch.setattr(translate._backend, "draw", watched)
    pictures = [photo(256, 256, seed) for seed in range(10)]
    drawn = translate(pictures)
    assert [shape[0] for shape in seen] == [8, 2]
    assert np.abs(levels(drawn[9]) - levels(translate(pictures[9]))).max() <= 1
