"""Serving: which model serves which task, and what takes over when a model, a repository or the Hub fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from trained_folder import TINY, trained_folder

from pix2pix import Translator, card, hub, model_slot, model_sources, offers
from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError, ModelError
from pix2pix.networks import Generator
from pix2pix.serving import Catalogue, ServingError

TOWN = "ann/town"
PHOTO = Image.fromarray(np.random.default_rng(3).integers(0, 256, (32, 40, 3), np.uint8))
TASKS = ["map", "map-to-aerial", "colorize", "day-night", "night-day", "sketch", "facades"]


def published(folder, seed, task="map"):
    """A trained folder with its card: tags are what it is found by."""
    card.write_card(trained_folder(folder, seed, task), TOWN)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three trained folders for `map`, each of which draws another picture."""
    root = tmp_path_factory.mktemp("trained")
    return [published(root / str(seed), seed) for seed in range(3)]


@pytest.fixture(scope="module")
def drawn(folders):
    """What each of them makes of the photo."""
    return [np.asarray(Translator.from_pretrained(folder)(PHOTO)) for folder in folders]


@pytest.fixture
def shipped(folders, tmp_path):
    """A model_cards/ with a model for `map`: the third."""
    shutil.copytree(folders[2], tmp_path / "model_cards" / "map")
    return tmp_path / "model_cards"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of one's own: what another test has downloaded is not there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def catalogue(shipped):
    def build(*models, owner=None, **environment):
        return Catalogue.from_settings(models, owner, environment=environment, shipped=shipped)

    return build


def files(folder):
    return {name: (folder / name).read_bytes() for name in hub.FILES if (folder / name).is_file()}


def draws(served, expected):
    return np.array_equal(np.asarray(served.translate(PHOTO)), expected)


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def broken_weights(files, tmp_path):
    """Weights of the right names and shapes, one of which is not finite."""
    (tmp_path / "weights.safetensors").write_bytes(files["model.safetensors"])
    state = load_file(tmp_path / "weights.safetensors")
    next(iter(state.values())).flatten()[0] = float("nan")
    save_file(state, tmp_path / "weights.safetensors")
    return files | {"model.safetensors": (tmp_path / "weights.safetensors").read_bytes()}


# ---- settings ---------------------------------------------------------------------------------------------


def test_the_shipped_model_serves_where_nothing_is_set(catalogue, drawn):
    served = catalogue().served("map")
    assert (served.offer.name, served.offer.origin, served.offer.revision) == ("shipped", "shipped", None)
    assert draws(served, drawn[2])
    assert served.notice is None


def test_every_task_is_there_and_custom_only_where_something_serves_it(catalogue, folders):
    assert catalogue().tasks() == TASKS
    assert catalogue(f"custom={folders[0]}").tasks() == [*TASKS, "custom"]


def test_a_flag_goes_before_the_environment_and_that_before_the_shipped_model(catalogue, folders, drawn):
    both = catalogue(f"map={folders[0]}", PIX2PIX_MODELS=f"map={folders[1]}, sketch=ann/pens")
    assert draws(both.served("map"), drawn[0])
    assert [offer.origin for offer in both.offers("map")] == ["folder", "shipped"]
    assert [offer.name for offer in both.offers("sketch")] == ["ann/pens"]  # another task keeps its own
    assert draws(catalogue(PIX2PIX_MODELS=f"map={folders[1]}").served("map"), drawn[1])


def test_several_models_of_a_task_are_chosen_by_key_and_the_first_is_the_default(catalogue, folders, drawn):
    both = catalogue(f"map={folders[1]}", f"map={folders[0]}")
    keys = [offer.key for offer in both.offers("map")]
    assert len(set(keys)) == 3
    for key, picture in zip(keys, (drawn[1], drawn[0], drawn[2]), strict=True):
        assert draws(both.served("map", key), picture)
    assert both.served("map").offer.key == keys[0]


