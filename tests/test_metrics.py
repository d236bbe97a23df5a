"""The measures: right by hand and against scikit-image, and ordered as an eye would order pictures."""

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage.metrics import structural_similarity

from pix2pix import metrics
from pix2pix.errors import ImageError, UserError

ROOT = Path(__file__).parents[1]


def scene(seed: int, side: int = 64) -> np.ndarray:
    """Coloured rectangles under fine texture, uint8 [side, side, 3]."""
    random = np.random.default_rng(seed)
    picture = np.full((side, side, 3), random.integers(60, 200, 3), np.float64)
    for _ in range(12):
        top, left = random.integers(0, side - 8, 2)
        height, width = random.integers(6, side // 2, 2)
        picture[top : top + height, left : left + width] = random.integers(20, 236, 3)
    return np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def noisy(picture: np.ndarray, deviation: float) -> np.ndarray:
    random = np.random.default_rng(9)
    return np.clip(picture + random.normal(0, deviation, picture.shape), 0, 255).astype(np.uint8)


TRUTH = [scene(seed) for seed in range(8)]


def test_l1_and_psnr_are_those_computed_by_hand():
    target, output = np.full((4, 4, 3), 100, np.uint8), np.full((4, 4, 3), 110, np.uint8)
    assert metrics.l1(output, target) == pytest.approx(10 / 255)
    assert metrics.l1(target, output) == pytest.approx(10 / 255)  # no wrap-around below zero
    assert metrics.psnr(output, target) == pytest.approx(10 * math.log10(255**2 / 100))
    assert metrics.psnr(255 - 0 * target, 0 * target) == pytest.approx(0)


def test_psnr_is_the_mean_over_pictures_not_that_of_the_mean_error():
    target = np.full((4, 4, 3), 100, np.uint8)
    found = metrics.measure([target + 1, target + 100], [target, target])
    assert found.psnr == pytest.approx(np.mean([20 * math.log10(255), 20 * math.log10(2.55)]))
    assert found.per_picture["psnr"] == pytest.approx([20 * math.log10(255), 20 * math.log10(2.55)])


@pytest.mark.parametrize("shape", [(64, 48, 3), (11, 11, 3), (40, 21, 1)])
def test_ssim_is_that_of_scikit_image(shape):
    random = np.random.default_rng(0)
    target = random.integers(0, 256, shape, dtype=np.uint8)
    target[: shape[0] // 2] = 250  # where single precision would show
    output = np.clip(target + random.normal(0, 3, shape), 0, 255).astype(np.uint8)
    expected = structural_similarity(
        output,
        target,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
    )
    assert metrics.ssim(output, target) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 9, 3), (10, 40, 1), (6, 6)])
def test_pictures_smaller_than_a_window_or_a_patch_are_measured(shape):
    random = np.random.default_rng(0)
    output, target = random.integers(0, 256, (2, *shape), dtype=np.uint8)
    found = metrics.measure([output], [target]).as_dict()
    assert all(math.isfinite(value) for value in found.values())
    assert metrics.ssim(target, target) == pytest.approx(1)


def test_equal_sets_are_perfect_and_finite():
    found = metrics.measure(TRUTH, TRUTH)
    assert (found.l1, found.psnr, found.sharpness, found.swd) == (0, metrics.PSNR_CAP, 1, 0)
    assert found.ssim == pytest.approx(1)
    assert found.lab == pytest.approx(1)
    json.dumps(found.as_dict(per_picture=True), allow_nan=False)


def test_blur_makes_every_measure_worse():
    sets = [TRUTH, *([blurred(picture, radius) for picture in TRUTH] for radius in (1, 3))]
    found = [metrics.measure(outputs, TRUTH) for outputs in sets]
    for sharper, blurrier in itertools.pairwise(found):
        for name in metrics.NAMES:
            assert metrics.better(name, getattr(sharper, name), getattr(blurrier, name)), name
    assert found[2].sharpness < found[1].sharpness < 0.8


def test_noise_counts_as_too_sharp_and_moves_patches_away():
    some, more = (metrics.measure([noisy(p, d) for p in TRUTH], TRUTH) for d in (15, 40))
    assert 1.2 < some.sharpness < more.sharpness
    assert 0 < some.swd < more.swd


