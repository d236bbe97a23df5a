"""The measures of translated pictures against the true ones; METRICS_VERSION changes when a number would.

    measures = measure(outputs, targets)        # sequences of uint8 [H, W, C], pair by pair of the same shape
    measures.psnr, measures.sharpness, measures.as_dict()

No single number decides: the mean target of a data set beats good generators on PSNR. Read PSNR and SSIM
(faithful) beside sharpness, Lab and SWD (looks real), and all of them beside the copied input and the mean
target on the same files. Pictures have 8 bits; every constant that a number depends on stands in this file.
With other than 1 or 3 channels, luminance is the mean of the channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pix2pix.errors import ImageError, UserError
from pix2pix.images import LUMA, pad_to_multiple, rgb_to_lab

METRICS_VERSION = 1

PSNR_CAP = 100.0  # dB: that of equal pictures, whose own is infinite; below it lies every visible difference
SSIM_WINDOW, SSIM_SIGMA, SSIM_K1, SSIM_K2 = 11, 1.5, 0.01, 0.03  # Wang et al. 2004, section III-C
SHARPNESS_FLOOR = 0.01  # grey levels a pixel, added above and below the line: constant over constant is 1
LAB_BINS = ((50, 0.0, 100.0), (111, -110.0, 110.0), (111, -110.0, 110.0))  # odd: a = b = 0 is mid-bin
SWD_LEVELS, SWD_PATCH, SWD_PATCHES = 3, 7, 128  # pyramid levels, patch side, patches per picture and level
SWD_DIRECTIONS, SWD_SEED = 512, 2018  # Karras et al. 2018: 4 repeats of 128
SWD_SCALE = 1000.0
SWD_LEAST_STD = 0.01  # grey levels: below it a channel counts as constant
RESAMPLES, RESAMPLE_SEED = 1000, 1979
RESAMPLE_LEAST = 10  # pictures: of fewer, an interval would claim more than they can tell

NAMES = ("l1", "psnr", "ssim", "sharpness", "lab_l", "lab_a", "lab_b", "lab", "swd")
HIGHER_IS_BETTER = {  # sharpness is in neither direction: it is best at 1
    "l1": False,
    "psnr": True,
    "ssim": True,
    "lab_l": True,
    "lab_a": True,
    "lab_b": True,
    "lab": True,
    "swd": False,
}


@dataclass(frozen=True)
class Measures:
    """The measures of one set of pictures. All are finite."""

    l1: float  # mean absolute difference, [0, 1]
    psnr: float  # dB, the mean over pictures, at most PSNR_CAP
    ssim: float  # [-1, 1], the mean over pictures
    sharpness: float  # gradient of the outputs over that of the truth; 1 is right, below is blurry
    lab_l: float  # histogram intersections of L*, a* and b* over the set, [0, 1]
    lab_a: float
    lab_b: float
    swd: float  # sliced Wasserstein distance of patches, x 1000; 0 for equal sets
    count: int  # pictures
    per_picture: dict[str, list[float]]  # l1, psnr, ssim, sharpness, in the order given
    intervals: dict[str, list[float]]  # 95 % intervals [low, high] of all but swd; none of few pictures

    @property
    def lab(self) -> float:
        """The mean of the three histogram intersections, [0, 1]."""
        return (self.lab_l + self.lab_a + self.lab_b) / 3

    def as_dict(self, per_picture: bool = False) -> dict[str, Any]:
        """As in metrics.json: NAMES, count and metrics_version, with every picture's own values if asked."""
        values: dict[str, Any] = {name: getattr(self, name) for name in NAMES}
        values |= {"count": self.count, "metrics_version": METRICS_VERSION}
        return values | ({"per_picture": self.per_picture} if per_picture else {})


