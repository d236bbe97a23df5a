"""How far a measure of a set may be off by the luck of its pictures: 95 % intervals.

Of means by resampling the pictures, of histogram intersections by leaving out every pair once. The seed is
fixed, and a constant here is part of what METRICS_VERSION stands for.
"""

import numpy as np

from pix2pix.picture_statistics import intersection, left_in_common, ratio

RESAMPLES, RESAMPLE_SEED = 1000, 1979
RESAMPLE_LEAST = 10  # pictures: of fewer, an interval would claim more than they can tell


def mean_intervals(per_picture: dict[str, list[float]], gradients: np.ndarray) -> dict[str, list[float]]:
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
    means["sharpness"] = ratio(*(gradients @ shares.T))
    return {name: [float(end) for end in np.percentile(v, (2.5, 97.5))] for name, v in means.items()}


def lab_intervals(outputs: list[np.ndarray], targets: list[np.ndarray]) -> dict[str, list[float]]:
    """95 % intervals of the Lab intersections by the jackknife (Tukey 1958): every pair left out once.

    Pairs resampled with repeats would lie further apart than the set itself; a set less one pair does not.
    """
    count = len(outputs[0])
    if count < RESAMPLE_LEAST:
        return {}
    without = np.array([
        left_in_common(ours.sum(0) - ours, true.sum(0) - true)
        for ours, true in zip(outputs, targets, strict=True)
    ])  # fmt: skip  # [3, pictures]
    values = np.array([intersection(*both) for both in zip(outputs, targets, strict=True)])
    found = {}
    for name, value, left in zip(
        ("lab_l", "lab_a", "lab_b", "lab"), [*values, values.mean()], [*without, without.mean(0)], strict=True
    ):
        error = np.sqrt((count - 1) / count * np.square(left - left.mean()).sum())
        found[name] = [float(max(0.0, value - 1.96 * error)), float(min(1.0, value + 1.96 * error))]
    return found
