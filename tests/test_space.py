"""The demo as a Space: what is uploaded, what stays, and a Hub that refuses or has moved on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from huggingface_hub import RepoCard
from trained_folder import trained_folder

from pix2pix import cli, space, space_files
from pix2pix.errors import ConfigError, UserError
from pix2pix.hub import PublishError
from pix2pix.patience import HubError
from pix2pix.space import publish_space

DEMO = "ann/demo"
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A checkout with much in it that is nobody's business."""
    root = tmp_path_factory.mktemp("clone")
    (root / "app.py").write_text("print('the demo')\n")
    for name in ("requirements.txt", "LICENSE"):
        shutil.copy(ROOT / name, root / name)
    (root / "pix2pix").mkdir()
    for name in ("__init__.py", "errors.py", "py.typed"):
        shutil.copy(ROOT / "pix2pix" / name, root / "pix2pix")
    trained_folder(root / "model_cards" / "map")
    (root / "model_cards" / "map" / "README.md").write_text("# Map\n")
    shutil.copy(ROOT / "model_cards" / "template.md", root / "model_cards")
    for name in (
        ".env", ".venv/bin/python", "runs/map/model.safetensors", "pix2pix/__pycache__/a.pyc", "notes.txt",
        "pix2pix/.secret.py.swp", "model_cards/map/.token", "tests/test_a.py", ".git/config", "README.md",
        "train_accelerate.py",
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("stays here")
    return root


@pytest.fixture
def clone(pristine, tmp_path):
    return Path(shutil.copytree(pristine, tmp_path / "clone"))


def there(loopback, name=None):
    files = loopback.files(DEMO, type="spaces")
    return set(files) if name is None else files[name].decode()


def card_of(loopback):
    return RepoCard(there(loopback, "README.md"), ignore_metadata_errors=True).data.to_dict()


def commits(loopback):
    return [commit.title for commit in loopback.history(DEMO, type="spaces")]


# ---- what is uploaded -------------------------------------------------------------------------------------


def test_one_commit_holds_what_the_demo_needs_and_nothing_else(loopback, ann, clone):
    result = publish_space(DEMO, root=clone)
    assert there(loopback) == {
        ".gitattributes", "README.md", "app.py", "LICENSE", "requirements.txt", "model_cards/template.md",
        "pix2pix/__init__.py", "pix2pix/errors.py", "pix2pix/py.typed",
        "model_cards/map/README.md", "model_cards/map/config.json", "model_cards/map/model.safetensors",
        "model_cards/map/metrics.json", "model_cards/map/samples.png",
    }  # fmt: skip
    assert commits(loopback) == ["The demo of pix2pix 0.1.0", "initial commit"]
    assert result.commit == loopback.history(DEMO, type="spaces")[0].oid
    assert result.url == f"{loopback.url}/spaces/{DEMO}"
    assert loopback.repos["spaces", DEMO].settings["sdk"] == "gradio"


def test_the_readme_opens_with_the_settings_of_a_space(loopback, ann, clone):
    publish_space(DEMO, root=clone, models=["map=ann/town"])
    assert loopback.count("POST /api/validate-yaml") == 1
    card = card_of(loopback)
    assert card["sdk"] == "gradio"
    assert f"gradio=={card['sdk_version']}" in (ROOT / "requirements.txt").read_text().split()
    assert (clone / card["app_file"]).is_file()
    assert card["python_version"] == "3.11"  # in quotes: 3.10 would become the number 3.1
    assert card["models"] == ["ann/town"]
    assert card["suggested_hardware"] == "cpu-basic"


def test_the_front_matter_keeps_to_the_hubs_rules():
    content = space_files.front_matter((ROOT / "requirements.txt").read_text())
    assert len(content["short_description"]) <= 60
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {content["colorFrom"], content["colorTo"]} <= colors
    assert not content["emoji"].isascii()
    assert "models" not in content


def test_requirements_without_the_pin_of_the_sdk_are_refused():
    with pytest.raises(ConfigError, match="pins no gradio"):
        space_files.front_matter("gradio>=6\n")


def test_the_projects_own_readme_is_one_of_a_space_too():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if not text.startswith("---\n"):
        pytest.skip("README.md has no front matter yet")
    expected = space_files.front_matter((ROOT / "requirements.txt").read_text())
    assert yaml.safe_load(text.split("---\n")[1]) == expected


def test_a_space_installs_the_packages_own_dependencies_pinned_and_a_torch_for_the_cpu():
    lines = space_files.space_requirements((ROOT / "requirements.txt").read_text()).splitlines()
    assert lines[0] == "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert all(re.match(r"[\w-]+==[\d.]+(;|$)", line) for line in lines[1:])
    pyproject = (ROOT / "pyproject.toml").read_text()
    declared = re.findall(r"^dependencies = \[\n(.*?)^\]", pyproject, re.S | re.M)[0]
    assert {line.split("==")[0] for line in lines[1:]} == set(re.findall(r'^\s*"([\w-]+)', declared, re.M))


def test_a_space_with_a_gpu_gets_the_torch_for_it():
    text = (ROOT / "requirements.txt").read_text()
    assert "extra-index-url" not in space_files.space_requirements(text, "zero-a10g")


def test_what_is_uploaded_of_this_project_runs_by_itself(tmp_path):
    for name, source in space_files.Checkout(ROOT).files(None).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(source if isinstance(source, bytes) else source.read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "app.py", "--port", port]
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONPATH": ""}
    with open(tmp_path / "log", "wb") as log:
        app = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env=environment)
    try:
        page = fetched(f"http://127.0.0.1:{port}/", app)
    finally:
        app.terminate()
        app.wait(20)
    assert "pix2pix" in page, (tmp_path / "log").read_text()


