"""The model card: README.md, rendered from what a trained folder holds. What was not measured is absent.

    write_card("runs/map", repo_id="user/pix2pix-map")

The words stand in model_cards/template.md, the figures in the folder's config.json, metrics.json,
training_config.json and model.safetensors. In a card that is there already only the parts between pix2pix
marks and the front matter's own keys are renewed; the prose stays.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pix2pix import card_facts, repository
from pix2pix.card_facts import SHOWN, hub_id
from pix2pix.config import ModelConfig
from pix2pix.errors import UserError
from pix2pix.files import replacing, write_json
from pix2pix.tasks import get_task

TAG = "pix2pix"
PLACEHOLDER = "path/to/this/folder"
MARKED = re.compile(r"<!-- pix2pix:(\w+) -->\n.*?<!-- /pix2pix:\1 -->", re.S)


class CardError(UserError):
    """A card, or a record behind it, that cannot be read."""


def write_card(
    folder: str | os.PathLike[str], repo_id: str | None = None, facts: Mapping[str, Any] | None = None
) -> str:
    """Render the card of a trained folder into its README.md, atomically, and return it.

    A card that is there keeps its prose. `repo_id` is what the card tells people to load. `facts` is what the
    run has just found out about itself (card_facts.run_facts); training_config.json keeps it under "run".
    """
    path = Path(folder) / "README.md"
    if facts is not None:
        training = path.with_name("training_config.json")
        write_json(training, _read(training) | {"run": dict(facts)})
    text = render(folder, repo_id)
    if path.exists():
        text = renewed(path.read_text(encoding="utf-8"), text)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def render(folder: str | os.PathLike[str], repo_id: str | None = None) -> str:
    """Return a fresh card. Raises CardError when the folder's records cannot be read."""
    import jinja2

    folder = Path(folder)
    model = ModelConfig.from_dict(repository.read_config(folder))
    record, training = _read(folder / "metrics.json"), _read(folder / "training_config.json")
    judge = _read(folder / "discriminator" / "config.json")
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    try:
        words = {
            "front_matter": _yaml(_front_matter(model, record, training, repo_id)),
            "repo_id": repo_id or PLACEHOLDER,
            "samples": (folder / "samples.png").is_file(),
            "drawn": card_facts.is_drawn(training),
            "drawn_samples": record.get("samples") == "drawn" and not card_facts.is_drawn(training),
            "other_samples": record.get("samples") == "other",
            "samples_credit": record.get("samples_credit"),
            "judged": bool(judge),
            "training": training,
            "facts": card_facts.about_training(folder, model, training, judge, record.get("blend")),
            "command": training.get("run", {}).get("command"),
            **card_facts.task_words(get_task(model.task), model),
            **card_facts.measures(record, training, model),
        }
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise CardError(
            f"The records in {folder} are not as training writes them ({type(error).__name__}: {error}). "
            "Mend or remove metrics.json and training_config.json."
        ) from error
    text = environment.from_string(template_path().read_text(encoding="utf-8")).render(words)
    return re.sub(r"\n{3,}", "\n\n", text)


def template_path() -> Path:
    """Where the template lies: inside an installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "model_cards" / "template.md"
    return inside if inside.exists() else Path(__file__).parent.parent / "model_cards" / "template.md"


def renewed(old: str, fresh: str) -> str:
    """Return the card `old` with its marked parts and our front matter keys taken from `fresh`.

    Tags are joined; a key that `fresh` does not know keeps its old value. A card without any mark was
    written by hand: the measures and the training are added at its end.
    """
    from huggingface_hub import ModelCard

    try:
        before, now = ModelCard(old, ignore_metadata_errors=True), ModelCard(fresh)
    except Exception as error:  # PyYAML and the card classes raise what they like
        reason = f"README.md's front matter cannot be read: {error}"
        raise CardError(f"{reason}. Mend it, or remove it.") from error
    known = before.data.to_dict()
    for key, value in now.data.to_dict().items():
        if key == "tags":
            value = list(dict.fromkeys([*(known.get("tags") or []), *value]))
        known[key] = value
    parts = {match[1]: match[0] for match in MARKED.finditer(now.text)}
    text = MARKED.sub(lambda match: parts.get(match[1], match[0]), before.text)
    if not MARKED.search(before.text):
        text = f"{text.rstrip()}\n\n## What was measured\n\n{parts['measures']}\n"
        text += f"\n## What it learned from\n\n{parts['training']}\n"
    return f"---\n{_yaml(known)}\n---\n{text}"


def _read(path: Path) -> dict[str, Any]:
    """A JSON object, or {} where there is no such file: what is not known stays absent."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CardError(f"{path} cannot be read: {error}. Mend or remove it.") from error
    if not isinstance(content, dict):
        raise CardError(f"{path} holds {type(content).__name__}, not a JSON object. Mend or remove it.")
    return content


def _front_matter(
    model: ModelConfig, record: Mapping[str, Any], training: Mapping[str, Any], repo_id: str | None
) -> dict[str, Any]:
    from huggingface_hub import ModelCardData

    data, start = training.get("dataset_name"), training.get("init_from")
    return ModelCardData(
        license=training.get("license"),
        library_name="pix2pix",
        pipeline_tag="image-to-image",
        tags=[TAG, f"{TAG}-task:{model.task}"],
        datasets=[str(data)] if hub_id(data) else None,
        base_model=start if hub_id(start) else None,
        model_name=repo_id.split("/")[-1] if repo_id else f"{TAG}-{model.task}",
        eval_results=_results(record, training) or None,
    ).to_dict()


def _results(record: Mapping[str, Any], training: Mapping[str, Any]) -> list[Any]:
    """The measures for the model-index, each with its pictures, interval and baselines."""
    from huggingface_hub import EvalResult

    best = record.get("best") or {}
    kind, name = card_facts.data_names(training)
    drawn = card_facts.is_drawn(training)
    results = []
    for key in (key for key in SHOWN if key in best):
        facts = {"images": best["count"], "metrics_version": record.get("metrics_version")}
        if key in best.get("intervals", {}):
            facts["interval_95"] = [_short(end) for end in best["intervals"][key]]
        facts |= {name: _short(values[key]) for name, values in record.get("baselines", {}).items()}
        results.append(
            EvalResult(
                task_type="image-to-image",
                dataset_type=kind,
                dataset_name=name,
                dataset_split=None if drawn else record.get("split") or training.get("validation_split"),
                dataset_revision=training.get("dataset_revision"),
                metric_type=key,
                metric_name=SHOWN[key].title,
                metric_value=_short(best[key]),
                metric_args=facts,
            )
        )
    return results


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _yaml(content: Mapping[str, Any]) -> str:
    from huggingface_hub.utils import yaml_dump

    return yaml_dump(dict(content), sort_keys=False).strip()
