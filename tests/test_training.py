"""One step of G against D: who moves, who does not, and that it learns."""

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from pix2pix import losses, training
from pix2pix.errors import ConfigError
from pix2pix.networks import build_discriminator, build_generator, initialize
from pix2pix.toy import draw_pair
from pix2pix.training import (
    Objective,
    adam,
    compiler,
    moving_average,
    rate_factor,
    require_side,
    train_step,
)
from pix2pix.training_config import TrainingConfig


def small_networks(discriminator="patch", width=8, depth=5):
    torch.manual_seed(0)
    G = build_generator(
        "unet_256", in_channels=3, out_channels=3, width=width, norm="instance", dropout=0.0, depth=depth
    )
    D = build_discriminator(discriminator, in_channels=6, width=8, layers=1, norm="instance")
    initialize(G)
    initialize(D)
    return G, D


def town_pair(size=32):
    sides = draw_pair("map", 0, size)
    arrays = [torch.frombuffer(bytearray(side.tobytes()), dtype=torch.uint8) for side in sides]
    return [a.view(size, size, 3).permute(2, 0, 1)[None].float() / 127.5 - 1 for a in arrays]


def step(G, D, objective):
    x, y = town_pair()
    optimizer_G, optimizer_D = adam(G, TrainingConfig()), adam(D, TrainingConfig())
    return train_step(G, D, [(x, y)], optimizer_G, optimizer_D, objective)


