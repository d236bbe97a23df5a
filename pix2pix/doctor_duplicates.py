"""Pairs that are there twice: the same pixels, or the same picture re-encoded, resized or mirrored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pix2pix.doctor_evidence import PairEvidence, SideEvidence

NEAR = 5.0
"""Root mean square difference of two thumbnails, of 255 levels, up to which they show the same picture."""
OF_CONTRAST = 0.25
"""And this share of the thumbnail's own contrast: pale pictures all resemble each other."""
SCENES = 0.1
"""If more of the pairs share one side with another, the set is of scenes seen repeatedly."""
BLOCK = 1024


class Twins(NamedTuple):
    """Two pairs, by their numbers, and in what they are alike."""

    first: int
    second: int
    how: str
    """same pixels, nearly the same, mirrored."""


class Likeness(NamedTuple):
    """What of a set is there more than once."""

    twins: list[Twins]
    shared: dict[str, list[int]]
    """Pairs that have only one side in common with another pair, by the name of that side."""
    scenes: bool
    """Whether sharing is the set's nature, so that near twins of one split tell nothing."""


def find_likeness(pairs: Sequence[PairEvidence]) -> Likeness:
    """Compare all with all, on thumbnails: the time grows with the square of their number."""
    kinds: list[str] = [kind for kind in ("input", "target") if _sides(pairs, kind)]
    same = {kind: _numbers_by_digest(pairs, kind) for kind in kinds}
    vectors = {kind: _vectors(pairs, kind) for kind in kinds}
    twins: dict[tuple[int, int], str] = {}
    shared: dict[str, set[int]] = {kind: set() for kind in kinds}
    for mirrored in (False, True):
        for first, second, alike in _alike(vectors, mirrored):
            if len(alike) < len(kinds):
                if not mirrored:
                    shared[alike[0]] |= {first, second}
                continue
            exact = not mirrored and all(same[kind][first] == same[kind][second] for kind in kinds)
            how = "same pixels" if exact else "mirrored" if mirrored else "nearly the same"
            twins.setdefault((first, second), how)
    one_sided = {number for numbers in shared.values() for number in numbers}
    found = [Twins(first, second, how) for (first, second), how in sorted(twins.items())]
    scenes = len(one_sided) > SCENES * len(pairs) and len(one_sided) > 2
    return Likeness(found, {kind: sorted(shared[kind]) for kind in kinds}, scenes)


def groups(twins: Sequence[Twins]) -> list[list[int]]:
    """Numbers that hang together by being twins, each group in order."""
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        while parent.setdefault(number, number) != number:
            number = parent[number]
        return number

    for pair in twins:
        low, high = sorted((root(pair.first), root(pair.second)))
        parent[high] = low
    found: dict[int, list[int]] = defaultdict(list)
    for number in sorted(parent):
        found[root(number)].append(number)
    return list(found.values())


def _sides(pairs: Sequence[PairEvidence], kind: str) -> list[SideEvidence]:
    sides = [getattr(pair, kind) for pair in pairs]
    return [] if None in sides else sides


def _numbers_by_digest(pairs: Sequence[PairEvidence], kind: str) -> list[bytes]:
    return [side.digest for side in _sides(pairs, kind)]


class _Vectors(NamedTuple):
    plain: np.ndarray
    """float32 [N, 768], thumbnails about mid grey; of flat ones NaN, which resembles nothing."""
    mirrored: np.ndarray
    limit: np.ndarray
    """[N]: the largest squared distance at which another is the same."""


def _vectors(pairs: Sequence[PairEvidence], kind: str) -> _Vectors:
    sides = _sides(pairs, kind)
    thumbs = np.stack([side.thumb for side in sides]).astype(np.float32) - 128
    contrast = thumbs.std(axis=(1, 2))
    limit = np.minimum(NEAR, OF_CONTRAST * np.sqrt((contrast**2).mean(axis=1))) ** 2
    thumbs[[side.flat for side in sides]] = np.nan
    count = len(thumbs)
    return _Vectors(thumbs.reshape(count, -1), thumbs[:, :, ::-1].reshape(count, -1), limit)


def _alike(vectors: dict[str, _Vectors], mirrored: bool) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (first, second, sides alike), first < second, block by block."""
    count = len(next(iter(vectors.values())).limit)
    for start in range(0, count, BLOCK):
        found: dict[tuple[int, int], list[str]] = defaultdict(list)
        for kind, sides in vectors.items():
            rows = sides.plain[start : start + BLOCK]
            others = (sides.mirrored if mirrored else sides.plain)[start:]
            squares = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None] - 2 * rows @ others.T
            limit = np.minimum(sides.limit[start : start + BLOCK, None], sides.limit[None, start:])
            for first, second in np.argwhere(squares / rows.shape[1] <= limit):
                if first < second:
                    found[start + int(first), start + int(second)].append(kind)
        for (first, second), alike in found.items():
            yield first, second, alike
