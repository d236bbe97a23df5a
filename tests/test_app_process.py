"""The demo as a process: how it starts and ends, what its flags say, and what it serves from the Hub."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from app_server import ROOT, left_behind, running_app, start_app
from gradio_client import handle_file
from PIL import Image
from trained_folder import trained_folder

from pix2pix import Translator, card, model_sources
from pix2pix.repository import MODEL_FILES
from pix2pix.serving import Catalogue
from pix2pix.visits import Visits

pytestmark = pytest.mark.timeout(300)
TOWN = "ann/town"


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Two versions of one model, which draw different pictures."""
    folders = [tmp_path_factory.mktemp("versions") / str(seed) for seed in range(2)]
    for seed, folder in enumerate(folders):
        card.write_card(trained_folder(folder, seed), TOWN)
    return folders


@pytest.fixture
def photo(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def files(folder):
    return {name: (folder / name).read_bytes() for name in (*MODEL_FILES, "README.md")}


def drawn(folder, photo):
    return np.asarray(Translator.from_pretrained(folder, device="cpu")(photo), int)


def same(path, expected):
    return abs(np.asarray(Image.open(path), int) - expected).max() <= 1


# ---- starting and ending ----------------------------------------------------------------------------------


def test_the_page_needs_no_torch(tmp_path):
    """It is up before a model, and what runs it, is loaded."""
    code = (
        "import sys, pathlib, app\n"
        "from pix2pix.serving import Catalogue\nfrom pix2pix.visits import Visits\n"
        "app.build(Visits(Catalogue.from_settings([]), pathlib.Path(sys.argv[1])))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "a machine"])
def test_it_ends_well_whoever_ends_it_and_leaves_nothing(number, versions, tmp_path):
    app = start_app(tmp_path, {"map": versions[0]})
    app.wait_until_up()
    assert left_behind(app.temporary)
    assert app.interrupt(number) == 0
    assert not left_behind(app.temporary)
    assert "Traceback" not in app.said()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "map"], "TASK=ID_OR_DIR"),
        (["--model", "nothing=user/model"], "there is no task 'nothing'"),
        (["--model", "map=/no/such/folder"], "neither a folder here nor a Hub id"),
        (["--hub_owner", "a/b"], "--hub_owner is 'a/b'"),
        (["--port", "taken"], "port"),
    ],
    ids=["no task", "unknown task", "no folder", "no owner", "taken port"],
)
def test_a_wrong_flag_is_one_line_and_status_two(words, said, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = [word.replace("taken", str(taken.getsockname()[1])) for word in words]
        ended = subprocess.run(
            [sys.executable, "app.py", *words],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(tmp_path), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
    assert ended.returncode == 2, ended
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    assert not left_behind(tmp_path)


# ---- the Hub ----------------------------------------------------------------------------------------------


def test_a_model_of_the_hub_is_served_at_its_revision_and_outlives_the_hub(
    loopback, versions, photo, tmp_path
):
    loopback.add_repo(TOWN, files(versions[0]))
    commit = loopback.history(TOWN)[0].oid
    environment = loopback.environment(tmp_path / "home") | {"HF_HUB_OFFLINE": "0"}
    with running_app(tmp_path, {"map": TOWN}, environment=environment) as app:
        client = app.client(download_files=str(tmp_path))
        picture, facts = client.predict("map", handle_file(photo), api_name="/translate")
        assert (facts["model"], facts["origin"], facts["revision"]) == (TOWN, "hub", commit)
        assert same(picture, drawn(versions[0], photo))
        listed = next(entry for entry in client.predict(api_name="/tasks") if entry["task"] == "map")
        assert (listed["offers"][0]["name"], listed["offers"][0]["revision"]) == (TOWN, commit)
        assert listed["offers"][0]["url"] == f"{loopback.url}/{TOWN}"
        with loopback.unreachable():
            picture, facts = client.predict("map", handle_file(photo), api_name="/translate")
            assert facts["revision"] == commit
            assert same(picture, drawn(versions[0], photo))


def test_a_new_revision_is_shown_without_a_restart_and_the_old_one_goes_on_until_then(
    loopback, versions, photo, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    loopback.add_repo(TOWN, files(versions[0]))
    (tmp_path / "none").mkdir()
    catalogue = Catalogue.from_settings(
        [f"map={TOWN}"], environment={}, shipped=tmp_path / "none", device="cpu"
    )
    visits = Visits(catalogue, tmp_path)
    old = visits.translate("map", None, str(photo))
    loopback.add_repo(TOWN, files(versions[1]))
    newest = loopback.history(TOWN)[0].oid
    catalogue.start(every=0.2)
    try:
        deadline = time.monotonic() + 60
        while (new := visits.translate("map", None, str(photo))).offer.revision != newest:
            assert time.monotonic() < deadline
            assert same(new.output, drawn(versions[0], photo))
            time.sleep(0.1)
        assert same(new.output, drawn(versions[1], photo))
        assert new.offer.key == old.offer.key  # a link to it still leads there
        with loopback.unreachable():
            catalogue.refresh()
            still = visits.translate("map", None, str(photo))
            assert still.offer.revision == newest
            assert same(still.output, drawn(versions[1], photo))
    finally:
        catalogue.close()
    assert model_sources.is_kept(TOWN, newest)