def test_keys_stay_the_same_after_a_restart_and_are_safe_in_a_url(catalogue, folders):
    first, again = (catalogue("map=ann/Town.x_1", f"map={folders[0]}") for _ in range(2))
    assert first.offers("map") == again.offers("map")
    assert all(offer.key.replace("-", "").isalnum() for offer in first.offers("map"))


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("map", "must be TASK=ID_OR_DIR"),
        ("map=", "must be TASK=ID_OR_DIR"),
        ("=ann/town", "must be TASK=ID_OR_DIR"),
        ("maps=ann/town", "there is no task 'maps'"),
        ("map=no/such/folder", "neither a folder here nor a Hub id"),
        ("map=../etc", "neither a folder here nor a Hub id"),
    ],
)
def test_a_malformed_setting_is_refused_by_name(catalogue, setting, complaint):
    with pytest.raises(ConfigError, match=f"--model holds '{setting}'.*{complaint}"):
        catalogue(setting)
    with pytest.raises(ConfigError, match=f"PIX2PIX_MODELS holds '{setting}'.*{complaint}"):
        catalogue(PIX2PIX_MODELS=f"colorize=ann/hues,{setting}")


@pytest.mark.parametrize("owner", ["ann/town", "../ann", "a b", "-"])
def test_an_owner_that_cannot_be_one_is_refused(catalogue, owner):
    with pytest.raises(ConfigError, match="--hub_owner is"):
        catalogue(owner=owner)
    with pytest.raises(ConfigError, match="PIX2PIX_HUB_OWNER is"):
        catalogue(PIX2PIX_HUB_OWNER=owner)


def test_settings_ask_nobody_and_load_nothing(loopback, shipped):
    code = (
        "import sys; from pathlib import Path; from pix2pix.serving import Catalogue\n"
        f"c = Catalogue.from_settings(['map=ann/town'], 'ann', shipped=Path({str(shipped)!r}))\n"
        "c.tasks(), [c.offers(task) for task in c.tasks()], c.status()\n"
        "assert 'torch' not in sys.modules and 'gradio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
    assert loopback.requests == []


# ---- what a visitor sends ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["../../etc", "/etc/passwd", "ann/town", "user/other", "shipped/../x", "a" * 9999]
)
def test_a_key_is_looked_up_and_reaches_nothing(loopback, catalogue, folders, key):
    loopback.add_repo("user/other", files(folders[0]))
    with pytest.raises(ServingError, match=r"No model .* serves map") as refusal:
        catalogue("map=ann/town").served("map", key)
    assert loopback.requests == []
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("task", ["maps", "../map", "", None, ["map"], "<b>\x1b[1m" * 99])
def test_an_unknown_task_is_refused_in_printable_words(catalogue, task):
    for ask in (catalogue().served, catalogue().offers):
        with pytest.raises(ServingError, match="There is no task") as refusal:
            ask(task)
        assert str(refusal.value).isprintable()
        assert "<" not in str(refusal.value)


def test_no_reason_tells_a_path_of_the_server():
    slot = model_slot.Slot(offers.hub_offer("map", TOWN))
    error = ModelError("No space left: '/root/.cache/hub/blobs/12'. See https://hf.co/ann/town")
    assert slot._told(error, None) == "No space left: 'a file of the server'. See https://hf.co/ann/town."


def test_a_folder_can_be_chosen_neither_by_its_path_nor_by_its_name(catalogue, folders):
    for key in (str(folders[0]), folders[0].name):
        with pytest.raises(ServingError, match="No model"):
            catalogue(f"map={folders[0]}").served("map", key)


def test_a_task_without_any_model_says_so(catalogue):
    assert catalogue().offers("sketch") == []
    with pytest.raises(ServingError, match="No model serves 'Drawing to photo' at the moment"):
        catalogue().served("sketch")


# ---- the Hub ----------------------------------------------------------------------------------------------


def test_a_model_of_the_hub_serves_and_says_its_commit(loopback, catalogue, folders, drawn):
    commit = loopback.add_repo(TOWN, files(folders[0])).branches["main"].oid
    served = catalogue(f"map={TOWN}").served("map")
    assert draws(served, drawn[0])
    assert (served.offer.name, served.offer.revision) == (TOWN, commit)
    assert served.offer.url == f"{loopback.url}/{TOWN}"
    assert served.measures == {
        "psnr": 22.5,
        "ssim": 0.61,
        "l1": 0.05,
        "sharpness": 0.82,
        "lab": 0.4,
        "swd": 31.4,
    }
    assert served.notice is None


def test_what_is_loaded_asks_the_hub_nothing(loopback, catalogue, folders):
    loopback.add_repo(TOWN, files(folders[0]))
    town = catalogue(f"map={TOWN}")
    town.served("map")
    loopback.requests.clear()
    assert town.served("map").notice is None
    assert loopback.requests == []


