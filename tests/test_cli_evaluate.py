"""`pix2pix evaluate`: the model's figures beside the baselines, on the files that were named."""

import json
import shutil

import pytest
from PIL import Image
from tiny_runs import write_pairs

from pix2pix import cli
from pix2pix.config import ModelConfig
from pix2pix.networks import Generator


@pytest.fixture
def pairs(tmp_path):
    folder = write_pairs(tmp_path / "pairs")
    shutil.copytree(folder / "val", folder / "test")
    return folder


@pytest.fixture
def model(tmp_path):
    config = ModelConfig(task="map", width=2, depth=5, resolution=32)
    Generator.from_config(config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_the_model_stands_beside_both_baselines(model, pairs, tmp_path, capsys):
    files = ["--json", str(tmp_path / "m.json"), "--sheet", str(tmp_path / "sheet.png")]
    assert cli.main(["evaluate", "--model", str(model), "--data", str(pairs), *files]) == 0
    content = json.loads((tmp_path / "m.json").read_text())
    assert set(content) == {"split", "names", "this_model", "copy_input", "mean_target"}
    assert content["this_model"]["count"] == len(content["this_model"]["per_picture"]["l1"]) == 2
    assert content["names"] == ["6.png", "7.png"]
    said = capsys.readouterr().out
    assert f"{content['this_model']['psnr']:.4g}" in said
    assert "mean_target" in said
    assert Image.open(tmp_path / "sheet.png").mode == "RGB"


def test_the_direction_of_training_is_known_and_can_be_overruled(model, pairs, tmp_path):
    record = model / "training_config.json"
    record.write_text(json.dumps({"direction": "BtoA", "fit": "crop"}))
    found = {}
    for name, flags in (("trained", []), ("named", ["--direction", "AtoB"])):
        json_file = tmp_path / f"{name}.json"
        arguments = ["evaluate", "--model", str(model), "--data", str(pairs), "--json", str(json_file)]
        assert cli.main([*arguments, *flags]) == 0
        found[name] = json.loads(json_file.read_text())
    assert found["trained"]["copy_input"]["l1"] == pytest.approx(found["named"]["copy_input"]["l1"])
    assert found["trained"]["mean_target"]["l1"] != pytest.approx(found["named"]["mean_target"]["l1"])


def test_a_split_that_is_not_there_is_said(model, pairs, capsys):
    arguments = ["evaluate", "--model", str(model), "--data", str(pairs), "--split", "nope"]
    assert cli.main(arguments) == 2
    assert "nope" in capsys.readouterr().err
