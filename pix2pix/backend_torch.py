"""G in PyTorch: the backend that every other is measured by, and the only one for tiles and dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError, ModelError
from pix2pix.networks import Generator
from pix2pix.normalization import frozen_statistics, per_picture_statistics
from pix2pix.resize_convolution import compose_resizes


class TorchBackend:
    """A network over the weights of another, built and set as the contract says; one call at a time."""

    name = "torch"

    def __init__(
        self,
        generator: Generator,
        config: ModelConfig,
        device: str | torch.device = "auto",
        owned: bool = False,
    ):
        """Weights that are not `owned` stay as they are and follow further training.

        A network that is owned becomes the backend's: it is folded and laid out for speed, in place.

        Raises ModelError if they are not of the network that `config` describes.
        """
        self.config = config
        self.device = choose_device(device)
        self._noise = torch.Generator("cpu")  # of our own: the caller's random state is not ours to move
        self.layout = torch.channels_last if owned else torch.contiguous_format
        self.generator = self._set_up(generator if owned else self._own_network(generator))
        if owned:
            with torch.no_grad():
                _fold_batch_norms(self.generator)
                compose_resizes(self.generator)
            self.generator.to(memory_format=self.layout)  # type: ignore[call-overload]

    def draw(self, x: np.ndarray, seed: int = 0) -> np.ndarray:
        """float32 [B, H, W, in channels] in [-1, 1] -> [B, H, W, out channels] in [-1, 1]."""
        with _plainly(self.device):
            self._noise.manual_seed(seed)
            G = self.generator.eval()  # whichever mode somebody has put it in
            y = G(self._tensor(x))  # [B, out channels, H, W]
            return y.permute(0, 2, 3, 1).cpu().numpy()

    def statistics_of(self, x: np.ndarray, seed: int) -> AbstractContextManager[None]:
        """A context in which G normalizes every picture by the statistics of the one in x, [1, H, W, C]."""
        if not any(isinstance(layer, nn.InstanceNorm2d) for layer in self.generator.modules()):
            return nullcontext()
        return self._frozen(x, seed)

    @contextmanager
    def _frozen(self, x: np.ndarray, seed: int) -> Iterator[None]:
        with _plainly(self.device):
            self._noise.manual_seed(seed)
            with frozen_statistics(self.generator.eval(), self._tensor(x)):
                yield

    def _own_network(self, generator: Generator) -> Generator:
        """Its own, because the caller's may be training: in train mode, wrapped by autocast, hooked."""
        with torch.device("meta"):
            G = Generator.from_config(self.config)
        try:
            G.load_state_dict(generator.state_dict(), strict=True, assign=True)
        except RuntimeError as error:
            raise ModelError(f"The generator is not the one its configuration describes: {error}") from error
        return G

    def _set_up(self, G: Generator) -> Generator:
        """As the contract says, and for drawing only."""
        G.to(self.device, torch.float32)
        if self.config.normalization == "picture":
            per_picture_statistics(G)
        for parent in list(G.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.ReLU):  # no skip needs its input (a LeakyReLU's it does): less memory
                    child.inplace = True
                if isinstance(child, nn.Dropout) and self.config.inference_dropout:
                    setattr(parent, name, _SeededDropout(child.p, self._noise))
        return G.eval().requires_grad_(False)

    def _tensor(self, x: np.ndarray) -> Tensor:
        picture = torch.from_numpy(x.transpose(0, 3, 1, 2))  # [B, C, H, W]
        return picture.to(self.device, memory_format=self.layout)


class _SeededDropout(nn.Module):
    """Dropout that stays on, and draws from a given CPU generator: the same noise on every device."""

    def __init__(self, probability: float, noise: torch.Generator):
        super().__init__()
        self.probability, self.noise = probability, noise

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.rand(x.shape, generator=self.noise, device="cpu") >= self.probability
        return x * kept.to(x.device) / (1 - self.probability)


@contextmanager
def _plainly(device: torch.device) -> Iterator[None]:
    """In float32 and without gradients, whatever the caller is about."""
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        yield


def _fold_batch_norms(G: nn.Module) -> None:
    """Let each convolution do the work of the batch norm right behind it; G is in eval mode."""
    for block in list(G.modules()):
        if not isinstance(block, nn.Sequential):
            continue
        names = list(dict(block.named_children()))
        for name, following in pairwise(names):
            conv, norm = getattr(block, name), getattr(block, following)
            if not isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) or not isinstance(norm, nn.BatchNorm2d):
                continue
            if norm.running_mean is None or norm.running_var is None:
                continue
            # In double, for a small variance magnifies what single precision rounds away; one number a
            # channel is enough for that, and the weights are then only multiplied by it.
            scale = (norm.running_var.double() + norm.eps).rsqrt()
            scale = scale if norm.weight is None else scale * norm.weight.double()
            shift = -norm.running_mean.double() * scale
            shift = shift if norm.bias is None else shift + norm.bias.double()
            shift = shift if conv.bias is None else shift + conv.bias.double() * scale
            outputs = (1, -1, 1, 1) if isinstance(conv, nn.ConvTranspose2d) else (-1, 1, 1, 1)
            conv.weight.mul_(scale.float().view(outputs))
            conv.bias = nn.Parameter(shift.float())
            setattr(block, following, nn.Identity())
    G.requires_grad_(False)


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Return cuda, mps or cpu for `auto`, else the device named. Raises ConfigError if it is not there."""
    if device == "auto":
        gpu = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else None
        device = gpu or "cpu"
    try:
        trial = torch.zeros(1, device=device)
        trial.item()  # a device without memory, such as meta, has nothing to give
        return trial.device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"Device {str(device)!r} cannot be used: {reason}. Try auto or cpu.") from error
