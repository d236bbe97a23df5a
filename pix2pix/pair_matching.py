"""Which file of one folder belongs to which of another: by stem, and by the endings of the two sides."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pix2pix.errors import ConfigError, DataError, listed
from pix2pix.layouts import SPLIT_NAMES, scan
from pix2pix.pairs import SUFFIXES, names_in

SIDES_OF_NAMES = [
    (f"{mark}{left}", f"{mark}{right}")
    for mark in ("_", "-", ".", " ")
    for a, b in (
        ("A", "B"), ("a", "b"), ("input", "target"), ("in", "out"), ("source", "target"),
        ("real_A", "real_B"), ("photo", "label"), ("image", "label"), ("image", "mask"),
        ("day", "night"), ("0", "1"), ("1", "2"),
    )
    for left, right in ((a, b), (b, a))
]  # fmt: skip
"""What the stems of the two sides may end in; `x_A` and `x_B` are one pair."""

SPLITS = dict.fromkeys(("train", "training"), "train")
SPLITS |= dict.fromkeys(("val", "validation", "valid"), "val") | {"test": "test", "testing": "test"}
SHOWN = 3


@dataclass(frozen=True)
class Match:
    """Two files that belong together, or a photo alone."""

    key: str
    """What they have in common: the path without its ending, as seen from the folder and its split."""
    split: str | None
    """The split by whose folder they lie, if they do."""
    a: Path | None
    b: Path


@dataclass(frozen=True)
class Matches:
    """All pairs in a fixed order, what was left out and why, and the endings that were taken off."""

    pairs: Sequence[Match]
    left_out: Sequence[str]
    strip: tuple[str, str] = ("", "")


def match(a: Path, b: Path, strip: tuple[str, str] | None = None) -> Matches:
    """Match the pictures of two folders. Without `strip` those endings are taken off that match most files.

    Raises DataError where none match, showing what the names look like.
    """
    files_a, files_b = _pictures(a), _pictures(b)
    for folder, files in ((a, files_a), (b, files_b)):
        if not any(file.suffix.lower() in SUFFIXES for file in files):
            raise DataError(
                f"There is no picture in {folder}; pictures end in {', '.join(sorted(SUFFIXES))}."
            )
    same = a.resolve() == b.resolve()
    tried = [strip] if strip else [*([] if same else [("", "")]), *SIDES_OF_NAMES]
    stems_a, stems_b = _stems(a, files_a), _stems(b, files_b)
    best = max(tried, key=lambda ends: len(_keys(stems_a, ends[0]).keys() & _keys(stems_b, ends[1]).keys()))
    keys_a, keys_b = _keys(stems_a, best[0]), _keys(stems_b, best[1])
    left_out: list[str] = []
    pairs: list[Match] = []
    twice: set[Path] = set()
    for key in sorted(keys_a.keys() & keys_b.keys()):
        if len(keys_a[key]) > 1 or len(keys_b[key]) > 1:
            found = [*keys_a[key], *keys_b[key]]
            left_out.append(f"{', '.join(map(str, found))}: the same stem; which one is meant?")
            twice |= set(found)
            continue
        split, name = _split_of(key)
        pairs.append(Match(name, split, keys_a[key][0], keys_b[key][0]))
    if not keys_a.keys() & keys_b.keys():
        raise _none_match(a, b, stems_a, stems_b, strip)
    told = {file for pair in pairs for file in (pair.a, pair.b)} | twice
    for files, where in ((files_a, b), (files_b, a)):
        left_out += [_why_alone(file, where) for file in files if file not in told]
    return Matches(pairs, list(dict.fromkeys(left_out)), best)


def photos(folder: Path) -> Matches:
    """Every picture of a folder as a target alone."""
    files = _pictures(folder)
    stems = _stems(folder, files)
    if not stems:
        raise DataError(f"There is no picture in {folder}; pictures end in {', '.join(sorted(SUFFIXES))}.")
    pairs, left_out = [], [_why_alone(file, folder) for file in files if file not in stems]
    for key, found in sorted(_keys(stems, "").items()):
        if len(found) > 1:
            left_out.append(f"{', '.join(map(str, found))}: the same stem; which one is meant?")
            continue
        split, name = _split_of(key)
        pairs.append(Match(name, split, None, found[0]))
    return Matches(pairs, left_out)


def assign_splits(
    pairs: Sequence[Match], val: float | None, test: float | None, seed: int
) -> dict[str, list[Match]]:
    """The pairs of train, val and test: by the folders they lie in, or drawn by a hash of seed and name.

    Drawn: the same ones on any machine, 0.1 each where nothing is said; at least one pair stays in train.
    """
    found: dict[str, list[Match]] = {"train": [], "val": [], "test": []}
    if any(pair.split for pair in pairs):
        if val is not None or test is not None:
            raise ConfigError("The pairs lie in folders for splits already; leave --val and --test away.")
        for pair in pairs:
            found[pair.split or "train"].append(pair)
    else:
        shares = {"val": 0.1 if val is None else val, "test": 0.1 if test is None else test}
        if not (all(share >= 0 for share in shares.values()) and sum(shares.values()) < 1):
            raise ConfigError(
                f"--val {shares['val']:g} and --test {shares['test']:g}: shares are at least 0, and together "
                "below 1, for the rest is for training."
            )
        ranked = sorted(pairs, key=lambda pair: _hash(seed, pair.key))
        for name, share in shares.items():
            count = min(max(1, round(share * len(pairs))) if share else 0, len(ranked) - 1)
            found[name], ranked = ranked[:count], ranked[count:]
        found["train"] = ranked
    return {name: sorted(chosen, key=lambda pair: pair.key) for name, chosen in found.items() if chosen}


def _hash(seed: int, key: str) -> bytes:
    return hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest()


def _pictures(folder: Path) -> list[Path]:
    """All files but hidden ones and documents: what is no picture is said later."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Give the folder that holds the pictures.")
    return scan(folder)


def _stems(folder: Path, files: Sequence[Path]) -> dict[Path, str]:
    pictures = [file for file in files if file.suffix.lower() in SUFFIXES]
    names = names_in(folder, pictures)
    return {file: name[: len(name) - len(file.suffix)] for file, name in zip(pictures, names, strict=True)}


def _keys(stems: Mapping[Path, str], ending: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for file, stem in stems.items():
        if stem.endswith(ending) and len(Path(stem).name) > len(ending):
            found[stem.removesuffix(ending) if ending else stem].append(file)
    return found


def _split_of(key: str) -> tuple[str | None, str]:
    first, _, rest = key.partition("/")
    return (SPLITS[first], rest) if rest and first in SPLIT_NAMES else (None, key)


def _why_alone(file: Path, where: Path) -> str:
    return f"{file}: no partner in {where}" if file.suffix.lower() in SUFFIXES else f"{file}: no picture"


def _none_match(
    a: Path, b: Path, stems_a: Mapping[Path, str], stems_b: Mapping[Path, str], strip: tuple[str, str] | None
) -> DataError:
    examples = [
        f"{folder}: {', '.join(list(stems.values())[:SHOWN])}{', ...' if len(stems) > SHOWN else ''}"
        for folder, stems in ((a, stems_a), (b, stems_b))
    ]
    without = f" with {strip[0]!r} and {strip[1]!r} taken off" if strip else ""
    return DataError(
        f"No picture of {a} has a partner in {b}{without}: partners have the same name, but for the file "
        f"type. The names are\n{listed(examples)}\n"
        "Endings such as _A and _B, _input and _target are known; name others with --strip LEFT RIGHT, or "
        "rename the files."
    )
