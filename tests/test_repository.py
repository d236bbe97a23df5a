"""A folder or a Hub id: found, or told apart and told what to do. The Hub itself: test_repository_hub.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from pix2pix import repository
from pix2pix.errors import ModelError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def model(tmp_path) -> Path:
    """A folder that has the files of a model; nothing here reads the weights."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"generator": "unet_256"}')
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def test_a_folder_is_taken_as_it_is(model, monkeypatch):
    assert repository.resolve(model) == repository.resolve(str(model)) == model
    monkeypatch.chdir(model.parent.parent)
    relative = f"{model.parent.name}/model"  # looks like a Hub id, but is here
    assert repository.resolve(relative) == Path(relative)


def test_a_subfolder_of_a_folder(model):
    assert repository.resolve(model.parent, subfolder="model") == model


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(model, name):
    (model / name).unlink()
    with pytest.raises(ModelError, match=rf"model is no model: {name} is missing.*--output_dir"):
        repository.resolve(model)


def test_an_empty_folder_lacks_both(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json and model\.safetensors is missing"):
        repository.resolve(tmp_path)


@pytest.mark.parametrize(
    "source",
    ["", "nonsense", "/no/such/folder", "a/b/c", "user/na me", "../model", "./model", "user/two--dashes",
     "user/end.git", "-user/x", "https://huggingface.co/user/name", "C:\\models\\map", "a\0b", "x" * 5000,
     Path("user/name")],
    ids=range(15),
)  # fmt: skip
def test_what_is_neither_folder_nor_id_is_refused_without_asking_the_hub(source, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(httpx2.Client, "send", lambda *_, **__: pytest.fail("asked the network"))
    with pytest.raises(ModelError, match="neither a folder here nor a Hub id such as user/pix2pix-map"):
        repository.resolve(source)


def test_a_file_in_place_of_its_folder_is_told(model):
    with pytest.raises(ModelError, match=r"model\.safetensors is a file; name the folder"):
        repository.resolve(model / "model.safetensors")


# ------------------------------------------------------------------------------------------ config.json


def test_a_configuration_is_read(model):
    assert repository.read_config(model) == {"generator": "unet_256"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"9" * 10_000, "is not JSON"),
        (b"[1, 2]", "holds list, not a JSON object"),
        (b"null", "holds NoneType, not a JSON object"),
        (b" " * (1 << 20) + b"{}", "has 1048578 bytes; a configuration has at most"),
    ],
    ids=["empty", "cut", "utf-16", "deep", "long-number", "list", "null", "large"],
)
def test_what_is_no_configuration_is_refused(model, content, message):
    (model / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        repository.read_config(model)


# -------------------------------------------------------------------------------------- without the Hub


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "looking on the Hub is switched off"),
        ({"HF_ENDPOINT": "http://127.0.0.1:1"}, "the Hub cannot be reached"),
    ],
    ids=["offline", "unreachable"],
)
def test_an_id_without_network_and_cache_says_so_at_once(tmp_path, variables, message):
    code = (
        "import time; from pix2pix.repository import resolve; from pix2pix.errors import ModelError\n"
        "start = time.monotonic()\n"
        "try: resolve('user/pix2pix-map')\n"
        "except ModelError as error: print(error, '|', time.monotonic() - start)"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path)} | variables
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    text, seconds = run.stdout.rsplit("|", 1)
    assert "user/pix2pix-map is no folder here and not (wholly) in the cache" in text, run.stderr
    assert message in text
    assert float(seconds) < 10


def snapshot(cache: Path, files: dict[str, bytes], commit: str = "0" * 40) -> Path:
    """A cache as huggingface_hub leaves it."""
    repo = cache / "models--user--name"
    folder = repo / "snapshots" / commit
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    return folder


FILES = {"config.json": b"{}", "model.safetensors": b""}


def test_what_is_in_the_cache_is_used_without_network(tmp_path):
    folder = snapshot(tmp_path, FILES)
    assert repository.resolve("user/name", cache_dir=tmp_path, local_files_only=True) == folder
    with pytest.raises(ModelError, match="looking on the Hub is switched off"):
        repository.resolve("user/other", cache_dir=str(tmp_path), local_files_only=True)


def test_a_copy_in_the_cache_that_lacks_a_file_is_no_copy(tmp_path):
    snapshot(tmp_path, {"config.json": b"{}"})
    with pytest.raises(ModelError, match=r"user/name .* not \(wholly\) in the cache"):
        repository.resolve("user/name", cache_dir=tmp_path, local_files_only=True)


def test_a_subfolder_of_a_repository(tmp_path):
    folder = snapshot(tmp_path, {f"discriminator/{name}": data for name, data in FILES.items()})
    options = {"cache_dir": tmp_path, "local_files_only": True}
    assert repository.resolve("user/name", subfolder="discriminator", **options) == folder / "discriminator"
