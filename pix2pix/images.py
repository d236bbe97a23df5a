"""Pictures and arrays: the only code between PIL, arrays, files and a float array in [-1, 1].

    picture = open_picture("photo.jpg")                 # decoded, upright
    array = to_array(picture, "rgb")                    # float32 [H, W, 3] in [-1, 1]
    picture = to_picture(array, "rgb")                  # back, exactly

A model's side is in one of five colour spaces (COLORS):

    rgb   3 channels, sRGB, 0..1 -> -1..1
    grey  1 channel, Rec. 601 luma of sRGB, 0..1 -> -1..1
    l     1 channel, CIE lightness L*, 0..100 -> -1..1
    ab    2 channels, CIE a* and b*, each divided by 110
    raw   N channels as they are stored, with no meaning of colour, whole range -> -1..1

Transparent pixels are composited on white; colour profiles are ignored (a picture is taken to be sRGB).
"""

import io
import os
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from pix2pix.cielab import into_gamut, lab_to_rgb, rgb_to_lab, rgb_to_lightness
from pix2pix.errors import ImageError

COLORS = ("rgb", "grey", "l", "ab", "raw")
CHANNELS = {"rgb": 3, "grey": 1, "l": 1, "ab": 2}

# What we decode is a closed list: others of Pillow's readers start programs (EPS) or fetch nothing useful.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF", "PPM")
ENDINGS = "jpg jpeg jpe jfif png webp avif bmp tif tiff gif ppm pgm pbm pnm"
EXTENSIONS = frozenset(f".{ending}" for ending in ENDINGS.split())

AB_RANGE = 110.0  # |a*| <= 98.3 and |b*| <= 107.9 over all of sRGB, so nothing is clipped on the way in
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as PIL's convert("L")


# ---- files -> pictures ------------------------------------------------------------------------------------


def open_picture(source: str | os.PathLike[str] | bytes | BinaryIO | Image.Image) -> Image.Image:
    """The decoded, upright picture in `source`: a path, an encoded file's bytes, a binary file, or a picture.

    EXIF orientation is applied once and removed; an animation gives its first frame. The result no longer
    depends on the file. A missing, unreadable, truncated or too large (PIL.Image.MAX_IMAGE_PIXELS) file, and
    one that is no picture, raise ImageError naming the file and the reason.
    """
    name = _name_of(source)
    try:
        if isinstance(source, Image.Image):
            return _upright(source)
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        Image.init()  # registers every reader that this Pillow was built with
        with Image.open(file, formats=[known for known in FORMATS if known in Image.OPEN]) as picture:
            return _upright(picture)
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file. Check the path.") from None
    except Image.UnidentifiedImageError:
        rule = f"a picture is one of {', '.join(FORMATS)}"
        raise ImageError(f"{name}: not a picture that can be read; {rule}. Convert or remove it.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: too large to be decoded safely ({error}). Make it smaller.") from error
    except Exception as error:  # decoders raise nearly anything on a damaged file
        reason = str(error) or type(error).__name__
        raise ImageError(f"{name}: cannot be read ({reason}). Replace or remove it.") from error


def _name_of(source: Any) -> str:
    if isinstance(source, bytes):
        return f"picture given as {len(source)} bytes"
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "filename", None) or getattr(source, "name", None)
    return str(name) if name else f"picture given as {type(source).__name__}"


def _upright(picture: Image.Image) -> Image.Image:
    picture.load()
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF says nothing about the pixels
        return picture.copy()


# ---- pictures -> arrays -----------------------------------------------------------------------------------


