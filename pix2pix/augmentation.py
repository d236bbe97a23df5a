"""Adaptive augmentation of what D sees, for few pairs (Karras et al. 2020, "Training GANs with limited
data").

    judge = augmentation.judge(D, batch=0, turn=0)      # sees every pair, real or drawn, changed in one way
    loss = objective.of_D(judge, x, real, fake, augmentation.observe)
    augmentation.adapt()                                # after the step: more where D overfits, else less

G never sees a changed picture, so with a moderate probability p the changes do not leak into what it draws
(section 2.2). Input and output of a pair are changed alike: D judges pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pix2pix.losses import Logits
from pix2pix.training_config import TrainingConfig

INTERVAL = 4
"""Steps between two adjustments of p (section 3)."""
MOST = 0.8
"""The largest p: below it the changes were seen not to leak (section 2.2)."""
SHIFT = 0.125
"""Largest translation, as a share of the side (appendix B)."""
ZOOM, BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.2, 0.5, 1.0
"""Standard deviations (appendix B): of brightness as added to [-1, 1], of the others in powers of two."""
BOUNDARIES = {"vanilla": 0.0, "hinge": 0.0, "lsgan": 0.5}
"""The logit at which D cannot tell real from drawn. A critic (wgangp) has none."""
GEOMETRY_GATES, LIGHT_GATES = 4, 3
STREAM = 0xADA
"""Keeps these random numbers apart from those that choose views, which have the same seed."""


class Change(NamedTuple):
    """What is done to the pairs of a batch, one row or value a pair."""

    affine: Tensor
    """[B, 2, 3]: where an output pixel comes from, in the coordinates of grid_sample."""
    moves: Tensor
    """[B] bool: whether that is elsewhere. A pair that does not move keeps its bits."""
    brightness: Tensor
    """[B], added to values in [-1, 1]."""
    contrast: Tensor
    """[B], a factor about mid grey."""
    saturation: Tensor
    """[B], a factor of the distance from grey."""


def draw_change(rng: np.random.Generator, p: Tensor, count: int, size: tuple[int, int]) -> Change:
    """Draw the changes of `count` pairs of (height, width) `size`; each kind happens with probability p.

    p is a 0-d tensor in [0, 1] and stays on its device: nothing waits for it. Mirror, quarter turns, whole
    pixels, zoom and light are those of appendix B. Free rotation and stretching are left out: they
    interpolate nearly every picture, and D would no longer see how sharp G draws.
    """
    gates = rng.random((count, GEOMETRY_GATES + LIGHT_GATES))
    uniform, normal = rng.random((count, 4)), rng.standard_normal((count, 4))
    height, width = size
    factors = np.exp2(normal * (ZOOM, CONTRAST, SATURATION, 0))[:, :3]
    rows = np.column_stack(
        (
            gates,
            np.where(uniform[:, 0] < 0.5, -1, 1),  # mirrored
            np.floor(uniform[:, 1] * 4) * math.pi / 2,  # turned
            np.rint((2 * uniform[:, 2] - 1) * SHIFT * width) * 2 / width,  # whole pixels, of a side of 2
            np.rint((2 * uniform[:, 3] - 1) * SHIFT * height) * 2 / height,
            factors,
            normal[:, 3] * BRIGHTNESS,
        )
    )
    drawn = torch.from_numpy(rows.astype(np.float32)).to(p.device, non_blocking=True)
    on = drawn[:, : gates.shape[1]] < p
    mirror, turn, right, down, zoom, contrast, saturation, light = drawn[:, gates.shape[1] :].unbind(1)
    one, zero = torch.ones_like(mirror), torch.zeros_like(mirror)
    mirror, turn = torch.where(on[:, 0], mirror, one), torch.where(on[:, 1], turn, zero)
    right, down = torch.where(on[:, 2], right, zero), torch.where(on[:, 2], down, zero)
    zoom = torch.where(on[:, 3], zoom, one)
    return Change(
        _affine(mirror, turn, right, down, zoom, height / width),
        (mirror != 1) | (turn != 0) | (right != 0) | (down != 0) | (zoom != 1),
        torch.where(on[:, 4], light, zero),
        torch.where(on[:, 5], contrast, one),
        torch.where(on[:, 6], saturation, one),
    )


def _affine(mirror: Tensor, turn: Tensor, right: Tensor, down: Tensor, zoom: Tensor, aspect: float) -> Tensor:
    """[B] each -> [B, 2, 3]; `aspect` is height over width."""
    cos, sin = torch.cos(turn) / zoom, torch.sin(turn) / zoom
    rows = (
        torch.stack((mirror * cos, -mirror * sin * aspect, right), 1),
        torch.stack((sin / aspect, cos, down), 1),
    )
    return torch.stack(rows, 1)


def move(change: Change, pictures: Tensor) -> Tensor:
    """Mirror, turn, shift and zoom pictures [B, C, H, W]; beyond the edge is their reflection."""
    wide = pictures.float()
    with torch.autocast(pictures.device.type, enabled=False):  # half precision would miss pixels
        grid = F.affine_grid(change.affine, list(pictures.shape), align_corners=False)
        moved = F.grid_sample(wide, grid, padding_mode="reflection", align_corners=False)
    return torch.where(change.moves[:, None, None, None], moved, wide).to(pictures.dtype)


def light(change: Change, pictures: Tensor) -> Tensor:
    """Change brightness, contrast and, of three channels, saturation of pictures [B, 1 or 3, H, W].

    Values may leave [-1, 1] and are not clipped: that would hide what G has drawn there.
    """
    brightness, contrast, saturation = (value[:, None, None, None].to(pictures) for value in change[2:])
    lit = (pictures + brightness) * contrast
    if pictures.shape[1] != 3:
        return lit
    return lit * saturation + lit.mean(1, keepdim=True) * (1 - saturation)


class ChangedPairs:
    """D as it judges pairs that are all changed in the same way. Called as D is, `features` included."""

    def __init__(self, D: nn.Module, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]):
        self.D, self.change = D, change

    def __call__(self, x: Tensor, y: Tensor) -> Logits:
        return self.D(*self.change(x, y))

    def features(self, x: Tensor, y: Tensor) -> list[list[Tensor]]:
        return self.D.features(*self.change(x, y))  # type: ignore[operator]


class AdaptiveAugmentation:
    """The probability p, raised while D is surer of real pairs than `target`, lowered while it is less sure.

    Which changes a pair gets depends on seed, step, batch and process alone, and p on the logits seen so far:
    with `state_dict` a resumed run is the same to the bit.
    """

    def __init__(
        self,
        config: TrainingConfig,
        colors: tuple[str, str],
        pairs_per_step: int,
        rank: int = 0,
        device: torch.device | str = "cpu",
    ):
        """`colors` are those of input and output; `pairs_per_step` counts all processes."""
        self.target, self.boundary = config.resolved_ada_target, BOUNDARIES[config.gan_mode]
        self.seed, self.rank = config.seed, rank
        # Light is a matter of colour pictures: hues have none, and raw numbers may mean anything.
        self.lit = tuple(colors[1] == "rgb" and color in ("rgb", "grey") for color in colors)
        self.by = INTERVAL * pairs_per_step / config.ada_images
        self.step = 0
        self.p = torch.zeros((), device=device)
        self.signs = torch.zeros((), device=device)  # their sum over the batches since the last adjustment
        self.seen = 0

    @classmethod
    def from_config(cls, config: TrainingConfig, *arguments: Any) -> AdaptiveAugmentation | None:
        """What a run's flags ask for, or None."""
        return cls(config, *arguments) if config.resolved_ada_target > 0 else None

    def judge(self, D: nn.Module, batch: int, turn: int) -> ChangedPairs:
        """D behind the changes of this step's `batch`; `turn` is 0 in D's pass and 1 in G's."""
        drawn: list[Change] = []  # once, at the first pair, for real and drawn pairs alike

        def change(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            if not drawn:
                rng = np.random.default_rng((STREAM, self.seed, self.step, batch, turn, self.rank))
                drawn.append(draw_change(rng, self.p, len(y), (y.shape[2], y.shape[3])))
            sides = (move(drawn[0], side) for side in (x, y))
            x, y = (light(drawn[0], s) if lit else s for s, lit in zip(sides, self.lit, strict=True))
            return x, y

        return ChangedPairs(D, change)

    @torch.no_grad()
    def observe(self, real_logits: Logits) -> None:
        """Count how sure D is of real pairs: r_t = E[sign(D(real))] (section 3, eq. 1), over its patches."""
        scales = [real_logits] if isinstance(real_logits, Tensor) else list(real_logits)
        means = [torch.sign(scale.float() - self.boundary).mean() for scale in scales]
        self.signs += torch.nan_to_num(torch.stack(means).mean())
        self.seen += 1

    @torch.no_grad()
    def adapt(self, mean: Callable[[Tensor], Tensor] = lambda value: value) -> None:
        """End a step; every fourth moves p. `mean` takes a value's mean over the processes."""
        self.step += 1
        if self.step % INTERVAL or not self.seen:
            return
        sure = mean(self.signs / self.seen)
        self.p = (self.p + self.by * torch.sign(sure - self.target)).clamp(0.0, MOST)
        self.signs, self.seen = torch.zeros_like(self.signs), 0

    def state_dict(self) -> dict[str, Any]:
        p, signs = (value.cpu().clone() for value in (self.p, self.signs))
        return {"p": p, "signs": signs, "seen": self.seen, "step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        device = self.p.device
        self.p, self.signs = (state[name].clone().to(device) for name in ("p", "signs"))
        self.seen, self.step = state["seen"], state["step"]
