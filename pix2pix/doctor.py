"""What is wrong with a set of pairs, before time is spent on training.

    diagnosis = diagnose(find_splits(config))
    for finding in diagnosis.findings: print(finding.title, finding.labels)

A finding is a fault to be mended (exit status 1) or, with `fault` False, something to know. Every pair is
decoded once; about 4 kB are kept of it.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pix2pix.doctor_alignment import Agreement, shifted
from pix2pix.doctor_duplicates import Likeness, Twins, find_likeness, groups
from pix2pix.doctor_evidence import PairEvidence, look_at
from pix2pix.doctor_sides import SWAPPED, swap_scores
from pix2pix.errors import DataError
from pix2pix.layouts import find_pairs
from pix2pix.pairs import PairSource
from pix2pix.training_config import TrainingConfig

SPLITS = ("train", "val", "test")
FEW = 20
"""Fewer training pairs are a fault: no generator learns a task from them."""
ALL = 0.5
"""If more than this share of the pairs is shifted the same way, it is said of the set, not of each."""


SCATTERED = 0.3
"""If more than this share is shifted, each another way, contours are no guide in this set."""


@dataclass(frozen=True)
class Case:
    """One pair, or file, that a finding names."""

    label: str
    """SPLIT: NAME."""
    detail: str = ""
    split: str = ""
    index: int | None = None
    """Of the pair in its split; None for a file that is no pair."""
    twin: tuple[str, int] | None = None
    """Split and index of the pair that this one repeats."""
    shift: tuple[float, float] | None = None
    """Pixels by which the target lies to the right and below."""


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found, with all its cases."""

    kind: str
    title: str
    advice: str
    cases: Sequence[Case] = ()
    fault: bool = True


