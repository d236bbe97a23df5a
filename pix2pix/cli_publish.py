"""`pix2pix publish`: a trained folder becomes a Hub repository."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def declare(commands: Any) -> None:
    parser = commands.add_parser(
        "publish",
        help="push a trained folder to the Hub",
        description="Push a trained folder to the Hub as one commit, and renew its card. What somebody else "
        "changed there is not overwritten.",
    )
    parser.add_argument("--model", required=True, type=Path, metavar="DIR", help="folder of a trained model")
    parser.add_argument("--repo", required=True, metavar="ID", help="repository, such as user/pix2pix-map")
    parser.add_argument("--private", action="store_true", help="create it for your eyes only")
    parser.add_argument("--revision", default="main", metavar="B", help="branch to push to; created if new")
    parser.add_argument("--message", metavar="TEXT", help="what the commit is called")
    parser.add_argument(
        "--parent_commit", metavar="C", help="the newest commit there, to replace what others changed in it"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from pix2pix.hub import publish

    result = publish(
        options.model,
        options.repo,
        private=options.private,
        message=options.message,
        revision=options.revision,
        parent_commit=options.parent_commit,
    )
    print(f"{options.model} -> {result.url} at commit {result.commit}")
    return 0
