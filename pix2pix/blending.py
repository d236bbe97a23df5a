"""A run's weights between their moving average and the last of them, or beyond: sharpness chosen afterwards.

The average is smooth and faithful, the last weights are sharper at a small cost in PSNR. On the line through
both lies the choice between the two, and some way beyond the last ones the trade goes on.
"""

from __future__ import annotations

from pathlib import Path

import torch

from pix2pix import checkpoints
from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError, ModelError
from pix2pix.networks import Generator
from pix2pix.patience import log

MOST = 4.0
"""Further out the weights are nobody's any more."""
AVERAGED = "module."  # how torch's AveragedModel names the weights of what it averages


def blended(run: Path, config: ModelConfig, amount: float) -> tuple[Generator, int]:
    """G with the weights `average + amount * (last - average)` of a run's newest checkpoint, and its step.

    `amount` 0 is the moving average, 1 the last weights, above 1 goes on in the same direction, to MOST.
    Raises ConfigError for another amount, ModelError where the run keeps no checkpoint with an average.
    """
    if not 0 <= amount <= MOST:
        raise ConfigError(
            f"--blend {amount:g}: 0 is the moving average, 1 the last weights, and {MOST:g} the most."
        )
    path = checkpoints.newest_checkpoint(run / "checkpoints", log, finite=True)
    if path is None:
        raise ModelError(
            f"{run} has no checkpoint to blend weights from: it lies in checkpoints/ of the folder that was "
            "trained in. Leave --blend away to take the weights as they are."
        )
    last, averaged = checkpoints.load_parts(path, ("G", "average"))
    if averaged is None or last is None:
        raise ModelError(
            f"{path} has no moving average to blend with: the run was made without --use_ema. Leave --blend "
            "away."
        )
    G = Generator.from_config(config)
    learned = {name for name, _ in G.named_parameters()}
    weights = {}
    for name, tensor in last.items():
        average = averaged[f"{AVERAGED}{name}"]
        if tensor.is_floating_point():  # beyond the last ones a running variance might fall below 0
            tensor = torch.lerp(average, tensor, amount if name in learned else min(amount, 1))
        weights[name] = tensor
    G.load_state_dict(weights)
    return G, int(path.name.removeprefix(checkpoints.PREFIX))
