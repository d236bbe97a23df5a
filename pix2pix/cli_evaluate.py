"""`pix2pix evaluate`: the measures of a model on held-out pairs, beside the baselines."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.allocator import keep_memory
from pix2pix.errors import ConfigError
from pix2pix.files import replacing, write_json

if TYPE_CHECKING:
    from pix2pix.data import PairDataset
    from pix2pix.evaluation import Evaluation
    from pix2pix.metrics import Measures
    from pix2pix.training_config import TrainingConfig

EXAMPLES = """examples:
  pix2pix evaluate --model user/pix2pix-map --data my_pairs --split test
  pix2pix evaluate --model runs/map --data my_pairs --split val --limit 100 --json measures.json \\
      --csv pictures.csv --sheet ranking.png

The pairs are read as in the model's training (side, columns, cut), so that `--split val --limit 100`
gives the figures of its card: training validates on at most 100 pairs, spread evenly. Where the data have
no such split, training held some pairs out; `--split val` takes the same ones. `--data toy` is the drawn
town.

Intervals hold 95 % of the means of resampled sets. lab and swd compare whole sets and have none. LPIPS and
the standard FID are an extra: pip install "pix2pix[perceptual]"

exit status: 0 measured; 2 nothing could be measured
"""
MEASURES = ("l1", "psnr", "ssim", "sharpness", "lab", "lab_l", "lab_a", "lab_b", "swd")


def declare(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure a model on held-out pairs",
        description="Measure a trained model on the pairs of a split, beside copying the input and the mean "
        "training target.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", required=True, metavar="M", help="folder of a trained model, or its Hub id")
    add("--revision", metavar="R", help="branch, tag or commit of the model on the Hub")
    add("--data", required=True, metavar="D", help="folder with the pairs, a Hub data set, or toy")
    add("--split", default="test", metavar="S", help="split to measure on (default: test)")
    add("--direction", choices=("AtoB", "BtoA"), help="which side is the input (default: as in training)")
    add("--layout", help="how the pairs lie: side_by_side, two_folders, photos, columns")
    add("--input_column", metavar="C", help="picture column of side A")
    add("--target_column", metavar="C", help="picture column of side B")
    add("--limit", default=0, type=int, metavar="N", help="only N pairs, spread evenly over the split")
    add("--json", type=Path, metavar="F", help="write the measures, picture by picture too")
    add("--csv", type=Path, metavar="F", help="write a row of measures for each picture")
    add(
        "--sheet",
        type=Path,
        metavar="F",
        help="write the worst and the best as a PNG: input | output | truth",
    )
    add("--rank_by", default="l1", choices=("l1", "psnr", "ssim", "sharpness"), help="what the sheet goes by")
    add("--lpips", action="store_true", help="measure LPIPS, too (an extra)")
    add("--fid", action="store_true", help="measure the standard FID, too (an extra)")
    add("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1, mps")
    add("--backend", default="auto", metavar="B", help="what runs the model: auto (default), torch, ...")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure the model and the baselines on the same files; print a table."""
    if options.limit < 0:
        raise ConfigError(f"--limit {options.limit}: it is 0 (all) or a number of pairs.")
    from pix2pix import perceptual, repository
    from pix2pix.config import ModelConfig

    perceptual.require(options.lpips, options.fid)
    folder = repository.resolve(options.model, revision=options.revision)
    model = ModelConfig.from_dict(repository.read_config(folder))
    if model.output_color == "raw" and (options.lpips or options.fid):
        raise ConfigError("--lpips and --fid judge colours; this model draws raw channels. Leave them away.")
    measured, training, config = _open(options, folder, model)
    # Slow to import, and only now known to be needed.
    from pix2pix.evaluation import as_read, baselines, evaluate
    from pix2pix.inference import Translator
    from pix2pix.progress import Progress

    revision = options.revision if Path(options.model).is_dir() else folder.name  # the same commit
    translate = Translator.from_pretrained(
        options.model, revision=revision, device=options.device, backend=options.backend
    )
    if translate.backend == "torch":
        keep_memory()
    total = min(options.limit or len(measured), len(measured))
    progress, done = Progress(total), 0

    def watched(pictures: list) -> list:
        nonlocal done
        progress.show(done, "pairs")
        done += len(pictures)
        return translate([as_read(picture, model) for picture in pictures])

    result = evaluate(watched, measured, options.limit)
    progress.clear()
    found = {"this model": result.measures, **baselines(measured, training, options.limit)}
    extra = _perceptual(options, result, str(translate.device))
    print(table(found, extra))
    print(f"{result.measures.count} pairs of {options.data}, split {options.split}, {config.direction}")
    _write(options, result, found, extra, config)
    if options.sheet:
        from pix2pix.ranking_sheet import ranking_sheet

        sheet = ranking_sheet(
            lambda picture: translate(as_read(picture, model)),
            measured,
            result.chosen,
            _by_picture(result),
            options.rank_by,
        )
        with replacing(options.sheet.with_suffix(".png")) as temporary:
            sheet.save(temporary)
    return 0


