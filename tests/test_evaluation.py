"""Measuring a translator on held-out pairs, beside what needs no model."""

import numpy as np
import pytest
from PIL import Image

from pix2pix.data import PairDataset
from pix2pix.evaluation import Record, baselines, evaluate, levels, mean_target, spread
from pix2pix.metrics import measure
from pix2pix.pairs import Drawn
from pix2pix.tasks import get_task
from pix2pix.training_config import TrainingConfig


def town(task="map", count=4, first=0, size=32, **flags):
    config = TrainingConfig(task=task, resolution=size, **flags)
    model = config.model_config(get_task(task).input_color, get_task(task).output_color)
    return PairDataset(Drawn(task, count, size, first), config, model)


def truth_of(dataset):
    """A translator that knows every answer."""
    known = {dataset.picture_pair(i)[0].tobytes(): dataset.picture_pair(i)[1] for i in range(len(dataset))}
    return lambda pictures: [known[picture.tobytes()] for picture in pictures]


def test_a_perfect_translator_gets_perfect_measures():
    dataset = town()
    found = evaluate(truth_of(dataset), dataset).measures
    assert (found.l1, found.ssim, found.sharpness, found.swd, found.count) == pytest.approx((0, 1, 1, 0, 4))


def test_a_translator_that_copies_measures_like_the_copying_baseline():
    dataset = town()
    copied = evaluate(lambda pictures: pictures, dataset).measures
    assert copied.as_dict() == baselines(dataset, None)["copy_input"].as_dict()
    assert copied.l1 > 0.05


def test_the_mean_target_is_the_mean_of_the_training_targets():
    training = town(count=3, first=100)
    targets = [np.asarray(training.picture_pair(i)[1], dtype=float) for i in range(3)]
    assert np.abs(mean_target(training)[0] - np.mean(targets, axis=0)).max() <= 0.5


def test_the_mean_target_is_measured_against_the_validation_pairs():
    dataset, training = town(), town(count=3, first=100)
    mean = mean_target(training)[0]
    expected = measure([mean] * 4, [np.asarray(dataset.picture_pair(i)[1]) for i in range(4)])
    assert baselines(dataset, training)["mean_target"].as_dict() == expected.as_dict()


def test_a_baseline_without_meaning_is_absent():
    dataset = town(input_color="raw", input_channels=3, output_color="raw", output_channels=2)
    assert levels(np.zeros((4, 4, 2), np.uint8), dataset.model)[1].shape == (4, 4, 1)
    assert "mean_target" not in baselines(town(), None)


def test_the_sheet_shows_input_output_and_truth_side_by_side():
    dataset = town(count=1)
    sheet = np.asarray(evaluate(lambda p: [Image.new("RGB", (32, 32), "red")] * len(p), dataset).sheet)
    x, y = dataset.picture_pair(0)
    cells = [sheet[-40:-8, 8 + 40 * column :][:, :32] for column in range(3)]
    for cell, picture in zip(cells, (x, Image.new("RGB", (32, 32), "red"), y), strict=True):
        np.testing.assert_array_equal(cell, np.asarray(picture))


def test_colorization_is_shown_and_copied_without_colours():
    dataset = town("colorize", count=2)
    grey = baselines(dataset, None)["copy_input"]
    assert grey.sharpness == pytest.approx(1, abs=0.1)
    assert grey.lab_a < 0.9
    sheet = evaluate(lambda pictures: pictures, dataset).sheet
    shown_input = sheet.crop((8, sheet.height - 40, 40, sheet.height - 8))
    assert np.ptp(np.asarray(shown_input), axis=2).max() == 0


def test_a_limit_takes_pairs_from_all_over_the_set():
    assert spread(5, 0) == spread(5, 9) == [0, 1, 2, 3, 4]
    assert spread(101, 3) == [0, 50, 100]
    assert evaluate(truth_of(town(count=6)), town(count=6), limit=2).measures.count == 2


def test_the_record_keeps_the_history_and_the_best():
    dataset = town()
    perfect = evaluate(truth_of(dataset), dataset).measures
    poor = baselines(dataset, None)["copy_input"]
    record = Record("psnr")
    assert [record.add(1, poor), record.add(2, perfect), record.add(3, poor)] == [True, True, False]
    assert [entry["step"] for entry in record.content["history"]] == [1, 2, 3]
    assert record.content["best"]["step"] == 2
    assert record.content["best"]["psnr"] == perfect.psnr


def test_the_best_carries_its_intervals_and_the_history_does_not():
    dataset = town(count=12)
    record = Record("l1")
    record.add(1, evaluate(lambda pictures: pictures, dataset).measures)
    low, high = record.content["best"]["intervals"]["l1"]
    assert low < record.content["best"]["l1"] < high
    assert "intervals" not in record.content["history"][0]
