"""Loading from the Hub: over a good line, a bad one and none; and what each fault tells the user."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from trained_folder import trained_folder

from pix2pix import PatchDiscriminator, Translator, UNetGenerator, hub, repository
from pix2pix.config import CONTRACT_VERSION
from pix2pix.errors import ModelError

TOWN = "ann/town"
MODEL = {"config.json", "model.safetensors"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What a published repository holds."""
    folder = trained_folder(tmp_path_factory.mktemp("trained"))
    return {name: (folder / name).read_bytes() for name in hub.FILES if (folder / name).is_file()}


@pytest.fixture
def load(tmp_path):
    """Load with a cache of one's own."""

    def from_hub(revision=None, token=None, local_files_only=False, source=TOWN, **options):
        options |= {"revision": revision, "token": token, "local_files_only": local_files_only}
        return UNetGenerator.from_pretrained(source, cache_dir=tmp_path / "cache", **options)

    return from_hub


def changed(files, **config):
    return files | {"config.json": json.dumps(json.loads(files["config.json"]) | config).encode()}


def other(files, tmp_path, seed=3):
    folder = trained_folder(tmp_path / f"other{seed}", seed)
    return files | {"model.safetensors": (folder / "model.safetensors").read_bytes()}


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


# ---- over a good line -------------------------------------------------------------------------------------


def test_only_the_two_model_files_are_downloaded(loopback, files, load):
    loopback.add_repo(TOWN, files)
    load()
    assert loopback.count("GET /ann/town/resolve/") == 2


def test_a_cached_model_costs_one_question(loopback, files, load):
    loopback.add_repo(TOWN, files)
    first = load()
    loopback.requests.clear()
    assert same(load(), first)
    assert loopback.requests == ["GET /api/models/ann/town/revision/main"]


def test_a_commit_a_branch_and_a_tag_are_revisions(loopback, files, load, tmp_path):
    repo = loopback.add_repo(TOWN, files)
    old, repo.tags["v1"] = repo.branches["main"].oid, repo.branches["main"]
    loopback.add_repo(TOWN, other(files, tmp_path))
    assert same(load("v1"), load(old))
    assert not same(load("main"), load(old))


def test_the_discriminator_lies_in_a_subfolder(loopback, files, load, tmp_path):
    loopback.add_repo(TOWN, files)
    D = PatchDiscriminator.from_pretrained(TOWN, subfolder="discriminator", cache_dir=tmp_path / "cache")
    assert sum(parameter.numel() for parameter in D.parameters()) > 100


def test_a_private_model_opens_with_its_token(loopback, files, load):
    loopback.add_repo(TOWN, files, private=True)
    assert load(token=loopback.add_user("ann"))


def test_the_translator_takes_the_same_options(loopback, files, tmp_path):
    repo = loopback.add_repo(TOWN, files, private=True)
    translate = Translator.from_pretrained(
        TOWN, revision=repo.branches["main"].oid, token=loopback.add_user("ann"), cache_dir=tmp_path
    )
    assert translate.config.task == "map"
    again = Translator.from_pretrained(TOWN, revision=repo.branches["main"].oid, cache_dir=tmp_path,
                                       local_files_only=True)  # fmt: skip
    assert same(translate.generator, again.generator)


# ---- without the Hub, from the cache ----------------------------------------------------------------------


def test_a_cached_model_loads_with_the_hub_switched_off(loopback, files, load, monkeypatch):
    loopback.add_repo(TOWN, files)
    first = load()
    loopback.requests.clear()
    assert same(load(local_files_only=True), first)
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was asked for: nothing to warn of
        assert same(load(), first)
    assert not loopback.requests


BROKEN_LINES = ["refused", "drop", 503, 429, 500, 401, 404]


@pytest.mark.parametrize("kind", BROKEN_LINES)
def test_a_hub_that_fails_is_warned_of_and_the_cached_copy_used(loopback, files, load, waits, kind):
    loopback.add_repo(TOWN, files)
    first = load()
    if kind != "refused":
        loopback.fail(".*", kind, 99)
    line: Any = loopback.unreachable() if kind == "refused" else nullcontext()
    with line, pytest.warns(UserWarning, match="the copy in the cache is used"):
        again = load()
    assert same(again, first)
    assert not waits, "there is no reason to wait"


@pytest.mark.parametrize("where", ["POST .*/paths-info", "HEAD .*config", "GET .*/resolve/.*safetensors"])
def test_a_line_that_breaks_during_an_update_leaves_the_old_model_usable(
    loopback, files, load, tmp_path, waits, where
):
    loopback.add_repo(TOWN, files)
    first = load()
    loopback.add_repo(TOWN, other(files, tmp_path))
    loopback.fail(where, "drop", 99)
    with pytest.warns(UserWarning, match="the copy in the cache is used"):
        again = load()
    assert same(again, first)
    assert same(load(local_files_only=True), first)
    loopback.faults.clear()
    assert not same(load(), first)
    assert not same(load(local_files_only=True), first)


# ---- faults, and what the user sees -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "kind", "times"),
    [
        ("GET /api/models/", 503, 2),
        ("GET /api/models/", "drop", 2),
        ("POST .*/paths-info", 503, 1),
        ("HEAD .*", "drop", 2),
        ("GET .*/resolve/.*safetensors", 503, 1),
        ("GET .*/resolve/.*safetensors", 429, 2),
        ("GET .*/resolve/.*safetensors", "drop", 3),
        ("GET .*/resolve/.*safetensors", "truncate", 4),
    ],
)
def test_a_passing_fault_is_waited_out(loopback, files, load, waits, where, kind, times):
    loopback.add_repo(TOWN, files)
    loopback.fail(where, kind, times)
    assert load()
    assert waits


