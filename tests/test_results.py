"""What a run has to show: validations of every kind of picture, and a state that survives a restart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pix2pix.config import DiscriminatorConfig, ModelConfig
from pix2pix.data import PairDataset
from pix2pix.errors import ModelError
from pix2pix.networks import Generator, JudgesPairs
from pix2pix.pairs import PairSource
from pix2pix.results import Results
from pix2pix.training_config import TrainingConfig
from pix2pix.watchdog import SATURATED_READINGS


class Layers(PairSource):
    """RGB or array pictures in, arrays of as many channels as the model draws out."""

    layout, names = "layers", ("a", "b")

    def __init__(self, channels: int, as_array: bool = False):
        self.channels, self.as_array = channels, as_array

    def load(self, index: int) -> Any:
        rng = np.random.default_rng(index)
        pixels, target = (rng.integers(0, 256, (32, 32, c), dtype=np.uint8) for c in (3, self.channels))
        return (pixels if self.as_array else Image.fromarray(pixels)), target


def results_of(folder, channels: int, said: list[str], as_array: bool = False) -> Results:
    config = TrainingConfig(
        task="custom", train_data_dir="x", resolution=32, depth=5, width=2, output_color="raw",
        output_channels=channels, discriminator_width=2, discriminator_layers=1,
    )  # fmt: skip
    model = config.model_config("rgb", "raw")
    return Results(folder, config, None, PairDataset(Layers(channels, as_array), config, model), said.append)


def _floats(load):
    return lambda index: tuple(side.astype(np.float32) / 127.5 - 1 for side in load(index))


def networks(model: ModelConfig) -> tuple[Generator, JudgesPairs]:
    torch.manual_seed(0)
    channels = model.in_channels + model.out_channels
    return Generator.from_config(model), JudgesPairs.from_config(
        DiscriminatorConfig(in_channels=channels, width=2, layers=1)
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_in_and_raw_channels_out_are_validated(tmp_path, channels):
    results = results_of(tmp_path, channels, [])
    result = results.validate(1, *networks(results.validation.model), torch.device("cpu"))
    assert result.measures.count == 2 * channels
    assert (tmp_path / "validation" / "step-00000001.png").exists()
    assert (tmp_path / "model.safetensors").exists()


def test_a_rehearsal_finds_what_validation_cannot_do_and_leaves_nothing(tmp_path):
    results = results_of(tmp_path, 4, [])
    G, _ = networks(results.validation.model)
    results.rehearse(G, torch.device("cpu"))
    assert list(tmp_path.iterdir()) == []
    assert results.record.content["history"] == []
    next(G.parameters()).data.fill_(torch.nan)
    with pytest.raises(ModelError, match="not finite"):
        results.rehearse(G, torch.device("cpu"))


def test_arrays_are_judged_in_the_same_levels_as_pictures(tmp_path):
    """Outputs in [-1, 1] all lie within two levels of each other: that is not the same flat colour."""
    said: list[str] = []
    results = results_of(tmp_path, 4, said, as_array=True)
    results.validation.source.load = _floats(results.validation.source.load)  # type: ignore[method-assign]
    G, D = networks(results.validation.model)
    for parameter in G.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    results.validate(1, G, D, torch.device("cpu"))
    assert results.watchdog.verdicts == []


def test_a_resumed_run_knows_what_it_was_about_to_say(tmp_path):
    before, after = results_of(tmp_path, 4, []), results_of(tmp_path, 4, [])
    before.improving = False
    for step in range(SATURATED_READINGS - 1):
        before.watchdog.losses(step, {"D": 0.0}, before.improving)
    after.load_state(before.state())
    assert after.improving is False
    assert "--discriminator_width" in str(after.watchdog.losses(99, {"D": 0.0}, after.improving))


def test_a_state_of_an_earlier_version_is_read(tmp_path):
    results = results_of(tmp_path, 4, [])
    results.load_state({"record": results.record.content, "verdicts": [{"step": 1}]})
    assert results.watchdog.verdicts == [{"step": 1}]
    assert results.improving is None