def to_rgb(picture: Image.Image) -> Image.Image:
    """An 8-bit RGB picture from one of any mode; transparency is composited on white.

    Grey deeper than 8 bits is scaled by its depth, where PIL's convert would clip it: 16 bits by 65535;
    mode I by 65535, or by 2^31 - 1 where a value exceeds 65535; mode F by the first of 1, 255 and 65535 that
    no value exceeds. Negative or non-finite values raise ImageError.
    """
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if _is_deep(picture):
        levels = np.rint(_deep_unit(picture) * 255).astype(np.uint8)
        return Image.fromarray(np.repeat(levels[:, :, None], 3, axis=2))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    rgba = picture.convert("LA").convert("RGBA") if picture.mode == "La" else picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def to_array(source: Image.Image | np.ndarray, color: str, channels: int | None = None) -> np.ndarray:
    """`source` in a colour space of COLORS: float32 [H, W, C] in [-1, 1].

    A picture may have any mode; 16-bit grey keeps its precision. An array is [H, W] or [H, W, C], channels
    last: uint8 (0..255), uint16 (0..65535), or float already in [-1, 1]; for a colour space other than raw it
    holds sRGB with C of 1 (grey), 3, or 4 (alpha, composited on white). Any other shape or dtype, non-finite
    or out-of-range values, and a result of other than `channels` channels (where given) raise ImageError.
    """
    if color not in COLORS:
        raise ImageError(f"colour space {color!r} is not one of {', '.join(COLORS)}")
    if isinstance(source, Image.Image):
        unit = _picture_unit(source, bands=color == "raw")
    else:
        unit = _array_unit(np.asarray(source))
    array = unit * 2 - 1 if color == "raw" else _in_color(_without_alpha(unit), color)
    if channels is not None and array.shape[2] != channels:
        raise ImageError(
            f"{array.shape[2]} channels in colour space {color!r}, where {channels} are expected: "
            f"give pictures with {channels}, or a model for {array.shape[2]}"
        )
    return array


def _in_color(unit: np.ndarray, color: str) -> np.ndarray:
    """[H, W, 1 or 3] sRGB in [0, 1] -> [H, W, CHANNELS[color]] in [-1, 1]."""
    is_grey = unit.shape[2] == 1
    if color == "rgb":
        return (np.repeat(unit, 3, axis=2) if is_grey else unit) * 2 - 1
    if color == "grey":
        return np.clip((unit if is_grey else unit @ LUMA[:, None]) * 2 - 1, -1, 1)
    if color == "l":
        return np.clip(rgb_to_lightness(unit) / 50 - 1, -1, 1)
    if is_grey:
        return np.zeros((*unit.shape[:2], 2), np.float32)
    return np.clip(rgb_to_lab(unit)[..., 1:] / AB_RANGE, -1, 1)


# Modes whose stored bytes are not the channels themselves.
_BANDS = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode in ("I", "F") or picture.mode.startswith("I;16")


def _deep_unit(picture: Image.Image) -> np.ndarray:
    """Modes I;16*, I and F -> float32 [H, W] in [0, 1], by the scales that to_rgb documents."""
    values = np.asarray(picture)
    scales = {"I": (65535, 2**31 - 1), "F": (1, 255, 65535)}.get(picture.mode, (65535,))
    lowest, highest = float(values.min()), float(values.max())  # NaN, if there is one
    scale = next((scale for scale in scales if highest <= scale), None)
    if scale is None or not lowest >= 0:
        raise ImageError(
            f"picture of mode {picture.mode} with values {lowest:g}..{highest:g}: they must be finite and "
            f"in [0, {scales[-1]}]; scale them first"
        )
    return (values / np.float64(scale)).astype(np.float32)


def _picture_unit(picture: Image.Image, bands: bool) -> np.ndarray:
    """float32 [H, W, C] in [0, 1]: the stored bands, or else 1 (grey) or 3 (sRGB) channels without alpha."""
    if 0 in picture.size:
        raise ImageError(f"picture of {picture.width}x{picture.height} pixels: it must have at least one")
    if _is_deep(picture):
        return _deep_unit(picture)[:, :, None]
    if bands:
        picture = picture.convert(_BANDS.get(picture.mode, picture.mode))
    elif picture.mode != "L" or "transparency" in picture.info:
        picture = to_rgb(picture)
    values = np.asarray(picture, np.float32) / np.float32(255)
    return values[:, :, None] if values.ndim == 2 else values