def better(name: str, new: float, old: float) -> bool:
    """Whether `new` is strictly better than `old` for a measure of NAMES; NaN never is, all else beats it.

    Sharpness is better the nearer it is to 1, by ratio: 0.5 is as far as 2. Another name raises UserError.
    """
    if name not in NAMES:
        raise UserError(f"measure {name!r} is not one of {', '.join(NAMES)}")
    if np.isnan(new) or np.isnan(old):
        return bool(np.isnan(old) and not np.isnan(new))
    if name == "sharpness":
        new, old = (-abs(float(np.log(max(value, 1e-12)))) for value in (new, old))
    elif not HIGHER_IS_BETTER[name]:
        new, old = -new, -old
    return bool(new > old)


def measure(outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Measures:
    """All measures of `outputs` against `targets`: uint8 [H, W, C] or [H, W], pair by pair of the same shape.

    Sizes may differ between pairs, channels may not. Empty sets, sets of different lengths, and pictures of
    another dtype or shape raise ImageError.
    """
    outputs, targets = _checked(outputs, targets)
    pairs = list(zip(outputs, targets, strict=True))
    per_picture = {
        function.__name__: [function(output, target) for output, target in pairs]
        for function in (l1, psnr, ssim, sharpness)
    }
    gradients = np.array([[_gradient(picture) for picture in pictures] for pictures in (outputs, targets)])
    histograms = [_lab_histograms(pictures) for pictures in (outputs, targets)]
    lab = [_intersection(*counts) for counts in zip(*histograms, strict=True)]
    return Measures(
        l1=float(np.mean(per_picture["l1"])),
        psnr=float(np.mean(per_picture["psnr"])),
        ssim=float(np.mean(per_picture["ssim"])),
        sharpness=float(_ratio(*gradients.mean(axis=1))),
        lab_l=lab[0],
        lab_a=lab[1],
        lab_b=lab[2],
        swd=sliced_wasserstein(outputs, targets),
        count=len(pairs),
        per_picture=per_picture,
        intervals=_intervals(per_picture, gradients) | _lab_intervals(*histograms),
    )


def l1(output: np.ndarray, target: np.ndarray) -> float:
    """Mean absolute difference of two uint8 pictures, on [0, 1]."""
    (output,), (target,) = _checked([output], [target])
    return float(np.abs(output.astype(np.float64) - target).mean() / 255)


def psnr(output: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB: 10 log10(255^2 / MSE), at most PSNR_CAP."""
    (output,), (target,) = _checked([output], [target])
    error = float(np.square(output.astype(np.float64) - target).mean())
    return min(PSNR_CAP, 10 * float(np.log10(255**2 / error))) if error else PSNR_CAP


def ssim(output: np.ndarray, target: np.ndarray) -> float:
    """Structural similarity of two uint8 pictures, [-1, 1], the mean over pixels and channels.

    Wang et al. 2004: Gaussian window 11x11 with sigma 1.5, K1 0.01, K2 0.03, L 255, population covariance,
    and the windows that lie wholly inside. A side shorter than 11 has the longest odd window that fits it.
    """
    (output,), (target,) = _checked([output], [target])
    x, y = (np.moveaxis(picture, -1, 0).astype(np.float64) for picture in (output, target))
    maps = np.stack([x, y, x * x, y * y, x * y])
    for axis in (-2, -1):  # the window is separable
        size = min(SSIM_WINDOW, (maps.shape[axis] - 1) // 2 * 2 + 1)
        window = np.exp(-0.5 * np.square((np.arange(size) - size // 2) / SSIM_SIGMA))
        maps = _filtered(maps, window / window.sum(), axis)
    mean_x, mean_y = maps[0], maps[1]
    variances = maps[2] - mean_x**2 + maps[3] - mean_y**2
    covariance = maps[4] - mean_x * mean_y
    c1, c2 = (SSIM_K1 * 255) ** 2, (SSIM_K2 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * (2 * covariance + c2) / (variances + c2)).mean())


def sharpness(output: np.ndarray, target: np.ndarray) -> float:
    """Mean gradient magnitude of the output's luminance over the target's: 1 is right, below 1 is blurry.

    Forward differences of Rec. 601 luma on [0, 255]; SHARPNESS_FLOOR is added to both. Over a set, `measure`
    divides the mean of the outputs' by the mean of the targets': a nearly empty target cannot decide alone.
    """
    (output,), (target,) = _checked([output], [target])
    return float(_ratio(_gradient(output), _gradient(target)))


def lab_histogram_intersection(
    outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]
) -> tuple[float, float, float]:
    """Histogram intersection of L*, a* and b* of two sets of uint8 pictures, each in [0, 1]; 1 is the same.

    Isola et al. 2017, section 4.2 and figure 7: the marginal distributions of all pixels of the set, here
    with the bins of LAB_BINS. A picture with other than 3 channels is grey: the mean of its channels.
    """
    outputs, targets = _checked(outputs, targets)
    first, second = _lab_histograms(outputs), _lab_histograms(targets)
    lightness, a, b = (_intersection(p, q) for p, q in zip(first, second, strict=True))
    return lightness, a, b


def sliced_wasserstein(outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> float:
    """Sliced Wasserstein distance x 1000 of 7x7 patches of two sets of uint8 pictures; 0 for equal sets.

    Karras et al. 2018, "Progressive Growing of GANs", section 5: a Laplacian pyramid; on every level 128
    random patches a picture, each set's channels normalised to mean 0 and deviation 1 by themselves; both
    sets projected on random unit directions and sorted, and their mean absolute difference taken; the mean
    over levels. Ours differs in what small sets need: three levels, and patches of a pair at the same
    positions. A pyramid has as many levels as give the set's smallest picture a side of 7; a still smaller
    picture is mirrored to 7. Normalised as it is, the distance is blind to overall contrast and tint.
    """
    outputs, targets = _checked(outputs, targets)
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


# ---- parts ------------------------------------------------------------------------------------------------


def _checked(
    outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Both sets as lists of [H, W, C], after the checks that every measure shares."""
    if len(outputs) != len(targets) or not len(outputs):
        raise ImageError(f"{len(outputs)} outputs for {len(targets)} targets: give one for one, at least one")
    for number, (output, target) in enumerate(zip(outputs, targets, strict=True)):
        if output.shape != target.shape or output.ndim not in (2, 3) or 0 in output.shape:
            raise ImageError(
                f"pair {number}: output of shape {output.shape}, target of shape {target.shape}: "
                "both are [H, W, C] and equal; resize or convert one of them"
            )
        if output.dtype != np.uint8 or target.dtype != np.uint8:
            raise ImageError(
                f"pair {number}: {output.dtype} and {target.dtype}: pictures are measured as uint8, 0 to 255"
            )
        if output.shape[2:] != outputs[0].shape[2:]:
            raise ImageError(
                f"pair {number}: shape {output.shape} in a set that begins with {outputs[0].shape}: "
                "all pictures of a set have the same channels"
            )
    first, second = (
        [p[:, :, None] if p.ndim == 2 else p for p in pictures] for pictures in (outputs, targets)
    )
    return first, second


def _filtered(maps: np.ndarray, window: np.ndarray, axis: int) -> np.ndarray:
    """[..., H, W] -> by a symmetric window of odd length along `axis` (-2 or -1), where it fits."""
    radius = len(window) // 2
    length = maps.shape[axis] - 2 * radius

    def shifted(start: int) -> np.ndarray:
        part = slice(start, start + length)
        return maps[..., part] if axis == -1 else maps[..., part, :]

    result = shifted(radius) * window[radius]
    for offset in range(radius):
        pair = shifted(offset) + shifted(2 * radius - offset)
        pair *= window[offset]
        result += pair
    return result


def _luminance(picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W, C] -> float32 [H, W] in [0, 255]."""
    pixels = picture.astype(np.float32)
    return pixels @ LUMA if picture.shape[2] == 3 else pixels.mean(axis=2)


def _gradient(picture: np.ndarray) -> float:
    """Mean length of the luminance's gradient, grey levels a pixel."""
    luminance = _luminance(picture)
    across, down = np.zeros_like(luminance), np.zeros_like(luminance)
    across[:, :-1], down[:-1] = np.diff(luminance, axis=1), np.diff(luminance, axis=0)
    return float(np.hypot(across, down).mean(dtype=np.float64))


def _ratio(output: Any, target: Any) -> Any:
    return (output + SHARPNESS_FLOOR) / (target + SHARPNESS_FLOOR)


def _intervals(per_picture: dict[str, list[float]], gradients: np.ndarray) -> dict[str, list[float]]:
    """95 % percentile intervals of the means, pictures resampled with replacement (Efron 1979).

    `gradients` is [2, pictures], of outputs and targets. swd has none: it compares whole sets, and a
    resampled set, with its repeated pictures, always lies further from the other than the set itself.
    """
    count = gradients.shape[1]
    if count < RESAMPLE_LEAST:
        return {}
    random = np.random.RandomState(RESAMPLE_SEED)
    shares = random.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
    means = {name: shares @ np.array(per_picture[name]) for name in ("l1", "psnr", "ssim")}
    means["sharpness"] = _ratio(*(gradients @ shares.T))
    return {name: [float(end) for end in np.percentile(v, (2.5, 97.5))] for name, v in means.items()}


def _lab_histograms(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Of L*, a* and b* each [pictures, bins]: the shares of a picture's pixels, weighed by its size."""
    counts = [np.zeros((len(pictures), bins)) for bins, _, _ in LAB_BINS]
    for number, picture in enumerate(pictures):
        rgb = picture if picture.shape[2] == 3 else np.repeat(_luminance(picture)[:, :, None], 3, axis=2)
        lab = rgb_to_lab(rgb.reshape(-1, 3).astype(np.float32) / 255)
        for count, values, (bins, lowest, highest) in zip(counts, lab.T, LAB_BINS, strict=True):
            indices = ((values - lowest) * (bins / (highest - lowest))).astype(np.int64)
            count[number] = np.bincount(np.clip(indices, 0, bins - 1), minlength=bins)
    return counts


def _intersection(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Of two sets' histograms, [pictures, bins] each: what their pooled shares have in common."""
    return float(_left_in_common(outputs.sum(0), targets.sum(0)))


def _left_in_common(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """[..., bins] counts -> [...]: the intersection of their shares."""
    shares = [counts / counts.sum(-1, keepdims=True) for counts in (outputs, targets)]
    return np.minimum(*shares).sum(-1)


def _lab_intervals(outputs: list[np.ndarray], targets: list[np.ndarray]) -> dict[str, list[float]]:
    """95 % intervals of the Lab intersections by the jackknife (Tukey 1958): every pair left out once.

    Pairs resampled with repeats would lie further apart than the set itself; a set less one pair does not.
    """
    count = len(outputs[0])
    if count < RESAMPLE_LEAST:
        return {}
    without = np.array([
        _left_in_common(ours.sum(0) - ours, true.sum(0) - true)
        for ours, true in zip(outputs, targets, strict=True)
    ])  # fmt: skip  # [3, pictures]
    values = np.array([_intersection(*both) for both in zip(outputs, targets, strict=True)])
    found = {}
    for name, value, left in zip(
        ("lab_l", "lab_a", "lab_b", "lab"), [*values, values.mean()], [*without, without.mean(0)], strict=True
    ):
        error = np.sqrt((count - 1) / count * np.square(left - left.mean()).sum())
        found[name] = [float(max(0.0, value - 1.96 * error)), float(min(1.0, value + 1.96 * error))]
    return found


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
    return _filtered(_filtered(padded, window, -2), window, -1)


def _normalised(patches: np.ndarray) -> np.ndarray:
    """[N, C, 7, 7] -> [N, C * 49], every channel with mean 0 and standard deviation 1 (0 where constant)."""
    mean = patches.mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    deviation = patches.std(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    scale = np.where(deviation > SWD_LEAST_STD, 1 / np.maximum(deviation, SWD_LEAST_STD), 0)
    return ((patches - mean) * scale).astype(np.float32).reshape(len(patches), -1)
