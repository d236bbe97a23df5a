"""`pix2pix publish` and `publish-space`: a trained folder becomes a Hub repository, the demo a Space."""

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


SPACE_EXAMPLES = """examples:
  pix2pix publish-space --repo user/pix2pix --hub_owner user
  pix2pix publish-space --repo user/pix2pix --model map=user/pix2pix-map --model sketch=user/pens --private

Run it from a clone of the project. Run again, it replaces the demo's own files (those no longer in the clone
are removed) and keeps what else the Space holds, and the title, colours and text of its README."""


def declare_space(commands: Any) -> None:
    parser = commands.add_parser(
        "publish-space",
        help="push the browser demo to a Hugging Face Space",
        description="Push the browser demo to a Hugging Face Space as one commit; the Space is created if\n"
        "there is none. Needs a token that may write (hf auth login).",
        epilog=SPACE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repo", required=True, metavar="ID", help="the Space, such as user/pix2pix")
    parser.add_argument(
        "--model", action="append", default=[], metavar="TASK=ID", help="Hub model of a task; may be repeated"
    )
    parser.add_argument(
        "--hub_owner", metavar="NAME", help="whose models are found by their tags, for the tasks not named"
    )
    parser.add_argument("--private", action="store_true", help="create it for your eyes only")
    parser.add_argument(
        "--hardware",
        metavar="H",
        help="run it on zero-a10g, t4-small, ...: may cost money; else 2 free cores",
    )
    parser.add_argument("--message", metavar="TEXT", help="what the commit is called")
    parser.add_argument(
        "--parent_commit", metavar="C", help="the newest commit there, to replace what others changed in it"
    )
    parser.set_defaults(run=run_space)


def run_space(options: argparse.Namespace) -> int:
    from pix2pix.space import publish_space

    result = publish_space(
        options.repo,
        models=options.model,
        hub_owner=options.hub_owner,
        private=options.private,
        hardware=options.hardware,
        message=options.message,
        parent_commit=options.parent_commit,
    )
    print(f"The demo -> {result.url} at commit {result.commit}")
    return 0
