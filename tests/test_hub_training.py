"""From training to the Hub and back again: what a user does, over real HTTP, end to end."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_runs
from accelerate.state import AcceleratorState, GradientState
from huggingface_hub import ModelCard
from PIL import Image

import train_accelerate
from pix2pix import Translator, cli, hub, toy
from pix2pix.networks import Generator

TOWN = "ann/town"
PUSH = ["--push_to_hub", "--hub_model_id", TOWN]


@pytest.fixture(autouse=True)
def fresh_accelerate():
    """Accelerate keeps its state for the life of a process; every run here starts without one."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return tiny_runs.write_pairs(tmp_path_factory.mktemp("data") / "pairs")


def train(folder, *flags, steps=4, data=()):
    arguments = [*tiny_runs.TINY, "--max_train_steps", steps, "--output_dir", folder, *data, *flags]
    return train_accelerate.main([str(argument) for argument in arguments])


def local(pairs):
    return "--train_data_dir", pairs


def picture():
    return toy.draw_pair("map", 99, 48)[0]


def test_a_trained_model_is_pushed_found_by_its_tag_and_draws_the_same_picture(loopback, ann, tmp_path):
    town = ("--toy_pairs", 6, "--generator", "unet_128", "--license", "cc0-1.0")
    assert train(tmp_path / "run", *PUSH, *town, steps=20) == 0
    (found,) = hub.find_models("map")
    assert (found.repo_id, found.license) == (TOWN, "cc0-1.0")
    assert {claim.metric for claim in found.claims} == {"swd", "lab", "sharpness", "ssim", "psnr", "l1"}
    assert next(claim for claim in found.claims if claim.metric == "psnr").interval_95
    here = Translator.from_pretrained(tmp_path / "run")(picture())
    there = Translator.from_pretrained(found.repo_id, cache_dir=tmp_path / "fresh")(picture())
    assert there.tobytes() == here.tobytes()

    assert train(tmp_path / "more", *PUSH, *town, "--seed", 1, steps=2) == 0
    second = Translator.from_pretrained(TOWN, cache_dir=tmp_path / "fresh")(picture())
    assert second.tobytes() == Translator.from_pretrained(tmp_path / "more")(picture()).tobytes()
    assert second.tobytes() != here.tobytes()
    first = Translator.from_pretrained(TOWN, revision=found.revision, cache_dir=tmp_path / "fresh")
    assert first(picture()).tobytes() == here.tobytes()


def test_the_card_of_a_run_tells_its_command_time_and_terms(loopback, ann, pairs, tmp_path):
    terms = ("--data_terms", "drawn by Ann", "--license", "mit")
    assert train(tmp_path, *PUSH, *terms, data=local(pairs)) == 0
    text = loopback.files(TOWN)["README.md"].decode()
    assert "- **Training pairs:** 6 from the folder `pairs`" in text
    assert "- **Terms of the data:** drawn by Ann" in text
    assert "2 pairs of the split `val`, with the weights of step" in text
    assert "- **Time:** " in text
    assert "- **Software:** pix2pix" in text
    assert "accelerate launch " in text
    assert ModelCard(text).data.to_dict()["license"] == "mit"


def test_every_run_has_a_card_whether_it_is_pushed_or_not(loopback, pairs, tmp_path):
    assert train(tmp_path, data=local(pairs)) == 0
    assert "# Aerial photo to map" in (tmp_path / "README.md").read_text()
    assert not loopback.requests


def test_push_steps_push_on_the_way(loopback, ann, pairs, tmp_path):
    flags = ("--push_steps", 2, "--validation_steps", 2, "--best_metric", "l1", "--lambda_l1", 1000)
    assert train(tmp_path, *PUSH, *flags, steps=6, data=local(pairs)) == 0
    titles = [commit.title for commit in loopback.history(TOWN)]
    assert titles[-2:] == ["Weights of step 2", "initial commit"]
    assert loopback.files(TOWN)["model.safetensors"] == (tmp_path / "model.safetensors").read_bytes()


