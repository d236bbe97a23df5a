"""A run that cannot be lost: killed, interrupted, out of disk, out of data, and the same run afterwards."""

import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from forked_runs import ForkServer
from tiny_runs import TINY, same, tensors, write_pairs

from pix2pix.checkpoints import list_checkpoints, load_checkpoint

ROOT = Path(__file__).parent.parent
KILLS = int(os.environ.get("KILLS", "20"))
STEPS = 24


@pytest.fixture(scope="module")
def server():
    with ForkServer() as server:
        yield server


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def flags(folder, pairs, *more, steps=STEPS):
    return [
        *TINY, "--train_data_dir", pairs, "--output_dir", folder, "--max_train_steps", steps, "--use_ema",
        "--checkpointing_steps", 2, "--validation_steps", 8, "--train_batch_size", 4, *more,
    ]  # fmt: skip


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def newest(folder):
    return load_checkpoint(list_checkpoints(folder / "checkpoints")[0])


def equal(a, b):
    """Whether two nested states agree to the bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def writing(folder):
    """Checkpoints that are being written, or were when their process was killed."""
    return set(folder.glob("checkpoints/.writing-*"))


def require_same_end(whole, other):
    assert same(tensors(whole), tensors(other))
    assert metrics_of(whole) == metrics_of(other)
    a, b = newest(whole), newest(other)
    for state in (a, b):
        for flag in ("output_dir", "resume_from_checkpoint"):
            state["progress"]["config"].pop(flag)
    assert [name for name in a if not equal(a[name], b[name])] == []


@pytest.fixture(scope="module")
def whole(server, pairs, tmp_path_factory):
    """A run that nothing happens to."""
    folder = tmp_path_factory.mktemp("whole")
    run = server.start(flags(folder, pairs), folder / "log")
    assert run.wait() == 0, run.said()
    return folder


def test_a_run_killed_again_and_again_ends_like_one_that_was_not(server, pairs, whole, tmp_path):
    rng, survived, in_write = random.Random(1), 0, 0
    folder, log = tmp_path / "run", tmp_path / "log"
    arguments = flags(folder, pairs, "--resume_from_checkpoint", "latest")
    while survived < KILLS:
        stale = writing(folder)
        run = server.start(arguments, log)
        if survived % 2:  # in the middle of writing a checkpoint
            alive = run.wait_for(lambda before=stale: writing(folder) - before)
            time.sleep(rng.uniform(0, 0.005))
            in_write += bool(writing(folder) - stale)
        else:
            moment = time.monotonic() + rng.uniform(0.05, 1.5)
            alive = run.wait_for(lambda moment=moment: time.monotonic() > moment)
        if not alive:  # done before it could be killed: take some of it away
            assert run.wait() == 0, run.said()
            for path in list_checkpoints(folder / "checkpoints")[:1]:
                shutil.rmtree(path)
            continue
        os.kill(run.pid, signal.SIGKILL)
        status = run.wait()
        assert status in (-signal.SIGKILL, 0), run.said()  # 0: it was quicker than the signal
        survived += status != 0
    run = server.start(arguments, log)
    assert run.wait() == 0, run.said()
    require_same_end(whole, folder)
    assert in_write >= KILLS // 8
    assert not writing(folder)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_says_how_to_go_on(server, pairs, whole, tmp_path, number, status):
    folder = tmp_path / "run"
    run = server.start(flags(folder, pairs, "--checkpointing_steps", 1000), tmp_path / "log")
    assert run.wait_for((folder / "validation" / "step-00000008.png").exists)
    os.kill(run.pid, number)
    assert run.wait() == status
    said = run.said()
    assert "Traceback" not in said
    command = next(line for line in said.splitlines() if "--resume_from_checkpoint latest" in line)
    assert command.strip().startswith("accelerate launch train_accelerate.py")
    arguments = command.split("train_accelerate.py ")[1].split()
    again = server.start(arguments, tmp_path / "log2")
    assert again.wait() == 0, again.said()
    assert same(tensors(whole), tensors(folder))


def test_a_second_ctrl_c_ends_at_once(server, pairs, tmp_path):
    run = server.start(flags(tmp_path / "run", pairs, steps=100_000), tmp_path / "log")
    assert run.wait_for((tmp_path / "run" / "checkpoints" / "step-00000002").exists)
    os.kill(run.pid, signal.SIGSTOP)  # no step ends between the two
    os.kill(run.pid, signal.SIGINT)
    os.kill(run.pid, signal.SIGCONT)
    if run.wait_for(lambda: "Ctrl-C ends at once" in run.said()):
        time.sleep(1.1)
        if not run.ended():
            os.kill(run.pid, signal.SIGINT)
    assert run.wait() == 130


def test_ctrl_c_in_a_terminal_with_accelerate_launch_saves(pairs, tmp_path):
    """The launcher dies of it at once, the run must not."""
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no", "train_accelerate.py",
        *map(str, flags(tmp_path / "run", pairs, "--checkpointing_steps", 100_000, steps=100_000)),
        "--dataloader_num_workers", "1",
    ]  # fmt: skip
    log = tmp_path / "log"
    with log.open("wb") as file:
        launcher = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, cwd=ROOT)
    until = time.monotonic() + 100
    while not (tmp_path / "run" / "validation").exists():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)
    os.killpg(launcher.pid, signal.SIGINT)
    launcher.wait(60)
    while "Go on with" not in log.read_text(errors="replace"):
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)
    assert int(list_checkpoints(tmp_path / "run" / "checkpoints")[0].name[5:]) >= 8
    assert not writing(tmp_path / "run")


def test_a_signal_does_not_save_weights_that_are_not_finite(server, pairs, tmp_path):
    never = ("--log_steps", 100_000, "--validation_steps", 100_000, "--checkpointing_steps", 100_000)
    arguments = flags(tmp_path / "run", pairs, "--lambda_l2", 1e39, *never, steps=100_000)
    run = server.start(arguments, tmp_path / "log")
    assert run.wait_for((tmp_path / "run" / "checkpoints" / "step-00000000").exists)
    time.sleep(1)
    os.kill(run.pid, signal.SIGTERM)
    assert run.wait() == 143
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000000"]
    assert "not finite" in run.said()


def test_a_run_goes_on_from_an_older_checkpoint_that_is_named(server, pairs, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    older = list_checkpoints(tmp_path / "run" / "checkpoints")[1]
    arguments = flags(tmp_path / "run", pairs, "--resume_from_checkpoint", older)
    run = server.start(arguments, tmp_path / "log")
    assert run.wait() == 0, run.said()
    assert f"Resumed at step {STEPS - 2}" in run.said()
    require_same_end(whole, tmp_path / "run")


def test_a_damaged_newest_checkpoint_costs_only_its_own_steps(server, pairs, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    broken = list_checkpoints(tmp_path / "run" / "checkpoints")[0]
    (broken / "G.pt").write_bytes((broken / "G.pt").read_bytes()[:-100])
    arguments = flags(tmp_path / "run", pairs, "--resume_from_checkpoint", "latest")
    run = server.start(arguments, tmp_path / "log")
    assert run.wait() == 0, run.said()
    assert f"{broken.name} is damaged (G.pt has" in run.said()
    assert f"Resumed at step {STEPS - 2}" in run.said()
    require_same_end(whole, tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--seed", 7), "--seed was 0 and is now 7"),
        (("--width", 8), "--width was 4 and is now 8"),
        (("--lambda_l1", 10), "--lambda_l1 was 100.0 and is now 10"),
        (("--train_batch_size", 2), "a step saw 4 pairs and would now see 2"),
    ],
)
def test_a_resume_with_other_flags_is_refused_by_name(server, pairs, whole, tmp_path, change, message):
    shutil.copytree(whole, tmp_path / "run")
    arguments = flags(tmp_path / "run", pairs, "--resume_from_checkpoint", "latest", *change)
    run = server.start(arguments, tmp_path / "log")
    assert run.wait() == 2
    assert message in run.said()
    assert same(tensors(whole), tensors(tmp_path / "run"))


def test_a_resume_with_other_pairs_is_refused(server, pairs, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    shutil.copytree(pairs, tmp_path / "pairs")
    shutil.copy(pairs / "train" / "0.png", tmp_path / "pairs" / "train" / "9.png")
    arguments = flags(tmp_path / "run", tmp_path / "pairs", "--resume_from_checkpoint", "latest")
    run = server.start(arguments, tmp_path / "log")
    assert run.wait() == 2
    assert "the pairs are others than before" in run.said()


def test_moved_pairs_and_more_steps_are_the_same_run(server, pairs, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    shutil.copytree(pairs, tmp_path / "elsewhere")
    arguments = flags(
        tmp_path / "run", tmp_path / "elsewhere", "--resume_from_checkpoint", "latest", steps=STEPS + 2
    )
    run = server.start(arguments, tmp_path / "log")
    assert run.wait() == 0, run.said()
    assert f"Resumed at step {STEPS} of {STEPS + 2}" in run.said()


def test_latest_begins_a_run_where_there_is_none(server, pairs, tmp_path):
    arguments = flags(tmp_path / "run", pairs, "--resume_from_checkpoint", "latest", steps=2)
    assert server.start(arguments, tmp_path / "log").wait() == 0


def test_a_file_that_vanishes_while_training_costs_no_step(server, pairs, whole, tmp_path):
    shutil.copytree(pairs, tmp_path / "pairs")
    arguments = flags(tmp_path / "run", tmp_path / "pairs", "--checkpointing_steps", 1000)
    run = server.start(arguments, tmp_path / "log")
    assert run.wait_for((tmp_path / "run" / "checkpoints" / "step-00000000").exists)
    (tmp_path / "pairs" / "train" / "3.png").rename(tmp_path / "3.png")
    assert run.wait() == 2
    assert "3.png" in run.said()
    assert "Traceback" not in run.said()
    (tmp_path / "3.png").rename(tmp_path / "pairs" / "train" / "3.png")
    arguments = flags(tmp_path / "run", tmp_path / "pairs", "--resume_from_checkpoint", "latest")
    assert server.start(arguments, tmp_path / "log2").wait() == 0
    assert same(tensors(whole), tensors(tmp_path / "run"))


# ------------------------------------------------------------------------------------ disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting needs root: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_folder_that_is_too_small_is_said_before_training(server, pairs, small_disk, tmp_path):
    run = server.start(flags(small_disk / "run", pairs, "--width", 32), tmp_path / "log")
    assert run.wait() == 2
    assert "MB free; this run's checkpoints and model need" in run.said()


def test_a_read_only_folder_is_said_before_training(server, pairs, small_disk, tmp_path):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    run = server.start(flags(small_disk / "run", pairs), tmp_path / "log")
    assert run.wait() == 2
    assert "cannot be written to" in run.said()


def test_a_disk_that_fills_up_stops_nothing_but_the_clock(server, pairs, whole, small_disk, tmp_path):
    arguments = flags(small_disk / "run", pairs)
    run = server.start(arguments, tmp_path / "log")
    assert run.wait_for((small_disk / "run" / "checkpoints" / "step-00000002").exists)
    ballast = small_disk / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:  # take all there is
            file.write(b"\0" * 4096)
    assert run.wait_for(lambda: "waits for room" in run.said())
    ballast.unlink()
    assert run.wait() == 0, run.said()
    require_same_end(whole, small_disk / "run")


# ------------------------------------------------------------------------------------ not finite


@pytest.fixture
def arrays(tmp_path):
    """Pairs of .npy arrays: floats can be broken after the check, as a failing disk or a writer may do."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for side in "AB":
            (tmp_path / "arrays" / split / side).mkdir(parents=True)
            for index in range(3):
                array = rng.uniform(-1, 1, (32, 32, 1)).astype(np.float32)
                np.save(tmp_path / "arrays" / split / side / f"{index}.npy", array)
    return tmp_path / "arrays"


