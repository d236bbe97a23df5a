"""Publishing to a Hub that may refuse, stumble, hang up or have moved on, and finding what is there."""

from __future__ import annotations

import json
import shlex
import shutil
from contextlib import nullcontext

import httpx2
import pytest
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.utils import close_session, get_session
from trained_folder import trained_folder

from pix2pix import Translator, UNetGenerator, cli, hub
from pix2pix.errors import ConfigError, UserError
from pix2pix.patience import limit_waiting

TOWN = "ann/town"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return trained_folder(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def model(pristine, tmp_path):
    """A trained folder of one's own."""
    return shutil.copytree(pristine, tmp_path / "run")


@pytest.fixture
def said():
    return []


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


# ---- publish ----------------------------------------------------------------------------------------------


def test_one_commit_holds_the_model_its_card_and_its_records_and_nothing_else(loopback, ann, model):
    result = hub.publish(model, TOWN)
    assert set(loopback.files(TOWN)) == {*hub.FILES, ".gitattributes"}
    assert loopback.files(TOWN)["model.safetensors"] == weights(model)
    assert [commit.title for commit in loopback.history(TOWN)] == ["Weights of step 300", "initial commit"]
    assert result == hub.PublishResult(loopback.history(TOWN)[0].oid, f"{loopback.url}/{TOWN}")


def test_the_pushed_card_is_one_that_the_hub_validated(loopback, ann, model):
    hub.publish(model, TOWN)
    assert loopback.count("POST /api/validate-yaml") == 1
    data = ModelCard(loopback.files(TOWN)["README.md"].decode()).data.to_dict()
    assert data["tags"] == ["pix2pix", "pix2pix-task:map"]
    assert data["model-index"][0]["name"] == "town"
    assert 'Translator.from_pretrained("ann/town")' in (model / "README.md").read_text()


def test_pushing_the_same_again_makes_no_commit(loopback, ann, model):
    assert hub.publish(model, TOWN) == hub.publish(model, TOWN)
    assert len(loopback.history(TOWN)) == 2


def test_a_second_push_is_served_and_the_first_stays_a_revision(loopback, ann, model, tmp_path):
    first = hub.publish(model, TOWN)
    trained_folder(model, seed=7)
    hub.publish(model, TOWN)
    for revision, seed in ((None, 7), (first.commit, 0)):
        found = UNetGenerator.from_pretrained(TOWN, revision=revision, cache_dir=tmp_path / "cache")
        expected = UNetGenerator.from_pretrained(trained_folder(tmp_path / f"again{seed}", seed))
        assert all((a == b).all() for a, b in zip(found.parameters(), expected.parameters(), strict=True))


def test_a_graph_goes_and_comes_with_the_weights_it_was_made_from(loopback, ann, model):
    graph = model / "onnx" / "model.onnx"
    assert cli.main(["export", "--model", str(model), "--output", str(graph)]) == 0
    hub.publish(model, TOWN)
    assert loopback.files(TOWN)["onnx/model.onnx"] == graph.read_bytes()
    trained_folder(model, seed=7)  # the graph in the folder is now that of other weights
    hub.publish(model, TOWN)
    assert "onnx/model.onnx" not in loopback.files(TOWN)
    assert loopback.files(TOWN)["model.safetensors"] == weights(model)


def test_a_graph_pushed_by_itself_stays_while_its_weights_do(loopback, ann, model, tmp_path):
    hub.publish(model, TOWN)
    words = ["export", "--model", TOWN, "--output", str(tmp_path / "m.onnx"), "--push"]
    assert cli.main(words) == 0
    hub.publish(model, TOWN, message="another card")
    assert "onnx/model.onnx" in loopback.files(TOWN)


def test_a_model_may_be_private_and_on_a_branch(loopback, ann, model):
    hub.publish(model, TOWN, private=True, revision="wild/idea")
    assert loopback.repos["models", TOWN].private
    assert "config.json" in loopback.files(TOWN, "wild/idea")
    assert "config.json" not in loopback.files(TOWN)


def test_a_private_model_is_not_pushed_where_everybody_reads(loopback, ann, model):
    loopback.add_repo(TOWN, {"a": b"1"})
    with pytest.raises(hub.PublishError, match="is public"):
        hub.publish(model, TOWN, private=True)
    assert len(loopback.history(TOWN)) == 1


def test_a_folder_without_a_model_is_refused_before_anything_is_asked(loopback, ann, tmp_path):
    with pytest.raises(UserError, match=r"config\.json and model\.safetensors is missing"):
        hub.publish(tmp_path, TOWN)
    assert not loopback.requests


def test_a_token_in_a_file_is_never_pushed(loopback, ann, model):
    record = json.loads((model / "training_config.json").read_text())
    (model / "training_config.json").write_text(json.dumps(record | {"data_terms": f"key {ann}"}))
    with pytest.raises(hub.PublishError, match="holds an access token"):
        hub.publish(model, TOWN)
    assert set(loopback.files(TOWN)) == {".gitattributes"}


def test_a_license_that_the_hub_does_not_know_uploads_nothing(loopback, ann, model):
    record = json.loads((model / "training_config.json").read_text())
    (model / "training_config.json").write_text(json.dumps(record | {"license": "beer"}))
    with pytest.raises(hub.PublishError, match=r"(?s)refuses the card.*license"):
        hub.publish(model, TOWN)
    assert loopback.count("PUT") == 0


# ---- a repository that moved on ---------------------------------------------------------------------------


def test_weights_that_somebody_else_pushed_are_not_overwritten(loopback, ann, model):
    hub.publish(model, TOWN)
    loopback.add_repo(TOWN, {"model.safetensors": b"better ones", "extra.txt": b"kept"})
    trained_folder(model, seed=1)
    with pytest.raises(
        hub.PublishError, match=r"changed by somebody else.*\(model\.safetensors\)"
    ) as refusal:
        hub.publish(model, TOWN)
    assert loopback.files(TOWN)["model.safetensors"] == b"better ones"
    # The command that the message names does it all the same, and the others' commit stays in the history.
    assert cli.main(shlex.split(refusal.value.command)[1:]) == 0
    assert loopback.files(TOWN)["model.safetensors"] == weights(model)
    assert loopback.files(TOWN)["extra.txt"] == b"kept"
    assert loopback.files(TOWN, loopback.history(TOWN)[1].oid)["model.safetensors"] == b"better ones"


def test_a_lost_note_of_the_last_push_is_no_obstacle(loopback, ann, model):
    hub.publish(model, TOWN)
    (model / hub.PUSHED).write_text("{")
    trained_folder(model, seed=1)
    hub.publish(model, TOWN)
    assert loopback.files(TOWN)["model.safetensors"] == weights(model)


def test_a_named_parent_must_be_the_newest_commit(loopback, ann, model):
    first = hub.publish(model, TOWN)
    loopback.add_repo(TOWN, {"extra.txt": b"1"})
    with pytest.raises(hub.PublishError, match="not its newest commit"):
        hub.publish(model, TOWN, parent_commit=first.commit)


def test_a_push_between_our_look_and_our_commit_is_noticed(loopback, ann, model, waits):
    hub.publish(model, TOWN)
    trained_folder(model, seed=1)
    loopback.fail("POST .*/commit/", 412)
    hub.publish(model, TOWN)
    assert loopback.files(TOWN)["model.safetensors"] == weights(model)


def test_a_card_edited_on_the_hub_keeps_its_prose(loopback, ann, model):
    hub.publish(model, TOWN)
    edited = (
        loopback.files(TOWN)["README.md"]
        .decode()
        .replace("## Limits", "## My own words\n\nHello.\n\n## Limits")
    )
    loopback.add_repo(TOWN, {"README.md": edited.replace("31.4", "99.9").encode()})
    trained_folder(model, seed=1)
    hub.publish(model, TOWN)
    text = loopback.files(TOWN)["README.md"].decode()
    assert "## My own words\n\nHello." in text
    assert "99.9" not in text
    assert "weights of step 301" in text
    assert (model / "README.md").read_text() == text


def test_a_card_written_by_hand_before_the_first_push_is_kept(loopback, ann, model):
    loopback.add_repo(TOWN, {"README.md": b"---\nlanguage: en\ntags:\n- mine\n---\n# My town\n\nProse.\n"})
    hub.publish(model, TOWN)
    text = loopback.files(TOWN)["README.md"].decode()
    assert "# My town\n\nProse.\n\n## What was measured" in text
    data = ModelCard(text).data.to_dict()
    assert (data["language"], data["tags"]) == ("en", ["mine", "pix2pix", "pix2pix-task:map"])


def test_a_card_edited_here_is_pushed(loopback, ann, model):
    hub.publish(model, TOWN)
    path = model / "README.md"
    path.write_text(path.read_text().replace("## Limits", "## Known limits"))
    hub.publish(model, TOWN)
    assert "## Known limits" in loopback.files(TOWN)["README.md"].decode()


def test_a_repository_with_another_kind_of_model_is_left_alone(loopback, ann, model):
    loopback.add_repo(TOWN, {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"bert"})
    with pytest.raises(hub.PublishError, match="another kind of model"):
        hub.publish(model, TOWN)
    assert loopback.files(TOWN)["model.safetensors"] == b"bert"


# ---- faults -----------------------------------------------------------------------------------------------

COMMIT, CREATE, INFO, UPLOAD = (
    "POST .*/commit/",
    "POST .*/repos/create",
    f"GET /api/models/{TOWN}",
    "PUT /obj",
)
PASSING = [
    (COMMIT, 503, 2, {}, [1, 2]),
    (COMMIT, 429, 1, {"Retry_After": "7"}, [7]),
    (COMMIT, 429, 1, {"Retry_After": "Thu, 01 Jan 1970 00:00:00 GMT"}, [0]),
    (COMMIT, "drop", 3, {}, [1, 2, 4]),
    (COMMIT, "drop after", 1, {}, [1]),
    (CREATE, 503, 1, {}, [1]),
    (CREATE, "drop", 1, {}, [1]),
    (INFO, 503, 1, {}, [1]),
    (INFO, "drop", 1, {}, [1]),
    ("POST .*/preupload/", 503, 1, {}, [1]),
    ("POST .*/objects/batch", "drop", 1, {}, [1]),
    (UPLOAD, 503, 2, {}, None),
    (UPLOAD, "drop", 20, {}, None),  # more often than the client tries the three large files
]


@pytest.mark.parametrize(("where", "kind", "times", "headers", "waited"), PASSING)
def test_a_passing_fault_is_waited_out(loopback, ann, model, waits, where, kind, times, headers, waited):
    loopback.fail(where, kind, times, **headers)
    hub.publish(model, TOWN)
    assert loopback.files(TOWN)["model.safetensors"] == weights(model)
    assert len(loopback.history(TOWN)) == 2, "pushed once"
    assert waited is None or waits == waited


FAILING = [
    (COMMIT, 503, 99, {}, "503"),
    (COMMIT, 429, 1, {"Retry_After": "3600"}, "429"),
    (COMMIT, "drop", 99, {}, "disconnected"),
    (COMMIT, 403, 1, {}, r"may not write to ann/town \(403\)"),
    (COMMIT, 401, 1, {}, r"refused the token \(401\)"),
    (COMMIT, 400, 1, {}, r"refused ann/town: 400 injected"),
    (UPLOAD, 403, 99, {}, r"may not write to ann/town \(403\)"),
    (".*", "drop", 999, {}, "disconnected"),
]


@pytest.mark.parametrize(("where", "kind", "times", "headers", "message"), FAILING)
def test_a_lasting_fault_loses_nothing_and_says_how_to_push_later(
    loopback, ann, model, waits, where, kind, times, headers, message
):
    before = weights(model)
    loopback.fail(where, kind, times, **headers)
    with pytest.raises(hub.PublishError, match=message) as failure:
        hub.publish(model, TOWN, private=True)
    assert failure.value.command == f"pix2pix publish --model {model} --repo ann/town --private"
    assert str(failure.value).endswith(f"run:\n  {failure.value.command}")
    assert weights(model) == before
    loopback.faults.clear()
    assert cli.main(shlex.split(failure.value.command)[1:]) == 0
    assert loopback.files(TOWN)["model.safetensors"] == before


def test_an_unreachable_hub_fails_a_push_but_not_for_ever(loopback, ann, model, waits, said):
    with loopback.unreachable(), pytest.raises(hub.PublishError, match="refused"):
        hub.publish(model, TOWN, say=said.append)
    assert waits == [1, 2, 4, 8, 16]
    assert "Trying again in 16 s (5 of 5)" in said[-1]


def test_the_command_line_tells_a_failed_push_by_its_status(loopback, ann, model, capsys, waits):
    loopback.fail(COMMIT, 503, 99)
    assert cli.main(["publish", "--model", str(model), "--repo", TOWN]) == 2
    assert "To push it later" in capsys.readouterr().err
    loopback.faults.clear()
    assert cli.main(["publish", "--model", str(model), "--repo", TOWN]) == 0
    assert f"{loopback.url}/{TOWN}" in capsys.readouterr().out


# ---- before training --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "repo", "options", "message"),
    [
        (None, TOWN, {}, "There is no token .* hf auth login"),
        ("hf_wrong", TOWN, {}, r"refused the token \(401\).* hf auth login"),
        ("reader", TOWN, {}, r"may not write to ann/town \(403\)"),
        ("reader", "ann/there", {}, r"may not write to ann/there \(403\)"),
        ("ann", "bob/town", {}, r"may not write to bob/town \(403\). It needs write access to 'bob'"),
        ("ann", "ann/there", {"private": True}, "exists and is public"),
        ("ann", "town", {}, "'town' is no repository id"),
        ("ann", TOWN, {"license": "beer"}, "--license beer: the Hub knows no such license"),
    ],
)
def test_what_will_not_be_let_in_stops_before_training(loopback, monkeypatch, token, repo, options, message):
    tokens = {"ann": loopback.add_user("ann"), "reader": loopback.add_user("ann", write=False)}
    if token:
        monkeypatch.setenv("HF_TOKEN", tokens.get(token, token))
    loopback.add_repo("ann/there", {"a": b"1"})
    with pytest.raises(hub.HubError, match=message):
        hub.check_access(repo, **options)