def test_a_new_revision_serves_after_a_refresh_without_a_load_for_the_visitor(
    loopback, catalogue, folders, drawn
):
    loopback.add_repo(TOWN, files(folders[0]))
    town = catalogue(f"map={TOWN}")
    key = town.served("map").offer.key
    newer = loopback.add_repo(TOWN, files(folders[1])).branches["main"].oid
    assert draws(town.served("map"), drawn[0])
    town.refresh()
    loopback.requests.clear()
    served = town.served("map", key)
    assert draws(served, drawn[1])
    assert served.offer.revision == newer
    assert loopback.requests == []


def test_the_disk_does_not_fill_with_revisions(loopback, catalogue, folders, tmp_path):
    town = catalogue(f"map={TOWN}")
    before = loopback.add_repo(TOWN, files(folders[0])).branches["main"].oid
    model_sources.fetch(TOWN, before)  # was there before the server started: not its own to remove
    for number in (1, 2, 1):
        newest = loopback.add_repo(TOWN, files(folders[number])).branches["main"].oid
        town.refresh()
        assert town.served("map").offer.revision == newest
    assert {folder.name for folder in model_sources.kept_folders(TOWN)} == {before, newest}
    broken = loopback.add_repo(TOWN, broken_weights(files(folders[1]), tmp_path)).branches["main"].oid
    town.refresh()
    assert broken in {folder.name for folder in model_sources.kept_folders(TOWN)}
    newest = loopback.add_repo(TOWN, files(folders[2])).branches["main"].oid
    town.refresh()
    assert {folder.name for folder in model_sources.kept_folders(TOWN)} == {before, newest}


def test_visitors_go_on_with_the_old_revision_while_the_new_one_loads(
    loopback, catalogue, folders, drawn, monkeypatch
):
    loopback.add_repo(TOWN, files(folders[0]))
    town = catalogue(f"map={TOWN}")
    town.served("map")
    loopback.add_repo(TOWN, files(folders[1]))
    loading, go_on, load = threading.Event(), threading.Event(), model_slot.Slot._read

    def slow(self, *arguments):
        loading.set()
        assert go_on.wait(20)
        return load(self, *arguments)

    monkeypatch.setattr(model_slot.Slot, "_read", slow)
    refresh = threading.Thread(target=town.refresh)
    refresh.start()
    assert loading.wait(20)
    assert draws(town.served("map"), drawn[0])
    go_on.set()
    refresh.join()
    assert draws(town.served("map"), drawn[1])


def test_a_broken_new_revision_never_replaces_a_working_one(loopback, catalogue, folders, drawn, tmp_path):
    good = loopback.add_repo(TOWN, files(folders[0])).branches["main"].oid
    town = catalogue(f"map={TOWN}")
    town.served("map")
    loopback.add_repo(TOWN, broken_weights(files(folders[1]), tmp_path))
    town.refresh()
    served = town.served("map")
    assert draws(served, drawn[0])
    assert served.offer.revision == good
    assert served.notice.startswith(f"{TOWN}: model.safetensors: weight ")
    assert "not finite" in served.notice
    assert f"earlier revision {good[:7]} goes on" in served.notice
    loopback.add_repo(TOWN, files(folders[2]))
    town.refresh()
    assert draws(town.served("map"), drawn[2])
    assert town.served("map").notice is None


def test_what_is_put_away_comes_back_at_the_revision_that_worked(
    loopback, catalogue, folders, drawn, tmp_path
):
    loopback.add_repo(TOWN, files(folders[0]))
    town = catalogue(f"map={TOWN}")
    town.capacity = 1
    town.served("map")
    loopback.add_repo(TOWN, broken_weights(files(folders[1]), tmp_path))
    town.refresh()
    town.served("map", "shipped")
    assert not town.status()[0]["offers"][0]["loaded"]
    loopback.requests.clear()
    assert draws(town.served("map", town.offers("map")[0].key), drawn[0])
    assert loopback.requests == []


def test_a_loaded_model_goes_on_when_the_hub_stops(loopback, catalogue, folders, drawn):
    loopback.add_repo(TOWN, files(folders[0]))
    town = catalogue(f"map={TOWN}")
    town.served("map")
    with loopback.unreachable():
        town.refresh()
        assert draws(town.served("map"), drawn[0])
        assert "could not be asked" in town.status()[0]["offers"][0]["problem"]
    town.refresh()
    assert town.status()[0]["offers"][0]["problem"] is None


