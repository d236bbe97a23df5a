"""The peer's training, in plain PyTorch: the step and the data loading of the widely used code.

Written down plainly from what junyanz/pytorch-CycleGAN-and-pix2pix does by default, for the networks of
peer.py: Adam that is not fused, pictures resized to 286, cropped and mirrored item by item with Pillow.
Nothing runs when this file does; the benchmarks beside it import it.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset


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