def test_access_is_given_to_a_new_and_to_an_old_repository(loopback, ann, said):
    for _ in range(2):
        assert hub.check_access(TOWN, True, license="mit", say=said.append)
    assert loopback.repos["models", TOWN].private
    assert not said


@pytest.mark.parametrize("kind", [503, "drop", "unreachable", "offline"])
def test_a_hub_that_does_not_answer_warns_and_lets_training_go_on(
    loopback, ann, waits, said, monkeypatch, kind
):
    if kind == "offline":
        monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    elif kind != "unreachable":
        loopback.fail(".*", kind, 99)
    with loopback.unreachable() if kind == "unreachable" else nullcontext():
        assert hub.check_access(TOWN, say=said.append) is False
    assert "Training goes on; the push is tried later." in said[-1]
    assert sum(waits) < 10


def test_a_hub_that_accepts_a_call_and_says_nothing_is_not_waited_for_for_ever():
    close_session()
    limit_waiting()
    assert get_session().timeout == httpx2.Timeout(60, read=300)
    get_session().timeout = httpx2.Timeout(5)  # somebody's own choice stays
    limit_waiting()
    assert get_session().timeout == httpx2.Timeout(5)
    close_session()


# ---- discover ---------------------------------------------------------------------------------------------


def test_published_models_are_found_by_task_and_owner_the_newest_first(loopback, ann, pristine, tmp_path):
    for name, task in (("old", "map"), ("new", "map"), ("other", "sketch")):
        hub.publish(trained_folder(tmp_path / name, task=task, license="mit"), f"ann/{name}")
    loopback.add_repo("bob/map", {"README.md": loopback.files("ann/old")["README.md"]})
    loopback.add_repo("ann/stranger", {"README.md": b"---\ntags: [cats]\n---\n"})
    assert [found.repo_id for found in hub.find_models("map")] == ["bob/map", "ann/new", "ann/old"]
    assert [found.repo_id for found in hub.find_models("map", owner="ann")] == ["ann/new", "ann/old"]
    assert {found.task for found in hub.find_models()} == {"map", "sketch"}
    found = hub.find_models("sketch")[0]
    assert found.revision == loopback.history("ann/other")[0].oid
    assert (found.license, found.private, found.gated) == ("mit", False, False)


