"""Export: a file is kept once it draws what the model draws, and carries whose contract it is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from pix2pix import Translator, cli, graphs, hub, quantization
from pix2pix import export as export_module
from pix2pix.config import ModelConfig
from pix2pix.data import PairDataset
from pix2pix.networks import Generator
from pix2pix.pairs import Drawn
from pix2pix.training_config import TrainingConfig

MAP: dict[str, Any] = {"task": "map", "width": 2, "depth": 4, "resolution": 32}


def saved(folder, **fields):
    torch.manual_seed(0)
    Generator.from_config(ModelConfig(**(MAP | fields))).save_pretrained(folder)
    return folder


@pytest.fixture
def model(tmp_path):
    return saved(tmp_path / "model")


def export(model, output, *flags) -> int:
    return cli.main(["export", "--model", str(model), "--output", str(output), *map(str, flags)])


def metadata(path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_an_exported_file_draws_what_the_model_draws_at_any_size_and_batch(model, tmp_path, capsys):
    assert export(model, tmp_path / "out" / "m.onnx") == 0
    assert "largest difference from PyTorch" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(tmp_path / "out" / "m.onnx")
    translate = Translator.from_pretrained(model, device="cpu", backend="torch")
    for batch, height, width in ((1, 32, 32), (3, 48, 16), (2, 16, 80)):
        x = np.random.default_rng(0).uniform(-1, 1, (batch, height, width, 3)).astype(np.float32)
        (drawn,) = session.run(None, {"x": x.transpose(0, 3, 1, 2)})
        expected = np.stack(translate(list(x)))
        assert np.abs(drawn.transpose(0, 2, 3, 1) - expected).max() < 1 / 127.5


def test_the_contract_and_the_weights_are_in_the_file(model, tmp_path):
    assert export(model, tmp_path / "m.onnx") == 0
    found = metadata(tmp_path / "m.onnx")
    assert json.loads(found[graphs.CONTRACT]) == json.loads((model / "config.json").read_text())
    assert found[graphs.WEIGHTS] == graphs.sha256(model / "model.safetensors")
    assert found[graphs.PRECISION] == "fp32"
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"), full_check=True)


def test_given_pictures_are_what_it_is_checked_on(model, tmp_path, capsys):
    Image.new("RGB", (50, 20), (200, 10, 10)).save(tmp_path / "a.png")
    assert export(model, tmp_path / "m.onnx", "--pictures", tmp_path / "a.png", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kept"]
    assert [1, 32, 64] in told["batches"]
    assert any(batch > 1 for batch, *_ in told["batches"])
    assert export(model, tmp_path / "m.onnx", "--pictures", tmp_path / "nowhere.png") == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"norm": "batch", "normalization": "running"},
        {"generator": "unet_article"},
        {"in_channels": 1, "out_channels": 2, "input_color": "l", "output_color": "ab", "task": "colorize"},
        {"in_channels": 5, "input_color": "raw", "task": "custom"},
    ],
)
def test_every_kind_of_contract_is_exported(tmp_path, fields):
    assert export(saved(tmp_path / "model", **fields), tmp_path / "m.onnx") == 0


def test_half_precision_halves_the_file(model, tmp_path, capsys):
    assert export(model, tmp_path / "m.onnx") == 0
    assert export(model, tmp_path / "half.onnx", "--half") == 0
    assert metadata(tmp_path / "half.onnx")[graphs.PRECISION] == "fp16"
    weights = [
        sum(w.raw_data.__len__() for w in onnx.load(path).graph.initializer)
        for path in (tmp_path / "m.onnx", tmp_path / "half.onnx")
    ]
    assert weights[1] < 0.6 * weights[0]


def test_int8_is_kept_where_it_is_good_enough_and_can_be_used(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(quantization, "MEAN_LEVELS", 50)
    monkeypatch.setattr(quantization, "PSNR_LOSS", 50)
    model = saved(tmp_path / "model")
    path = model / graphs.NAMES["int8"]
    assert export(model, path, "--int8", "--calibration", "toy") == 0
    assert "PSNR" in capsys.readouterr().out
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    picture = Image.new("RGB", (40, 30), (9, 99, 199))
    for name in ("onnx-int8", "openvino-int8"):
        assert Translator.from_pretrained(model, device="cpu", backend=name)(picture).size == (40, 30)
    assert Translator.from_pretrained(model, device="cpu").backend == "torch", "auto never takes int8"


def test_int8_that_is_not_good_enough_is_not_kept_and_says_why(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(quantization, "MEAN_LEVELS", 1e-9)
    assert export(model, tmp_path / "m.onnx", "--int8", "--calibration", "toy", "--json") == 1
    told = capsys.readouterr()
    assert "levels on average" in json.loads(told.out)["reason"]
    assert "was not kept" in told.err
    assert not list(tmp_path.glob("*.onnx"))


def test_more_of_the_outermost_stays_in_float_until_int8_is_good_enough(model, tmp_path, monkeypatch):
    monkeypatch.setattr(quantization, "PSNR_LOSS", 50)
    monkeypatch.setattr(quantization, "MEAN_LEVELS", 50)
    ladder, costs = quantization.IN_FLOAT[:2], []
    for in_float in ladder:
        monkeypatch.setattr(quantization, "IN_FLOAT", (in_float,))
        costs.append(export_cost(model, tmp_path / "m.onnx"))
    assert costs[1] < costs[0]
    monkeypatch.setattr(quantization, "IN_FLOAT", ladder)
    monkeypatch.setattr(
        quantization, "MEAN_LEVELS", sum(costs) / 2
    )  # the second is good enough, not the first
    assert export_cost(model, tmp_path / "m.onnx") == costs[1]


def export_cost(model, path) -> float:
    """The mean difference in levels of the int8 graph that was kept."""
    config = ModelConfig.from_dict(json.loads((model / "config.json").read_text()))
    training = TrainingConfig(task=config.task, resolution=config.resolution, depth=config.depth)
    pairs = PairDataset(Drawn(config.task, 4, training.resolved_load_size, 0), training, config)
    return export_module.export(model, config, path, precision="int8", calibration=pairs).cost.mean


def test_what_int8_may_cost():
    assert not quantization.Cost(9.0, 0.49, 0.09).objections()
    assert "0.500 levels" in quantization.Cost(9.0, 0.5, 0.0).objections()[0]
    assert "0.100 dB" in quantization.Cost(9.0, 0.0, 0.1).objections()[0]
    assert len(quantization.Cost(9.0, float("nan"), float("nan")).objections()) == 2


def test_a_file_that_draws_something_else_is_not_kept(model, tmp_path, capsys, monkeypatch):
    other = saved(tmp_path / "other", width=3)
    from pix2pix import graph_making

    write = graph_making.write_graph
    wrong = graph_making.exportable(other, ModelConfig(**(MAP | {"width": 3})))
    monkeypatch.setattr(graph_making, "write_graph", lambda network, path: write(wrong, path))
    (tmp_path / "m.onnx").write_text("what was there")
    assert export(model, tmp_path / "m.onnx") == 1
    assert "differs by" in capsys.readouterr().err
    assert (tmp_path / "m.onnx").read_text() == "what was there"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--output", "m.bin"], "ends in .onnx"),
        (["--output", "m.onnx", "--int8"], "--calibration DATA"),
        (["--output", "m.onnx", "--push"], "is a folder"),
        (["--output", "m.onnx", "--calibration", "toy", "--split", "nowhere", "--layout", "heap"], "heap"),
    ],
)
def test_a_mistake_is_told_in_plain_words(model, capsys, flags, reason):
    assert cli.main(["export", "--model", str(model), *flags]) == 2
    assert reason in capsys.readouterr().err


def test_dropout_cannot_be_exported(tmp_path, capsys):
    model = saved(tmp_path / "model", inference_dropout=True)
    assert export(model, tmp_path / "m.onnx") == 2
    assert "leaves dropout on" in capsys.readouterr().err


def test_a_push_adds_the_graph_to_the_models_repository(loopback, ann, model, tmp_path, capsys):
    hub.publish(model, "ann/town")
    assert export("ann/town", tmp_path / "m.onnx", "--push") == 0
    assert "uploaded" in capsys.readouterr().out
    from huggingface_hub import HfApi

    files = HfApi().list_repo_files("ann/town")
    assert {"onnx/model.onnx", "model.safetensors", "README.md"} <= set(files)
    picture = Image.new("RGB", (20, 20), (9, 99, 199))
    here = np.asarray(Translator.from_pretrained(model, device="cpu")(picture)).astype(int)
    there = Translator.from_pretrained("ann/town", device="cpu", backend="onnx", cache_dir=tmp_path / "fresh")
    assert there.backend == "onnx"
    assert np.abs(np.asarray(there(picture)) - here).max() <= 1


def test_a_push_without_a_token_keeps_the_file(loopback, ann, model, tmp_path, capsys, monkeypatch):
    hub.publish(model, "ann/town")
    monkeypatch.delenv("HF_TOKEN")
    assert export("ann/town", tmp_path / "m.onnx", "--push") == 2
    assert "hf auth login" in capsys.readouterr().err
    assert (tmp_path / "m.onnx").is_file()
