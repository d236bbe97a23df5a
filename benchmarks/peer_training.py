"""The peer's training, in plain PyTorch: the networks, the step and the data loading of the widely used code.

Written down plainly from what junyanz/pytorch-CycleGAN-and-pix2pix does by default: unet_256 with transposed
convolutions, a 70x70 PatchGAN, Adam that is not fused, pictures resized to 286, cropped and mirrored item by
item with Pillow. Nothing runs when this file does; the benchmarks beside it import it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset


def normalization(norm: str) -> Callable[[int], nn.Module]:
    """batch is its default; instance has no parameters there, and convolutions a bias instead."""
    return nn.BatchNorm2d if norm == "batch" else nn.InstanceNorm2d


class Level(nn.Module):
    """One level of the U-Net with all that are inside it; the input is concatenated with what comes back."""

    def __init__(self, outer: int, inner: int, inside: nn.Module | None, norm: str, dropout: bool = False):
        super().__init__()
        layer, bias = normalization(norm), norm == "instance"
        down = nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)
        up = nn.ConvTranspose2d(inner if inside is None else 2 * inner, outer, 4, 2, 1, bias=bias)
        parts: list[nn.Module] = [nn.LeakyReLU(0.2, True), down]
        parts += [] if inside is None else [layer(inner), inside]
        parts += [nn.ReLU(True), up, layer(outer)]
        self.model = nn.Sequential(*parts, *([nn.Dropout(0.5)] if dropout else []))

    def forward(self, h: Tensor) -> Tensor:
        return torch.cat([h, self.model(h)], 1)


def generator(width: int, norm: str, dropout: bool = True) -> nn.Module:
    """unet_256: 54.4 million parameters at width 64."""
    block: nn.Module = Level(8 * width, 8 * width, None, norm)
    for _ in range(3):
        block = Level(8 * width, 8 * width, block, norm, dropout)
    for outer in (4, 2, 1):
        block = Level(outer * width, 2 * outer * width, block, norm)
    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1, bias=norm == "instance"),
        block,
        nn.ReLU(True),
        nn.ConvTranspose2d(2 * width, 3, 4, 2, 1),
        nn.Tanh(),
    )


def discriminator(width: int, norm: str) -> nn.Module:
    layer, bias = normalization(norm), norm == "instance"
    parts: list[nn.Module] = [nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for inputs, outputs, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
        parts += [nn.Conv2d(inputs * width, outputs * width, 4, stride, 1, bias=bias), layer(outputs * width)]
        parts += [nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*parts, nn.Conv2d(8 * width, 1, 4, 1, 1))


class Trainer:
    """Its optimization step: D on drawn and real pairs, then G against the new D."""

    def __init__(self, G: nn.Module, D: nn.Module):
        self.G, self.D = G, D
        self.optimizer_G, self.optimizer_D = (
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in (G, D)
        )
        self.judge, self.l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()

    def step(self, x: Tensor, real: Tensor) -> dict[str, Tensor]:
        fake = self.G(x)
        self.D.requires_grad_(True)
        self.optimizer_D.zero_grad()
        on_fake = self.D(torch.cat((x, fake), 1).detach())
        on_real = self.D(torch.cat((x, real), 1))
        loss_D = 0.5 * (self._loss(on_fake, 0.0) + self._loss(on_real, 1.0))
        loss_D.backward()
        self.optimizer_D.step()
        self.D.requires_grad_(False)
        self.optimizer_G.zero_grad()
        loss_gan = self._loss(self.D(torch.cat((x, fake), 1)), 1.0)
        loss_l1 = 100.0 * self.l1(fake, real)
        (loss_gan + loss_l1).backward()
        self.optimizer_G.step()
        return {"D": loss_D.detach(), "G_gan": loss_gan.detach(), "G_l1": loss_l1.detach()}

    def _loss(self, logits: Tensor, target: float) -> Tensor:
        return self.judge(logits, torch.tensor(target).expand_as(logits))


class Pairs(Dataset[dict[str, Tensor]]):
    """Its aligned data set: every item decoded, cut apart, resized, cropped, mirrored and normalized."""

    def __init__(self, folder: Path, load: int = 286, side: int = 256):
        self.files = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
        self.load, self.side = load, side

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sheet = Image.open(self.files[index]).convert("RGB")
        width, height = sheet.size
        at_x, at_y = (random.randint(0, self.load - self.side) for _ in range(2))
        mirrored = random.random() > 0.5
        sides = []
        for left, right in ((0, width // 2), (width // 2, width)):
            picture = sheet.crop((left, 0, right, height))
            picture = picture.resize((self.load, self.load), Image.Resampling.BICUBIC)
            picture = picture.crop((at_x, at_y, at_x + self.side, at_y + self.side))
            if mirrored:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(255)
            sides.append(tensor.sub_(0.5).div_(0.5))
        return {"A": sides[0], "B": sides[1]}
