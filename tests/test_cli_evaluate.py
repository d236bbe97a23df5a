"""`pix2pix evaluate`: the model's figures beside the baselines, on the files that were named."""

import csv
import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from tiny_runs import TINY, write_pairs

import train_accelerate
from pix2pix import cli
from pix2pix.config import ModelConfig
from pix2pix.data import PairDataset
from pix2pix.evaluation import evaluate
from pix2pix.metrics import NAMES, measure
from pix2pix.networks import Generator
from pix2pix.pairs import PairSource
from pix2pix.ranking_sheet import ranking_sheet, worst_to_best
from pix2pix.training_config import TrainingConfig


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
    assert {"split", "names", "this_model", "copy_input", "mean_target"} <= set(content)
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


def measured(*arguments):
    return cli.main(["evaluate", *map(str, arguments)])


def test_a_cards_figures_come_out_again_to_the_last_digit(tmp_path):
    """Training's own record, with the sides turned round and the validation pairs held out."""
    folder = write_pairs(tmp_path / "pairs")
    for file in (folder / "val").iterdir():
        file.rename(folder / "train" / file.name)
    (folder / "val").rmdir()
    flags = ["--train_data_dir", folder, "--output_dir", tmp_path / "run", "--direction", "BtoA"]
    arguments = [*map(str, flags), *TINY, "--max_train_steps", "2", "--validation_steps", "1"]
    assert train_accelerate.main(arguments) in (0, None)
    recorded = json.loads((tmp_path / "run" / "metrics.json").read_text())
    result = tmp_path / "m.json"
    assert measured("--model", tmp_path / "run", "--data", folder, "--split", "val", "--json", result) == 0
    found = json.loads(result.read_text())
    assert {name: found["this_model"][name] for name in NAMES} == {n: recorded["best"][n] for n in NAMES}
    for baseline, values in recorded["baselines"].items():
        assert {name: found[baseline][name] for name in NAMES} == {name: values[name] for name in NAMES}


def test_a_hub_repository_is_read_as_its_training_read(loopback, model, pairs, tmp_path):
    (model / "training_config.json").write_text(json.dumps({"direction": "BtoA"}))
    loopback.add_repo("ann/town", {path.name: path.read_bytes() for path in model.iterdir()})
    assert measured("--model", "ann/town", "--data", pairs, "--json", tmp_path / "m.json") == 0
    assert json.loads((tmp_path / "m.json").read_text())["direction"] == "BtoA"


def test_a_hub_repository_without_a_training_record_is_measured_all_the_same(
    loopback, model, pairs, tmp_path
):
    loopback.add_repo("ann/bare", {path.name: path.read_bytes() for path in model.iterdir()})
    assert measured("--model", "ann/bare", "--data", pairs, "--json", tmp_path / "m.json") == 0
    assert json.loads((tmp_path / "m.json").read_text())["direction"] == "AtoB"


def test_every_picture_has_its_row_and_the_limit_spreads(model, pairs, tmp_path):
    for index in range(2, 6):
        shutil.copy(pairs / "train" / f"{index}.png", pairs / "test")
    assert measured("--model", model, "--data", pairs, "--limit", 3, "--csv", tmp_path / "m.csv") == 0
    rows = list(csv.DictReader((tmp_path / "m.csv").open()))
    assert [row["name"] for row in rows] == ["2.png", "4.png", "7.png"]
    assert set(rows[0]) == {"name", "l1", "psnr", "ssim", "sharpness"}
    assert 0 < float(rows[0]["l1"]) < 1


def test_intervals_stand_where_there_are_pictures_enough(model, pairs, tmp_path, capsys):
    for index in range(6):
        shutil.copy(pairs / "train" / f"{index}.png", pairs / "test")
        shutil.copy(pairs / "train" / f"{index}.png", pairs / "test" / f"again{index}.png")
    assert measured("--model", model, "--data", pairs, "--json", tmp_path / "m.json") == 0
    content = json.loads((tmp_path / "m.json").read_text())["this_model"]
    assert set(content["intervals"]) == {"l1", "psnr", "ssim", "sharpness", "lab_l", "lab_a", "lab_b", "lab"}
    low, high = content["intervals"]["psnr"]
    assert f"{low:.4g} to {high:.4g}" in capsys.readouterr().out


def test_the_sheet_shows_the_worst_on_the_left_and_the_best_on_the_right(tmp_path):
    def square(level):
        return Image.new("RGB", (32, 32), (level, level, level))

    levels = [10, 200, 90]  # the translator below answers with black: the darkest truth is the best
    source = FixedPairs([(square(5), square(level)) for level in levels])
    config = TrainingConfig(task="map", resolution=32)
    dataset = PairDataset(source, config, config.model_config())
    result = evaluate(lambda pictures: [square(0)] * len(pictures), dataset)
    assert worst_to_best(result.measures, "l1") == [1, 2, 0]
    sheet = ranking_sheet(lambda picture: square(0), dataset, result.chosen, result.measures)
    middle, half = sheet.height // 4 + 30, sheet.width // 2
    truths = [np.asarray(sheet)[middle, half * side - 100, 0] for side in (1, 2)]
    assert truths == [200, 10]


def test_sharpness_is_best_at_one():
    measures = measure([np.zeros((16, 16, 3), np.uint8)], [np.zeros((16, 16, 3), np.uint8)])
    found = dataclasses.replace(measures, per_picture={"sharpness": [0.5, 1.1, 3.0]})
    assert worst_to_best(found, "sharpness") == [2, 0, 1]


@pytest.mark.parametrize("flag", ["--lpips", "--fid"])
def test_an_extra_that_is_missing_is_told_before_anything_is_measured(
    flag, model, pairs, capsys, monkeypatch
):
    for name in ("lpips", "torch_fidelity"):
        monkeypatch.setitem(sys.modules, name, None)  # as if not installed
    assert measured("--model", model, "--data", pairs, flag) == 2
    said = capsys.readouterr()
    assert f'{flag} is an extra; run: pip install "pix2pix[perceptual]"' in said.err
    assert said.out == ""


def test_raw_channels_are_measured_each_and_told_by_picture(tmp_path):
    config = ModelConfig(
        width=2, depth=5, in_channels=2, out_channels=2, input_color="raw", output_color="raw", resolution=32
    )
    Generator.from_config(config).save_pretrained(tmp_path / "model")
    for side in ("A", "B"):
        (tmp_path / "pairs" / "test" / side).mkdir(parents=True)
        for number in range(2):
            array = np.random.default_rng(number).integers(0, 256, (32, 32, 2), dtype=np.uint8)
            np.save(tmp_path / "pairs" / "test" / side / f"{number}.npy", array)
    files = ["--csv", tmp_path / "m.csv", "--sheet", tmp_path / "sheet.png"]
    (tmp_path / "pairs" / "train").mkdir()
    shutil.copytree(tmp_path / "pairs" / "test", tmp_path / "pairs" / "train", dirs_exist_ok=True)
    assert measured("--model", tmp_path / "model", "--data", tmp_path / "pairs", *files) == 0
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 3


class FixedPairs(PairSource):
    layout = "fixed"

    def __init__(self, pairs):
        self.pairs, self.names = pairs, [str(number) for number in range(len(pairs))]

    def load(self, index):
        return self.pairs[index]
