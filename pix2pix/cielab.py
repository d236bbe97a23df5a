"""CIE L*a*b* and sRGB: arrays of one and of the other, and what to do with colours that sRGB does not have.

Numbers only: how a picture becomes such an array, and how L*, a* and b* are brought to [-1, 1] for a model,
is the business of images.py.
"""

import numpy as np

# Linear sRGB -> CIE XYZ (IEC 61966-2-1, D65, 2 degree observer), each row divided by its sum: relative to the
# white point, so that a grey has a* = b* = 0 exactly.
_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_RGB_TO_XYZ = (_XYZ / _XYZ.sum(axis=1, keepdims=True)).astype(np.float32)
_XYZ_TO_RGB = np.linalg.inv(_XYZ / _XYZ.sum(axis=1, keepdims=True)).astype(np.float32)


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB, float [..., 3] in [0, 1] -> CIE L*a*b*, float32 [..., 3]: 0..100 and within +-110, +-110.

    D65, 2 degree observer (CIE 15; sRGB by IEC 61966-2-1).
    """
    rgb = np.asarray(rgb, np.float32)
    x, y, z = _lab_f(_RGB_TO_XYZ @ _linear(rgb.reshape(-1, 3).T))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).reshape(rgb.shape)


def rgb_to_lightness(rgb: np.ndarray) -> np.ndarray:
    """sRGB, float32 [..., 3] in [0, 1], or grey [..., 1] -> CIE L*, float32 [..., 1]: 0..100."""
    linear = _linear(rgb)
    luminance = linear if rgb.shape[-1] == 1 else linear @ _RGB_TO_XYZ[1][:, None]
    return 116 * _lab_f(luminance) - 16


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """CIE L*a*b*, float [..., 3] -> sRGB, float32 [..., 3]; what lies outside [0, 1] is clipped."""
    linear = np.clip(_lab_to_linear(np.asarray(lab, np.float32)), 0, 1)
    curve = np.float32(1.055) * np.power(linear, np.float32(1 / 2.4)) - np.float32(0.055)
    return np.where(linear <= np.float32(0.0031308), linear * np.float32(12.92), curve)


def into_gamut(lab: np.ndarray) -> np.ndarray:
    """[N, 3] -> the same L* and hue, with the largest share of the chroma that sRGB can show (bisection)."""
    tolerance = 1e-4
    linear = _lab_to_linear(lab)
    outside = np.flatnonzero((linear.min(axis=1) < -tolerance) | (linear.max(axis=1) > 1 + tolerance))
    if not len(outside):
        return lab
    lab, colours = lab.copy(), lab[outside]
    low, high = np.zeros((len(outside), 1), np.float32), np.ones((len(outside), 1), np.float32)
    for _ in range(10):  # the share to 1/1024
        middle = (low + high) / 2
        linear = _lab_to_linear(np.concatenate([colours[:, :1], colours[:, 1:] * middle], axis=1))
        fits = (linear.min(axis=1) >= -tolerance) & (linear.max(axis=1) <= 1 + tolerance)
        low, high = np.where(fits[:, None], middle, low), np.where(fits[:, None], high, middle)
    lab[outside, 1:] = colours[:, 1:] * low
    return lab


def _linear(rgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] -> linear light, float32."""
    curve = np.power((rgb + np.float32(0.055)) / np.float32(1.055), np.float32(2.4))
    return np.where(rgb <= np.float32(0.04045), rgb / np.float32(12.92), curve)


def _lab_f(ratio: np.ndarray) -> np.ndarray:
    """CIE 15, equation 8.6: the cube root, and a line below (6/29)^3."""
    line = ratio * np.float32(841 / 108) + np.float32(4 / 29)
    return np.where(ratio > np.float32((6 / 29) ** 3), np.cbrt(ratio), line)


def _lab_to_linear(lab: np.ndarray) -> np.ndarray:
    """CIE L*a*b* -> linear sRGB, not clipped."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > np.float32(6 / 29), f * f * f, (f - np.float32(4 / 29)) * np.float32(108 / 841))
    return xyz @ _XYZ_TO_RGB.T
