"""The `pix2pix` command: reads arguments, calls the package, tells a mistake in plain words.

    pix2pix translate --model user/pix2pix-map photo.jpg more_photos/ --output maps
    pix2pix evaluate --model runs/map --data my_pairs --split test --json measures.json
    pix2pix publish --model runs/map --repo user/pix2pix-map

Exit status: 0 all done; 1 some files could not be done, which are listed; 2 nothing could be done.

A subcommand is a function that declares its arguments and names the function that runs them; COMMANDS lists
them. What is slow to import is imported where it runs, so that --help and a mistyped flag answer at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix import __version__
from pix2pix.errors import ConfigError, UserError, listed
from pix2pix.files import replacing, write_json

if TYPE_CHECKING:
    from pix2pix.config import TrainingConfig
    from pix2pix.inference import Translator


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


# -------------------------------------------------------------------------------------------- translate


def declare_translate(commands: Any) -> None:
    parser = commands.add_parser(
        "translate",
        help="translate pictures with a trained model",
        description="Translate pictures with a trained model. Each becomes a PNG of its name and size in the "
        "output folder; a .npy array becomes a .npy array.",
    )
    parser.add_argument("input", nargs="+", type=Path, help="picture, or folder of pictures")
    parser.add_argument(
        "--model", required=True, metavar="M", help="folder of a trained model, or its Hub id"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder to write into")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of the model on the Hub")
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1, mps"
    )
    parser.add_argument("--seed", default=0, type=int, metavar="N", help="for a model that leaves dropout on")
    parser.set_defaults(run=run_translate)


def run_translate(options: argparse.Namespace) -> int:
    """Translate every input; one that fails does not stop the others."""
    targets = plan(options.input, options.output)
    from pix2pix.inference import Translator

    translate = Translator.from_pretrained(options.model, revision=options.revision, device=options.device)
    failures = []
    for target, source in targets.items():
        try:
            translate_file(translate, source, target, options.seed)
            print(f"{source} -> {target}", flush=True)
        except (UserError, OSError, MemoryError, RuntimeError) as error:
            reason = str(error) or type(error).__name__
            failures.append(reason if str(source) in reason else f"{source}: {reason}")
    if failures:
        count = f"{len(failures)} of {len(targets)} files"
        print(f"{count} could not be translated:\n{listed(failures, len(failures))}", file=sys.stderr)
    return 1 if failures else 0


def plan(inputs: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Return the picture behind every file to be written; nothing is overwritten by another, nor is an input.

    Raises ConfigError where two would get one name, and where there is nothing to do.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is a file; name a folder.")
    targets: dict[Path, Path] = {}
    clashes = []
    for source, name in (found for path in inputs for found in pictures_in(path, output)):
        target = output / name.with_suffix(".npy" if name.suffix.lower() == ".npy" else ".png")
        before = targets.setdefault(target, source)
        if before.resolve() != source.resolve():
            clashes.append(f"{before} and {source} would both become {target}")
    inside = {source.resolve() for source in targets.values()}
    clashes += [f"{target} is an input" for target in targets if target.resolve() in inside]
    if clashes:
        raise ConfigError(f"Nothing was translated:\n{listed(clashes)}\nChoose another --output folder.")
    if not targets:
        raise ConfigError(f"There is no picture in {', '.join(map(str, inputs))}.")
    return targets


def pictures_in(path: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each picture of a file or folder, and its name below it; no hidden files, no earlier results."""
    from pix2pix.pairs import SUFFIXES

    if not path.is_dir():
        yield path, Path(path.name)
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        known = file.suffix.lower() in SUFFIXES and file.is_file()
        if known and not hidden and not file.resolve().is_relative_to(output.resolve()):
            yield file, file.relative_to(path)


def translate_file(translate: Translator, source: Path, target: Path, seed: int) -> None:
    """Translate one file; `target` is written whole or not at all."""
    import numpy as np

    from pix2pix.pairs import load_picture

    drawn = translate(load_picture(source), seed=seed)
    with replacing(target) as temporary:
        if isinstance(drawn, np.ndarray):
            np.save(temporary, drawn)
        else:
            drawn.save(temporary)