def weights(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def moved(before, module):
    return any(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_one_pair_can_be_memorised():
    G, D = small_networks(width=16)
    config = TrainingConfig(learning_rate=2e-3)
    optimizers = adam(G, config), adam(D, config)
    x, y = town_pair()
    for number in range(300):
        for optimizer in optimizers:
            training.set_rate(optimizer, 2e-3 * rate_factor("linear", number, 300))
        train_step(G, D, [(x, y)], *optimizers, Objective())
    with torch.no_grad():
        error = ((G.eval()(x) - y) / 2).square().mean()
    assert -10 * torch.log10(error) > 30  # dB


def test_a_step_moves_both_networks():
    G, D = small_networks()
    before = weights(G), weights(D)
    reported = step(G, D, Objective())
    assert moved(before[0], G)
    assert moved(before[1], D)
    assert set(reported) == {"D", "G_gan", "G_l1"}


def test_the_pass_of_G_leaves_no_gradient_in_D():
    G, D = small_networks()
    step(G, D, Objective())
    assert all(parameter.grad is None for parameter in D.parameters())
    assert all(parameter.requires_grad for parameter in D.parameters())


def test_D_moves_by_its_own_loss_alone():
    G, D = small_networks()
    other_G, other_D = small_networks()
    x, y = town_pair()
    step(G, D, Objective())
    optimizer = adam(other_D, TrainingConfig())
    losses.discriminator_loss("vanilla", other_D(x, y), other_D(x, other_G(x).detach())).backward()
    optimizer.step()
    assert not moved(weights(D), other_D)


def test_without_an_adversarial_term_D_is_left_alone():
    G, D = small_networks()
    before = weights(D)
    reported = step(G, D, Objective(gan=0.0, l1=0.0, l2=1.0))
    assert not moved(before, D)
    assert set(reported) == {"G_l2"}


@pytest.mark.parametrize(
    ("mode", "discriminator"),
    list(itertools.product(losses.GAN_MODES, ["patch", "pixel", "article", "multiscale"])),
)
def test_every_objective_trains_against_every_discriminator(mode, discriminator):
    G, D = small_networks(discriminator)
    reported = step(G, D, Objective(gan_mode=mode, l2=1.0, fm=10.0))
    assert set(reported) == {"D", "G_gan", "G_fm", "G_l1", "G_l2"}
    assert all(torch.isfinite(loss) for loss in reported.values())


def test_the_weights_of_the_terms_count():
    G, D = small_networks()
    other_G, other_D = small_networks()
    once = step(other_G, other_D, Objective(l1=1.0))
    hundredfold = step(G, D, Objective(l1=100.0))
    assert hundredfold["G_l1"] == pytest.approx(100 * float(once["G_l1"]), rel=1e-5)


def test_the_linear_rate_stays_for_half_the_steps_and_ends_at_zero():
    rates = [rate_factor("linear", number, 100) for number in (0, 49, 50, 75, 99, 100)]
    assert rates == pytest.approx([1, 1, 1, 0.5, 0.02, 0])


def test_the_cosine_rate_falls_from_one_to_zero():
    assert [rate_factor("cosine", number, 100) for number in (0, 50, 100)] == pytest.approx([1, 0.5, 0])
    assert rate_factor("constant", 99, 100) == 1


def test_the_moving_average_soon_forgets_the_first_weights():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average = moving_average(network, decay=0.999)
    average.update_parameters(network)
    nn.init.constant_(network.weight, 1.0)
    for _ in range(40):
        average.update_parameters(network)
    # A plain decay of 0.999 would still be at 0.04 here.
    assert float(next(average.module.parameters()).detach()) > 0.9


def test_the_moving_average_of_a_batch_norm_averages_its_statistics_and_copies_its_counter():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    average = moving_average(network, decay=0.9)
    for _ in range(3):
        network(torch.randn(4, 1, 8, 8))
        average.update_parameters(network)
    averaged, norm = average.module.get_submodule("1"), network.get_submodule("1")
    assert int(averaged.get_buffer("num_batches_tracked")) == 3
    assert not torch.equal(averaged.get_buffer("running_mean"), norm.get_buffer("running_mean"))


def test_the_moving_average_lags_behind_the_weights():
    network = nn.Linear(1, 1, bias=False)
    average = moving_average(network, decay=0.9)
    for number in range(200):
        nn.init.constant_(network.weight, float(number))
        average.update_parameters(network)
    assert float(next(average.module.parameters()).detach()) == pytest.approx(
        199 - 9, abs=0.5
    )  # lag decay / (1 - decay)


def test_a_resolution_that_the_networks_cannot_take_is_refused():
    G, _ = small_networks()
    require_side(G, 64)
    with pytest.raises(ConfigError, match="--resolution 40"):
        require_side(G, 40)
    with pytest.raises(ConfigError, match="--discriminator_layers"):
        require_side(build_discriminator("patch", in_channels=6, width=8, layers=6, norm="none"), 64)


def test_the_objective_takes_every_weight_of_the_configuration():
    weights: dict[str, Any] = {
        "lambda_gan": 2.0,
        "lambda_l1": 3.0,
        "lambda_l2": 4.0,
        "lambda_fm": 5.0,
        "lambda_gp": 6.0,
    }
    objective = Objective.from_config(TrainingConfig(gan_mode="hinge", **weights))
    assert objective == Objective("hinge", 2, 3, 4, 5, 6)


def test_several_batches_count_as_one_large_one():
    (x, y), (u, v) = town_pair(), [-side for side in town_pair()]
    town = [(x, y), (u, v)]
    together = [(torch.cat((x, u)), torch.cat((y, v)))]
    ends = []
    for batches in (town, together):
        G, D = small_networks()
        optimizers = (torch.optim.SGD(G.parameters(), 1e-3), torch.optim.SGD(D.parameters(), 1.0))
        losses_read = train_step(G, D, batches, *optimizers, Objective())
        ends.append((weights(G) + weights(D), losses_read))
    for a, b in zip(ends[0][0], ends[1][0], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert float(ends[0][1]["G_gan"]) == pytest.approx(float(ends[1][1]["G_gan"]), rel=1e-4)


def test_G_descends_against_the_discriminator_that_has_just_moved():
    G, D = small_networks()
    other_G, other_D = small_networks()
    x, y = town_pair()
    optimizers = torch.optim.SGD(G.parameters(), 0.0), torch.optim.SGD(D.parameters(), 5.0)
    reported = train_step(G, D, [(x, y)], *optimizers, Objective())
    old = losses.generator_loss("vanilla", other_D(x, other_G(x)))
    new = losses.generator_loss("vanilla", D(x, G(x)))
    assert float(reported["G_gan"]) == pytest.approx(float(new.detach()), rel=1e-5)
    assert float(reported["G_gan"]) != pytest.approx(float(old.detach()), rel=1e-3)


def test_compiling_is_asked_for_and_keeps_the_network():
    network = nn.Linear(1, 1)
    assert compiler(TrainingConfig())(network) is network
    compiled = compiler(TrainingConfig(compile=True, compile_mode="reduce-overhead"))(network)
    assert isinstance(compiled, torch._dynamo.OptimizedModule)
    assert compiled._orig_mod is network
    with pytest.raises(ConfigError, match="--compile_mode"):
        TrainingConfig(compile_mode="fast")  # type: ignore[arg-type]


def test_D_s_real_logits_can_be_observed():
    _, D = small_networks()
    x, y = town_pair()
    seen: list[torch.Tensor] = []
    with torch.no_grad():
        Objective().of_D(D, x, y, -y, seen.append)
        assert torch.equal(seen[0], D(x, y))
