"""Training state that is written whole, recognised when damaged, and rotated late."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import torch

from pix2pix.checkpoints import (
    CheckpointError,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    not_finite,
    remove_leftovers,
    save_checkpoint,
    set_aside_after,
)

STATE: dict[str, Any] = {
    "G": {"weight": torch.arange(6.0)},
    "progress": {"step": 7, "history": [1, None, "x", 0.5]},
}


def steps(folder):
    return [int(path.name[5:]) for path in list_checkpoints(folder)]


def test_what_is_saved_is_what_is_loaded(tmp_path):
    path = save_checkpoint(tmp_path, 7, STATE)
    state = load_checkpoint(path)
    assert torch.equal(state["G"]["weight"], STATE["G"]["weight"])
    assert state["progress"] == STATE["progress"]


def test_only_the_newest_are_kept(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, STATE, limit=2)
    assert steps(tmp_path) == [3, 2]


def test_the_old_one_goes_only_after_the_new_one_is_safe(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, STATE, limit=1)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(tmp_path, 2, STATE, limit=1)
    assert steps(tmp_path) == [1]


@pytest.mark.parametrize("harm", ["truncated", "changed", "missing file", "no manifest", "broken manifest"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_used(tmp_path, harm):
    save_checkpoint(tmp_path, 1, STATE)
    newest = save_checkpoint(tmp_path, 2, STATE)
    content = (newest / "G.pt").read_bytes()
    if harm == "truncated":
        (newest / "G.pt").write_bytes(content[:-10])
    elif harm == "changed":
        (newest / "G.pt").write_bytes(content[:-10] + bytes(10))
    elif harm == "missing file":
        (newest / "G.pt").unlink()
    elif harm == "no manifest":
        (newest / "manifest.json").unlink()
    else:
        (newest / "manifest.json").write_text("{")
    said: list[str] = []
    older = newest_checkpoint(tmp_path, said.append)
    assert older is not None
    assert older.name == "step-00000001"
    assert "step-00000002 is damaged" in said[0]
    with pytest.raises(CheckpointError, match="step-00000002"):
        load_checkpoint(newest)


def test_other_things_in_the_folder_are_no_checkpoints(tmp_path):
    (tmp_path / "step-latest").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    save_checkpoint(tmp_path, 3, STATE, limit=1)
    assert steps(tmp_path) == [3]
    assert (tmp_path / "notes.txt").exists()
    assert newest_checkpoint(tmp_path / "nowhere", print) is None


def test_a_checkpoint_runs_no_code(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/harmed",)

    path = save_checkpoint(tmp_path, 1, {"G": Hostile()})
    with pytest.raises(Exception, match=r"[Ww]eights"):
        load_checkpoint(path)
    assert not (tmp_path / "harmed").exists()


def test_a_kill_while_writing_leaves_only_whole_checkpoints(tmp_path):
    code = """
import itertools, sys, torch
from pathlib import Path
from pix2pix.checkpoints import save_checkpoint

for step in itertools.count(1):
    state = {"G": {"w": torch.full((200000,), float(step))}}
    save_checkpoint(Path(sys.argv[1]), step, state, limit=2)
    print(step, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    written = [int(process.stdout.readline()) for _ in range(3)]
    time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    newest = newest_checkpoint(tmp_path, pytest.fail)
    assert newest is not None
    step = int(newest.name[5:])
    assert step >= written[-1]
    assert torch.equal(load_checkpoint(newest)["G"]["w"], torch.full((200000,), float(step)))
    assert json.loads((newest / "manifest.json").read_text())["step"] == step


def content(value):
    return {"G": {"weight": torch.tensor([value])}, "D": {"weight": torch.tensor([value])}}


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_step_saved_again_is_there_whenever_the_saving_ends(tmp_path, monkeypatch, renames):
    path = save_checkpoint(tmp_path, 1, content(1.0))
    done: list[str] = []
    rename, remove = os.replace, shutil.rmtree

    def rename_until_killed(source, target):
        if len(done) == renames:
            raise KeyboardInterrupt
        rename(source, target)
        done.append(str(target))

    def remove_until_killed(folder, **options):
        if len(done) == renames == 2:
            raise KeyboardInterrupt
        remove(folder, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", rename_until_killed)
        patch.setattr(shutil, "rmtree", remove_until_killed)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, 1, content(2.0))
    remove_leftovers(tmp_path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert load_checkpoint(path)["G"]["weight"].item() == (2.0 if renames == 2 else 1.0)


def test_a_step_saved_again_has_the_new_content_alone(tmp_path):
    for value in (1.0, 2.0):
        path = save_checkpoint(tmp_path, 1, content(value))
    assert list(tmp_path.iterdir()) == [path]
    assert load_checkpoint(path)["G"]["weight"].item() == 2.0


def test_the_checkpoint_just_written_is_kept_though_later_ones_are_there(tmp_path):
    for step in (5, 6, 2):
        save_checkpoint(tmp_path, step, STATE, limit=2)
    assert steps(tmp_path) == [6, 2]
    save_checkpoint(tmp_path, 3, STATE, limit=1)
    assert steps(tmp_path) == [3]


def test_checkpoints_after_a_step_are_set_aside_and_never_lost(tmp_path):
    said: list[str] = []
    for value in (1.0, 2.0):
        for step in (1, 2, 3):
            save_checkpoint(tmp_path, step, content(value))
        set_aside_after(tmp_path, 1, said.append)
        remove_leftovers(tmp_path)
        assert steps(tmp_path) == [1]
    names = {path.name for path in tmp_path.glob(".abandoned-*")}
    assert {".abandoned-step-00000002", ".abandoned-step-00000003-2"} < names
    assert len(names) == len(said) == 4
    assert "step-00000002 is after step 1" in said[0]


@pytest.mark.parametrize("network", ["G", "D"])
def test_a_checkpoint_of_broken_weights_is_passed_over_where_finite_ones_are_wanted(tmp_path, network):
    broken = content(2.0) | {network: {"count": torch.tensor(3), "weight": torch.tensor([1.0, math.nan])}}
    assert not_finite(broken)
    assert not not_finite(content(1.0))
    good = save_checkpoint(tmp_path, 1, content(1.0))
    bad = save_checkpoint(tmp_path, 2, broken)
    said: list[str] = []
    assert newest_checkpoint(tmp_path, pytest.fail) == bad
    assert newest_checkpoint(tmp_path, said.append, finite=True) == good
    assert "step-00000002 holds weights that are not finite" in said[0]
