"""The measures of translated pictures against the true ones; METRICS_VERSION changes when a number would.

    measures = measure(outputs, targets)        # sequences of uint8 [H, W, C], pair by pair of the same shape
    measures.psnr, measures.sharpness, measures.as_dict()

No single number decides: the mean target of a data set beats good generators on PSNR. Read PSNR and SSIM
(faithful) beside sharpness, Lab and SWD (looks real), and all of them beside the copied input and the mean
target on the same files. Pictures have 8 bits. The constants that a number depends on stand in this file and
in those it measures with: picture_statistics.py, intervals.py and sliced_wasserstein.py. All are to be had
from here, and METRICS_VERSION is theirs too. With other than 1 or 3 channels, luminance is the mean of the
channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pix2pix.errors import UserError
from pix2pix.intervals import RESAMPLE_LEAST, RESAMPLE_SEED, RESAMPLES, lab_intervals, mean_intervals
from pix2pix.picture_statistics import (
    LAB_BINS,
    SHARPNESS_FLOOR,
    checked,
    filtered,
    gradient,
    intersection,
    lab_histograms,
    ratio,
)
from pix2pix.sliced_wasserstein import (
    SWD_DIRECTIONS,
    SWD_LEAST_STD,
    SWD_LEVELS,
    SWD_PATCH,
    SWD_PATCHES,
    SWD_SCALE,
    SWD_SEED,
    sliced_wasserstein,
)

__all__ = [
    "HIGHER_IS_BETTER",
    "LAB_BINS",
    "METRICS_VERSION",
    "NAMES",
    "PSNR_CAP",
    "RESAMPLES",
    "RESAMPLE_LEAST",
    "RESAMPLE_SEED",
    "SHARPNESS_FLOOR",
    "SSIM_K1",
    "SSIM_K2",
    "SSIM_SIGMA",
    "SSIM_WINDOW",
    "SWD_DIRECTIONS",
    "SWD_LEAST_STD",
    "SWD_LEVELS",
    "SWD_PATCH",
    "SWD_PATCHES",
    "SWD_SCALE",
    "SWD_SEED",
    "Measures",
    "better",
    "l1",
    "lab_histogram_intersection",
    "measure",
    "psnr",
    "sharpness",
    "sliced_wasserstein",
    "ssim",
]

METRICS_VERSION = 1

PSNR_CAP = 100.0  # dB: that of equal pictures, whose own is infinite; below it lies every visible difference
SSIM_WINDOW, SSIM_SIGMA, SSIM_K1, SSIM_K2 = 11, 1.5, 0.01, 0.03  # Wang et al. 2004, section III-C

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
    outputs, targets = checked(outputs, targets)
    pairs = list(zip(outputs, targets, strict=True))
    per_picture = {
        function.__name__: [function(output, target) for output, target in pairs]
        for function in (l1, psnr, ssim, sharpness)
    }
    gradients = np.array([[gradient(picture) for picture in pictures] for pictures in (outputs, targets)])
    histograms = [lab_histograms(pictures) for pictures in (outputs, targets)]
    lab = [intersection(*counts) for counts in zip(*histograms, strict=True)]
    return Measures(
        l1=float(np.mean(per_picture["l1"])),
        psnr=float(np.mean(per_picture["psnr"])),
        ssim=float(np.mean(per_picture["ssim"])),
        sharpness=float(ratio(*gradients.mean(axis=1))),
        lab_l=lab[0],
        lab_a=lab[1],
        lab_b=lab[2],
        swd=sliced_wasserstein(outputs, targets),
        count=len(pairs),
        per_picture=per_picture,
        intervals=mean_intervals(per_picture, gradients) | lab_intervals(*histograms),
    )


def l1(output: np.ndarray, target: np.ndarray) -> float:
    """Mean absolute difference of two uint8 pictures, on [0, 1]."""
    (output,), (target,) = checked([output], [target])
    return float(np.abs(output.astype(np.float64) - target).mean() / 255)


def psnr(output: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB: 10 log10(255^2 / MSE), at most PSNR_CAP."""
    (output,), (target,) = checked([output], [target])
    error = float(np.square(output.astype(np.float64) - target).mean())
    return min(PSNR_CAP, 10 * float(np.log10(255**2 / error))) if error else PSNR_CAP


def ssim(output: np.ndarray, target: np.ndarray) -> float:
    """Structural similarity of two uint8 pictures, [-1, 1], the mean over pixels and channels.

    Wang et al. 2004: Gaussian window 11x11 with sigma 1.5, K1 0.01, K2 0.03, L 255, population covariance,
    and the windows that lie wholly inside. A side shorter than 11 has the longest odd window that fits it.
    """
    (output,), (target,) = checked([output], [target])
    x, y = (np.moveaxis(picture, -1, 0).astype(np.float64) for picture in (output, target))
    maps = np.stack([x, y, x * x, y * y, x * y])
    for axis in (-2, -1):  # the window is separable
        size = min(SSIM_WINDOW, (maps.shape[axis] - 1) // 2 * 2 + 1)
        window = np.exp(-0.5 * np.square((np.arange(size) - size // 2) / SSIM_SIGMA))
        maps = filtered(maps, window / window.sum(), axis)
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
    (output,), (target,) = checked([output], [target])
    return float(ratio(gradient(output), gradient(target)))


def lab_histogram_intersection(
    outputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]
) -> tuple[float, float, float]:
    """Histogram intersection of L*, a* and b* of two sets of uint8 pictures, each in [0, 1]; 1 is the same.

    Isola et al. 2017, section 4.2 and figure 7: the marginal distributions of all pixels of the set, here
    with the bins of LAB_BINS. A picture with other than 3 channels is grey: the mean of its channels.
    """
    outputs, targets = checked(outputs, targets)
    first, second = lab_histograms(outputs), lab_histograms(targets)
    lightness, a, b = (intersection(p, q) for p, q in zip(first, second, strict=True))
    return lightness, a, b