def fetched(url, process, seconds=100.0):
    """The page, as soon as it is up; "" where the process has ended without."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.2)
    return ""


# ---- its settings -----------------------------------------------------------------------------------------


def test_the_models_stand_in_the_spaces_variables(loopback, ann, clone):
    publish_space(DEMO, root=clone, models=["map=ann/town", "sketch=ann/pens"], hub_owner="bob")
    variables = loopback.repos["spaces", DEMO].settings["variables"]
    assert [(v["key"], v["value"]) for v in variables] == [
        ("PIX2PIX_MODELS", "map=ann/town,sketch=ann/pens"),
        ("PIX2PIX_HUB_OWNER", "bob"),
    ]


def test_what_is_not_named_again_stays_set(loopback, ann, clone):
    publish_space(DEMO, root=clone, hub_owner="bob")
    publish_space(DEMO, root=clone)
    assert len(loopback.repos["spaces", DEMO].settings["variables"]) == 1


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("map", "must be TASK=ID_OR_DIR"),
        ("maps=ann/town", "there is no task 'maps'"),
        (
            "map={clone}",
            "cannot see a folder of yours.*\n  pix2pix publish --model .* --repo USER/pix2pix-map",
        ),
    ],
)
def test_a_model_that_a_space_cannot_serve_is_refused_before_anything_is_asked(
    loopback, ann, clone, model, complaint
):
    with pytest.raises(ConfigError, match=complaint):
        publish_space(DEMO, root=clone, models=[model.format(clone=clone)])
    assert loopback.requests == []


def test_hardware_is_asked_for_and_a_gpu_changes_the_torch(loopback, ann, clone):
    publish_space(DEMO, root=clone, hardware="t4-small")
    assert loopback.repos["spaces", DEMO].settings["hardware"] == "t4-small"
    assert card_of(loopback)["suggested_hardware"] == "t4-small"
    assert "extra-index-url" not in there(loopback, "requirements.txt")


def test_hardware_that_is_refused_leaves_a_space_that_runs(loopback, ann, clone):
    loopback.fail("POST .*/hardware", 402)
    with pytest.raises(HubError, match=r"was published, but does not run on t4-small: 402"):
        publish_space(DEMO, root=clone, hardware="t4-small")
    assert "app.py" in there(loopback)


def test_unknown_hardware_is_refused(loopback, ann, clone):
    with pytest.raises(ConfigError, match="--hardware is 'big'; it must be one of cpu-basic"):
        publish_space(DEMO, root=clone, hardware="big")


# ---- again ------------------------------------------------------------------------------------------------


def test_publishing_the_same_again_makes_no_commit(loopback, ann, clone):
    assert publish_space(DEMO, root=clone) == publish_space(DEMO, root=clone)
    assert len(commits(loopback)) == 2


def test_what_the_checkout_no_longer_holds_leaves_the_space_and_the_owners_files_stay(loopback, ann, clone):
    publish_space(DEMO, root=clone)
    loopback.add_repo(DEMO, {"packages.txt": b"ffmpeg", "docs/own.md": b"mine"}, type="spaces")
    shutil.rmtree(clone / "model_cards" / "map")
    (clone / "pix2pix" / "errors.py").rename(clone / "pix2pix" / "mistakes.py")
    publish_space(DEMO, root=clone)
    files = there(loopback)
    assert {"packages.txt", "docs/own.md", "pix2pix/mistakes.py"} <= files
    assert not any(name.startswith("model_cards/map/") for name in files)
    assert "pix2pix/errors.py" not in files


def test_the_owners_title_and_words_stay_and_the_codes_version_does_not(loopback, ann, clone):
    publish_space(DEMO, root=clone)
    edited = there(loopback, "README.md").replace("title: pix2pix", "title: Ann's town\npinned: true")
    edited = edited.replace("sdk_version: 6", "sdk_version: 5").replace("# pix2pix in", "# My town in")
    loopback.add_repo(DEMO, {"README.md": edited.encode()}, type="spaces")
    (clone / "app.py").write_text("print('newer')\n")
    publish_space(DEMO, root=clone)
    card = card_of(loopback)
    assert (card["title"], card["pinned"], card["sdk_version"][0]) == ("Ann's town", True, "6")
    assert "# My town in the browser" in there(loopback, "README.md")
    assert there(loopback, "README.md").count("pix2pix:space") == 1
    publish_space(DEMO, root=clone)  # and the mark fits what was pushed


def test_code_that_somebody_changed_in_the_space_is_not_overwritten(loopback, ann, clone, monkeypatch):
    publish_space(DEMO, root=clone)
    loopback.add_repo(DEMO, {"app.py": b"print('mended in the browser')\n"}, type="spaces")
    with pytest.raises(PublishError, match="holds files of the demo that somebody changed") as refusal:
        publish_space(DEMO, root=clone)
    assert "mended" in there(loopback, "app.py")
    # The command that the message names does it all the same.
    monkeypatch.setattr(space, "Checkout", lambda root: space_files.Checkout(clone))
    assert cli.main(shlex.split(refusal.value.command)[1:]) == 0
    assert "mended" not in there(loopback, "app.py")


def test_another_app_is_not_overwritten(loopback, ann, clone):
    loopback.add_repo(DEMO, {"index.html": b"<p>", "README.md": b"---\nsdk: static\n---\n"}, type="spaces")
    with pytest.raises(PublishError, match=r"holds something else \(index\.html\)"):
        publish_space(DEMO, root=clone)
    assert there(loopback) == {"index.html", "README.md"}


def test_the_readme_of_a_space_that_was_just_made_is_replaced(loopback, ann, clone):
    loopback.add_repo(DEMO, {"README.md": b"---\ntitle: Demo\nsdk: static\n---\nSee docs\n"}, type="spaces")
    publish_space(DEMO, root=clone)
    assert card_of(loopback)["title"] == "pix2pix"


# ---- a Hub that refuses, and mistakes ---------------------------------------------------------------------


def test_a_space_may_be_private_and_a_public_one_is_not_taken_for_it(loopback, ann, clone):
    publish_space(DEMO, root=clone, private=True)
    assert loopback.repos["spaces", DEMO].private
    loopback.repos["spaces", DEMO].private = False
    with pytest.raises(PublishError, match="is public"):
        publish_space(DEMO, root=clone, private=True)


def test_a_token_in_the_code_is_never_pushed(loopback, ann, clone):
    (clone / "pix2pix" / "errors.py").write_text(f"TOKEN = '{ann}'\n")
    with pytest.raises(PublishError, match="holds an access token"):
        publish_space(DEMO, root=clone)
    assert loopback.requests == []


def test_a_link_in_the_checkout_uploads_nothing_from_elsewhere(loopback, ann, clone, tmp_path):
    (tmp_path / "secret.py").write_text("secret")
    (clone / "pix2pix" / "linked.py").symlink_to(tmp_path / "secret.py")
    publish_space(DEMO, root=clone)
    assert "pix2pix/linked.py" not in there(loopback)


def test_without_a_token_nothing_is_asked(loopback, clone):
    with pytest.raises(PublishError, match="hf auth login"):
        publish_space(DEMO, root=clone)
    assert loopback.requests == []


@pytest.mark.parametrize("repo", ["demo", "ann/demo/x", "../demo", "https://hf.co/spaces/ann/demo"])
def test_an_id_that_cannot_be_one_is_refused(loopback, ann, clone, repo):
    with pytest.raises(PublishError, match="must be like user/pix2pix"):
        publish_space(repo, root=clone)


def test_a_token_that_may_only_read_is_told_so(loopback, monkeypatch, clone):
    monkeypatch.setenv("HF_TOKEN", loopback.add_user("ann", write=False))
    with pytest.raises(PublishError, match="may not write to ann/demo"):
        publish_space(DEMO, root=clone)


def test_a_hub_that_stumbles_is_tried_again(loopback, ann, clone, waits):
    loopback.fail("POST .*/commit/", 503, times=2)
    publish_space(DEMO, root=clone)
    assert len(commits(loopback)) == 2
    assert waits


def test_a_hub_that_is_gone_costs_nothing_and_the_command_does_it_later(loopback, ann, clone, waits):
    with loopback.unreachable(), pytest.raises(PublishError, match="Nothing is lost") as failure:
        publish_space(DEMO, root=clone, models=["map=ann/town"], hub_owner="bob", private=True)
    expected = "pix2pix publish-space --repo ann/demo --model map=ann/town --hub_owner bob --private"
    assert failure.value.command == expected


def test_a_commit_in_between_is_looked_at_again(loopback, ann, clone, waits):
    loopback.fail("POST .*/commit/", 412)
    publish_space(DEMO, root=clone)
    assert "app.py" in there(loopback)


def test_a_change_in_the_very_moment_of_a_push_is_not_overwritten(loopback, ann, clone, waits, monkeypatch):
    publish_space(DEMO, root=clone)
    (clone / "app.py").write_text("print('newer')\n")
    renew = space._Push._new_readme

    def meanwhile(self, *arguments):
        loopback.add_repo(DEMO, {"app.py": b"print('mended')\n"}, type="spaces")
        return renew(self, *arguments)

    monkeypatch.setattr(space._Push, "_new_readme", meanwhile)
    with pytest.raises(PublishError, match="somebody changed"):
        publish_space(DEMO, root=clone)
    assert "mended" in there(loopback, "app.py")


def test_an_installed_wheel_says_that_it_holds_no_demo(loopback, ann, tmp_path):
    with pytest.raises(
        UserError, match=r"app\.py and requirements\.txt is not beside the package.*from a clone"
    ):
        publish_space(DEMO, root=tmp_path)


def test_the_command_tells_a_mistake_in_plain_words(loopback, ann, capsys):
    assert cli.main(["publish-space", "--repo", DEMO, "--model", "maps=ann/town"]) == 2
    assert "there is no task 'maps'" in capsys.readouterr().err


def test_the_command_publishes_and_says_where(loopback, ann, clone, capsys, monkeypatch):
    monkeypatch.setattr(space, "Checkout", lambda root: space_files.Checkout(clone))
    assert cli.main(["publish-space", "--repo", DEMO, "--message", "First"]) == 0
    assert f"The demo -> {loopback.url}/spaces/{DEMO} at commit" in capsys.readouterr().out
    assert commits(loopback)[0] == "First"