def test_a_constant_picture_that_wins_psnr_loses_sharpness_lab_and_swd():
    mean = np.mean(TRUTH, axis=0).astype(np.uint8)
    constant = metrics.measure([np.full_like(mean, mean.mean())] * len(TRUTH), TRUTH)
    moved = metrics.measure(TRUTH[1:] + TRUTH[:1], TRUTH)  # as a generator that draws, but not in place
    assert constant.psnr > moved.psnr
    assert constant.sharpness < 0.01 < moved.sharpness
    assert constant.swd > 3 * moved.swd
    assert constant.lab < 0.2 < moved.lab


def test_sharpness_of_a_constant_truth_is_finite_and_cannot_decide_a_set():
    flat = np.full((64, 64, 3), 90, np.uint8)
    assert metrics.sharpness(flat, flat) == 1
    assert math.isfinite(metrics.sharpness(noisy(flat, 5), flat))
    found = metrics.measure([noisy(flat, 2), *TRUTH], [flat, *TRUTH])
    assert found.sharpness == pytest.approx(1, abs=0.05)


def test_sharpness_is_the_ratio_of_gradients():
    ramp = np.tile(np.arange(0, 64, dtype=np.uint8), (64, 1))[:, :, None].repeat(3, axis=2)
    assert metrics.sharpness(2 * ramp, ramp) == pytest.approx(2, rel=0.02)
    assert metrics.sharpness(ramp, 2 * ramp) == pytest.approx(0.5, rel=0.02)


def test_lab_intersection_looks_at_the_set_and_not_at_places():
    assert metrics.lab_histogram_intersection(TRUTH[::-1], TRUTH) == pytest.approx((1, 1, 1))
    white, black = np.full((4, 4, 3), 255, np.uint8), np.zeros((4, 4, 3), np.uint8)
    lightness, a, b = metrics.lab_histogram_intersection([white, black], [black, black])
    assert lightness == pytest.approx(0.5)
    assert a == b == 1


def test_lab_tells_grey_from_colour_where_lightness_agrees():
    greys = [np.asarray(Image.fromarray(p).convert("L").convert("RGB")) for p in TRUTH]
    lightness, a, b = metrics.lab_histogram_intersection(greys, TRUTH)
    assert a < 0.2
    assert b < 0.2 < lightness


def test_swd_is_in_the_range_of_published_numbers():
    blur = metrics.sliced_wasserstein([blurred(p, 3) for p in TRUTH], TRUTH)
    constant = metrics.sliced_wasserstein([np.full_like(p, 128) for p in TRUTH], TRUTH)
    assert 50 < blur < constant < 1000


def test_swd_is_the_same_in_another_process_whatever_the_global_seed():
    here = metrics.sliced_wasserstein([255 - TRUTH[0]], TRUTH[:1])
    code = (
        "import numpy as np; from pix2pix import metrics; from tests.test_metrics import TRUTH;"
        "np.random.seed(3); print(repr(metrics.sliced_wasserstein([255 - TRUTH[0]], TRUTH[:1])))"
    )
    there = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(there.stdout) == here == metrics.sliced_wasserstein([255 - TRUTH[0]], TRUTH[:1])