def test_the_cache_serves_when_the_hub_is_gone_at_the_start(loopback, catalogue, folders, drawn):
    commit = loopback.add_repo(TOWN, files(folders[0])).branches["main"].oid
    catalogue(f"map={TOWN}").served("map")
    with loopback.unreachable():
        again = catalogue(f"map={TOWN}")
        again.refresh()
        served = again.served("map")
    assert draws(served, drawn[0])
    assert served.offer.revision == commit
    assert "The Hub could not be asked" in served.notice
    assert f"earlier revision {commit[:7]} serves" in served.notice
    again.refresh()
    assert again.served("map").notice is None


def test_the_shipped_model_serves_when_the_hub_is_gone_and_the_cache_empty(
    loopback, catalogue, folders, drawn
):
    loopback.add_repo(TOWN, files(folders[0]))
    town = catalogue(f"map={TOWN}")
    with loopback.unreachable():
        served = town.served("map")
        assert draws(served, drawn[2])
        assert served.offer.origin == "shipped"
        assert "The Hub could not be asked" in served.notice
        assert served.notice.endswith("In its place serves the model that ships with this project.")
    town.refresh()  # the Hub is back
    assert draws(town.served("map"), drawn[0])
    assert town.served("map").notice is None


def test_a_broken_revision_is_downloaded_once(loopback, catalogue, folders, drawn, tmp_path):
    loopback.add_repo(TOWN, files(folders[0]))
    catalogue(f"map={TOWN}").served("map")
    loopback.add_repo(TOWN, broken_weights(files(folders[1]), tmp_path))
    again = catalogue(f"map={TOWN}")  # a restart finds the earlier one in the cache
    for _ in range(3):
        again.refresh()
        assert draws(again.served("map"), drawn[0])
        assert "not finite" in again.served("map").notice
    assert loopback.count("GET .*model.safetensors") == 2


def test_a_failing_repository_is_asked_again_by_a_refresh_and_not_by_every_visitor(
    loopback, catalogue, folders
):
    town = catalogue(f"map={TOWN}")
    town.served("map")
    asked = len(loopback.requests)
    for _ in range(5):
        assert "no longer on the Hub" in town.served("map").notice
    assert len(loopback.requests) == asked
    loopback.add_repo(TOWN, files(folders[0]))
    town.refresh()
    assert town.served("map").offer.name == TOWN


def test_the_shipped_model_takes_over_from_a_repository_that_vanished(loopback, catalogue, folders, drawn):
    repo = loopback.add_repo(TOWN, files(folders[0]))
    town = catalogue(f"map={TOWN}")
    town.served("map")
    del loopback.repos["models", TOWN]
    town.refresh()
    served = town.served("map")
    assert draws(served, drawn[2])
    assert served.notice.startswith(f"{TOWN} is no longer on the Hub")
    loopback.repos["models", TOWN] = repo
    town.refresh()
    assert draws(town.served("map"), drawn[0])


def test_one_failure_costs_no_other_task(loopback, catalogue, folders, drawn):
    some = catalogue(f"sketch={TOWN}", f"map={folders[0]}")
    with pytest.raises(ServingError, match=r"No model serves 'Drawing to photo'.*no longer on the Hub"):
        some.served("sketch")
    some.refresh()
    assert draws(some.served("map"), drawn[0])


def test_a_hub_that_does_not_answer_is_waited_for_once_a_refresh(loopback, catalogue):
    many = catalogue(*(f"{task}=ann/{task}" for task in TASKS))
    loopback.fail("/api/models/", "drop", times=99)
    many.refresh()
    assert len(loopback.requests) == 1
    assert all(task["offers"][0]["problem"] for task in many.status())


# ---- the owner's models, found by tag ---------------------------------------------------------------------


@pytest.fixture
def owned(loopback, folders):
    """Ann's models: the newest is a trial."""
    loopback.add_repo("ann/pix2pix-map", files(folders[0]))
    loopback.add_repo("ann/trial", files(folders[1]))
    loopback.add_repo("bob/pix2pix-map", files(folders[1]))


def names(catalogue, task="map"):
    return [offer.name for offer in catalogue.offers(task)]


def test_the_owners_models_are_found_by_tag_and_the_shipped_one_stays_last(owned, catalogue, drawn):
    ann = catalogue(owner="ann")
    assert names(ann) == ["shipped"]  # until the Hub was asked
    ann.refresh()
    assert names(ann) == ["ann/pix2pix-map", "ann/trial", "shipped"]
    assert draws(ann.served("map"), drawn[0])
    assert all(len(offer.revision) == 40 for offer in ann.offers("map")[:2])


