"""The loopback Hub answers the real client as the real Hub does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi, errors

FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 1000, "deep/er/notes.txt": b"text"}


def upload(folder, repo_id="ann/town", files=FILES, **options):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    HfApi().create_repo(repo_id, exist_ok=True)
    return HfApi().upload_folder(repo_id=repo_id, folder_path=folder, **options)


def test_what_is_uploaded_comes_back_byte_for_byte(loopback, ann, tmp_path):
    upload(tmp_path / "up")
    down = Path(huggingface_hub.snapshot_download("ann/town", cache_dir=tmp_path / "cache"))
    for name, data in FILES.items():
        assert (down / name).read_bytes() == data
    assert loopback.count("POST .*/commit/") == 1
    assert not HfApi().verify_repo_checksums("ann/town", cache_dir=tmp_path / "cache").mismatches


def test_an_unchanged_folder_makes_no_commit_and_a_second_upload_no_object(loopback, ann, tmp_path):
    first = upload(tmp_path)
    assert upload(tmp_path).oid == first.oid
    assert upload(tmp_path, "ann/copy")
    assert loopback.count("PUT /objects/") == 1


def test_branches_tags_and_old_revisions_are_served(loopback, ann, tmp_path):
    api = HfApi()
    first = upload(tmp_path)
    api.create_tag("ann/town", tag="v1")
    api.create_branch("ann/town", branch="wild/idea")
    upload(tmp_path, files={"config.json": b"[]"}, revision="wild/idea")
    for revision, expected in (("main", b"{}"), ("v1", b"{}"), (first.oid, b"{}"), ("wild/idea", b"[]")):
        path = api.hf_hub_download("ann/town", "config.json", revision=revision, cache_dir=tmp_path / "cache")
        assert Path(path).read_bytes() == expected, revision
    refs = api.list_repo_refs("ann/town")
    assert [tag.name for tag in refs.tags] == ["v1"]
    assert len(api.list_repo_commits("ann/town", revision="wild/idea")) == 3


def test_a_commit_on_an_old_parent_is_refused(loopback, ann, tmp_path):
    first = upload(tmp_path)
    upload(tmp_path, files={"config.json": b"[1]"})
    with pytest.raises(errors.HfHubHTTPError, match="412"):
        upload(tmp_path, files={"config.json": b"[2]"}, parent_commit=first.oid)


def test_private_and_gated_repositories_are_closed_to_others(loopback, monkeypatch, tmp_path):
    loopback.add_repo("ann/secret", {"a": b"1"}, private=True)
    loopback.add_repo("ann/gated", {"a": b"1"}, gated=True)
    for token, expected in ((loopback.add_user("bob"), 404), (False, 401)):
        with pytest.raises(errors.RepositoryNotFoundError) as missing:
            HfApi(token=token).model_info("ann/secret")
        assert missing.value.response.status_code == expected
        with pytest.raises(errors.GatedRepoError):
            HfApi(token=token).hf_hub_download("ann/gated", "a", cache_dir=tmp_path)
    assert HfApi(token=loopback.add_user("ann")).model_info("ann/secret").private


def test_only_the_owner_with_a_writing_token_writes(loopback):
    for token, status in (
        (loopback.add_user("bob"), 403),
        (loopback.add_user("ann", write=False), 403),
        ("hf_no", 401),
    ):
        with pytest.raises(errors.HfHubHTTPError) as refusal:
            HfApi(token=token).create_repo("ann/town")
        assert refusal.value.response.status_code == status


def test_models_are_found_by_tag_page_after_page(loopback):
    card = b"---\ntags:\n- town\nlicense: mit\n---\n"
    for number in range(45):
        loopback.add_repo(f"ann/{number}", {"README.md": card})
    loopback.add_repo("ann/other", {"README.md": b"---\ntags: [village]\n---\n"})
    found = list(HfApi().list_models(filter=["town", "license:mit"], sort="created_at"))
    assert [model.id for model in found] == [f"ann/{number}" for number in reversed(range(45))]


def test_a_broken_card_is_refused_before_anything_is_uploaded(loopback, ann, tmp_path):
    with pytest.raises(ValueError, match="license"):
        upload(tmp_path, files={"README.md": b"---\nlicense: beer\n---\n", "a.bin": b"1"})
    assert loopback.count("PUT") == loopback.count("POST .*/commit/") == 0


def test_faults_come_as_often_as_asked(loopback, ann, tmp_path, waits):
    upload(tmp_path / "up")
    loopback.fail("GET .*/resolve/.*safetensors", "truncate", times=2)
    path = HfApi().hf_hub_download("ann/town", "model.safetensors", cache_dir=tmp_path)
    assert Path(path).read_bytes() == FILES["model.safetensors"]  # resumed by Range
    assert loopback.count("GET .*safetensors") == 3
    loopback.fail("GET /api/models/", 503)
    loopback.fail("GET /api/models/", "drop")
    with pytest.raises(errors.HfHubHTTPError, match="503"):
        HfApi().model_info("ann/town")
    with pytest.raises(Exception, match="disconnected"):
        HfApi().model_info("ann/town")
    assert HfApi().model_info("ann/town").sha


def test_an_unreachable_hub_refuses_connections_and_comes_back(loopback, ann):
    loopback.add_repo("ann/town", {"a": b"1"})
    with loopback.unreachable(), pytest.raises(Exception, match="refused"):
        HfApi().model_info("ann/town")
    assert HfApi().model_info("ann/town")


def test_spaces_and_data_sets_live_beside_models(loopback, ann):
    api = HfApi()
    kinds: dict[str, Any] = {"space": {"space_sdk": "gradio"}, "dataset": {}, "model": {}}
    for kind, extra in kinds.items():
        api.create_repo("ann/town", repo_type=kind, **extra)
        api.upload_file(repo_id="ann/town", repo_type=kind, path_or_fileobj=kind.encode(), path_in_repo="is")
        assert loopback.files("ann/town", type=f"{kind}s")["is"] == kind.encode()
    api.add_space_variable("ann/town", "PIX2PIX_MODELS", "map=ann/town")
    assert api.space_info("ann/town").sdk == "gradio"


def test_a_program_of_its_own_finds_the_hub_through_the_environment(loopback, tmp_path):
    loopback.add_repo("ann/town", FILES)
    command = [
        str(Path(sys.executable).with_name("hf")),
        "download",
        "ann/town",
        "--local-dir",
        str(tmp_path),
    ]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "model.safetensors").read_bytes() == FILES["model.safetensors"]
