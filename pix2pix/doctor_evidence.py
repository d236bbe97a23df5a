"""What is noted of one pair, so that a whole set can be judged without keeping its pictures: about 2 kB."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pix2pix import images
from pix2pix.doctor_alignment import Agreement, agreement
from pix2pix.doctor_sides import features
from pix2pix.errors import ImageError
from pix2pix.pairs import PairSource, Picture, check_pair, picture_size

THUMB = 16
"""Side in pixels of the thumbnails by which near-duplicates are found."""
FLAT = 2.0
"""A picture is nearly constant if it deviates by less than this, of 255 levels, in every channel."""
GREY_FILL = 0.08
"""Share of a picture's height at its end that a decoder fills with mid grey when a JPEG's data run out."""


@dataclass(frozen=True)
class SideEvidence:
    """One picture of a pair."""

    size: tuple[int, int]
    mode: str
    digest: bytes
    """Of the decoded pixels: equal for equal pictures in whatever file."""
    thumb: np.ndarray
    """uint8 [THUMB, THUMB, 3]."""
    features: np.ndarray
    flat: bool


@dataclass(frozen=True)
class PairEvidence:
    """One pair. `problem` says why it cannot be used; the rest is then missing."""

    split: str
    index: int
    name: str
    problem: str | None = None
    input: SideEvidence | None = None
    target: SideEvidence | None = None
    agreement: Agreement | None = None

    @property
    def label(self) -> str:
        return f"{self.split}: {self.name}"

    @property
    def sides(self) -> tuple[SideEvidence, ...]:
        return tuple(side for side in (self.input, self.target) if side is not None)


def look_at(source: PairSource, split: str, index: int) -> PairEvidence:
    """Decode one pair and note what the judgements need; a broken pair is noted, not raised."""
    name = source.names[index]
    try:
        input_picture, target = source.load(index)
        check_pair(input_picture, target, name)
        b = preview(target)
        a = None if input_picture is None else preview(input_picture)
        filled = next((side for side in (a, b) if side is not None and _is_filled(side)), None)
        if filled is not None:
            raise ImageError(
                f"{name}: its lower part is one flat grey, as of a damaged JPEG. Replace or remove it."
            )
        return PairEvidence(
            split,
            index,
            name,
            input=None if input_picture is None or a is None else _side(input_picture, a),
            target=_side(target, b),
            agreement=None if a is None else agreement(a, b),
        )
    except ImageError as error:
        return PairEvidence(split, index, name, problem=str(error))
    except OSError as error:  # a disk or a network that fails half-way
        return PairEvidence(split, index, name, problem=f"{name}: cannot be read ({error}).")


def preview(picture: Picture) -> Image.Image:
    """The picture as 8-bit RGB; of an array, its first three channels, or the first as grey."""
    if isinstance(picture, Image.Image):
        return images.to_rgb(picture)
    array = images.to_array(picture, "raw")
    return images.to_picture(array[..., : 3 if array.shape[2] >= 3 else 1], "raw").convert("RGB")


def _side(picture: Picture, rgb: Image.Image) -> SideEvidence:
    thumb = np.asarray(rgb.resize((THUMB, THUMB), Image.Resampling.BOX))
    fine = np.asarray(rgb.resize((64, 64), Image.Resampling.BOX), np.float32)
    mode = picture.mode if isinstance(picture, Image.Image) else f"array of {picture.shape[2]}"
    pixels = picture.tobytes()
    return SideEvidence(
        picture_size(picture),
        mode,
        hashlib.blake2b(f"{mode} {picture_size(picture)}".encode() + pixels, digest_size=16).digest(),
        thumb,
        features(rgb),
        bool(fine.std(axis=(0, 1)).max() < FLAT),
    )


def _is_filled(rgb: Image.Image) -> bool:
    """Whether the last rows, but not all, are the flat mid grey of missing JPEG data."""
    rows = max(2, round(GREY_FILL * rgb.height))
    end = np.asarray(rgb.crop((0, rgb.height - rows, *rgb.size)))
    if int(end.max()) - int(end.min()) > 2 or abs(int(end.min()) - 128) > 3:
        return False
    return float(np.asarray(rgb, np.float32).std()) >= FLAT
