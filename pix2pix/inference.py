"""Picture in, picture out: a generator with its contract, for any size, kind and number of pictures."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from PIL import Image

from pix2pix import backends, images, repository, tiling
from pix2pix.config import ModelConfig
from pix2pix.errors import ImageError, ModelError

if TYPE_CHECKING:
    import torch

    from pix2pix.backend_torch import TorchBackend
    from pix2pix.networks import Generator

Source = Image.Image | str | os.PathLike[str] | np.ndarray

WHOLE_PIXELS = 4096 * 4096
"""The largest picture that G sees as a whole; beyond it, overlapping tiles."""
TILE, OVERLAP = 2048, 512
BATCH_PIXELS = 8 * 256 * 256


@dataclass
class _Job:
    """One picture on its way: what G reads, and how its answer becomes the caller's picture."""

    array: np.ndarray
    """float32 [H, W, C] in [-1, 1]."""
    finish: Callable[[np.ndarray], Any]
    """[H, W, out channels] in [-1, 1] -> PIL or array, as it came."""


class Translator:
    """Translates pictures as validation did while the model was trained.

    The result depends on the picture (and the seed, where the contract leaves dropout on) alone: not on the
    other pictures of a list, nor on the mode of the network, nor on earlier calls. Several threads may call.
    """

    def __init__(self, generator: Generator, config: ModelConfig, device: str | torch.device = "auto"):
        """Translate by the weights of `generator`, which itself is never touched.

        Where they are float32 on `device` already they are shared, not copied: they follow further training.
        Raises ModelError if they are not of the network that `config` describes.
        """
        from pix2pix.backend_torch import TorchBackend

        self._set_up(config, TorchBackend(generator, config, device))

    def _set_up(self, config: ModelConfig, backend: backends.Backend, folder: Path | None = None) -> None:
        self.config, self._backend, self._folder = config, backend, folder
        self.whole_pixels, self.tile, self.overlap = WHOLE_PIXELS, TILE, OVERLAP
        self._grid = grid(config)
        self._spare: TorchBackend | None = None
        self._turn = threading.Lock()  # tiles freeze statistics, and dropout draws, for one picture at a time

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        device: str | torch.device = "auto",
        backend: str = "auto",
    ) -> Translator:
        """Load a model from a Hub id or a folder; its config.json says everything else.

        Raises ModelError when it is missing, damaged or no model of ours.
        """
        backends.require_known(backend)
        if str(device) not in ("auto", "cpu"):
            choose_device(device)  # a mistyped one is told before anything is downloaded
        folder = repository.resolve(
            source, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only
        )
        config = ModelConfig.from_dict(repository.read_config(folder))
        opened = backends.open_backend(backend, folder, config, device, token, local_files_only)
        return cls.with_backend(config, opened, folder)

    @classmethod
    def with_backend(
        cls, config: ModelConfig, backend: backends.Backend, folder: Path | None = None
    ) -> Translator:
        """Translate by a backend that is already there; `folder` has the network for what only torch can."""
        translate = cls.__new__(cls)
        translate._set_up(config, backend, folder)
        return translate

    @property
    def backend(self) -> str:
        """What runs the model: torch, onnx or openvino."""
        return self._backend.name

    @property
    def device(self) -> torch.device | str:
        """Where the model runs: a torch.device, or for an exported graph "cpu"."""
        return getattr(self._backend, "device", "cpu")

    @property
    def generator(self) -> Generator:
        """The network, set as the contract says. For an exported graph it is loaded when asked for."""
        return self._torch.generator

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is a Sequence[str], but it is a path here
        self, image: Image.Image | str | os.PathLike[str], *, seed: int = 0
    ) -> Image.Image: ...
    @overload
    def __call__(self, image: np.ndarray, *, seed: int = 0) -> np.ndarray: ...
    @overload
    def __call__(self, image: Sequence[Source], *, seed: int = 0) -> list[Any]: ...

    def __call__(self, image: Any, *, seed: int = 0) -> Any:
        """Translate one picture, or a list of them, each to a picture of its own size.

        A PIL picture or a path gives a PIL picture; an array [H, W] or [H, W, C] (uint8, uint16, or float in
        [-1, 1]) an array of the same type. `seed` matters only where the contract leaves dropout on.
        Raises ImageError for what is no picture, or has other channels than the model reads.
        """
        if isinstance(image, list | tuple):
            return self._translate([self._job(item) for item in image], seed)
        return self._translate([self._job(image)], seed)[0]

    # ---------------------------------------------------------------- pictures to arrays and back

    def _job(self, image: Source) -> _Job:
        color, channels = self.config.input_color, self.config.in_channels
        if isinstance(image, np.ndarray):
            array = images.to_array(image, color, channels)
            return _Job(array, lambda drawn: self._as_array(drawn, array, image))
        picture = images.open_picture(image)
        if self.config.output_color == "raw" and self.config.out_channels not in (1, 3):
            raise ImageError(
                f"The model draws {self.config.out_channels} channels, which make no picture: "
                "give it the picture as an array, and it answers with an array."
            )
        array = images.to_array(picture, color, channels)
        deep = picture.mode == "F" or picture.mode.startswith("I")
        return _Job(array, lambda drawn: self._as_picture(drawn, array, deep))

    def _as_picture(self, drawn: np.ndarray, read: np.ndarray, deep: bool) -> Image.Image:
        color = self.config.output_color
        if color == "ab":
            return images.merge_lightness(read, drawn)
        if deep and drawn.shape[2] == 1 and color != "l":
            return Image.fromarray(images.to_integers(drawn[..., 0], np.uint16))
        return images.to_picture(drawn, color)

    def _as_array(self, drawn: np.ndarray, read: np.ndarray, given: np.ndarray) -> np.ndarray:
        if self.config.output_color in ("l", "ab"):  # the caller's arrays hold sRGB
            levels = np.asarray(self._as_picture(drawn, read, deep=False), dtype=np.float32)
            drawn = levels.reshape(*drawn.shape[:2], -1) / 127.5 - 1
        if given.ndim == 2 and drawn.shape[2] == 1:
            drawn = drawn[..., 0]
        if given.dtype.kind == "f":
            return drawn.clip(-1, 1).astype(given.dtype)
        return images.to_integers(drawn, given.dtype)

    # ---------------------------------------------------------------- running G

    def _translate(self, jobs: Sequence[_Job], seed: int) -> list[Any]:
        drawn: dict[int, np.ndarray] = {}
        with self._turn:
            for batch in self._batches(jobs):
                arrays = [jobs[index].array for index in batch]
                huge = self._pixels(arrays[0].shape) > self.whole_pixels
                results = [self._tiled(arrays[0], seed)] if huge else self._whole(arrays, seed)
                drawn |= zip(batch, results, strict=True)
        return [job.finish(drawn[index]) for index, job in enumerate(jobs)]

    def _batches(self, jobs: Sequence[_Job]) -> Iterator[list[int]]:
        """Pictures of one size share a batch, up to a bounded number of pixels."""
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, job in enumerate(jobs):
            by_shape.setdefault(job.array.shape, []).append(index)
        for shape, members in by_shape.items():
            # Dropout draws per batch, so a picture alone must not differ from the same one in company.
            most = 1 if self.config.inference_dropout else max(1, BATCH_PIXELS // self._pixels(shape))
            for start in range(0, len(members), most):
                yield members[start : start + most]

    def _pixels(self, shape: Sequence[int]) -> int:
        """Pixels that G sees of a picture [H, W, ...], with the padding."""
        height, width = (tiling.padded_side(side, *self._grid) for side in shape[:2])
        return height * width

    def _whole(self, arrays: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
        """Draw pictures of one size [H, W, C], each as a whole -> [H, W, out channels]."""
        padded, crops = zip(*(images.pad_to_multiple(array, *self._grid) for array in arrays), strict=True)
        return [drawn[crops[0]] for drawn in self._draw(np.stack(padded), seed)]

    def _tiled(self, array: np.ndarray, seed: int) -> np.ndarray:
        """Draw a huge picture [H, W, C] in tiles, all normalized by the statistics of a reduced copy."""
        rows, columns = (
            tiling.stretches(side, *self._grid, self.tile, self.overlap) for side in array.shape[:2]
        )
        blended = np.zeros((*array.shape[:2], self.config.out_channels), np.float32)
        with self._statistics_of(array, seed):
            for number, (row, column) in enumerate((row, column) for row in rows for column in columns):
                x = array[np.ix_(row.take, column.take)][None]
                drawn = self._draw(x, seed + number, self._torch)[0]
                weight = row.weight[:, None, None] * column.weight[None, :, None]
                blended[row.place, column.place] += drawn[row.inside, column.inside] * weight
        return blended

    def _statistics_of(self, array: np.ndarray, seed: int) -> AbstractContextManager[None]:
        """A context in which G normalizes by the statistics of a reduced copy of [H, W, C]."""
        copy = tiling.reduced_copy(array, self.whole_pixels, self._grid[1])
        padded, _ = images.pad_to_multiple(copy, *self._grid)
        return self._torch.statistics_of(padded[None], seed)

    def _draw(self, x: np.ndarray, seed: int, backend: backends.Backend | None = None) -> np.ndarray:
        """Run G on [B, H, W, C] in [-1, 1] -> [B, H, W, out channels] in [-1, 1]."""
        y = (backend or self._backend).draw(x, seed)
        if not np.isfinite(y).all():
            raise ModelError("The model draws values that are not finite: its weights are broken.")
        return y

    @property
    def _torch(self) -> TorchBackend:
        """The network in PyTorch, which alone can freeze statistics, and is what somebody may look into."""
        if self._backend.name == "torch":
            return self._backend  # type: ignore[return-value]
        if self._spare is None:
            assert self._folder is not None
            self._spare = backends.open_torch(self._folder, self.config, "cpu")
        return self._spare


def grid(config: ModelConfig) -> tuple[int, int]:
    """What a side that the network takes is a multiple of, and the smallest side, by the contract alone."""
    if config.generator.startswith("resnet"):
        return 4, 8
    multiple = 2**config.resolved_depth
    return (
        multiple,
        2 * multiple if config.generator == "unet_article" and config.norm != "none" else multiple,
    )


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Return cuda, mps or cpu for `auto`, else the device named. Raises ConfigError if it is not there."""
    from pix2pix import backend_torch

    return backend_torch.choose_device(device)