def _open(
    options: argparse.Namespace, folder: Path, model: Any
) -> tuple[PairDataset, PairDataset | None, TrainingConfig]:
    """The pairs to measure on, those whose mean target is a baseline, and how both are read."""
    from pix2pix.layouts import VALIDATION_NAMES, find_pairs
    from pix2pix.model_pairs import pairs_config, training_record
    from pix2pix.pairs import check_pairs, hold_out

    names = ("direction", "layout", "input_column", "target_column")
    given = {name: getattr(options, name) for name in names}
    config = pairs_config(model, training_record(options.model, folder), options.data, **given)
    pairs = find_pairs(config, options.split)
    training = None if options.split == config.train_split else find_pairs(config, config.train_split)
    if (
        pairs is None
        and training is not None
        and options.split in (*VALIDATION_NAMES, config.validation_split)
    ):
        training, pairs = hold_out(training)  # as training did
        print(f"There is no split {options.split!r}: measured on the pairs that training holds out.")
    if pairs is None:
        raise ConfigError(f"{options.data} has no split {options.split!r}; name another with --split.")
    check_pairs(pairs, model=model)

    from pix2pix.data import PairDataset

    beside = None if training is None else PairDataset(training, config, model)
    return PairDataset(pairs, config, model), beside, config


def _by_picture(result: Evaluation) -> Measures:
    """The measures with one value a picture: of raw channels, which are measured each by itself, the mean."""
    import dataclasses

    channels = result.measures.count // len(result.chosen)
    if channels == 1:
        return result.measures
    means = {
        name: [sum(values[start : start + channels]) / channels for start in range(0, len(values), channels)]
        for name, values in result.measures.per_picture.items()
    }
    return dataclasses.replace(result.measures, per_picture=means)


def _perceptual(options: argparse.Namespace, result: Evaluation, device: str) -> dict[str, Any]:
    """LPIPS and FID of the model, where asked for."""
    from pix2pix import perceptual

    found: dict[str, Any] = {}
    if options.lpips:
        each = perceptual.lpips(result.outputs, result.targets, device)
        found |= {"lpips": sum(each) / len(each), "lpips_per_picture": each}
    if options.fid:
        found["fid"] = perceptual.fid(result.outputs, result.targets, device)
        if len(result.outputs) < perceptual.FID_ENOUGH:
            print(
                f"FID of {len(result.outputs)} pictures is far too high: it takes {perceptual.FID_ENOUGH} or "
                "more. Compare it only between models on the same files."
            )
    return found


def _write(
    options: argparse.Namespace,
    result: Evaluation,
    found: Mapping[str, Measures],
    extra: Mapping[str, Any],
    config: TrainingConfig,
) -> None:
    if options.json:
        how = {name: getattr(config, name) for name in ("direction", "layout", "fit", "resolution")}
        content: dict[str, Any] = {
            "model": options.model,
            "data": options.data,
            "split": options.split,
            **how,
        }
        content["names"] = list(result.names)
        for name, measures in found.items():
            values = measures.as_dict(per_picture=True) | {"intervals": measures.intervals}
            content[name.replace(" ", "_")] = values
        content["this_model"] |= extra
        write_json(options.json, content)
    if options.csv:
        per_picture = dict(_by_picture(result).per_picture)
        if "lpips_per_picture" in extra:
            per_picture["lpips"] = extra["lpips_per_picture"]
        with replacing(options.csv) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["name", *per_picture])
            writer.writerows(zip(result.names, *per_picture.values(), strict=True))


def table(found: Mapping[str, Measures], extra: Mapping[str, Any]) -> str:
    """The measures as aligned text: a row each, a column for the model and each baseline."""
    lines = [f"{'':10}" + "".join(f"{name:>15}" for name in found) + "   95 % interval of this model"]
    first = next(iter(found.values()))
    for name in MEASURES:
        values = "".join(f"{getattr(measures, name):15.4g}" for measures in found.values())
        interval = first.intervals.get(name)
        lines.append(
            f"{name:10}{values}" + (f"   {interval[0]:.4g} to {interval[1]:.4g}" if interval else "")
        )
    lines += [f"{name:10}{extra[name]:15.4g}" for name in ("lpips", "fid") if name in extra]
    return "\n".join(lines)
