"""A trained folder becomes a small one to hand on: half precision, measured again as it is loaded there."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pix2pix import card, repository
from pix2pix.blending import blended
from pix2pix.card_facts import hub_id
from pix2pix.config import ModelConfig
from pix2pix.data import PairDataset
from pix2pix.errors import ConfigError, ModelError
from pix2pix.evaluation import Evaluation, baselines, evaluate
from pix2pix.files import replacing, write_json
from pix2pix.inference import Translator
from pix2pix.layouts import find_pairs
from pix2pix.networks import Generator
from pix2pix.pairs import Drawn, PairSource, check_pairs, hold_out
from pix2pix.training_config import TrainingConfig

DRAWN_FROM = 2_000_000
"""Index of the first drawn pair of a sample sheet: far from all that a run may have learned."""
SHOWN = 6
"""Drawn pairs on a sample sheet."""


def release(
    run: Path,
    output: Path,
    *,
    data: str | None = None,
    split: str | None = None,
    beside: Path | None = None,
    drawn_samples: bool = False,
    samples: str | None = None,
    samples_credit: str | None = None,
    blend: float | None = None,
) -> Evaluation:
    """Write weights in half precision, config.json, metrics.json, samples.png and README.md into `output`.

    Everything measured is measured on the weights as they are read back from there: on `split` (None: what
    the run was validated on) of `data` (None: where the run found its pairs). `beside` is another model, one
    trained on L1 alone, that is measured on the same pairs. With `drawn_samples` samples.png shows the drawn
    town instead of pictures that may not be handed on, with `samples` the pairs (or the photos, where inputs
    are made from them) of another folder, with whose they are. With `blend` the weights are not those that
    the run chose but `blending.blended` ones, of its newest checkpoint. `output` appears whole or not at all.

    Raises ConfigError where `output` is taken or no pairs are found; ModelError for no trained folder.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"--output {output} is there already; nothing is overwritten. Name a new folder.")
    if drawn_samples and samples is not None:
        raise ConfigError(f"--drawn_samples and --samples {samples}: give one, samples.png shows one set.")
    model = ModelConfig.from_dict(repository.read_config(repository.resolve(run)))
    G, step = (Generator.from_folder(run, model), None) if blend is None else blended(run, model, blend)
    training = _training(run)
    config = _config(training, data)
    split = split or (None if _is_drawn(config) else config.validation_split)
    held_out, trained_on = _pairs(config, split)
    check_pairs(held_out, model=model)
    dataset = PairDataset(held_out, config, model)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=output.parent) as temporary:
        folder = Path(temporary) / output.name
        G.save_pretrained(folder, half=True)
        result = evaluate(Translator.from_pretrained(folder), dataset)
        found = baselines(dataset, PairDataset(trained_on, config, model))
        if beside is not None:
            found["l1_only"] = evaluate(Translator.from_pretrained(beside), dataset).measures
        record = _record(run, result, step) | {
            "split": split,
            **({} if blend is None else {"blend": blend}),
            "samples": "drawn" if drawn_samples else "measured" if samples is None else "other",
            **({"samples_credit": samples_credit} if samples_credit else {}),
            "baselines": {name: measures.as_dict() for name, measures in found.items()},
        }
        write_json(folder / "metrics.json", record)
        write_json(folder / "training_config.json", _without_paths(training))
        shown = _shown(config, model, drawn_samples, samples)
        sheet = result.sheet if shown is None else evaluate(Translator.from_pretrained(folder), shown).sheet
        with replacing(folder / "samples.png") as path:
            sheet.save(path)
        card.write_card(folder)
        if output.exists():
            output.rmdir()  # empty, as was seen above
        os.replace(folder, output)
    return result


def _training(run: Path) -> dict[str, Any]:
    try:
        content = json.loads((run / "training_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{run} has no training_config.json that can be read ({error}); a run of train_accelerate.py "
            "writes it. Name the run's --output_dir."
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"training_config.json of {run} holds {type(content).__name__}, not an object.")
    return content


def _config(training: dict[str, Any], data: str | None) -> TrainingConfig:
    """What the run was told; `data` is where its pairs lie now."""
    names = {field.name for field in dataclasses.fields(TrainingConfig)}
    known = {name: value for name, value in training.items() if name in names}
    if data is not None:
        known |= {"train_data_dir": None, "dataset_name": None, "dataset_revision": None}
        known["train_data_dir" if Path(data).is_dir() else "dataset_name"] = data
    return TrainingConfig(**known | {"streaming": False, "cache": "off", "push_to_hub": False})


def _is_drawn(config: TrainingConfig) -> bool:
    return config.train_data_dir is None and config.dataset_name is None


def _pairs(config: TrainingConfig, split: str | None) -> tuple[PairSource, PairSource]:
    """The pairs to measure on, and those that were learned from."""
    train = find_pairs(config, config.train_split)
    held_out = find_pairs(config, split or config.validation_split)
    if train is not None and held_out is None and split in (None, config.validation_split):
        train, held_out = hold_out(train)
    if train is None or held_out is None:
        missing = config.train_split if train is None else split
        raise ConfigError(
            f"{config.train_data_dir or config.dataset_name} has no split {missing!r}; name another."
        )
    return held_out, train


def _record(run: Path, result: Evaluation, step: int | None) -> dict[str, Any]:
    """metrics.json of the released file: one measurement, of `step`, or None: the step that the run chose."""
    path = run / "metrics.json"
    chosen = (json.loads(path.read_text(encoding="utf-8")).get("best") or {}) if path.is_file() else {}
    values = result.measures.as_dict()
    best = {
        "step": chosen.get("step") if step is None else step,
        **values,
        "intervals": result.measures.intervals,
    }
    return {"metrics_version": values["metrics_version"], "best": best, "history": []}


def _without_paths(training: dict[str, Any]) -> dict[str, Any]:
    """The records without the folders of this machine."""
    named = {
        name: Path(training[name]).name
        for name in ("train_data_dir", "output_dir", "resume_from_checkpoint", "init_from")
        if training.get(name) and not (name == "init_from" and hub_id(training[name]))
    }
    run = dict(training.get("run", {}))
    for name in named:
        if "command" in run:
            run["command"] = run["command"].replace(f"--{name} {training[name]}", f"--{name} {named[name]}")
    return training | named | ({"run": run} if run else {})


def _shown(
    config: TrainingConfig, model: ModelConfig, drawn: bool, samples: str | None
) -> PairDataset | None:
    """The pairs of samples.png; None: those that are measured."""
    if drawn:
        return PairDataset(Drawn(model.task, SHOWN, config.resolved_load_size, DRAWN_FROM), config, model)
    if samples is None:
        return None
    elsewhere = dataclasses.replace(config, dataset_name=None, dataset_revision=None, train_data_dir=samples)
    pairs = find_pairs(elsewhere, config.train_split)
    if pairs is None or not len(pairs.names):
        raise ConfigError(f"--samples {samples} holds no pairs, and no photos to make inputs from.")
    check_pairs(pairs, model=model)
    return PairDataset(pairs, elsewhere, model)
