"""The `pix2pix` command: reads arguments, calls the package, tells a mistake in plain words.

    pix2pix pair photos labels --output my_pairs
    pix2pix doctor --data my_pairs --sheet findings.png
    pix2pix translate --model user/pix2pix-map photo.jpg more_photos/ --output maps
    pix2pix evaluate --model runs/map --data my_pairs --split test --json measures.json
    pix2pix import latest_net_G.pth --output models/facades --task facades
    pix2pix export --model runs/map --output runs/map/onnx/model.onnx
    pix2pix release --model runs/map --output models/map
    pix2pix publish --model runs/map --repo user/pix2pix-map
    pix2pix publish-space --repo user/pix2pix --hub_owner user

Exit status: 0 all done; 1 some files could not be done, which are listed; 2 nothing could be done.

A subcommand is a module whose `declare` names its arguments and the function that runs them; COMMANDS lists
them. What is slow to import is imported where it runs, so that --help and a mistyped flag answer at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pix2pix import (
    __version__,
    cli_doctor,
    cli_evaluate,
    cli_export,
    cli_import,
    cli_pair,
    cli_publish,
    cli_release,
    cli_translate,
)
from pix2pix.errors import UserError

COMMANDS: tuple[Callable[[Any], None], ...] = (
    cli_pair.declare,
    cli_doctor.declare,
    cli_translate.declare,
    cli_evaluate.declare,
    cli_import.declare,
    cli_export.declare,
    cli_release.declare,
    cli_publish.declare,
    cli_publish.declare_space,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser("pix2pix", description="Paired image-to-image translation.")
    parser.add_argument("--version", action="version", version=f"pix2pix {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for declare in COMMANDS:
        declare(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
