"""The objectives, against numbers worked out by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pix2pix.losses import (
    GAN_MODES,
    discriminator_loss,
    feature_matching,
    generator_loss,
    gradient_penalty,
    l1,
    l2,
)


def logits(*values: float) -> Tensor:
    """[1, 1, 1, n]: one logit a patch."""
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)


def gradient(tensor: Tensor) -> float:
    assert tensor.grad is not None
    return tensor.grad.item()


def log1pexp(value: float) -> float:
    return math.log1p(math.exp(value))


REAL, FAKE = logits(2.0, 0.5), logits(-1.0, 3.0)

BY_HAND = [
    # mode, D's loss, G's loss
    (
        "vanilla",
        ((log1pexp(-2) + log1pexp(-0.5)) / 2 + (log1pexp(-1) + log1pexp(3)) / 2) / 2,
        (log1pexp(1) + log1pexp(-3)) / 2,
    ),
    ("lsgan", ((1 + 0.25) / 2 + (1 + 9) / 2) / 2, (4 + 4) / 2),
    ("hinge", (0 + 0.5) / 2 + (0 + 4) / 2, -1.0),
    ("wgangp", 1.0 - 1.25, -1.0),
]


@pytest.mark.parametrize(("mode", "expected_d", "expected_g"), BY_HAND)
def test_losses_are_those_worked_out_by_hand(mode: str, expected_d: float, expected_g: float) -> None:
    assert discriminator_loss(mode, REAL, FAKE).item() == pytest.approx(expected_d)
    assert generator_loss(mode, FAKE).item() == pytest.approx(expected_g)


def test_every_mode_is_worked_out_by_hand() -> None:
    assert tuple(mode for mode, *_ in BY_HAND) == GAN_MODES


def test_vanilla_is_half_the_binary_cross_entropy() -> None:
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    both = cross_entropy(REAL, torch.ones_like(REAL)) + cross_entropy(FAKE, torch.zeros_like(FAKE))
    torch.testing.assert_close(discriminator_loss("vanilla", REAL, FAKE), both / 2)
    torch.testing.assert_close(generator_loss("vanilla", FAKE), cross_entropy(FAKE, torch.ones_like(FAKE)))


def test_an_undecided_vanilla_discriminator_loses_log_2() -> None:
    zero = logits(0.0, 0.0)
    assert discriminator_loss("vanilla", zero, zero).item() == pytest.approx(math.log(2))
    assert generator_loss("vanilla", zero).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("mode", GAN_MODES)
def test_discriminator_raises_real_logits_and_lowers_fake_ones(mode: str) -> None:
    real, fake = logits(0.3).requires_grad_(), logits(0.2).requires_grad_()
    discriminator_loss(mode, real, fake).backward()
    assert gradient(real) < 0
    assert gradient(fake) > 0


@pytest.mark.parametrize("mode", GAN_MODES)
def test_generator_raises_fake_logits(mode: str) -> None:
    fake = logits(0.2).requires_grad_()
    generator_loss(mode, fake).backward()
    assert gradient(fake) < 0


def test_hinge_discriminator_is_content_beyond_the_margin() -> None:
    real, fake = logits(1.5).requires_grad_(), logits(-1.5).requires_grad_()
    loss = discriminator_loss("hinge", real, fake)
    loss.backward()
    assert loss.item() == 0
    assert gradient(real) == 0
    assert gradient(fake) == 0


def test_vanilla_generator_learns_from_a_discriminator_that_is_sure() -> None:
    fake = logits(-30.0).requires_grad_()  # minimizing log(1 - D) would have no gradient here
    generator_loss("vanilla", fake).backward()
    assert gradient(fake) == pytest.approx(-1)


@pytest.mark.parametrize("mode", GAN_MODES)
@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_extreme_logits_stay_finite(mode: str, value: float) -> None:
    assert torch.isfinite(discriminator_loss(mode, logits(value), logits(-value)))
    assert torch.isfinite(generator_loss(mode, logits(value)))


@pytest.mark.parametrize("mode", GAN_MODES)
def test_scales_are_averaged_whatever_their_size(mode: str) -> None:
    small, large = logits(0.5), logits(-1.0, 2.0, 0.1)
    d = (discriminator_loss(mode, small, -small) + discriminator_loss(mode, large, -large)) / 2
    torch.testing.assert_close(discriminator_loss(mode, [small, large], [-small, -large]), d)
    g = (generator_loss(mode, small) + generator_loss(mode, large)) / 2
    torch.testing.assert_close(generator_loss(mode, [small, large]), g)


@pytest.mark.parametrize("mode", GAN_MODES)
def test_a_list_of_one_scale_is_that_scale(mode: str) -> None:
    torch.testing.assert_close(discriminator_loss(mode, [REAL], [FAKE]), discriminator_loss(mode, REAL, FAKE))


def test_unknown_mode_is_refused_with_the_choices() -> None:
    with pytest.raises(
        ValueError, match="gan_mode is 'relativistic'; choose one of vanilla, lsgan, hinge, wgangp"
    ):
        discriminator_loss("relativistic", REAL, FAKE)
    with pytest.raises(
        ValueError, match="gan_mode is 'relativistic'; choose one of vanilla, lsgan, hinge, wgangp"
    ):
        generator_loss("relativistic", FAKE)


def test_logits_of_different_scale_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="real logits have 2 scales, fake ones 1: take both from one D"):
        discriminator_loss("lsgan", [REAL, REAL], FAKE)


def test_an_empty_list_of_logits_is_refused() -> None:
    with pytest.raises(
        ValueError, match="logits are an empty list; pass a tensor, or a list with one tensor"
    ):
        generator_loss("lsgan", [])


# ------------------------------------------------------------------------------------------- gradient penalty


def linear_critic(norm: float, patches: int = 1) -> Callable[[Tensor, Tensor], Tensor]:
    """A critic whose mean logit has a gradient of this norm everywhere."""
    direction = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    direction *= norm / direction.norm()

    def D(x: Tensor, y: Tensor) -> Tensor:
        return (y * direction).sum((1, 2, 3)).reshape(-1, 1, 1, 1).expand(-1, 1, 1, patches)

    return D


def pictures(count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    x, real, fake = torch.rand(3, count, 3, 4, 4, dtype=torch.float64) * 2 - 1
    return x, real, fake


@pytest.mark.parametrize("patches", [1, 5])
def test_gradient_penalty_of_a_unit_gradient_is_zero(patches: int) -> None:
    penalty = gradient_penalty(linear_critic(1.0, patches), *pictures())
    assert penalty.item() == pytest.approx(0, abs=1e-20)


def test_gradient_penalty_is_the_squared_excess() -> None:
    assert gradient_penalty(linear_critic(3.0), *pictures()).item() == pytest.approx(4)
    assert gradient_penalty(linear_critic(0.25), *pictures()).item() == pytest.approx(0.5625)


def test_gradient_penalty_averages_scales_before_it_differentiates() -> None:
    one, two = linear_critic(1.0), linear_critic(1.0)
    same = gradient_penalty(lambda x, y: [one(x, y), one(x, y)], *pictures())
    assert same.item() == pytest.approx(0, abs=1e-20)
    opposed = gradient_penalty(lambda x, y: [two(x, y), -two(x, y)], *pictures())
    assert opposed.item() == pytest.approx(1)


def test_gradient_penalty_looks_between_real_and_fake() -> None:
    x, real, fake = pictures(64)
    seen = []

    def D(x: Tensor, y: Tensor) -> Tensor:
        seen.append(y)
        return y.square().sum((1, 2, 3)).reshape(-1, 1, 1, 1)

    gradient_penalty(D, x, real, fake)
    share = (seen[0] - fake) / (real - fake)
    torch.testing.assert_close(share, share[:, :1, :1, :1].expand_as(share))  # one share a pair
    assert 0 <= share.min() < 0.2
    assert 0.8 < share.max() <= 1


def test_gradient_penalty_repeats_with_its_generator() -> None:
    def D(x: Tensor, y: Tensor) -> Tensor:
        return (y**3).sum((1, 2, 3)).reshape(-1, 1, 1, 1)

    x, real, fake = pictures()
    first, again, other = (
        gradient_penalty(D, x, real, fake, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_gradient_penalty_teaches_the_critic_but_not_the_pictures() -> None:
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    unit = linear_critic(1.0)
    x, real, fake = pictures()
    fake.requires_grad_()
    gradient_penalty(lambda x, y: scale * unit(x, y), x, real, fake).backward()
    assert gradient(scale) == pytest.approx(2 * (3 - 1))
    assert fake.grad is None


def test_gradient_penalty_of_a_flat_critic_has_a_finite_gradient() -> None:
    scale = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    unit = linear_critic(1.0)
    penalty = gradient_penalty(lambda x, y: scale * unit(x, y), *pictures())
    penalty.backward()
    assert penalty.item() == 1
    assert math.isfinite(gradient(scale))


def test_gradient_penalty_refuses_pictures_of_two_shapes() -> None:
    x, real, fake = pictures()
    with pytest.raises(
        ValueError, match=r"real is \[2, 3, 4, 4\] and fake \[2, 3, 4, 2\]: they must have one shape"
    ):
        gradient_penalty(linear_critic(1.0), x, real, fake[..., :2])


# ----------------------------------------------------------------------------------- reconstruction, features


def test_l1_and_l2_are_means() -> None:
    fake, real = torch.tensor([0.0, 1.0, -1.0, 0.5]), torch.tensor([0.0, 0.0, 1.0, 0.0])
    assert l1(fake, real).item() == pytest.approx(3.5 / 4)
    assert l2(fake, real).item() == pytest.approx(5.25 / 4)


def features(*scales: tuple[float, ...]) -> list[list[Tensor]]:
    return [[torch.full((1, 2, 3, 3), value) for value in values] for values in scales]


def test_equal_features_match() -> None:
    some = features((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert feature_matching(some, some).item() == 0


def test_feature_matching_sums_blocks_averages_scales_and_leaves_logits_out() -> None:
    fake, real = features((1.0, 2.0, 99.0), (0.0, 0.5, -99.0)), features((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    assert feature_matching(fake, real).item() == pytest.approx((3.0 + 0.5) / 2)


def test_feature_matching_teaches_the_fake_side_alone() -> None:
    fake, real = features((1.0, 9.0)), features((0.0, 9.0))
    fake[0][0].requires_grad_()
    real[0][0].requires_grad_()
    feature_matching(fake, real).backward()
    assert fake[0][0].grad is not None
    assert real[0][0].grad is None


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        (features((1.0, 2.0)), features((1.0, 2.0), (1.0, 2.0))),
        (features((1.0, 2.0)), features((1.0, 2.0, 3.0))),
        (features((1.0,)), features((1.0,))),
        ([], []),
    ],
)
def test_features_that_cannot_be_matched_are_refused(
    fake: list[list[Tensor]], real: list[list[Tensor]]
) -> None:
    with pytest.raises(ValueError, match="activations a scale; take both from one D's features"):
        feature_matching(fake, real)
