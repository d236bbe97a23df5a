"""`pix2pix export`: a trained model as an ONNX file, kept once it draws the same pictures."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix.errors import ConfigError
from pix2pix.model_pairs import declare_pair_flags

if TYPE_CHECKING:
    from pix2pix.config import ModelConfig
    from pix2pix.data import PairDataset

EXAMPLES = """examples:
  pix2pix export --model runs/map --output runs/map/onnx/model.onnx
  pix2pix export --model user/pix2pix-map --output map.onnx --pictures photo.jpg other.jpg
  pix2pix export --model runs/map --output runs/map/onnx/model_int8.onnx --int8 --calibration my_pairs

At MODEL/onnx/model.onnx, `pix2pix translate` finds the file and needs no PyTorch; an int8 one at
MODEL/onnx/model_int8.onnx is used with --backend openvino-int8 or onnx-int8.

exit status: 0 written; 1 not kept, because it draws other pictures; 2 nothing could be done
"""


def declare(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="write a model as an ONNX file, checked against PyTorch",
        description="Write a model as an ONNX file with free height, width and batch size, and its contract\n"
        "as metadata. Before the file is kept its pictures are compared with PyTorch's.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", required=True, metavar="M", help="folder of a trained model, or its Hub id")
    add("--output", required=True, type=Path, metavar="F", help="the .onnx file to write")
    add("--revision", metavar="R", help="branch, tag or commit of the model on the Hub")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--half", action="store_true", help="weights in half precision")
    kind.add_argument("--int8", action="store_true", help="convolutions in int8; needs --calibration")
    add(
        "--calibration",
        metavar="DATA",
        help="pairs (folder, Hub data set, toy): int8 is calibrated, PSNR taken",
    )
    add("--split", default="val", metavar="S", help="with --calibration: which split (default: val)")
    declare_pair_flags(parser)
    add(
        "--pictures",
        nargs="+",
        type=Path,
        default=[],
        metavar="P",
        help="to check on, in place of drawn ones",
    )
    add("--push", action="store_true", help="upload the file to the model's Hub repository, under onnx/")
    add("--json", action="store_true", help="tell what was done as JSON on standard output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export the model; a file that fails its check is not kept."""
    _check(options)
    from pix2pix import repository
    from pix2pix.config import ModelConfig

    folder = repository.resolve(options.model, revision=options.revision)
    config = ModelConfig.from_dict(repository.read_config(folder))
    calibration = _pairs(options, folder, config) if options.calibration else None
    from pix2pix.export import ExportError, export, push

    precision = "int8" if options.int8 else "fp16" if options.half else "fp32"
    try:
        exported = export(
            folder,
            config,
            options.output,
            precision=precision,
            pictures=options.pictures,
            calibration=calibration,
        )
    except ExportError as error:
        if options.json:
            print(json.dumps({"kept": False, "reason": str(error)}))
        print(f"error: {error}", file=sys.stderr)
        return 1
    revision = options.revision or "main"
    url = push(exported.path, options.model, folder.name, precision, revision) if options.push else None
    if options.json:
        print(json.dumps({"kept": True, **exported.to_dict(), "url": url}, indent=2))
        return 0
    cost, sides = exported.cost, [side for batch in exported.batches for side in batch[1:]]
    loss = "" if cost.psnr_loss is None else f", PSNR {-cost.psnr_loss:+.3f} dB on {options.calibration}"
    print(f"{options.model} -> {exported.path} ({precision}, {exported.bytes / 1e6:.1f} MB)")
    print(
        f"largest difference from PyTorch {cost.largest:.3g} levels of 255, mean {cost.mean:.2g}{loss}; "
        f"run by {exported.runner} on {len(exported.batches)} batches of "
        f"{min(sides)} to {max(sides)} pixels a side"
    )
    if url:
        print(f"uploaded: {url}")
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.output.suffix != ".onnx":
        raise ConfigError(f"--output {options.output}: it is a file that ends in .onnx.")
    if options.int8 and not options.calibration:
        raise ConfigError("--int8 is calibrated on pairs: name them with --calibration DATA.")
    if options.push and Path(options.model).is_dir():
        raise ConfigError(
            f"--push uploads to the model's own Hub repository, and {options.model} is a folder. "
            "Name the repository as --model, such as user/pix2pix-map."
        )


def _pairs(options: argparse.Namespace, folder: Path, model: ModelConfig) -> PairDataset:
    from pix2pix.data import PairDataset
    from pix2pix.layouts import find_pairs
    from pix2pix.model_pairs import pairs_config, training_record
    from pix2pix.pairs import check_pairs

    names = ("direction", "layout", "input_column", "target_column")
    given = {name: getattr(options, name) for name in names}
    config = pairs_config(model, training_record(options.model, folder), options.calibration, **given)
    pairs = find_pairs(config, options.split)
    if pairs is None:
        raise ConfigError(f"{options.calibration} has no split {options.split!r}; name another with --split.")
    check_pairs(pairs, model=model)
    return PairDataset(pairs, config, model)
