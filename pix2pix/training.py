"""One training step of G against D, and what it needs: objective, rates, average. Knows no Accelerate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pix2pix import losses
from pix2pix.augmentation import AdaptiveAugmentation
from pix2pix.errors import ConfigError
from pix2pix.training_config import TrainingConfig

Backward = Callable[[Tensor], None]


@dataclass(frozen=True)
class Objective:
    """G* = arg min_G max_D  L_cGAN(G, D) + lambda L_L1(G)   (paper, eq. 4), with the other terms on offer."""

    gan_mode: str = "vanilla"
    gan: float = 1.0
    l1: float = 100.0
    l2: float = 0.0
    fm: float = 0.0
    gp: float = 10.0

    @classmethod
    def from_config(cls, config: TrainingConfig) -> Objective:
        return cls(
            config.gan_mode,
            config.lambda_gan,
            config.lambda_l1,
            config.lambda_l2,
            config.lambda_fm,
            config.lambda_gp,
        )

    @property
    def needs_D(self) -> bool:
        return self.gan > 0 or self.fm > 0

    def of_D(
        self, D: Any, x: Tensor, real: Tensor, fake: Tensor, observe: Callable[[Any], None] | None = None
    ) -> Tensor:
        """The loss of D on a batch of pairs; `fake` comes without G's graph.

        `observe` gets D's logits on the real ones.
        """
        real_logits = D(x, real)
        if observe is not None:
            observe(real_logits)
        loss = losses.discriminator_loss(self.gan_mode, real_logits, D(x, fake))
        if self.gan_mode == "wgangp":
            loss = loss + self.gp * losses.gradient_penalty(D, x, real, fake)
        return loss

    def of_G(self, D: Any, x: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The weighted terms of G's loss, by name; their sum is what G descends. D is not wrapped."""
        terms = {}
        if self.needs_D:
            fake_features = D.features(x, fake)
            if self.gan > 0:
                logits = [scale[-1] for scale in fake_features]
                terms["G_gan"] = self.gan * losses.generator_loss(self.gan_mode, logits)
            if self.fm > 0:
                with torch.no_grad():
                    real_features = D.features(x, real)
                terms["G_fm"] = self.fm * losses.feature_matching(fake_features, real_features)
        if self.l1 > 0:
            terms["G_l1"] = self.l1 * losses.l1(fake, real)
        if self.l2 > 0:
            terms["G_l2"] = self.l2 * losses.l2(fake, real)
        return terms


def train_step(
    G: nn.Module,
    D: nn.Module,
    batches: Sequence[tuple[Tensor, Tensor]],
    optimizer_G: torch.optim.Optimizer,
    optimizer_D: torch.optim.Optimizer,
    objective: Objective,
    backward: Backward = torch.Tensor.backward,
    plain_D: nn.Module | None = None,
    no_sync: Callable[[nn.Module], AbstractContextManager] = nullcontext,
    augmentation: AdaptiveAugmentation | None = None,
) -> dict[str, Tensor]:
    """Do one step of D, then one of G against the new D (paper, section 3.3); return the losses, 0-d tensors.

    `batches` are (x [B, C1, H, W], real [B, C2, H, W]) in [-1, 1]; the gradients of several are added, D's
    of all of them before G's, so that they count as one large batch. In a distributed run, `plain_D` is D
    without its wrapper: in G's pass D only passes gradients on, and there is nothing of it to synchronize;
    `no_sync` keeps a network's gradients at home until the last batch. `augmentation` stands between the
    pairs and D, and observes; the caller lets it adapt after the step.
    """
    plain_D = D if plain_D is None else plain_D
    losses_by_name: dict[str, Tensor] = {}

    def descend(terms: dict[str, Tensor]) -> None:
        backward(torch.stack(list(terms.values())).sum() / len(batches))
        for name, term in terms.items():
            losses_by_name[name] = losses_by_name.get(name, 0) + term.detach() / len(batches)

    def judge(network: nn.Module, number: int, turn: int) -> Any:
        return network if augmentation is None else augmentation.judge(network, number, turn)

    observe = None if augmentation is None else augmentation.observe

    def syncing(network: nn.Module, number: int) -> AbstractContextManager:
        return nullcontext() if number == len(batches) - 1 else no_sync(network)

    # One batch is drawn once for both passes; the graphs of several would not fit into memory together.
    drawn = G(batches[0][0]) if len(batches) == 1 else None
    if objective.needs_D:
        for number, (x, real) in enumerate(batches):
            with torch.no_grad():
                fake = G(x) if drawn is None else drawn.detach()
            with syncing(D, number):
                descend({"D": objective.of_D(judge(D, number, 0), x, real, fake, observe)})
        optimizer_D.step()
        optimizer_D.zero_grad()
    plain_D.requires_grad_(False)  # G's pass must leave no gradients in D
    for number, (x, real) in enumerate(batches):
        with syncing(G, number):
            fake = G(x) if drawn is None else drawn
            descend(objective.of_G(judge(plain_D, number, 1), x, real, fake))
    optimizer_G.step()
    optimizer_G.zero_grad()
    plain_D.requires_grad_(True)
    return losses_by_name


def require_side(network: nn.Module, resolution: int) -> None:
    """Raise ConfigError if G or D cannot take square pictures of `resolution` pixels a side."""
    multiple, smallest = getattr(network, "multiple", 1), getattr(network, "smallest", 1)
    if resolution % multiple or resolution < smallest:
        raise ConfigError(
            f"--resolution {resolution} does not suit {type(network).__name__}: it must be a multiple of "
            f"{multiple} and at least {smallest}. Change it, or the network (--generator, --depth, "
            "--discriminator_layers)."
        )


def compiler(config: TrainingConfig) -> Callable[[nn.Module], nn.Module]:
    """What --compile makes of a network; without it, the network itself."""
    if not config.compile:
        return lambda network: network
    mode = None if config.compile_mode == "default" else config.compile_mode
    return lambda network: torch.compile(network, mode=mode)  # type: ignore[return-value]


def adam(module: nn.Module, config: TrainingConfig) -> torch.optim.Adam:
    """Adam with the paper's momenta (section 3.3), in its fused form where every parameter allows it."""
    device = next(module.parameters()).device.type
    return torch.optim.Adam(
        module.parameters(),
        lr=config.resolved_learning_rate,
        betas=(config.adam_beta1, 0.999),
        fused=device in ("cpu", "cuda"),
    )


def rate_factor(kind: str, step: int, total: int) -> float:
    """What the learning rate is multiplied with at a step (0-based) of `total`: a pure function.

    linear keeps the rate for the first half and takes it down to 0 over the second (the original code).
    """
    if kind == "constant":
        return 1.0
    if kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / total))
    return min(1.0, 2.0 * (total - step) / total)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def moving_average(G: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of G that `update_parameters(G)` moves towards G by 1 - decay.

    The decay grows with the number of updates, so that the first, bad weights are soon forgotten.
    """

    @torch.no_grad()
    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        ramped = min(decay, (1 + int(updates)) / (10 + int(updates)))
        floats = [i for i, tensor in enumerate(averaged) if tensor.is_floating_point()]
        if floats:  # AveragedModel gives each data type by itself
            torch._foreach_lerp_([averaged[i] for i in floats], [current[i] for i in floats], 1 - ramped)
        for i, tensor in enumerate(averaged):
            if not tensor.is_floating_point():  # batch norm's counter
                tensor.copy_(current[i])

    return AveragedModel(G, multi_avg_fn=average, use_buffers=True)
