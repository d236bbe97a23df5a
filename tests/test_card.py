"""The model card: everything measured, nothing invented, and a person's prose left alone."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

import pytest
from huggingface_hub import ModelCard
from loopback_store import problems_of
from trained_folder import RUN, VALUES, trained_folder, write

from pix2pix import card, card_facts
from pix2pix.card import render, renewed, write_card
from pix2pix.config import ModelConfig
from pix2pix.tasks import TASKS

FIGURE = re.compile(r"\d+\.\d+|\b\d{2,}\b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trained_folder(
        tmp_path_factory.mktemp("trained"), license="cc-by-4.0", data_terms="Ann's own photos"
    )


@pytest.fixture(scope="module")
def text(folder):
    return render(folder, "ann/pix2pix-town")


@pytest.fixture
def own(tmp_path):
    """A trained folder to spoil."""
    return trained_folder(tmp_path / "run")


def front_matter(text):
    return ModelCard(text).data.to_dict()


def part(text, name):
    (found,) = re.findall(rf"<!-- pix2pix:{name} -->\n(.*?)<!-- /pix2pix:{name} -->", text, re.S)
    return found


def test_the_front_matter_is_what_the_hub_sorts_by(text):
    data = front_matter(text)
    assert data["tags"] == ["pix2pix", "pix2pix-task:map"]
    assert data["license"] == "cc-by-4.0"
    assert (data["library_name"], data["pipeline_tag"]) == ("pix2pix", "image-to-image")
    assert not problems_of(text, "model")


def test_the_model_index_holds_every_measure_with_pictures_interval_and_baselines(text):
    (entry,) = front_matter(text)["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == "pix2pix-town"
    assert result["dataset"] == {"name": "town", "type": "local", "split": "val"}
    found = {metric["type"]: metric for metric in result["metrics"]}
    assert {name: found[name]["value"] for name in found} == {name: VALUES[name] for name in found}
    beside = {"copy_input": 9.5, "mean_target": 23.75, "interval_95": [21.5, 23.25]}
    assert found["psnr"]["args"] == {"images": 24, "metrics_version": 1, **beside}
    assert "interval_95" not in found["swd"]["args"]


def test_the_table_stands_beside_the_baselines_and_says_where_they_win(text):
    measures = part(text, "measures")
    assert "| PSNR (dB) ↑ | **22.50** | 21.50 to 23.25 | 9.50 | 23.75 |" in measures
    assert "| SWD ↓ | **31.4** | – | 77.9 | 133.0 |" in measures
    assert "24 pairs of the split `val`, with the weights of step 300" in measures
    assert "best of 2 validations by SWD" in measures
    assert "Where a baseline does better:** PSNR (dB) (mean target)." in measures


def test_the_training_is_told_in_full(text):
    training = part(text, "training")
    for said in (
        "- **Training pairs:** 320 from the folder `town`",
        "- **Terms of the data:** Ann's own photos",
        "U-Net `unet_256`, width 4, instance norm",
        "`patch`, depth 1, width 4",
        "1 × vanilla GAN + 100 × L1",
        "- **Time:** 13 min on a fast machine, 2 cores",
        "pix2pix 9.9",
        str(RUN["command"]),
    ):
        assert said in training, said


def test_a_private_path_is_not_told(folder, text):
    assert "/home/ann" not in text
    assert str(folder) not in text


def test_every_figure_comes_from_the_folders_records(folder, text):
    """No figure of the measured parts, and none in the template but the fixed ones, is made up."""
    record = json.loads((folder / "metrics.json").read_text())
    measures, fixed = part(text, "measures"), {"95", "1000"}
    known = json.dumps(record) + " 9.50 23.50 22.50 0.2500 0.1250 0.0500 0.0450 0.0550 0.3500"
    for figure in set(FIGURE.findall(measures)) - fixed:
        assert any(abs(float(figure) - float(value)) < 0.051 for value in FIGURE.findall(known)), figure
    template = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", card.template_path().read_text())
    assert set(FIGURE.findall(template)) <= {"95", "1000", "1611.07004"}


@pytest.mark.parametrize(
    ("missing", "absent"),
    [
        ("run", ["The exact command", "**Time:**", "min on"]),
        ("baselines", ["copied input", "mean target", "Where a baseline"]),
        ("intervals", ["95 % interval", "bootstrap"]),
        ("training_config.json", ["**Objective:**", "training_config.json", "license"]),
        ("samples.png", ["samples.png", "From left to right"]),
    ],
)
def test_what_is_not_known_is_absent(own, missing, absent):
    whole = render(own)
    record = json.loads((own / "metrics.json").read_text())
    training = json.loads((own / "training_config.json").read_text())
    if "." in missing:
        (own / missing).unlink()
    for content in (record, record["best"], training):
        content.pop(missing, None)
    write(own / "metrics.json", record)
    if missing == "run":
        write(own / "training_config.json", training)
    text = render(own)
    for words in absent:
        assert words not in text, words
        assert words in whole or words == "license", words
    assert "None" not in text
    assert not problems_of(text, "model")


def test_a_model_without_measures_claims_none(own):
    (own / "metrics.json").unlink()
    text = render(own, "ann/town")
    assert "Nothing was measured for this model." in text
    assert "model-index" not in front_matter(text)
    assert "|" not in part(text, "measures")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_card(own, task):
    config: Any = {"input_color": "l", "in_channels": 1, "output_color": "ab", "out_channels": 2}
    model = ModelConfig(task=task, **(config if task == "colorize" else {}))
    write(own / "config.json", model.to_dict())
    text = render(own, "ann/x")
    assert f"pix2pix-task:{task}" in front_matter(text)["tags"]
    assert not re.search(r"\{\{|\{%|\n\n\n| \n", text.split("---\n", 2)[2])
    compile(text.split("```python\n")[1].split("```")[0], "example", "exec")


def test_the_drawn_town_is_called_what_it_is(own):
    training = json.loads((own / "training_config.json").read_text())
    write(own / "training_config.json", training | {"train_data_dir": None})
    text = render(own)
    assert "320 from the drawn town" in text
    assert "On photographs it fails" in text
    assert "nobody else's pictures" in text
    assert front_matter(text)["model-index"][0]["results"][0]["dataset"]["type"] == "drawn-town"


def test_a_hub_data_set_and_a_first_model_are_linked(own):
    training = json.loads((own / "training_config.json").read_text())
    hub_data = {"train_data_dir": None, "dataset_name": "huggan/facades", "dataset_revision": "abc"}
    write(own / "training_config.json", training | hub_data | {"init_from": "bob/first", "direction": "BtoA"})
    text = render(own)
    data = front_matter(text)
    assert (data["datasets"], data["base_model"]) == (["huggan/facades"], "bob/first")
    assert "[huggan/facades](https://huggingface.co/datasets/huggan/facades) at `abc`, B to A" in text
    assert data["model-index"][0]["results"][0]["dataset"]["revision"] == "abc"


# ---- a card that is there already -------------------------------------------------------------------------


def test_rendering_again_changes_nothing(own):
    assert write_card(own, "ann/town") == write_card(own, "ann/town")


def test_prose_stays_and_measures_are_renewed(own):
    write_card(own, "ann/town")
    path = own / "README.md"
    path.write_text(path.read_text().replace("# Aerial photo to map", "# My town").replace("22.50", "99.99"))
    record = json.loads((own / "metrics.json").read_text())
    write(own / "metrics.json", record | {"best": record["best"] | {"psnr": 25.125, "intervals": {}}})
    text = write_card(own, "ann/city")
    assert "# My town" in text
    assert "99.99" not in text
    assert "| **25.12** |" in text or "| **25.13** |" in text
    assert 'from_pretrained("ann/city")' in text
    assert front_matter(text)["model-index"][0]["results"][0]["metrics"][4]["value"] == 25.125


def test_a_part_that_a_person_removed_stays_away(own):
    write_card(own)
    path = own / "README.md"
    path.write_text(path.read_text().replace(part(path.read_text(), "training"), "").replace(
        "<!-- pix2pix:training -->\n<!-- /pix2pix:training -->\n", ""))  # fmt: skip
    assert "Every setting is in" not in write_card(own)


def test_a_persons_front_matter_stays_beside_ours(text):
    old = "---\nlanguage: en\nlicense: mit\ntags: [mine, pix2pix]\nthumbnail: a.png\n---\nProse.\n"
    data = front_matter(renewed(old, text))
    assert (data["language"], data["thumbnail"], data["license"]) == ("en", "a.png", "cc-by-4.0")
    assert data["tags"] == ["mine", "pix2pix", "pix2pix-task:map"]


def test_a_license_that_only_the_person_knows_stays(own):
    old = "---\nlicense: mit\n---\nProse.\n"
    assert front_matter(renewed(old, render(own)))["license"] == "mit"


def test_a_card_without_front_matter_gets_one(own):
    (own / "README.md").write_text("# Only words\n")
    text = write_card(own, "ann/town")
    assert "# Only words\n" in text
    assert front_matter(text)["library_name"] == "pix2pix"


def test_a_card_or_record_that_cannot_be_read_is_named(own):
    (own / "README.md").write_text("---\n: : :\n- [\n---\n")
    with pytest.raises(card.CardError, match=r"README\.md's front matter cannot be read"):
        write_card(own)
    (own / "metrics.json").write_text("{")
    with pytest.raises(card.CardError, match=r"metrics\.json cannot be read"):
        render(own)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", {"best": {"step": 3}}),
        ("metrics.json", {"best": [1]}),
        ("metrics.json", {"best": {"count": 3, "psnr": "high"}}),
        ("training_config.json", {"lambda_l1": "much"}),
        ("training_config.json", {"run": 5}),
    ],
)
def test_records_of_another_shape_give_a_message_and_no_card(own, name, content):
    write(own / name, content)
    with pytest.raises(card.CardError, match="not as training writes them"):
        write_card(own)
    assert not (own / "README.md").exists()


# ---- run facts --------------------------------------------------------------------------------------------


def test_run_facts_name_the_command_the_machine_and_the_software(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    arguments = ["/home/ann/pix2pix/train_accelerate.py", "--train_data_dir", "/home/ann/my pairs"]
    facts = card_facts.run_facts(arguments, seconds=61.23, steps=5, training_pairs=7, held_out=True)
    assert facts["command"] == "accelerate launch train_accelerate.py --train_data_dir '~/my pairs'"
    assert facts["hardware"]
    assert f"Python {sys.version_info.major}." in facts["software"]
    assert json.loads(json.dumps(facts)) == facts
    assert set(facts) == set(RUN)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.2, "4 s"), (61, "1 min"), (5340, "89 min"), (5400, "1 h 30 min"), (90_000, "25 h 00 min")],
)
def test_time_is_told_as_people_do(own, seconds, words):
    assert f"- **Time:** {words} on" in write_card(own, facts=RUN | {"seconds": seconds})


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process")
def test_the_card_counts_the_cores_that_the_run_may_use():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert card_facts.hardware().endswith(", 1 core")
    finally:
        os.sched_setaffinity(0, allowed)