def test_what_is_published_is_found_served_and_renewed(loopback, ann, catalogue, tmp_path, folders, drawn):
    run = Path(shutil.copytree(folders[0], tmp_path / "run"))
    first = hub.publish(run, "ann/pix2pix-map")
    mine = catalogue(PIX2PIX_HUB_OWNER="ann")
    mine.refresh()
    assert mine.served("map").offer.revision == first.commit
    shutil.copy(folders[1] / "model.safetensors", run)
    second = hub.publish(run, "ann/pix2pix-map")
    mine.refresh()
    assert mine.served("map").offer.revision == second.commit
    assert draws(mine.served("map"), drawn[1])


def test_a_named_model_goes_before_the_owners_for_its_task_alone(loopback, owned, catalogue, folders):
    loopback.add_repo("ann/pens", files(trained_folder_of(folders, "sketch")))
    ann = catalogue(f"map={folders[1]}", owner="ann")
    ann.refresh()
    assert [offer.origin for offer in ann.offers("map")] == ["folder", "shipped"]
    assert names(ann, "sketch") == ["ann/pens"]


def trained_folder_of(folders, task):
    return published(folders[0].parent / task, 5, task)


def test_private_models_of_the_owner_are_not_shown_to_visitors(loopback, ann, owned, catalogue):
    loopback.repos["models", "ann/trial"].private = True
    mine = catalogue(owner="ann")
    mine.refresh()
    assert names(mine) == ["ann/pix2pix-map", "shipped"]


def test_a_link_to_a_model_that_the_owner_took_away_leads_to_another_with_a_notice(
    loopback, owned, catalogue, drawn
):
    ann = catalogue(owner="ann")
    ann.refresh()
    key = ann.offers("map")[1].key
    assert draws(ann.served("map", key), drawn[1])
    repo = loopback.repos.pop(("models", "ann/trial"))
    ann.refresh()
    assert names(ann) == ["ann/pix2pix-map", "shipped"]
    served = ann.served("map", key)
    assert draws(served, drawn[0])
    assert served.notice == "ann/trial is no longer offered. In its place serves ann/pix2pix-map."
    loopback.repos["models", "ann/trial"] = repo
    ann.refresh()
    assert ann.served("map", key).notice is None


def test_without_the_hub_the_owners_models_come_from_the_cache(waits, loopback, owned, catalogue, drawn):
    ann = catalogue(owner="ann")
    ann.refresh()
    ann.served("map")
    with loopback.unreachable():
        again = catalogue(owner="ann")
        again.refresh()
        assert names(again) == ["ann/pix2pix-map", "shipped"]
        assert draws(again.served("map"), drawn[0])


def test_an_owner_who_cannot_be_listed_any_more_keeps_what_was_found(waits, loopback, owned, catalogue):
    ann = catalogue(owner="ann")
    ann.refresh()
    loopback.fail("GET /api/models", 503, times=9)
    ann.refresh()
    assert names(ann) == ["ann/pix2pix-map", "ann/trial", "shipped"]


# ---- hostile repositories ---------------------------------------------------------------------------------


def changed(files, **config):
    return files | {"config.json": json.dumps(json.loads(files["config.json"]) | config).encode()}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"width": 10**9}, "width"),
        ({"depth": 10**6}, "depth"),
        ({"task": "colorize"}, "is a model for colorize, not for map"),
        ({"task": ["map"]}, "task"),
        ({"generator": "exec"}, "generator"),
        ({"contract_version": 999}, "contract"),
        ({"width": 8}, "does not fit its config.json"),
    ],
)
def test_a_configuration_that_cannot_be_costs_that_model_alone(
    loopback, catalogue, folders, drawn, config, reason
):
    loopback.add_repo(TOWN, changed(files(folders[0]), **config))
    served = catalogue(f"map={TOWN}").served("map")
    assert draws(served, drawn[2])
    assert reason in served.notice


def test_a_model_whose_pictures_would_be_no_numbers_is_not_served(
    loopback, catalogue, folders, drawn, tmp_path
):
    state = load_file(folders[0] / "model.safetensors")
    save_file(
        {name: torch.full_like(value, 3e38) for name, value in state.items()}, tmp_path / "huge.safetensors"
    )
    loopback.add_repo(
        TOWN, files(folders[0]) | {"model.safetensors": (tmp_path / "huge.safetensors").read_bytes()}
    )
    served = catalogue(f"map={TOWN}").served("map")
    assert draws(served, drawn[2])
    assert "not finite" in served.notice