def _array_unit(array: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float in [-1, 1], [H, W] or [H, W, C] -> float32 [H, W, C] in [0, 1]."""
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ImageError(
            f"array of shape {array.shape}: a picture is [H, W] or [H, W, C], with no empty side"
        )
    if array.dtype in (np.uint8, np.uint16):
        unit = array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    elif np.issubdtype(array.dtype, np.floating):
        lowest, highest = float(array.min()), float(array.max())  # NaN, if there is one
        if not (lowest >= -1 and highest <= 1):
            raise ImageError(
                f"float array with values {lowest:g}..{highest:g}: they must be finite and in [-1, 1]"
            )
        unit = (array.astype(np.float32) + 1) / 2
    else:
        raise ImageError(
            f"array of {array.dtype}: pixels are uint8 (0..255), uint16 (0..65535) or float in [-1, 1]; "
            "convert it, so that its range is known"
        )
    return unit[:, :, None] if unit.ndim == 2 else unit


def _without_alpha(unit: np.ndarray) -> np.ndarray:
    """[H, W, 1, 3 or 4] in [0, 1] -> [H, W, 1 or 3], alpha composited on white."""
    if unit.shape[2] not in (1, 3, 4):
        raise ImageError(
            f"array of shape {unit.shape}: a colour picture has 1, 3 or 4 channels, and they come last; "
            "move them there, or use a model of colour space raw"
        )
    return 1 + (unit[..., :3] - 1) * unit[..., 3:] if unit.shape[2] == 4 else unit


# ---- arrays -> pictures -----------------------------------------------------------------------------------


def to_integers(array: np.ndarray, dtype: Any) -> np.ndarray:
    """float of any shape in [-1, 1] -> np.uint8 or np.uint16 of that shape: clipped, rounded to the nearest.

    Inverts to_array exactly on integer arrays. A non-finite value, and another dtype, raise ImageError.
    """
    if np.dtype(dtype) not in (np.uint8, np.uint16):
        raise ImageError(f"dtype {np.dtype(dtype)}: pixels are written as uint8 or uint16")
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        count = int(np.count_nonzero(~np.isfinite(array)))
        raise ImageError(
            f"{count} of {array.size} values are NaN or infinite: the model that made them diverged"
        )
    half = np.float32(np.iinfo(dtype).max / 2)
    return np.rint((np.clip(array, -1, 1) + 1) * half).astype(dtype)


def to_picture(array: np.ndarray, color: str) -> Image.Image:
    """float [H, W, C] in [-1, 1] of colour space rgb, grey, l or raw (C of 1 or 3) -> an RGB or L picture.

    Clipped and rounded to the nearest level; l becomes the grey of that lightness. ab has no picture of its
    own (see merge_lightness). A wrong shape, and non-finite values, raise ImageError.
    """
    if color not in COLORS or color == "ab":
        raise ImageError(f"colour space {color!r} makes no picture alone: use rgb, grey, l or raw")
    array = np.asarray(array, np.float32)
    if array.ndim != 3 or array.shape[2] not in ((1, 3) if color == "raw" else (CHANNELS[color],)):
        wanted = "1 or 3" if color == "raw" else CHANNELS[color]
        raise ImageError(f"array of shape {array.shape}: a {color} picture is [H, W, C] with C = {wanted}")
    if color == "l":
        lab = np.concatenate([(array + 1) * 50, np.zeros((*array.shape[:2], 2), np.float32)], axis=2)
        array = lab_to_rgb(lab)[..., :1] * 2 - 1
    levels = to_integers(array, np.uint8)
    return Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)


def merge_lightness(lightness: np.ndarray, ab: np.ndarray) -> Image.Image:
    """An RGB picture with the lightness of one array and the colour of another.

    lightness: float [H, W, 1], ab: float [h, w, 2], both in [-1, 1] as to_array makes them; ab is brought to
    H x W bilinearly. Where sRGB has no such colour, the chroma is reduced at the same hue until it has one:
    L* stays, to about half of an 8-bit level. Wrong shapes and non-finite values raise ImageError.
    """
    lightness, ab = np.asarray(lightness, np.float32), np.asarray(ab, np.float32)
    if lightness.ndim != 3 or lightness.shape[2] != 1 or ab.ndim != 3 or ab.shape[2] != 2:
        raise ImageError(f"shapes {lightness.shape} and {ab.shape}: lightness is [H, W, 1], ab is [h, w, 2]")
    if not (np.isfinite(lightness).all() and np.isfinite(ab).all()):
        raise ImageError("lightness or ab has NaN or infinite values: the model that made them diverged")
    height, width = lightness.shape[:2]
    if ab.shape[:2] != (height, width):
        planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(ab, -1, 0)]
        ab = np.stack(
            [np.asarray(p.resize((width, height), Image.Resampling.BILINEAR)) for p in planes], axis=-1
        )
    lab = np.concatenate([(np.clip(lightness, -1, 1) + 1) * 50, np.clip(ab, -1, 1) * AB_RANGE], axis=2)
    return to_picture(lab_to_rgb(into_gamut(lab.reshape(-1, 3)).reshape(lab.shape)) * 2 - 1, "rgb")


# ---- geometry ---------------------------------------------------------------------------------------------


def crop_resize(
    picture: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
    resample: Image.Resampling = Image.Resampling.BICUBIC,
) -> Image.Image:
    """The part `box` (x0, y0, x1, y1 in pixels, fractions allowed; default all) in `size` (width, height).

    It equals that part of the whole picture resized, at the part's cost: at its border the filter sees what
    lies beside it (cut side-by-side pairs apart first). Palette and 1-bit pictures become RGB, 16-bit grey
    stays 16-bit (mode I;16), and modes I and F become F in [0, 1], by the scale of the whole picture. A box
    outside the picture, or an empty one, raises ImageError.
    """
    width, height = picture.size
    left, top, right, bottom = (0.0, 0.0, width, height) if box is None else box
    slack = 1e-3  # pixels: what rounding may put outside
    inside = -slack <= left < right <= width + slack and -slack <= top < bottom <= height + slack
    if not inside or min(size) < 1:
        raise ImageError(
            f"box {box} of a {width}x{height} picture to size {size}: a box lies inside its "
            "picture with x0 < x1 and y0 < y1, and a size is at least (1, 1)"
        )
    box = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    colour_key = picture.mode in ("L", "RGB") and "transparency" in picture.info
    if colour_key or picture.mode in ("P", "PA", "1"):
        picture = to_rgb(picture)
    if not _is_deep(picture):
        return picture.resize(size, resample, box=box)
    unit = np.asarray(Image.fromarray(_deep_unit(picture)).resize(size, resample, box=box))
    unit = np.clip(unit, 0, 1)  # bicubic overshoots
    is_16_bit = picture.mode.startswith("I;16")
    return Image.fromarray(np.rint(unit * 65535).astype(np.uint16) if is_16_bit else unit)


def pad_to_multiple(
    array: np.ndarray, multiple: int, smallest: int = 1
) -> tuple[np.ndarray, tuple[slice, slice]]:
    """[H, W, C] padded by mirroring (edge pixels repeated) until both sides are multiples and >= `smallest`.

    Works from 1x1 up; the padding is shared between opposite sides. Also gives the slices that cut the
    original back out: `padded[crop]` equals `array`. Nothing is copied where nothing is missing.
    """
    pads = []
    for side in array.shape[:2]:
        wanted = -(-max(side, smallest) // multiple) * multiple
        pads.append(((wanted - side) // 2, wanted - side - (wanted - side) // 2))
    crop = (
        slice(pads[0][0], pads[0][0] + array.shape[0]),
        slice(pads[1][0], pads[1][0] + array.shape[1]),
    )
    if all(pad == (0, 0) for pad in pads):
        return array, crop
    return np.pad(array, [*pads, (0, 0)], mode="symmetric"), crop