def raw_flags(folder, arrays, *more):
    raw = [f"--{side}_{what}" for side in ("input", "output") for what in ("color", "channels")]
    kinds = [word for pair in zip(raw, ("raw", 1, "raw", 1), strict=True) for word in pair]
    return [*flags(folder, arrays, *more, steps=12), *kinds, "--task", "custom"]


def test_losses_that_are_not_finite_go_back_once_and_then_stop(server, pairs, tmp_path):
    run = server.start(flags(tmp_path / "run", pairs, "--lambda_l2", 1e39), tmp_path / "log")  # no float32
    assert run.wait() == 2, run.said()
    said = run.said()
    assert said.count("Going back to step") == 1
    assert "again, at half the rate" in said
    assert "Traceback" not in said
    verdicts = [entry["verdict"] for entry in metrics_of(tmp_path / "run")["watchdog"]]
    assert verdicts == ["not finite", "not finite"]
    for path in list_checkpoints(tmp_path / "run" / "checkpoints"):
        assert all(math.isfinite(float(t.sum())) for t in load_checkpoint(path)["G"].values())


def test_a_broken_value_in_the_data_ends_with_its_file(server, arrays, tmp_path):
    run = server.start(raw_flags(tmp_path / "run", arrays), tmp_path / "log")
    assert run.wait_for((tmp_path / "run" / "checkpoints" / "step-00000000").exists)
    np.save(arrays / "train" / "B" / "1.npy", np.full((32, 32, 1), np.nan, np.float32))
    assert run.wait() == 2
    assert "nan" in run.said()
    assert load_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[0])
