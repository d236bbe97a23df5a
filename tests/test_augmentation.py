"""What D sees with few pairs: changed alike, as often as D's certainty asks for, the same on every run."""

import numpy as np
import pytest
import torch
from forked_runs import ForkServer
from tiny_runs import TINY, same, write_pairs

from pix2pix.augmentation import MOST, AdaptiveAugmentation, Change, draw_change, light, move
from pix2pix.checkpoints import list_checkpoints, load_checkpoint
from pix2pix.errors import ConfigError
from pix2pix.networks import build_discriminator, build_generator
from pix2pix.training import Objective, adam, train_step
from pix2pix.training_config import TrainingConfig


def augmentation(p=0.0, colors=("rgb", "rgb"), pairs_per_step=4, rank=0, **flags):
    made = AdaptiveAugmentation(TrainingConfig(augment="small-data", **flags), colors, pairs_per_step, rank)
    made.p = torch.tensor(float(p))
    return made


def pictures(channels=3, count=8, height=16, width=16, seed=0):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def seen(made, x, y, batch=0, turn=0):
    """What D would be given."""
    return made.judge(lambda *pair: pair, batch, turn)(x, y)


def plain_change(count, turn=0.0, mirror=1.0, shift=(0.0, 0.0), zoom=1.0):
    cos, sin = np.cos(turn) / zoom, np.sin(turn) / zoom
    affine = torch.tensor([[mirror * cos, -mirror * sin, shift[0]], [sin, cos, shift[1]]])
    ones = torch.ones(count)
    return Change(affine.float().expand(count, 2, 3), ones.bool(), 0 * ones, ones, ones)


def test_with_probability_zero_nothing_changes_at_all():
    x, y = pictures(seed=1), pictures(seed=2)
    a, b = seen(augmentation(0), x, y)
    assert torch.equal(a, x)
    assert torch.equal(b, y)


def test_the_two_sides_of_a_pair_are_changed_alike():
    x = pictures()
    a, b = seen(augmentation(0.8), x, x.clone())
    assert torch.equal(a, b)
    assert not torch.equal(a, x)


def test_real_and_drawn_pairs_of_a_step_are_changed_alike_and_those_of_the_next_otherwise():
    made, x = augmentation(0.8), pictures()
    judge = made.judge(lambda *pair: pair, 0, 0)
    assert torch.equal(judge(x, x)[1], judge(x, x)[1])
    before = seen(made, x, x)[0]
    assert not torch.equal(before, seen(made, x, x, batch=1)[0])
    assert not torch.equal(before, seen(made, x, x, turn=1)[0])
    made.adapt()
    assert not torch.equal(before, seen(made, x, x)[0])


def test_changes_depend_on_seed_step_and_process_alone():
    x = pictures()
    torch.manual_seed(1)
    once = seen(augmentation(0.8, seed=3), x, x)[0]
    state = torch.get_rng_state()
    again = seen(augmentation(0.8, seed=3), x, x)[0]
    assert torch.equal(once, again)
    assert torch.equal(state, torch.get_rng_state())  # dropout draws what it would have drawn
    assert not torch.equal(once, seen(augmentation(0.8, seed=4), x, x)[0])
    assert not torch.equal(once, seen(augmentation(0.8, seed=3, rank=1), x, x)[0])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (plain_change(8, mirror=-1.0), lambda x: x.flip(3)),
        (plain_change(8, turn=np.pi / 2), lambda x: x.rot90(1, (2, 3))),
        (plain_change(8, turn=np.pi), lambda x: x.flip(2, 3)),
        (plain_change(8, shift=(4 / 16, 0)), lambda x: torch.cat((x[..., 2:], x[..., -2:].flip(3)), 3)),
    ],
)
def test_mirror_turns_and_shifts_move_whole_pixels_and_reflect_at_the_edge(change, expected):
    x = pictures()
    torch.testing.assert_close(move(change, x), expected(x), rtol=0, atol=1e-5)


def test_zoom_keeps_the_middle():
    x = torch.zeros(1, 1, 16, 16)
    x[..., 6:10, 6:10] = 1.0
    assert float(move(plain_change(1, zoom=2.0), x).mean()) == pytest.approx(4 * float(x.mean()), rel=0.05)