def test_a_model_of_other_channels_than_a_picture_is_not_served(catalogue, tmp_path, drawn):
    config = ModelConfig(**TINY, in_channels=5, input_color="raw")
    Generator.from_config(config).save_pretrained(tmp_path / "odd")
    served = catalogue(f"map={tmp_path / 'odd'}").served("map")
    assert draws(served, drawn[2])


def test_a_model_for_any_task_may_serve_any(catalogue, tmp_path):
    Generator.from_config(ModelConfig(**TINY)).save_pretrained(tmp_path / "custom")
    assert catalogue(f"map={tmp_path / 'custom'}").served("map").offer.name == "custom"


def test_weights_without_bound_are_not_downloaded(loopback, catalogue, folders, monkeypatch):
    monkeypatch.setattr(model_sources, "LARGEST_WEIGHTS", 1000)
    loopback.add_repo(TOWN, files(folders[0]))
    assert "at most 0.0 GB are served" in catalogue(f"map={TOWN}").served("map").notice
    assert loopback.count("resolve") == 0


def test_a_giant_card_is_not_downloaded_and_a_large_one_is_cut(loopback, catalogue, folders):
    loopback.add_repo(TOWN, files(folders[0]) | {"README.md": b"x" * (1 << 20) + b"x"})
    assert catalogue(f"map={TOWN}").served("map").card == ""
    assert loopback.count("README") == 0
    loopback.add_repo(TOWN, files(folders[0]) | {"README.md": b"word " * (1 << 17)})
    assert 1000 < len(catalogue(f"map={TOWN}").served("map").card) <= 1 << 16


@pytest.mark.parametrize(
    "junk", [b"\xff\x00\xfe", b"[" * 50000, b"{", b'{"best": [1]}', b'{"best": {"psnr": NaN, "l1": "x"}}']
)
def test_a_card_or_a_record_that_cannot_be_read_is_no_reason_not_to_serve(catalogue, shipped, junk):
    (shipped / "map" / "README.md").write_bytes(b"---\n" + junk + b"\n---\n")
    (shipped / "map" / "metrics.json").write_bytes(junk)
    assert catalogue().served("map").measures == {}


def test_without_a_record_the_measures_are_those_that_the_card_claims(loopback, catalogue, folders):
    some = files(folders[0])
    del some["metrics.json"]
    some["README.md"] = card.render(folders[0], TOWN).encode()
    loopback.add_repo(TOWN, some)
    assert catalogue(f"map={TOWN}").served("map").measures["psnr"] == 22.5


def test_the_card_of_a_served_model_is_its_body_without_front_matter(catalogue, shipped):
    (shipped / "map" / "README.md").write_text("---\ntags: [x]\n---\n\n# Town\n\n<script>x</script>Good.\n")
    assert catalogue().served("map").card == "# Town\n\nxGood."


# ---- many visitors, little memory -------------------------------------------------------------------------


def test_fifty_visitors_load_a_model_once_and_all_get_their_answer(
    loopback, catalogue, folders, drawn, monkeypatch
):
    loopback.add_repo(TOWN, files(folders[0]))
    some = catalogue(f"map={TOWN}", f"map={folders[1]}")
    keys = [offer.key for offer in some.offers("map")]
    loads, load = [], model_slot.Slot._read

    def counted(self, *arguments):
        loads.append(self.offer.name)
        return load(self, *arguments)

    monkeypatch.setattr(model_slot.Slot, "_read", counted)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: draws(some.served("map", keys[n % 3]), drawn[n % 3]), range(50)))
    assert answers == [True] * 50
    assert sorted(loads) == sorted([TOWN, folders[1].name, "shipped"])


def test_a_slow_load_blocks_no_other_task(loopback, catalogue, folders, drawn, monkeypatch):
    loading, go_on, load = threading.Event(), threading.Event(), model_slot.Slot._read

    def slow(self, *arguments):
        if self.offer.task == "sketch":
            loading.set()
            assert go_on.wait(20)
        return load(self, *arguments)

    monkeypatch.setattr(model_slot.Slot, "_read", slow)
    some = catalogue(f"sketch={trained_folder_of(folders, 'sketch')}")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(some.served, "sketch")
        assert loading.wait(20)
        assert draws(some.served("map"), drawn[2])
        go_on.set()
        assert first.result(20).offer.task == "sketch"


