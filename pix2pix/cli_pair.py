"""`pix2pix pair`: two folders, or one of photos, become a data set of pairs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.errors import ConfigError, listed

if TYPE_CHECKING:
    from pix2pix.pair_matching import Matches

EXAMPLE = """examples:
  pix2pix pair photos labels --output my_pairs
  pix2pix pair drawings photos --strip _sketch _photo --val 0.05 --test 0 --output my_pairs
  pix2pix pair photos --task colorize --output my_pairs

then:
  pix2pix doctor --data my_pairs
  accelerate launch train_accelerate.py --train_data_dir my_pairs

exit status: 0 all pairs are written; 1 some files are left out and listed; 2 nothing is written"""


def declare(commands: Any) -> None:
    parser = commands.add_parser(
        "pair",
        help="make a data set of two folders of pictures, or of photos",
        description="Pair the pictures of two folders by their names (any file type), or make the input from "
        "photos by a task, and write a data set with train, val and test for training, "
        'datasets.load_dataset("imagefolder") and push_to_hub. Folders train, val and test in both '
        "are taken over. Your files are copied as they are and never changed.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="the inputs and the targets; or photos, with --task",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="new folder for the pairs")
    parser.add_argument("--task", metavar="ID", help="make the input from photos: colorize or sketch")
    parser.add_argument(
        "--strip", nargs=2, metavar=("A", "B"), help="what the names of only one side end in: _A _B"
    )
    parser.add_argument("--val", type=float, metavar="SHARE", help="share to validate on (default: 0.1)")
    parser.add_argument("--test", type=float, metavar="SHARE", help="share to test on (default: 0.1)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws other pairs for val and test")
    parser.add_argument("--resize", action="store_true", help="fit targets to their input's size")
    parser.add_argument(
        "--side_by_side", action="store_true", help="write one PNG a pair, input left and target right"
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Match, split and write; return 1 if any file was left out."""
    from pix2pix.pair_building import Building, build
    from pix2pix.pair_matching import assign_splits

    building = Building(options.task, options.resize, options.side_by_side)
    for folder in options.folders:
        if options.output.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"--output {options.output} lies in {folder}, which is read. Name another place."
            )
    matches = _matched(options)
    splits = assign_splits(matches.pairs, options.val, options.test, options.seed)
    built = build(splits, options.output, building)
    left_out = [*matches.left_out, *built.left_out]
    if options.json:
        content = {"output": str(options.output), "splits": dict(built.splits), "left_out": left_out}
        print(json.dumps(content | {"stripped": list(matches.strip)}, indent=2))
    else:
        counts = ", ".join(f"{name} {count}" for name, count in built.splits.items())
        if any(matches.strip):
            print(f"Paired by names without {matches.strip[0]} and {matches.strip[1]}.")
        print(f"{sum(built.splits.values())} pairs in {options.output}: {counts}")
    if left_out:
        print(f"{len(left_out)} left out:\n{listed(left_out)}", file=sys.stderr)
    return 1 if left_out else 0


def _matched(options: argparse.Namespace) -> Matches:
    from pix2pix.pair_matching import match, photos

    if options.task and len(options.folders) == 1:
        if options.strip:
            raise ConfigError("--strip is for two folders; photos alone have no partner to be named like.")
        return photos(options.folders[0])
    if len(options.folders) != 2 or options.task:
        raise ConfigError(
            f"There are {len(options.folders)} folders: give two, inputs and targets; or one of photos, with "
            "--task colorize or --task sketch."
        )
    a, b = options.folders
    return match(a, b, tuple(options.strip) if options.strip else None)
