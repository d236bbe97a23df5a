"""A run becomes a small folder to hand on."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import tiny_runs
import torch
from huggingface_hub import ModelCard
from trained_folder import RUN, TINY, trained_folder

from pix2pix import Translator, cli, toy, training
from pix2pix.blending import blended
from pix2pix.checkpoints import save_checkpoint
from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError, ModelError
from pix2pix.networks import Generator
from pix2pix.release import release

SECRET = "/home/ann/secret"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tiny_runs.write_pairs(tmp_path_factory.mktemp("release") / "pairs")
    (folder / "test").mkdir()
    for file in (folder / "val").iterdir():
        (folder / "test" / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def run(tmp_path, pairs):
    places: dict[str, Any] = {
        "train_data_dir": str(pairs),
        "output_dir": f"{SECRET}/run",
        "init_from": f"{SECRET}/older",
    }
    command = " ".join(f"--{name} {place}" for name, place in places.items())
    facts = RUN | {"command": f"accelerate launch train_accelerate.py {command} --task map"}
    return trained_folder(tmp_path / "run", **places, run=facts)


def test_the_released_weights_are_half_as_large_and_draw_the_same_picture(run, tmp_path):
    assert cli.main(["release", "--model", str(run), "--output", str(tmp_path / "out")]) == 0
    small = safetensors.torch.load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in small.values()} == {torch.float16}
    picture = toy.draw_pair("map", 5, 32)[0]
    here, there = (
        np.asarray(Translator.from_pretrained(folder)(picture)).astype(int)
        for folder in (run, tmp_path / "out")
    )
    assert abs(here - there).max() <= 1
    assert not (tmp_path / "out" / "discriminator").exists()
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_what_the_card_says_was_measured_on_the_released_file(run, pairs, tmp_path):
    result = release(run, tmp_path / "out", split="test")
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert record["best"]["psnr"] == result.measures.psnr != 22.5  # which the run's own record says
    assert (record["split"], record["best"]["count"]) == ("test", 2)
    card = ModelCard.load(tmp_path / "out" / "README.md")
    psnr = next(found for found in card.data.eval_results if found.metric_type == "psnr")
    assert psnr.dataset_split == "test"
    assert psnr.metric_value == pytest.approx(result.measures.psnr, rel=1e-4)
    assert "2 pairs of the split `test`" in card.text


def test_evaluate_reproduces_the_figures_of_a_released_model(run, pairs, tmp_path):
    measured = release(run, tmp_path / "out", split="test").measures
    words = ["evaluate", "--model", tmp_path / "out", "--data", pairs, "--json", tmp_path / "found.json"]
    assert cli.main([str(word) for word in words]) == 0
    found = json.loads((tmp_path / "found.json").read_text())["this_model"]
    for name in ("l1", "psnr", "ssim", "sharpness", "lab", "swd"):
        assert found[name] == pytest.approx(getattr(measured, name), rel=1e-6)


def test_a_model_of_l1_alone_stands_beside_it(run, tmp_path):
    trained_folder(tmp_path / "l1", seed=3)
    release(run, tmp_path / "out", beside=tmp_path / "l1")
    assert "trained on L1 alone" in (tmp_path / "out" / "README.md").read_text()
    assert set(json.loads((tmp_path / "out" / "metrics.json").read_text())["baselines"]) == {
        "copy_input",
        "mean_target",
        "l1_only",
    }


@pytest.fixture
def averaged(run):
    """A run whose checkpoint has a moving average beside the last weights; both by name."""
    (run / "checkpoints/step-00000001/G.pt").unlink()
    (run / "checkpoints/step-00000001").rmdir()
    G, other = (Generator.from_config(ModelConfig(**TINY)) for _ in range(2))
    average = training.moving_average(other, 0.9)
    save_checkpoint(run / "checkpoints", 400, {"G": G.state_dict(), "average": average.state_dict()})
    return G.state_dict(), other.state_dict()


@pytest.mark.parametrize("amount", [0, 0.25, 1, 1.75])
def test_weights_are_blended_between_the_average_and_the_last_and_beyond(run, averaged, tmp_path, amount):
    words = ["release", "--model", str(run), "--output", str(tmp_path / "out"), "--blend", str(amount)]
    assert cli.main(words) == 0
    released = safetensors.torch.load_file(tmp_path / "out" / "model.safetensors")
    last, average = averaged
    for name, tensor in released.items():
        expected = average[name] + amount * (last[name] - average[name])
        torch.testing.assert_close(tensor.float(), expected, rtol=1e-3, atol=1e-6)
    assert f"`pix2pix release --blend {amount:g}`" in text_of(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["best"]["step"] == 400


def test_running_variances_are_not_carried_below_nothing(tmp_path):
    config = ModelConfig(**TINY, norm="batch", normalization="running")
    last, before = Generator.from_config(config), Generator.from_config(config)
    average = training.moving_average(before, 0.9)
    for name, tensor in last.state_dict().items():
        if name.endswith("running_var"):
            tensor.fill_(0.5)  # it was 1: three times the way further it would be -1
    state = {"G": last.state_dict(), "D": {}, "average": average.state_dict()}
    save_checkpoint(tmp_path / "checkpoints", 400, state)
    G, _ = blended(tmp_path, config, 4)
    variances = [tensor for name, tensor in G.state_dict().items() if name.endswith("running_var")]
    assert variances
    assert all(bool((tensor > 0).all()) for tensor in variances)


def test_a_checkpoint_that_went_astray_is_not_blended(run, averaged, tmp_path):
    astray = {name: torch.full_like(tensor, float("nan")) for name, tensor in averaged[0].items()}
    save_checkpoint(run / "checkpoints", 500, {"G": astray, "average": {}})
    release(run, tmp_path / "out", blend=0)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["best"]["step"] == 400


def test_a_run_without_what_is_blended_is_told_apart(run, averaged, tmp_path):
    with pytest.raises(ConfigError, match=r"--blend 5: .* 4 the most"):
        release(run, tmp_path / "out", blend=5)
    save_checkpoint(run / "checkpoints", 500, {"G": averaged[0]})
    with pytest.raises(ModelError, match="without --use_ema"):
        release(run, tmp_path / "out", blend=1)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ModelError, match="no checkpoint"):
        release(run, tmp_path / "out", blend=1)
    assert not (tmp_path / "out").exists()


def test_pictures_that_may_not_be_handed_on_are_not_on_the_sample_sheet(run, tmp_path):
    release(run, tmp_path / "with")
    release(run, tmp_path / "without", drawn_samples=True)
    sheets = [(tmp_path / name / "samples.png").read_bytes() for name in ("with", "without")]
    assert sheets[0] != sheets[1]
    assert "may not be handed on" in (tmp_path / "without" / "README.md").read_text()
    assert "may not be handed on" not in (tmp_path / "with" / "README.md").read_text()


def test_other_pairs_on_the_sample_sheet_are_credited(run, tmp_path):
    shown = tiny_runs.write_pairs(tmp_path / "shown")
    words = ["release", "--model", run, "--output", tmp_path / "out", "--samples", shown]
    assert cli.main([*map(str, words), "--samples_credit", "Drawn by Ann."]) == 0
    release(run, tmp_path / "measured")
    sheets = [(tmp_path / name / "samples.png").read_bytes() for name in ("out", "measured")]
    assert sheets[0] != sheets[1]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "None of these were trained on or measured. Drawn by Ann." in card
    assert "spread evenly over those measured" not in card


def test_no_folder_of_this_machine_is_handed_on(run, tmp_path, pairs):
    release(run, tmp_path / "out")
    for name in ("training_config.json", "README.md", "metrics.json", "config.json"):
        text = (tmp_path / "out" / name).read_text()
        assert SECRET not in text
        assert str(pairs) not in text
    assert "--train_data_dir pairs --output_dir run --init_from older --task map" in text_of(tmp_path / "out")


def text_of(folder) -> str:
    return (folder / "README.md").read_text()


def test_nothing_is_overwritten(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("here")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        release(run, tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--split", "tset"), "no split 'tset'"),
        (("--data", "./nowhere"), "nowhere"),
        (("--model", "empty"), "no model"),
        (("--samples", "empty"), "empty"),
        (("--samples", "empty", "--drawn_samples"), "give one"),
    ],
)
def test_a_mistake_is_told_in_a_line(run, tmp_path, capsys, words, said, monkeypatch, loopback):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert cli.main(["release", "--model", str(run), "--output", "out", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