def test_a_known_failure_is_not_waited_for_while_it_is_tried_again(loopback, catalogue, drawn):
    town = catalogue(f"map={TOWN}")
    key = town.served("map").notice and town.offers("map")[0].key
    with town._slots["map"][key].lock, ThreadPoolExecutor(1) as pool:  # as a renewal holds it
        assert draws(pool.submit(town.served, "map", key).result(5), drawn[2])


def loaded(catalogue):
    return [offer["name"] for task in catalogue.status() for offer in task["offers"] if offer["loaded"]]


def test_what_was_not_used_for_longest_leaves_the_memory(catalogue, folders, drawn):
    some = catalogue(f"map={folders[0]}", f"map={folders[1]}")
    some.capacity = 2
    first, second, third = (offer.key for offer in some.offers("map"))
    for key in (first, second, first, third):
        some.served("map", key)
    assert loaded(some) == [folders[0].name, "shipped"]
    assert draws(some.served("map", second), drawn[1])


def test_a_refresh_puts_no_model_that_is_used_out_of_memory(loopback, catalogue, folders, drawn):
    loopback.add_repo(TOWN, files(folders[0]))
    some = catalogue(f"map={TOWN}")
    some.capacity = 1
    key = some.served("map").offer.key
    some.served("map", "shipped")
    loopback.add_repo(TOWN, files(folders[1]))
    some.refresh()
    assert loaded(some) == ["shipped"]
    assert draws(some.served("map", key), drawn[1])


def test_the_weights_in_memory_have_a_bound_but_one_model_always_serves(catalogue, folders):
    some = catalogue(f"map={folders[0]}")
    some.capacity_bytes = 1
    for _ in range(2):
        for offer in some.offers("map"):
            some.served("map", offer.key)
            assert loaded(some) == [offer.name]


def test_a_folder_that_is_trained_anew_serves_after_a_refresh(catalogue, folders, drawn, tmp_path):
    folder = Path(shutil.copytree(folders[0], tmp_path / "run"))
    run = catalogue(f"map={folder}")
    assert draws(run.served("map"), drawn[0])
    shutil.copy(folders[1] / "model.safetensors", folder)
    os.utime(folder / "model.safetensors", (1, 1))
    run.refresh()
    assert draws(run.served("map"), drawn[1])


# ---- in the background ------------------------------------------------------------------------------------


def test_in_the_background_defaults_are_loaded_and_new_revisions_taken_up(
    loopback, catalogue, folders, drawn
):
    loopback.add_repo(TOWN, files(folders[0]))
    town = catalogue(f"map={TOWN}")
    town.start(every=0.05)
    try:
        until(lambda: town.status()[0]["offers"][0]["loaded"])
        assert not town.status()[0]["offers"][1]["loaded"]  # the fall-back is not needed
        newer = loopback.add_repo(TOWN, files(folders[1])).branches["main"].oid
        until(lambda: town.offers("map")[0].revision == newer)
        assert draws(town.served("map"), drawn[1])
    finally:
        town.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "pix2pix-catalogue"]
    assert draws(town.served("map"), drawn[1])


def test_what_visitors_put_out_of_memory_is_not_loaded_again_in_the_background(catalogue, folders):
    some = catalogue(f"map={folders[0]}", f"sketch={trained_folder_of(folders, 'sketch')}")
    some.capacity = 1
    for _ in range(3):
        some._preload()
        assert loaded(some) == ["sketch"]


def test_the_background_survives_whatever_happens_in_it(loopback, catalogue, monkeypatch):
    calls = []

    def failing(self):
        calls.append(1)
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(Catalogue, "refresh", failing)
    town = catalogue()
    town.start(every=0.01, preload=False)
    until(lambda: len(calls) > 2)
    town.close()


def test_the_status_is_for_machines_to_read(loopback, catalogue, folders):
    status = json.loads(json.dumps(catalogue(f"map={TOWN}").status()))
    assert [task["task"] for task in status] == TASKS
    assert set(status[0]["offers"][0]) == {"key", "name", "origin", "revision", "url", "loaded", "problem"}
    assert offers.hub_offer("map", TOWN).key == status[0]["offers"][0]["key"]
