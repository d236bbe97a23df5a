"""LPIPS and the standard FID, where their packages are installed: pip install "pix2pix[perceptual]".

Both judge by networks trained on photographs, whose weights are downloaded at the first use (LPIPS: AlexNet,
233 MB; FID: Inception, 91 MB). The standard FID needs thousands of pictures: of n below 2048 the covariance
of its 2048 features is not even of full rank, and the value is far too high. Compare it only between models
on the same files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pix2pix.errors import ConfigError, UserError

BATCH = 16
FID_ENOUGH = 2048
LPIPS_LEAST = 32
"""Pixels a side: below it AlexNet's last layers have nothing left to see."""


def require(lpips: bool, fid: bool) -> None:
    """Raise ConfigError, before anything is measured, unless what is asked for is installed."""
    if lpips:
        _imported("lpips", "--lpips")
    if fid:
        _imported("torch_fidelity", "--fid")


def lpips(outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], device: str = "cpu") -> list[float]:
    """LPIPS (Zhang et al. 2018; AlexNet, version 0.1) of each pair of uint8 [H, W, 1 or 3]; 0 for equal ones.

    The package's call, as documented: LPIPS(net="alex")(a, b) on [N, 3, H, W] in [-1, 1] -> [N, 1, 1, 1].
    """
    package = _imported("lpips", "--lpips")
    import torch

    smallest = min(min(picture.shape[:2]) for picture in targets)
    if smallest < LPIPS_LEAST:
        raise UserError(
            f"--lpips: a picture has {smallest} pixels a side; it takes {LPIPS_LEAST}. Leave it away."
        )
    network = _weights(lambda: package.LPIPS(net="alex", version="0.1", verbose=False), "--lpips")
    network = network.to(device).eval()

    def tensor(picture: np.ndarray) -> Any:
        scaled = _rgb(picture).astype(np.float32) / 127.5 - 1
        return torch.from_numpy(scaled.transpose(2, 0, 1)[None]).to(device)

    with torch.inference_mode():
        return [
            float(network(tensor(output), tensor(target)).reshape(-1)[0])
            for output, target in zip(outputs, targets, strict=True)
        ]


def fid(outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], device: str = "cpu") -> float:
    """The Frechet inception distance (Heusel et al. 2017) of two sets of uint8 pictures [H, W, 1 or 3].

    torch-fidelity's, which ports the original Inception's weights and resizing: calculate_metrics(input1=,
    input2=, fid=True) takes data sets of uint8 [3, H, W] and gives {"frechet_inception_distance": value}.
    """
    package = _imported("torch_fidelity", "--fid")
    if len(outputs) < 2:
        raise UserError("--fid compares sets: give at least two pairs.")
    found = _weights(
        lambda: package.calculate_metrics(
            input1=_pictures(outputs),
            input2=_pictures(targets),
            fid=True,
            cuda=device.startswith("cuda"),
            batch_size=min(BATCH, len(outputs)),
            save_cpu_ram=True,  # no worker processes: the pictures are in memory already
            verbose=False,
        ),
        "--fid",
    )
    return float(found["frechet_inception_distance"])


def _pictures(arrays: Sequence[np.ndarray]) -> Any:
    """A torch data set of uint8 [3, H, W]."""
    import torch
    from torch.utils.data import Dataset

    class Pictures(Dataset):
        def __len__(self) -> int:
            return len(arrays)

        def __getitem__(self, index: int) -> Any:
            return torch.from_numpy(np.ascontiguousarray(_rgb(arrays[index]).transpose(2, 0, 1)))

    return Pictures()


def _rgb(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def _imported(name: str, flag: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(f'{flag} is an extra; run: pip install "pix2pix[perceptual]" ({error})') from error


def _weights(build: Any, flag: str) -> Any:
    """What `build` gives; that it cannot download its weights is told in a sentence."""
    try:
        return build()
    except OSError as error:  # URLError is one
        raise UserError(f"{flag}: its network's weights could not be downloaded ({error}).") from error