# --------------------------------------------------------------------------------------------- evaluate


def declare_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure a model on held-out pairs",
        description="Measure a trained model on the pairs of a split, beside copying the input and the mean "
        "training target. Layout and direction are those of its training, unless named.",
    )
    parser.add_argument(
        "--model", required=True, metavar="M", help="folder of a trained model, or its Hub id"
    )
    parser.add_argument("--data", required=True, metavar="D", help="folder with the pairs, or a Hub data set")
    parser.add_argument("--split", default="test", metavar="S", help="split to measure on (default: test)")
    parser.add_argument("--direction", choices=("AtoB", "BtoA"), help="which side is the input")
    parser.add_argument("--layout", help="how the pairs lie: side_by_side, two_folders, photos, columns")
    parser.add_argument("--json", type=Path, metavar="F", help="write the measures, picture by picture too")
    parser.add_argument("--sheet", type=Path, metavar="F", help="write input | output | truth as a PNG")
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1, mps"
    )
    parser.set_defaults(run=run_evaluate)


def run_evaluate(options: argparse.Namespace) -> int:
    """Measure the model and the baselines on the same files; print a table."""
    from pix2pix.data import PairDataset
    from pix2pix.evaluation import baselines, evaluate
    from pix2pix.inference import Translator
    from pix2pix.layouts import find_pairs
    from pix2pix.pairs import check_pairs

    translate = Translator.from_pretrained(options.model, device=options.device)
    config = pairs_of_model(options, translate)
    pairs = find_pairs(config, options.split)
    if pairs is None:
        raise ConfigError(f"{options.data} has no split {options.split!r}; name another with --split.")
    check_pairs(pairs, model=translate.config)
    dataset = PairDataset(pairs, config, translate.config)
    training = None if options.split == config.train_split else find_pairs(config, config.train_split)
    result = evaluate(translate, dataset)
    beside = None if training is None else PairDataset(training, config, translate.config)
    found = baselines(dataset, beside)
    measured = {"this model": result.measures, **found}
    print(table({name: measures.as_dict() for name, measures in measured.items()}))
    if options.json:
        content = {name.replace(" ", "_"): m.as_dict(per_picture=True) for name, m in measured.items()}
        write_json(options.json, {"split": options.split, "names": list(result.names), **content})
    if options.sheet:
        with replacing(options.sheet.with_suffix(".png")) as temporary:
            result.sheet.save(temporary)
    return 0


def pairs_of_model(options: argparse.Namespace, translate: Translator) -> TrainingConfig:
    """Where the pairs lie, read as in the model's training where the command line says nothing else."""
    import json

    from pix2pix.config import TrainingConfig

    record = Path(options.model) / "training_config.json"
    trained = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    flags: dict[str, Any] = {name: trained[name] for name in ("direction", "fit") if name in trained}
    given = {"direction": options.direction, "layout": options.layout}
    where = "train_data_dir" if Path(options.data).is_dir() else "dataset_name"
    model = translate.config
    flags |= {
        "input_color": model.input_color if model.input_color in ("grey", "raw") else "auto",
        "output_color": model.output_color if model.output_color in ("grey", "raw") else "auto",
        "input_channels": model.in_channels if model.input_color == "raw" else None,
        "output_channels": model.out_channels if model.output_color == "raw" else None,
    }
    flags |= {name: value for name, value in given.items() if value} | {where: options.data}
    return TrainingConfig(task=model.task, resolution=model.resolution, **flags)


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The measures as aligned text, a row each."""
    columns = [name for name in next(iter(rows.values())) if name != "metrics_version"]
    lines = [" " * 12 + "".join(f"{name:>11}" for name in columns)]
    for name, values in rows.items():
        lines.append(f"{name:12}" + "".join(f"{values[column]:11.4g}" for column in columns))
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------- publish


def declare_publish(commands: Any) -> None:
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
    parser.set_defaults(run=run_publish)


def run_publish(options: argparse.Namespace) -> int:
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


COMMANDS: tuple[Callable[[Any], None], ...] = (declare_translate, declare_evaluate, declare_publish)