FAULTS = [
    ("no repository", {}, {}, "shows no such repository: check the name; if it is a private one"),
    ("private", {"private": True}, {}, "shows no such repository.*hf auth login"),
    ("gated", {"gated": True}, {}, "ann/town is gated: ask for access at https://hf.co/ann/town"),
    ("wrong token", {}, {"token": "hf_wrong"}, r"refused the token \(401\).*hf auth login"),
    ("no revision", {}, {"revision": "v9"}, "has no revision 'v9'"),
    ("no weights", {}, {}, r"has no model\.safetensors.*pickled weights \(\.bin, \.pth\) never"),
    ("no configuration", {}, {}, r"has no config\.json"),
    ("no discriminator", {}, {"subfolder": "discriminator"}, r"no discriminator/config\.json"),
    ("another library", {}, {}, r"a model of another library \(bert\)"),
    ("an unknown library", {}, {}, "is no pix2pix model"),
    ("a newer contract", {}, {}, "contract version 99.*pip install -U pix2pix"),
    ("corrupted", {}, {}, "model.safetensors of ann/town arrived damaged.*removed from the cache"),
    ("always truncated", {}, {}, "the Hub cannot be reached"),
    ("a huge configuration", {}, {}, r"its config\.json is no page of text"),
    ("broken upload", {}, {}, "cannot be read as safetensors"),
    ("weights of another model", {}, {}, r"does not fit its config\.json"),
    ("unreachable", {}, {}, "the Hub cannot be reached .*refused.*Check the name and the connection"),
    ("down", {}, {}, "the Hub cannot be reached .503"),
    ("switched off", {}, {"local_files_only": True}, r"not \(wholly\) in the cache.*download it once"),
    ("no id", {}, {"source": "town of ann"}, "neither a folder here nor a Hub id"),
    ("no id either", {}, {"source": "ann/-town"}, "neither a folder here nor a Hub id"),
]


@pytest.mark.parametrize(("fault", "settings", "options", "message"), FAULTS, ids=[row[0] for row in FAULTS])
def test_each_fault_has_its_own_message(
    loopback, files, load, waits, tmp_path, fault, settings, options, message
):
    held = {
        "no weights": {"config.json": files["config.json"], "pytorch_model.bin": b"pickle"},
        "no configuration": {"model.safetensors": files["model.safetensors"]},
        "no discriminator": {name: files[name] for name in MODEL},
        "another library": files | {"config.json": b'{"model_type": "bert"}'},
        "an unknown library": files | {"config.json": b"{}"},
        "a newer contract": changed(files, contract_version=99),
        "a huge configuration": changed(files, padding="x" * repository.LARGEST_CONFIG),
        "broken upload": files | {"model.safetensors": files["model.safetensors"][:1000]},
        "weights of another model": changed(files, width=8),
    }.get(fault, files)
    if fault != "no repository":
        loopback.add_repo(TOWN, held, **settings)
    if fault in ("corrupted", "always truncated"):
        kind = "corrupt" if fault == "corrupted" else "truncate"
        loopback.fail("GET .*model.safetensors", kind, 1 if fault == "corrupted" else 999)
    if fault == "down":
        loopback.fail(".*", 503, 99)
    line: Any = loopback.unreachable() if fault == "unreachable" else nullcontext()
    with line, pytest.raises(ModelError, match=message):
        load(**options)
    assert loopback.count("GET .*pytorch_model") == 0, "nothing but safetensors is ever fetched"
    if fault == "another library":
        assert loopback.count("GET .*safetensors") == 0


def test_damaged_weights_do_not_stay_in_the_cache(loopback, files, load):
    loopback.add_repo(TOWN, files)
    loopback.fail("GET .*model.safetensors", "corrupt")
    with pytest.raises(ModelError, match="damaged"):
        load()
    with pytest.raises(ModelError, match=r"not \(wholly\) in the cache"):
        load(local_files_only=True)
    assert load()


def test_a_download_is_checked_once(loopback, files, load, monkeypatch):
    loopback.add_repo(TOWN, files)
    checked, real = [], repository.file_hash

    def watched(path, length):
        checked.append(path.name)
        return real(path, length)

    monkeypatch.setattr(repository, "file_hash", watched)
    load()
    load()
    load(local_files_only=True)
    assert sorted(checked) == sorted(MODEL)


def test_the_hashes_are_those_that_the_hub_states(loopback, files, tmp_path):
    repo = loopback.add_repo(TOWN, files)
    for name, entry in repo.branches["main"].files.items():
        path = tmp_path / name.replace("/", "-")
        path.write_bytes(files[name])
        assert repository.file_hash(path, len(entry.etag)) == entry.etag
    assert CONTRACT_VERSION < 99


def test_a_cache_that_cannot_be_written_still_serves(loopback, files, load, tmp_path, monkeypatch):
    loopback.add_repo(TOWN, files)
    first = load()
    shutil.rmtree(tmp_path / "cache" / "models--ann--town" / "refs")

    def read_only(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(repository, "replacing", read_only)
    assert same(load(), first)
