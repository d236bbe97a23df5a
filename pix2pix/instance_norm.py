"""Instance normalization as fast as a CPU allows: PyTorch's own takes 3 to 15 times as long.

Ulyanov, Vedaldi and Lempitsky 2016: every channel of every picture is brought to mean 0 and variance 1, by
its own mean and (biased) variance. PyTorch makes one long batch of all channels, for which its batch norm is
slow, and leaves channels_last. The same numbers come from its kernels for the shapes as they are.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pix2pix.capture import capturing


class InstanceNorm2d(nn.InstanceNorm2d):
    """nn.InstanceNorm2d with the same weights, names and numbers (to rounding), [B, C, H, W] to the same.

    The memory layout stays. Raises ValueError for a single pixel, which has no variance.
    """

    def forward(self, x: Tensor) -> Tensor:
        # A captured graph keeps the node that its readers know; elsewhere the kernels are others.
        if capturing() or x.device.type != "cpu" or x.ndim != 4 or x.shape[2] * x.shape[3] == 1:
            return super().forward(x)
        if x.is_contiguous():  # a group norm with a group a channel (Wu and He 2018)
            return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)
        # In channels_last that kernel takes E[x^2] - E[x]^2, and rounding eats what varies in a nearly flat
        # picture; the batch norm of a batch of one takes E[(x - E[x])^2].
        drawn = [self._of_one(picture) for picture in x.split(1)]
        return drawn[0] if len(drawn) == 1 else torch.cat(drawn)

    def _of_one(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