# ---- faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "repo", "message"),
    [(None, TOWN, "hf auth login"), ("hf_wrong", TOWN, "401"), ("ann", "bob/town", "403")],
)
def test_a_push_that_will_be_refused_stops_before_training(
    loopback, monkeypatch, pairs, tmp_path, capsys, token, repo, message
):
    if token:
        monkeypatch.setenv("HF_TOKEN", loopback.add_user("ann") if token == "ann" else token)
    assert train(tmp_path / "run", "--push_to_hub", "--hub_model_id", repo, data=local(pairs)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_push_to_hub_needs_a_name(pairs, tmp_path, capsys):
    with pytest.raises(SystemExit):
        sys.exit(train(tmp_path / "run", "--push_to_hub", data=local(pairs)))
    assert "--hub_model_id" in capsys.readouterr().err


def test_an_unreachable_hub_warns_trains_and_ends_with_status_3(
    loopback, ann, pairs, tmp_path, capsys, waits
):
    with loopback.unreachable():
        assert train(tmp_path / "run", *PUSH, data=local(pairs)) == 3
    said = capsys.readouterr().err
    assert "Training goes on" in said
    command = f"pix2pix publish --model {tmp_path / 'run'} --repo ann/town"
    assert said.rstrip().endswith(command)
    assert Translator.from_pretrained(tmp_path / "run")(picture()).size == (48, 48)
    assert cli.main(shlex.split(command)[1:]) == 0
    assert loopback.files(TOWN)["model.safetensors"] == (tmp_path / "run" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", [503, 429, "drop"])
def test_a_push_that_fails_on_the_way_is_made_good_at_the_end(
    loopback, ann, pairs, tmp_path, capsys, waits, kind
):
    flags = ("--push_steps", 2, "--validation_steps", 2)
    loopback.fail("POST .*/commit/", kind, times=6)  # as often as one push tries
    assert train(tmp_path, *PUSH, *flags, data=local(pairs)) == 0
    said = capsys.readouterr().err
    assert "Nothing is lost" in said
    assert "Pushed to" in said
    assert loopback.files(TOWN)["model.safetensors"] == (tmp_path / "model.safetensors").read_bytes()


# ---- fine-tuning ------------------------------------------------------------------------------------------


def test_a_published_model_is_trained_on(loopback, ann, pairs, tmp_path):
    assert train(tmp_path / "first", *PUSH, data=local(pairs)) == 0
    # Other widths than the model has: the architecture is the model's own, nobody repeats a flag.
    flags = ("--init_from", TOWN, "--width", 8, "--discriminator_width", 8, "--learning_rate", 1e-9)
    assert train(tmp_path / "second", *flags, data=local(pairs)) == 0
    first, second = (Generator.from_pretrained(tmp_path / name) for name in ("first", "second"))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert (a - b).abs().max() < 1e-6
    card = (tmp_path / "second" / "README.md").read_text()
    assert f"- **Started from:** {TOWN}" in card
    assert "base_model: ann/town" in card


def test_a_model_of_other_colours_is_refused(loopback, ann, pairs, tmp_path, capsys):
    assert train(tmp_path / "first", *PUSH, data=local(pairs)) == 0
    flags = ("--init_from", TOWN, "--task", "colorize", "--layout", "side_by_side")
    assert train(tmp_path / "second", *flags, data=local(pairs)) == 2
    assert "--init_from ann/town has input_color 'rgb'" in capsys.readouterr().err


# ---- data from the Hub ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "private"), [("ann/pairs", False), ("ann/secret-pairs", True)])
def test_a_data_set_on_the_hub_is_trained_on_by_its_id(loopback, ann, tmp_path, name, private):
    import datasets

    def png(side):
        side.save(file := io.BytesIO(), "png")
        return {"bytes": file.getvalue(), "path": None}

    features = datasets.Features({"imageA": datasets.Image(), "imageB": datasets.Image()})
    for split, first, count in (("train", 0, 5), ("validation", 5, 2)):
        sides = [toy.draw_pair("map", index, 32) for index in range(first, first + count)]
        rows = {column: [png(pair[i]) for pair in sides] for i, column in enumerate(features)}
        datasets.Dataset.from_dict(rows, features=features).push_to_hub(name, split=split, private=private)
    loopback.requests.clear()
    assert train(tmp_path / "run", "--dataset_name", name, steps=2) == 0
    assert loopback.count(f"GET .*/{name}/resolve/.*parquet")
    text = (tmp_path / "run" / "README.md").read_text()
    assert f"5 from [{name}](https://huggingface.co/datasets/{name})" in text
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["best"]["count"] == 2


# ---- without this package ---------------------------------------------------------------------------------


def test_the_hf_command_downloads_what_safetensors_opens(loopback, ann, pairs, tmp_path):
    assert train(tmp_path / "run", *PUSH, data=local(pairs)) == 0
    hf = Path(sys.executable).with_name("hf")
    command = [hf, "download", TOWN, "--local-dir", tmp_path / "got"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    code = (
        "import sys; from safetensors.numpy import load_file; found = load_file(sys.argv[1])\n"
        "assert 'pix2pix' not in sys.modules and 'torch' not in sys.modules; print(len(found))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "got" / "model.safetensors"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert int(run.stdout) == len(tiny_runs.tensors(tmp_path / "run")), run.stderr
    samples = np.asarray(Image.open(tmp_path / "got" / "samples.png"))
    assert samples.std() > 1