@dataclass(frozen=True)
class Diagnosis:
    """All that was found, and what was looked at."""

    splits: Mapping[str, int]
    """Pairs of each split."""
    layout: str
    sizes: Mapping[str, int]
    modes: Mapping[str, int]
    findings: Sequence[Finding] = ()
    unclear: Sequence[str] = field(default_factory=list)
    """What could not be judged, and why."""

    @property
    def healthy(self) -> bool:
        return not any(finding.fault for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        return {"healthy": self.healthy, **dataclasses.asdict(self)}


def find_splits(config: TrainingConfig) -> tuple[dict[str, PairSource], list[Finding]]:
    """The splits there are, and what is wrong with those whose files are not pairs.

    Raises DataError where no split can be read at all.
    """
    found: dict[str, PairSource] = {}
    errors: dict[str, DataError] = {}
    for split in SPLITS:
        try:
            source = find_pairs(config, split)
        except DataError as error:
            errors[split] = error
            continue
        if source is not None:
            found[split] = source
    if not found:
        raise next(iter(errors.values()))
    cases = [Case(split, str(error), split) for split, error in errors.items()]
    advice = "The other splits were examined all the same."
    return found, [Finding("unpaired", "a split cannot be paired", advice, cases)] if cases else []


def diagnose(
    sources: Mapping[str, PairSource],
    known: Sequence[Finding] = (),
    progress: Callable[[Iterable[PairEvidence]], Iterable[PairEvidence]] = iter,
) -> Diagnosis:
    """Examine every pair of the splits. `known` findings are put in front; `progress` may show a bar."""
    everything = list(progress(_evidence(sources)))
    usable = [pair for pair in everything if pair.problem is None]
    likeness = find_likeness(usable) if usable else Likeness([], {}, False)
    misaligned, align_unclear = _misaligned(usable)
    swapped, swap_unclear = _swapped(usable)
    findings = [
        *known,
        *_unusable(everything),
        *_ignored(sources),
        *_flat(usable),
        *_twins(usable, likeness),
        *misaligned,
        *swapped,
        *_few(sources),
        *_shared(usable, likeness),
    ]
    sizes = Counter("x".join(map(str, side.size)) for pair in usable for side in pair.sides)
    modes = Counter(side.mode for pair in usable for side in pair.sides)
    return Diagnosis(
        {split: len(source.names) for split, source in sources.items()},
        next(iter(sources.values())).layout,
        dict(sizes.most_common()),
        dict(modes.most_common()),
        findings,
        [*align_unclear, *swap_unclear],
    )


def _evidence(sources: Mapping[str, PairSource]) -> Iterable[PairEvidence]:
    """Every pair in order, several at a time."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        try:
            for split, source in sources.items():
                yield from pool.map(
                    lambda index, split=split, source=source: look_at(source, split, index),
                    range(len(source.names)),
                )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for the rest


def _case(pair: PairEvidence, detail: str = "", **more: Any) -> Case:
    return Case(pair.label, detail, pair.split, pair.index, **more)


def _unusable(pairs: Sequence[PairEvidence]) -> list[Finding]:
    cases = [_case(pair, pair.problem) for pair in pairs if pair.problem is not None]
    advice = "Replace or remove them; training does not start on part of a data set."
    return [Finding("unusable", "cannot be read or used", advice, cases)] if cases else []


def _ignored(sources: Mapping[str, PairSource]) -> list[Finding]:
    cases = [Case(f"{split}: {file}") for split, source in sources.items() for file in source.ignored]
    advice = "Training leaves them out. Give them the ending of a picture, pair them or remove them."
    return [Finding("ignored", "files that are part of no pair", advice, cases)] if cases else []


def _flat(pairs: Sequence[PairEvidence]) -> list[Finding]:
    cases = []
    for pair in pairs:
        sides = [
            name
            for name, side in (("input", pair.input), ("target", pair.target))
            if side is not None and side.flat
        ]
        if sides:
            cases.append(_case(pair, f"{' and '.join(sides)}"))
    advice = "There is nothing to learn from a picture of one colour. Remove them."
    return [Finding("constant", "constant or nearly constant pictures", advice, cases)] if cases else []


def _twins(pairs: Sequence[PairEvidence], likeness: Likeness) -> list[Finding]:
    """Faults: equal pixels anywhere, and likeness across splits; within one split unless scenes recur."""

    def counts(twins: Twins) -> bool:
        across = pairs[twins.first].split != pairs[twins.second].split
        return across or twins.how == "same pixels" or not likeness.scenes

    faults = [twins for twins in likeness.twins if counts(twins)]
    cases: dict[bool, list[Case]] = {True: [], False: []}
    for group in groups(faults):
        # Named after the one that comes first: which of them is the copy, the files do not tell.
        first, members = pairs[group[0]], set(group)
        for number in group[1:]:
            hows = [t.how for t in faults if t.second == number and t.first in members]
            pair = pairs[number]
            across = any(pairs[other].split != pair.split for other in group)
            detail = f"{hows[0] if hows else 'nearly the same'} as {first.label}"
            cases[across].append(_case(pair, detail, twin=(first.split, first.index)))
    found = []
    if cases[True]:
        advice = "What is measured on them is no proof of learning. Keep each in one split only."
        found.append(Finding("leaked", "the same pair in two splits", advice, cases[True]))
    if cases[False]:
        advice = "They weigh twice in training. Remove one of each."
        found.append(Finding("duplicate", "the same pair twice in a split", advice, cases[False]))
    return found


def _shared(pairs: Sequence[PairEvidence], likeness: Likeness) -> list[Finding]:
    """To know: one input with several targets, or several inputs with one target."""
    found = []
    for side, numbers in likeness.shared.items():
        other = "target" if side == "input" else "input"
        if numbers:
            advice = (
                f"If the {other}s are views of one scene, that is how the set is made; "
                "keep a scene within one split, and count scenes, not pairs."
            )
            cases = [_case(pairs[number]) for number in numbers]
            title = f"pairs with an {side}" if side == "input" else f"pairs with a {side}"
            title += f" that others have too, with another {other}"
            found.append(Finding(f"shared_{side}", title, advice, cases, fault=False))
    close = [twins for twins in likeness.twins if twins.how != "same pixels"]
    numbers = sorted({t.second for t in close if pairs[t.first].split == pairs[t.second].split})
    if likeness.scenes and numbers:
        advice = "In a set of recurring scenes neighbouring frames and copies cannot be told apart."
        cases = [_case(pairs[number]) for number in numbers]
        found.append(Finding("close", "pairs nearly the same as another", advice, cases, fault=False))
    return found


def _misaligned(pairs: Sequence[PairEvidence]) -> tuple[list[Finding], list[str]]:
    judged = [(pair, pair.agreement) for pair in pairs if pair.agreement is not None]
    if not judged:
        return [], []
    numbers = shifted([found for _, found in judged])
    if numbers is None:
        return [], ["alignment: the contours of the two sides have too little in common to tell"]
    common = _common_shift([judged[number][1] for number in numbers], len(judged))
    if common is not None:
        advice = "The whole set is shifted; cut the sides apart anew."
        return [Finding("misaligned", f"most targets are shifted: {common}", advice)], []
    if len(numbers) > SCATTERED * len(judged):
        return [], [f"alignment: {len(numbers)} of {len(judged)} pairs agree best at scattered shifts"]
    cases = [
        _case(judged[n][0], f"target {direction(judged[n][1].shift)}", shift=judged[n][1].shift)
        for n in numbers
    ]
    advice = "A shifted target teaches blur. Shift it back, or remove the pair."
    title = "input and target do not align"
    return [Finding("misaligned", title, advice, cases)] if cases else [], []


def _common_shift(agreements: Sequence[Agreement], count: int) -> str | None:
    if len(agreements) <= ALL * count or len(agreements) < 3:
        return None
    shifts = np.array([found.shift for found in agreements])
    middle = np.median(shifts, axis=0)
    alike = np.hypot(*(shifts - middle).T) <= max(4.0, 0.1 * float(np.hypot(*middle)))
    return direction((float(middle[0]), float(middle[1]))) if alike.sum() > ALL * count else None


def direction(shift: tuple[float, float]) -> str:
    """A shift in words: "12 px to the right, 4 px up"."""
    right, down = (round(value) for value in shift)
    words = [f"{abs(right)} px to the {'right' if right > 0 else 'left'}"] if right else []
    words += [f"{abs(down)} px {'down' if down > 0 else 'up'}"] if down else []
    return ", ".join(words)


def _swapped(pairs: Sequence[PairEvidence]) -> tuple[list[Finding], list[str]]:
    judged = [(pair, pair.input, pair.target) for pair in pairs if pair.input is not None and pair.target]
    if not judged:
        return [], []
    scores = swap_scores(
        np.stack([a.features for _, a, _ in judged]), np.stack([b.features for _, _, b in judged])
    )
    if scores is None:
        return [], ["swapped sides: the pairs are too few, or the two sides too much alike, to tell"]
    cases = [
        _case(pair, f"score {score:.1f}, where 1 is typical")
        for (pair, _, _), score in zip(judged, scores, strict=True)
        if score < SWAPPED
    ]
    advice = "Their input looks as the others' targets do. Swap the sides, or remove the pairs."
    return [Finding("swapped", "input and target seem swapped", advice, cases)] if cases else [], []


def _few(sources: Mapping[str, PairSource]) -> list[Finding]:
    count = len(sources["train"].names) if "train" in sources else None
    if count is None or count >= FEW:
        return []
    title = f"only {count} training pair{'' if count == 1 else 's'}"
    return [Finding("few", title, f"Hundreds are usual; below {FEW} a network learns them by heart.")]