def test_each_kind_happens_as_often_as_it_should():
    drawn = draw_change(np.random.default_rng(0), torch.tensor(0.5), 4000, (64, 64))
    for value, none in ((drawn.brightness, 0), (drawn.contrast, 1), (drawn.saturation, 1)):
        assert float((value != none).float().mean()) == pytest.approx(0.5, abs=0.04)
    # A mirror is none half of the time, a turn a quarter of it.
    still = (1 - 0.25) * (1 - 0.5 * 0.75) * (1 - 0.5) * (1 - 0.5)
    assert float(drawn.moves.float().mean()) == pytest.approx(1 - still, abs=0.04)
    pixels = drawn.affine[:, :, 2] * 32
    assert float(pixels.abs().max()) == pytest.approx(8)
    torch.testing.assert_close(pixels, pixels.round())


def test_oblong_pictures_turn_without_being_stretched():
    x = torch.zeros(64, 1, 32, 64)
    x[..., 12:20, 28:36] = 1.0  # a square in the middle
    x[..., 12:16, 28:36] = 0.5
    change = draw_change(np.random.default_rng(1), torch.tensor(1.0), 64, (32, 64))
    turned = change.affine / change.affine[:, :, :2].det().abs().sqrt()[:, None, None]  # not zoomed
    turned[:, :, 2] = 0  # nor shifted
    square = move(change._replace(affine=turned), x)[:, 0, 12:20, 28:36]
    corners = square[:, [1, 1, -2, -2], [1, -2, 1, -2]].mul(2).round() / 2
    assert {tuple(four.tolist()) for four in corners} == {
        (0.5, 0.5, 1, 1), (1, 1, 0.5, 0.5), (0.5, 1, 0.5, 1), (1, 0.5, 1, 0.5)
    }  # fmt: skip


def test_light_is_changed_in_brightness_contrast_and_saturation():
    x, ones = pictures(count=1), torch.ones(1)
    change = plain_change(1)
    brighter = light(change._replace(brightness=0.1 * ones, contrast=2 * ones), x)
    torch.testing.assert_close(brighter, (x + 0.1) * 2)
    grey = light(change._replace(saturation=0 * ones), x)
    torch.testing.assert_close(grey, x.mean(1, keepdim=True).expand_as(x))
    one_channel = light(change._replace(saturation=0 * ones), x[:, :1])
    assert torch.equal(one_channel, x[:, :1])


@pytest.mark.parametrize(
    ("colors", "channels", "lit"),
    [
        (("rgb", "rgb"), (3, 3), (True, True)),
        (("grey", "rgb"), (1, 3), (True, True)),
        (("raw", "rgb"), (5, 3), (False, True)),
        (("l", "ab"), (1, 2), (False, False)),
        (("rgb", "raw"), (3, 3), (False, False)),
    ],
)
def test_only_pairs_that_end_in_colour_change_their_light(colors, channels, lit):
    x, y = (pictures(count).clamp(-0.5, 0.5) for count in channels)
    a, b = seen(augmentation(0.8, colors), x, y)
    assert (a.shape, b.shape) == (x.shape, y.shape)
    assert (bool(a.abs().max() > 0.51), bool(b.abs().max() > 0.51)) == lit


def test_gradients_reach_what_G_drew():
    made, x = augmentation(0.8), pictures()
    y = pictures(seed=1).requires_grad_()
    seen(made, x, y)[1].square().sum().backward()
    assert y.grad is not None
    assert bool((y.grad.abs().sum((1, 2, 3)) > 0).all())