def test_what_a_card_reports_is_listed_as_its_claims(loopback, ann, model):
    hub.publish(model, TOWN)
    claims = {claim.metric: claim for claim in hub.find_models("map")[0].claims}
    assert list(claims) == ["swd", "lab", "sharpness", "ssim", "psnr", "l1"]
    psnr = claims["psnr"]
    assert (psnr.value, psnr.images, psnr.interval_95) == (22.5, 24, (21.5, 23.25))
    assert (psnr.dataset, psnr.split, claims["swd"].interval_95) == ("town", "val", None)


@pytest.mark.parametrize(
    "front_matter",
    [
        b"model-index: nonsense",
        b"model-index:\n- name: x\n  results: 3",
        b"license: [1, 2]",
        b"model-index:\n- name: x\n  results:\n  - task: {type: t}\n    dataset: {type: d, name: d}\n"
        b"    metrics: [{type: psnr, value: much, args: [1]}]",
    ],
)
def test_a_strangers_odd_card_hides_no_other_model(loopback, front_matter):
    head = b"---\ntags: [pix2pix, 'pix2pix-task:map']\n"
    loopback.add_repo("ann/plain", {"README.md": head + b"---\n"})
    loopback.add_repo("bob/odd", {"README.md": head + front_matter + b"\n---\n"})
    assert [(found.repo_id, found.claims) for found in hub.find_models("map")] == [
        ("bob/odd", ()),
        ("ann/plain", ()),
    ]


