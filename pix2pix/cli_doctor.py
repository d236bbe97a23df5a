"""`pix2pix doctor`: what is wrong with a set of pairs, before time is spent on training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.files import replacing, write_json

if TYPE_CHECKING:
    from pix2pix.doctor_evidence import PairEvidence
    from pix2pix.training_config import TrainingConfig

EXAMPLE = """example:
  pix2pix doctor --data my_pairs --json findings.json --sheet findings.png

exit status: 0 healthy; 1 there are findings; 2 the data could not be read"""


def declare(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="find out what is wrong with a data set",
        description="Examine all pairs of all splits: files that cannot be read, pairs that are there twice "
        "or in two splits, pairs that do not align, sides that seem swapped, constant pictures, files "
        "that are part of no pair, too few pairs. Nothing is changed.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, metavar="D", help="folder with the pairs, or a Hub data set")
    parser.add_argument(
        "--task", default="custom", metavar="ID", help="what the pairs mean: map, sketch, ..."
    )
    parser.add_argument(
        "--direction", choices=("AtoB", "BtoA"), default="AtoB", help="which side is the input"
    )
    parser.add_argument(
        "--layout",
        default="auto",
        help="how the pairs lie: auto (default), side_by_side, two_folders, photos, columns",
    )
    parser.add_argument("--input_column", metavar="C", help="picture column of A, where pairs are columns")
    parser.add_argument("--target_column", metavar="C", help="picture column of B")
    parser.add_argument("--json", type=Path, metavar="F", help="write everything that was found")
    parser.add_argument("--sheet", type=Path, metavar="F", help="write the pictures of the findings as a PNG")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Examine the pairs, print what was found; return 1 if anything must be mended."""
    from pix2pix.doctor import diagnose, find_splits
    from pix2pix.doctor_report import as_text, sheet

    sources, known = find_splits(_config(options))
    count = sum(len(source.names) for source in sources.values())
    diagnosis = diagnose(sources, known, lambda pairs: _counted(pairs, count))
    print(as_text(diagnosis))
    if options.json:
        write_json(options.json, diagnosis.to_dict())
    if options.sheet:
        picture = sheet(diagnosis, sources)
        if picture is None:
            print(f"There is nothing to show: {options.sheet} is not written.")
        else:
            with replacing(options.sheet.with_suffix(".png")) as temporary:
                picture.save(temporary)
    return 0 if diagnosis.healthy else 1


def _config(options: argparse.Namespace) -> TrainingConfig:
    from pix2pix.training_config import TrainingConfig

    flags = {name: getattr(options, name) for name in ("task", "direction", "layout")}
    flags |= {name: getattr(options, name) for name in ("input_column", "target_column")}
    where = "train_data_dir" if Path(options.data).exists() else "dataset_name"
    return TrainingConfig(**flags, **{where: options.data})


def _counted(pairs: Iterable[PairEvidence], count: int) -> Iterator[PairEvidence]:
    """Show how far it is, on a terminal only."""
    shown = sys.stderr.isatty()
    for number, pair in enumerate(pairs, start=1):
        if shown and (number % 20 == 0 or number == count):
            end = "\n" if number == count else ""
            print(f"\rexamined {number} of {count} pairs", end=end, file=sys.stderr, flush=True)
        yield pair