def test_half_precision_moves_as_many_pixels():
    made = augmentation(0.8, ("l", "ab"))
    x = pictures(1, height=128, width=128)
    exact = seen(made, x, x)[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = seen(made, x, x.bfloat16())
    assert half[0].dtype == torch.float32
    assert torch.equal(half[0], exact)
    assert half[1].dtype == torch.bfloat16
    torch.testing.assert_close(half[1].float(), exact, rtol=0, atol=0.01)


def steps(made, logits, count):
    for _ in range(count):
        made.observe(logits)
        made.adapt()
    return float(made.p)


def test_a_sure_D_raises_p_and_an_unsure_one_lowers_it():
    made = augmentation(ada_images=100)
    sure = torch.ones(4, 1, 3, 3)
    assert steps(made, sure, 3) == 0  # every fourth step
    assert steps(made, sure, 1) == pytest.approx(4 * 4 / 100)
    assert steps(made, sure, 100) == pytest.approx(MOST)
    assert steps(made, -sure, 4) == pytest.approx(MOST - 0.16)
    assert steps(made, torch.zeros(4, 1, 3, 3), 100) == 0


def test_the_target_is_the_mean_sign():
    half = torch.ones(1, 1, 10, 10)
    half[..., :2] = -1  # mean sign 0.6
    assert steps(augmentation(ada_target=0.5), half, 4) > 0
    assert steps(augmentation(p=0.1, ada_target=0.7), half, 4) < 0.1


def test_half_sure_of_a_least_squares_D_is_a_half():
    logits = torch.full((1, 1, 2, 2), 0.4)
    assert steps(augmentation(), logits, 4) > 0
    assert steps(augmentation(gan_mode="lsgan"), logits, 4) == 0


def test_several_scales_and_lost_numbers_do_not_break_it():
    made = augmentation(ada_images=100)
    assert steps(made, [torch.ones(1, 1, 4, 4), torch.ones(1, 1, 2, 2)], 4) > 0
    assert steps(made, torch.full((1, 1, 2, 2), torch.nan), 4) == 0


def test_processes_share_one_probability():
    made = augmentation(ada_images=100)
    for _ in range(4):
        made.observe(torch.ones(1, 1, 2, 2))
        made.adapt(lambda value: value - 1)  # the others are not sure at all
    assert float(made.p) == 0


def test_a_step_of_training_sees_changed_pairs_and_counts_them():
    x, y = pictures(height=32, width=32, count=2), pictures(height=32, width=32, count=2, seed=1)
    losses = []
    for made in (None, augmentation(0.0), augmentation(0.8)):
        torch.manual_seed(0)
        G = build_generator(
            "unet_256", in_channels=3, out_channels=3, width=4, norm="instance", dropout=0.0, depth=4
        )
        D = build_discriminator("multiscale", in_channels=6, width=4, layers=1, norm="instance")
        optimizers = adam(G, TrainingConfig()), adam(D, TrainingConfig())
        losses.append(train_step(G, D, [(x, y)], *optimizers, Objective(fm=1.0), augmentation=made))
        assert made is None or made.seen == 1
    assert losses[0] == losses[1]
    assert losses[0]["D"] != losses[2]["D"]
    assert losses[0]["G_l1"] == losses[2]["G_l1"]  # G itself never sees a changed picture


@pytest.mark.parametrize(
    ("flags", "target"),
    [
        ({}, 0),
        ({"augment": "small-data"}, 0.6),
        ({"augment": "small-data", "ada_target": 0.0}, 0),
        ({"ada_target": 0.7}, 0.7),
        ({"augment": "small-data", "gan_mode": "wgangp"}, 0),
        ({"augment": "small-data", "lambda_gan": 0.0}, 0),
    ],
)
def test_it_is_on_for_small_data_and_where_it_is_asked_for(flags, target):
    config = TrainingConfig(**flags)
    assert config.resolved_ada_target == target
    made = AdaptiveAugmentation.from_config(config, ("rgb", "rgb"), 1)
    assert (made is not None) == (target > 0)


@pytest.mark.parametrize(
    "flags", [{"gan_mode": "wgangp", "ada_target": 0.6}, {"lambda_gan": 0.0, "ada_target": 0.6}]
)
def test_a_critic_without_a_sign_is_refused(flags):
    with pytest.raises(ConfigError, match=r"--ada_target 0\.6"):
        TrainingConfig(**flags)


# ------------------------------------------------------------------------------------ in the script


@pytest.fixture(scope="module")
def server():
    with ForkServer() as server:
        yield server


def test_a_run_resumed_in_the_middle_is_the_same_to_the_bit(server, tmp_path):
    pairs = write_pairs(tmp_path / "pairs")

    def run(name, *more):
        arguments = [
            *TINY, "--train_data_dir", pairs, "--output_dir", tmp_path / name, "--augment", "small-data",
            "--ada_images", 16, "--ada_target", 0.01, "--learning_rate", 0.01, "--train_batch_size", 2,
            "--checkpointing_steps", 7, "--max_train_steps", 14, "--lr_scheduler", "constant", *more,
        ]  # fmt: skip
        started = server.start(arguments, tmp_path / f"{name}.log")
        assert started.wait() == 0, started.said()
        return load_checkpoint(list_checkpoints(tmp_path / name / "checkpoints")[0])

    whole = run("whole")
    run("parts", "--max_train_steps", 7)  # between two adjustments
    parts = run("parts", "--resume_from_checkpoint", "latest")
    assert same(whole["G"], parts["G"])
    assert same(whole["D"], parts["D"])
    assert whole["augmentation"] == parts["augmentation"]
    assert whole["augmentation"]["step"] == 14
    assert whole["augmentation"]["p"] > 0
    without = run("without", "--ada_target", 0)
    assert not same(whole["D"], without["D"])
    assert "augmentation" not in without
