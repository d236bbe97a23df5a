"""Whose statistics a network normalizes by at inference: the picture's own, or ones measured once."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pix2pix.instance_norm import InstanceNorm2d

M = TypeVar("M", bound=nn.Module)


def per_picture_statistics(module: M) -> M:
    """Replaces every BatchNorm2d inside, in place, by our InstanceNorm2d with the same weight, bias and eps.

    This is the paper's own test time: batch norm with the statistics of the test batch, at batch size 1
    (section 3.3). A picture then never depends on which others share its batch, nor on train or eval mode.
    """
    for parent in module.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                norm = InstanceNorm2d(child.num_features, eps=child.eps, affine=child.affine)
                norm.weight, norm.bias = child.weight, child.bias
                setattr(parent, name, norm.train(child.training))
    return module


@contextmanager
def frozen_statistics(G: nn.Module, x: Tensor) -> Iterator[None]:
    """Inside, every InstanceNorm2d of G uses the mean and variance it sees when G runs once on x.

    x is one picture, [1, in_channels, H, W] in [-1, 1], such as a reduced copy of a huge one: the huge one's
    tiles are then all normalized alike and meet without seams.
    """
    if x.ndim != 4 or x.shape[0] != 1:
        raise ValueError(f"x has shape {list(x.shape)}; statistics come from one picture: pass [1, C, H, W]")
    norms = [layer for layer in G.modules() if isinstance(layer, nn.InstanceNorm2d)]
    statistics: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def record(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0].float(), (0, 2, 3), correction=0)
        statistics[norm] = (mean, variance)

    hooks = [norm.register_forward_pre_hook(record) for norm in norms]
    try:
        with torch.no_grad():
            G(x)
    finally:
        for hook in hooks:
            hook.remove()
    before = [(norm, vars(norm).get("forward")) for norm in statistics]
    try:
        for norm, (mean, variance) in statistics.items():
            vars(norm)["forward"] = partial(_normalize, cast(nn.InstanceNorm2d, norm), mean, variance)
        yield
    finally:
        for norm, forward in before:
            vars(norm).pop("forward", None)
            if forward is not None:
                vars(norm)["forward"] = forward


def _normalize(norm: nn.InstanceNorm2d, mean: Tensor, variance: Tensor, x: Tensor) -> Tensor:
    dtype = x.dtype if norm.weight is None else norm.weight.dtype
    return F.batch_norm(x, mean.to(dtype), variance.to(dtype), norm.weight, norm.bias, eps=norm.eps)
