"""What goes wrong in training, named in plain words and only when it is so."""

import math

import numpy as np
import pytest

from pix2pix.watchdog import SATURATED_READINGS, Watchdog, finite


def noise(seed, count=3):
    return list(np.random.default_rng(seed).integers(0, 255, (count, 8, 8, 3), dtype=np.uint8))


def readings(watchdog, loss, count, improving, start=0):
    said = [watchdog.losses(start + step, {"D": loss}, improving) for step in range(count)]
    return [text for text in said if text]


def test_a_saturated_discriminator_that_does_no_harm_is_called_harmless():
    (text,) = readings(Watchdog("vanilla"), 1e-4, 3 * SATURATED_READINGS, improving=True)
    assert "harmless" in text
    assert "1e-04" in text or "0.0001" in text


def test_a_saturated_discriminator_that_stops_progress_names_what_to_turn():
    (text,) = readings(Watchdog("vanilla"), 1e-4, SATURATED_READINGS, improving=False)
    assert "--discriminator_width" in text


def test_a_moment_near_zero_is_no_saturation():
    watchdog = Watchdog("vanilla")
    for _ in range(5):
        assert readings(watchdog, 1e-4, SATURATED_READINGS - 1, True) == []
        assert readings(watchdog, 0.5, 1, True) == []
    assert watchdog.verdicts == []


def test_a_second_saturation_is_said_again():
    watchdog = Watchdog("lsgan")
    for _ in range(2):
        assert len(readings(watchdog, 1e-4, SATURATED_READINGS, True)) == 1
        readings(watchdog, 0.5, 1, True)
    assert [entry["verdict"] for entry in watchdog.verdicts] == ["saturated discriminator"] * 2


def test_the_critic_of_wgan_has_no_zero_to_sit_at():
    assert readings(Watchdog("wgangp"), 0.0, 2 * SATURATED_READINGS, False) == []


def test_a_constant_output_is_named():
    text = str(Watchdog("vanilla").outputs(500, [np.full((8, 8, 3), 127, np.uint8)] * 3))
    assert "same flat colour (about 127 of 255)" in text


def test_outputs_that_ignore_their_inputs_are_named():
    text = str(Watchdog("vanilla").outputs(500, noise(0, 1) * 3))
    assert "ignores its input" in text


def test_pictures_that_differ_are_left_in_peace():
    watchdog = Watchdog("vanilla")
    assert watchdog.outputs(500, noise(0)) is None
    assert watchdog.outputs(500, noise(0, 1)) is None  # one pair alone has nothing to differ from
    assert watchdog.verdicts == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_losses_that_are_not_finite_are_named_with_what_is_done(value):
    watchdog = Watchdog("vanilla")
    assert not finite({"D": 1.0, "G_l1": value})
    text = watchdog.diverged(7, {"D": 1.0, "G_l1": value}, "Going back.")
    assert f"G_l1 is {value}" in text
    assert "D is" not in text
    assert watchdog.verdicts == [{"step": 7, "verdict": "not finite", "text": text.removeprefix("step 7: ")}]


@pytest.mark.parametrize("before", [SATURATED_READINGS - 1, SATURATED_READINGS + 5])
def test_a_resumed_watchdog_says_what_an_unbroken_one_says(before):
    unbroken, first, second = Watchdog("vanilla"), Watchdog("vanilla"), Watchdog("vanilla")
    readings(unbroken, 1e-4, before, True)
    readings(first, 1e-4, before, True)
    second.load_state(first.state())
    assert readings(second, 1e-4, 3, True, before) == readings(unbroken, 1e-4, 3, True, before)
    assert second.verdicts == unbroken.verdicts
    assert len(second.verdicts) == 1


def test_a_state_of_verdicts_alone_is_still_read():
    watchdog = Watchdog("vanilla")
    readings(watchdog, 1e-4, 10, True)
    watchdog.load_state({"verdicts": [{"step": 1}]})
    assert watchdog.state() == {"verdicts": [{"step": 1}], "low": 0, "said_saturated": False}