def test_a_private_model_is_found_only_by_its_owner(loopback, ann, model, monkeypatch):
    hub.publish(model, TOWN, private=True)
    assert [found.private for found in hub.find_models()] == [True]
    monkeypatch.delenv("HF_TOKEN")
    assert hub.find_models() == []


def test_a_search_that_cannot_be_is_refused(loopback, waits):
    with pytest.raises(ConfigError, match="no task 'maps'"):
        hub.find_models("maps")
    with pytest.raises(ConfigError, match="newest, downloads, likes"):
        hub.find_models(sort="best")
    loopback.fail(".*", "drop", 99)
    with pytest.raises(hub.HubError, match="cannot be asked"):
        hub.find_models()


# ---- without this package ---------------------------------------------------------------------------------


def test_safetensors_opens_what_the_client_downloads(loopback, ann, model, tmp_path):
    from safetensors import safe_open

    hub.publish(model, TOWN)
    path = HfApi().hf_hub_download(TOWN, "model.safetensors", cache_dir=tmp_path)
    with safe_open(path, framework="numpy") as file:
        assert len(file.keys()) > 10


def test_the_cards_own_example_draws_a_picture(loopback, ann, model, tmp_path, monkeypatch):
    from PIL import Image

    hub.publish(model, TOWN)
    example = loopback.files(TOWN)["README.md"].decode().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 33)).save("aerial-photo.jpg")
    exec(example, {})
    assert Image.open("aerial-photo-translated.png").size == (40, 33)
    assert Translator.from_pretrained(TOWN).config.task == "map"


def test_a_card_that_cannot_be_rendered_does_not_end_a_run(model, said, tmp_path, monkeypatch):
    """An upgrade may put another template under a run that has begun."""
    (tmp_path / "template.md").write_text("{{ a_word_of_next_year }}")
    monkeypatch.setattr(hub.card, "template_path", lambda: tmp_path / "template.md")
    before = (model / "README.md").read_text() if (model / "README.md").exists() else None
    hub.Publication(model, None, say=said.append).describe({"seconds": 1.0, "hardware": "a CPU"})
    assert "a_word_of_next_year" in said[0]
    assert ((model / "README.md").read_text() if before is not None else None) == before
