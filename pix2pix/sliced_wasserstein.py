"""The sliced Wasserstein distance: whether two sets of pictures have the same textures, wherever they stand.

A pyramid of each picture, random patches of each of its levels, normalised as a set, projected and sorted.
The seed is fixed, and a constant here is part of what METRICS_VERSION stands for.
"""

from collections.abc import Sequence

import numpy as np

from pix2pix.images import pad_to_multiple
from pix2pix.picture_statistics import checked, filtered

SWD_LEVELS, SWD_PATCH, SWD_PATCHES = 3, 7, 128  # pyramid levels, patch side, patches per picture and level
SWD_DIRECTIONS, SWD_SEED = 512, 2018  # Karras et al. 2018: 4 repeats of 128
SWD_SCALE = 1000.0
SWD_LEAST_STD = 0.01  # grey levels: below it a channel counts as constant


def sliced_wasserstein(outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> float:
    """Sliced Wasserstein distance x 1000 of 7x7 patches of two sets of uint8 pictures; 0 for equal sets.

    Karras et al. 2018, "Progressive Growing of GANs", section 5: a Laplacian pyramid; on every level 128
    random patches a picture, each set's channels normalised to mean 0 and deviation 1 by themselves; both
    sets projected on random unit directions and sorted, and their mean absolute difference taken; the mean
    over levels. Ours differs in what small sets need: three levels, and patches of a pair at the same
    positions. A pyramid has as many levels as give the set's smallest picture a side of 7; a still smaller
    picture is mirrored to 7. Normalised as it is, the distance is blind to overall contrast and tint.
    """
    outputs, targets = checked(outputs, targets)
    random = np.random.RandomState(SWD_SEED)  # its streams are frozen, those of default_rng are not
    shortest = min(min(picture.shape[:2]) for picture in targets)
    levels = 1
    while levels < SWD_LEVELS and -(-shortest // 2**levels) >= SWD_PATCH:
        levels += 1
    patches = np.stack(
        [_patches(*pair, levels, random) for pair in zip(outputs, targets, strict=True)], axis=2
    )
    directions = random.standard_normal((SWD_DIRECTIONS, int(np.prod(patches.shape[4:]))))
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    distances = []
    for level in patches:  # [2, pictures, 128, C, 7, 7]
        sets = [_normalised(one.reshape(-1, *one.shape[2:])) for one in level]
        for some in np.split(directions, 8):  # in parts, for memory
            first, second = (np.sort(some @ one.T, axis=1) for one in sets)
            distances.append(float(np.abs(first - second).mean(dtype=np.float64)))
    return float(np.mean(distances)) * SWD_SCALE


def _patches(
    output: np.ndarray, target: np.ndarray, levels: int, random: np.random.RandomState
) -> np.ndarray:
    """Patches of a pair at the same random positions, float32 [levels, 2, 128, C, 7, 7]."""
    chosen = []
    pyramids = [_laplacian_pyramid(picture, levels) for picture in (output, target)]
    for level in zip(*pyramids, strict=True):
        height, width = level[0].shape[1:]
        top = random.randint(0, height - SWD_PATCH + 1, SWD_PATCHES)
        left = random.randint(0, width - SWD_PATCH + 1, SWD_PATCHES)
        windows = [np.lib.stride_tricks.sliding_window_view(p, (SWD_PATCH, SWD_PATCH), (1, 2)) for p in level]
        chosen.append([window[:, top, left].swapaxes(0, 1) for window in windows])
    return np.array(chosen)


def _laplacian_pyramid(picture: np.ndarray, levels: int) -> list[np.ndarray]:
    """uint8 [H, W, C] -> float32 [C, H, W], [C, H/2, W/2] ...: differences, and the last what remains."""
    padded, _ = pad_to_multiple(picture, 1, SWD_PATCH)
    rest = np.ascontiguousarray(np.moveaxis(padded, -1, 0)).astype(np.float32)
    pyramid = []
    for _ in range(levels - 1):
        smaller = _blurred(rest)[:, ::2, ::2]
        spread = np.zeros_like(rest)
        spread[:, ::2, ::2] = smaller
        pyramid.append(rest - 4 * _blurred(spread))
        rest = smaller
    return [*pyramid, rest]


def _blurred(planes: np.ndarray) -> np.ndarray:
    """[C, H, W] by the 5x5 binomial window of Burt and Adelson 1983, mirrored at the edges."""
    window = np.array([1, 4, 6, 4, 1], np.float32) / 16
    padded = np.pad(planes, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    return filtered(filtered(padded, window, -2), window, -1)


def _normalised(patches: np.ndarray) -> np.ndarray:
    """[N, C, 7, 7] -> [N, C * 49], every channel with mean 0 and standard deviation 1 (0 where constant)."""
    mean = patches.mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    deviation = patches.std(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    scale = np.where(deviation > SWD_LEAST_STD, 1 / np.maximum(deviation, SWD_LEAST_STD), 0)
    return ((patches - mean) * scale).astype(np.float32).reshape(len(patches), -1)
