"""`pix2pix evaluate`: the measures of a model on held-out pairs, beside the baselines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.errors import ConfigError
from pix2pix.files import replacing, write_json

if TYPE_CHECKING:
    from pix2pix.config import TrainingConfig
    from pix2pix.inference import Translator


def declare(commands: Any) -> None:
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
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
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
