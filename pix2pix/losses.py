"""The objectives: the paper's equations, and their later relatives, as pure functions of logits and pictures.

A discriminator gives one tensor of logits [B, 1, h, w], or a list, one a scale; losses average over scales.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

GAN_MODES = ("vanilla", "lsgan", "hinge", "wgangp")

Logits = Tensor | Sequence[Tensor]


def discriminator_loss(mode: str, real_logits: Logits, fake_logits: Logits) -> Tensor:
    """What D minimizes, given its logits on real and on (detached) fake pairs: a scalar.

    vanilla and lsgan are halved: "we divide the objective by 2 while optimizing D" (section 3.3), and so does
    Mao's own equation. hinge and wgangp are published undivided, and wgangp's penalty is weighed against the
    undivided sum, so they stay so.
    """
    real_scales, fake_scales = _scales(real_logits), _scales(fake_logits)
    if len(real_scales) != len(fake_scales):
        raise ValueError(
            f"real logits have {len(real_scales)} scales, fake ones {len(fake_scales)}: take both from one D"
        )
    return _mean([_discriminator_loss(mode, r, f) for r, f in zip(real_scales, fake_scales, strict=True)])


def generator_loss(mode: str, fake_logits: Logits) -> Tensor:
    """What G minimizes, given D's logits on fake pairs: a scalar, to which the caller adds reconstruction."""
    return _mean([_generator_loss(mode, fake) for fake in _scales(fake_logits)])


def _discriminator_loss(mode: str, real: Tensor, fake: Tensor) -> Tensor:
    if mode == "vanilla":  # eq. 1, negated: -log D(x, y) - log(1 - D(x, G(x))), halved
        return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2
    if mode == "lsgan":  # Mao et al. 2017, eq. 2 with a=0, b=1
        return ((real - 1).square().mean() + fake.square().mean()) / 2
    if mode == "hinge":  # Lim and Ye 2017; Miyato et al. 2018, eq. 16
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    if mode == "wgangp":  # Gulrajani et al. 2017, eq. 3, without its penalty
        return fake.mean() - real.mean()
    raise ValueError(_unknown(mode))


def _generator_loss(mode: str, fake: Tensor) -> Tensor:
    if mode == "vanilla":  # section 3.3: maximize log D(x, G(x)) rather than minimize log(1 - D(x, G(x)))
        return F.softplus(-fake).mean()
    if mode == "lsgan":  # Mao et al. 2017, eq. 2 with c=1; undivided, as lambda L1 is weighed against it
        return (fake - 1).square().mean()
    if mode in ("hinge", "wgangp"):  # Miyato et al. 2018, eq. 17; Gulrajani et al. 2017
        return -fake.mean()
    raise ValueError(_unknown(mode))


def gradient_penalty(
    D: Callable[[Tensor, Tensor], Logits],
    x: Tensor,
    real: Tensor,
    fake: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """(|gradient of the critic| - 1)^2 between real and fake: a scalar (Gulrajani et al. 2017, eq. 3).

    x, real, fake: [B, C, H, W] in [-1, 1]. The critic is the mean of a pair's logits over patches and scales,
    as the wgangp losses compare it; it is penalized pair by pair, so D must not have batch norm (section 4).
    lambda is the caller's.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real is {list(real.shape)} and fake {list(fake.shape)}: they must have one shape")
    device = real.device if generator is None else generator.device
    share = torch.rand(len(real), 1, 1, 1, generator=generator, device=device).to(real)
    between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
    critic = _mean([logits.flatten(1).mean(1) for logits in _scales(D(x, between))])  # [B]
    (gradient,) = torch.autograd.grad(critic.sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference, a scalar (eq. 3)."""
    return F.l1_loss(fake, real)


def l2(fake: Tensor, real: Tensor) -> Tensor:
    """Mean squared difference, a scalar: what section 3.1 sets L1 against."""
    return F.mse_loss(fake, real)


def feature_matching(
    fake_features: Sequence[Sequence[Tensor]], real_features: Sequence[Sequence[Tensor]]
) -> Tensor:
    """How far D's activations on fake pairs are from those on real ones: a scalar (Wang et al. 2018, eq. 4).

    Each argument holds a list a scale, one activation a block, the logits last and left out. Mean differences
    are summed over blocks and averaged over scales. Nothing flows back through the real side.
    """
    counts = (
        [len(activations) for activations in fake_features],
        [len(activations) for activations in real_features],
    )
    if counts[0] != counts[1] or not counts[0] or min(counts[0]) < 2:
        raise ValueError(
            f"fake and real features count {counts[0]} and {counts[1]} activations a scale; take both from "
            "one D's features(), which gives at least one before the logits"
        )
    scales = []
    for fakes, reals in zip(fake_features, real_features, strict=True):
        terms = [F.l1_loss(f, r.detach()) for f, r in zip(fakes[:-1], reals[:-1], strict=True)]
        scales.append(torch.stack(terms).sum())
    return _mean(scales)


def _scales(logits: Logits) -> list[Tensor]:
    scales = [logits] if isinstance(logits, Tensor) else list(logits)
    if not scales:
        raise ValueError("logits are an empty list; pass a tensor, or a list with one tensor a scale")
    return scales


def _mean(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean(0)


def _unknown(mode: str) -> str:
    return f"gan_mode is {mode!r}; choose one of {', '.join(GAN_MODES)}"