def test_the_numbers_of_this_metrics_version_stay():
    """A change here is a new METRICS_VERSION: numbers in published cards would no longer compare."""
    pattern = (np.indices((40, 40)).sum(0) * 7 % 256).astype(np.uint8)
    target = np.stack([pattern, pattern.T[::-1], 255 - pattern], axis=2)
    found = metrics.measure([target[:, ::-1] // 2], [target]).as_dict()
    expected = {
        "l1": 0.33081,
        "psnr": 7.827855,
        "ssim": 0.064444,
        "sharpness": 0.450781,
        "lab_l": 0.353125,
        "lab_a": 0.57625,
        "lab_b": 0.631875,
        "lab": 0.520417,
        "swd": 420.711974,
        "count": 1,
        "metrics_version": 1,
    }
    assert found == pytest.approx(expected, rel=1e-3)


def test_sizes_may_differ_between_pairs_but_not_within_one():
    found = metrics.measure([TRUTH[0], TRUTH[1][:30, :40]], [TRUTH[0], TRUTH[1][:30, :40]])
    assert found.count == 2
    assert found.swd == 0
    with pytest.raises(ImageError, match=r"pair 1.*\(64, 64, 3\).*\(64, 63, 3\)"):
        metrics.measure(TRUTH[:2], [TRUTH[0], TRUTH[1][:, 1:]])


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ImageError, match="2 outputs for 1"):
        metrics.measure(TRUTH[:2], TRUTH[:1])
    with pytest.raises(ImageError, match="0 outputs"):
        metrics.measure([], [])
    with pytest.raises(ImageError, match="float32"):
        metrics.measure([TRUTH[0].astype(np.float32)], TRUTH[:1])
    with pytest.raises(ImageError, match="channels"):
        metrics.measure([TRUTH[0], TRUTH[1][..., :1]], [TRUTH[0], TRUTH[1][..., :1]])


def test_grey_and_many_channels_are_measured_too():
    grey = metrics.measure([p[..., :1] for p in TRUTH], [p[..., 0:1] for p in TRUTH[::-1]])
    colour = metrics.measure([p[..., [0, 0, 0]] for p in TRUTH], [p[..., [0, 0, 0]] for p in TRUTH[::-1]])
    for name in ("l1", "psnr", "ssim", "sharpness", "lab"):
        assert getattr(grey, name) == pytest.approx(getattr(colour, name), rel=1e-3), name
    five = [np.concatenate([p, p[..., :2]], axis=2) for p in TRUTH]
    assert metrics.measure(five, five).swd == 0


def test_better_knows_the_direction_of_every_measure():
    assert metrics.better("psnr", 21, 20)
    assert not metrics.better("psnr", 20, 21)
    assert metrics.better("swd", 100, 200)
    assert metrics.better("l1", 0.1, 0.2)
    assert metrics.better("sharpness", 0.9, 0.5)
    assert metrics.better("sharpness", 1.1, 1.5)
    assert metrics.better("sharpness", 0.9, 1.9)
    assert not metrics.better("sharpness", 0.0, 0.5)
    assert not metrics.better("psnr", 20, 20)
    assert metrics.better("psnr", 20, math.nan)
    assert not metrics.better("psnr", math.nan, 20)
    with pytest.raises(UserError, match=r"'fid'.*psnr"):
        metrics.better("fid", 1, 2)


def noisy_pairs(count, seed=0):
    """Pictures of one grey each with an error whose size differs from picture to picture."""
    random = np.random.RandomState(seed)
    targets = [random.randint(60, 180, (16, 16, 3)).astype(np.uint8) for _ in range(count)]
    spread = random.randint(1, 50, count)
    outputs = [
        np.clip(t + random.normal(0, s, t.shape), 0, 255).astype(np.uint8)
        for t, s in zip(targets, spread, strict=True)
    ]
    return outputs, targets


def test_intervals_hold_the_measure_and_agree_with_theory_on_a_mean():
    found = metrics.measure(*noisy_pairs(200))
    assert set(found.intervals) == {"l1", "psnr", "ssim", "sharpness", "lab_l", "lab_a", "lab_b", "lab"}
    for name, (low, high) in found.intervals.items():
        assert low < getattr(found, name) < high, name
    for name in ("l1", "psnr", "ssim"):
        values = np.array(found.per_picture[name])
        error = 1.96 * values.std() / np.sqrt(len(values))
        low, high = found.intervals[name]
        assert low == pytest.approx(values.mean() - error, abs=0.15 * error)
        assert high == pytest.approx(values.mean() + error, abs=0.15 * error)


def test_intervals_narrow_with_more_pictures_and_repeat_exactly():
    few, many = metrics.measure(*noisy_pairs(20)), metrics.measure(*noisy_pairs(180))
    for name in few.intervals:
        width = [high - low for low, high in (few.intervals[name], many.intervals[name])]
        assert width[1] < width[0], name
    assert metrics.measure(*noisy_pairs(20)).intervals == few.intervals


def test_a_handful_of_pictures_gets_no_interval():
    assert metrics.measure(*noisy_pairs(9)).intervals == {}


def test_the_intervals_of_hues_are_as_wide_as_hues_differ_between_sets():
    """Sets of pictures, each picture with a tint of its own: how far their intersections truly spread."""
    random = np.random.RandomState(3)

    def tinted(shift):
        base = np.array([120, 120, 120]) + np.outer(random.normal(shift, 12, 40), (1, 0, -1))
        return [np.clip(random.normal(c, 6, (12, 12, 3)), 0, 255).astype(np.uint8) for c in base]

    sets = [metrics.measure(tinted(0), tinted(8)) for _ in range(40)]
    for name in ("lab_a", "lab_b"):
        spread = np.std([getattr(found, name) for found in sets])
        claimed = np.median([np.diff(found.intervals[name]) for found in sets]) / (2 * 1.96)
        assert 0.6 * spread < claimed < 1.6 * spread, name
