"""Several processes over one folder: every file once, whatever happens to one of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pix2pix.config import ModelConfig
from pix2pix.errors import UserError
from pix2pix.networks import Generator
from pix2pix.work_sharing import FOLDER, Place, WorkSharing

pytest.importorskip("fcntl")
ROOT = Path(__file__).parent.parent
LAUNCHER = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}
# Another process that takes its part: it claims the files named, says so, and does as it is told.
HELPER = """
import sys, time
from pathlib import Path
from pix2pix.work_sharing import Place, WorkSharing
folder, rank, world, *names = sys.argv[1:]
with WorkSharing(Path(folder), Place(int(rank), int(world), int(rank), int(world))) as sharing:
    for name in names:
        print(name, sharing.claim(Path(folder) / name), flush=True)
    if sys.stdin.readline() == "fail\\n":
        sharing.note(Path(folder) / names[0], {"failed": "of old age"})
    sharing.made += names
"""


class Other:
    """A helper process; `end` lets it leave well, `kill` does not."""

    def __init__(self, folder, rank, *names, world=2):
        command = [sys.executable, "-c", HELPER, str(folder), str(rank), str(world), *names]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.said = [self.process.stdout.readline().split() for _ in names]

    def end(self, word="leave"):
        self.process.communicate(word + "\n", timeout=20)
        assert self.process.returncode == 0

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def first(tmp_path):
    with WorkSharing(tmp_path, Place(0, 2, 0, 2)) as sharing:
        yield sharing


def test_a_file_is_claimed_by_one_process_until_it_lets_go(first, tmp_path):
    other = Other(tmp_path, 1, "a.png", "b.png")
    assert other.said == [["a.png", "True"], ["b.png", "True"]]
    assert not first.claim(tmp_path / "a.png")
    assert first.claim(tmp_path / "c.png")
    third = Other(tmp_path, 1, "c.png", world=3)
    assert third.said == [["c.png", "False"]]
    third.end()
    other.end()
    assert first.claim(tmp_path / "a.png")


def test_what_a_killed_process_had_in_hand_is_open_again(first, tmp_path):
    other = Other(tmp_path, 1, "a.png")
    assert not first.claim(tmp_path / "a.png")
    other.kill()
    first.wait_for(tmp_path / "a.png")
    assert not first.is_alive(1)


def test_the_first_process_waits_for_the_others_and_learns_what_they_did(first, tmp_path):
    other = Other(tmp_path, 1, "a.png")
    assert first.is_alive(1)
    other.end("fail")
    assert first.noted(tmp_path / "a.png") == {"failed": "of old age"}
    assert first.noted(tmp_path / "b.png") is None
    assert first.wait_for_others() == ["a.png"]


def test_the_last_to_leave_removes_every_trace(tmp_path):
    with WorkSharing(tmp_path / "out", Place()):
        assert (tmp_path / "out" / FOLDER / "lock").is_file()
    assert not (tmp_path / "out").exists()


def test_notes_and_half_files_of_a_killed_run_mean_nothing_to_the_next(tmp_path):
    Other(tmp_path, 0, "a.png").kill()
    (tmp_path / FOLDER / "file-1.json").write_text("{}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".b-0123456789ab.png").write_bytes(b"half")
    (tmp_path / ".mine.png").write_bytes(b"somebody's")
    with WorkSharing(tmp_path, Place()):
        assert {path.name for path in (tmp_path / FOLDER).iterdir()} == {"lock", "came-0.json"}
    assert {path.name for path in tmp_path.rglob("*")} == {"sub", ".mine.png"}


def test_everybody_begins_with_a_share_of_his_own_and_then_helps(tmp_path):
    orders = [WorkSharing(tmp_path, Place(rank, 3)).order(range(8)) for rank in range(3)]
    assert [order[:3] for order in orders] == [[0, 3, 6], [1, 4, 7], [2, 5, 0]]
    assert all(sorted(order) == list(range(8)) for order in orders)


def test_without_locks_the_shares_are_apart_and_whole(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.lockf", refused)
    shares = []
    for rank in range(3):
        with WorkSharing(tmp_path, Place(rank, 3)) as sharing:
            assert sharing.claim(tmp_path / "a.png")
            shares.append(sharing.order(range(8)))
    assert sorted(number for share in shares for number in share) == list(range(8))


def test_the_place_is_read_from_a_launchers_environment():
    assert Place.from_environment({}) == Place(0, 1, 0, 1)
    named = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert Place.from_environment(named) == Place(5, 8, 1, 4)
    for wrong in ({"RANK": "2", "WORLD_SIZE": "2"}, {"WORLD_SIZE": "two"}):
        with pytest.raises(UserError, match="a launcher sets RANK"):
            Place.from_environment(wrong)


def test_every_process_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr("os.path.exists", lambda path: path == "/dev/nvidiactl")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [Place(rank, 3, rank, 3).device("auto") for rank in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert Place(1, 2, 1, 2).device("cpu") == "cpu"
    assert Place().device("auto") == "auto"


# ---- the command, under torchrun --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    Generator.from_config(ModelConfig(width=8, depth=4)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """24 pictures that take a few hundredths of a second each, and a broken one."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "sub").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    for number in range(24):
        name = f"sub/{number:02d}.png" if number % 3 == 0 else f"{number:02d}.png"
        Image.fromarray(np.roll(noise, number)).save(folder / name, compress_level=1)
    (folder / "07.broken.png").write_bytes(b"broken")
    return folder


def command(model, photos, output, *flags) -> list[str]:
    words = ["translate", "--model", model, photos, "--output", output, "--device", "cpu", *flags]
    return ["-m", "pix2pix", *map(str, words)]


def start(arguments, **environment) -> subprocess.Popen:
    kept = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=kept | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def two_together(arguments) -> list[tuple[int, str, str]]:
    """Run two processes with the environment that torchrun gives; (status, output, errors) of each."""
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    runs = [start(arguments, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in range(2)]
    said = [run.communicate(timeout=60) for run in runs]
    return [(run.returncode, *texts) for run, texts in zip(runs, said, strict=True)]


def worker(launcher: int, rank: int) -> int:
    """The process of that rank, started by a launcher."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == launcher and f"RANK={rank}\0" in "\0" + (folder / "environ").read_text():
                return int(folder.name)
        except (OSError, ValueError):
            continue
    raise AssertionError("no such worker")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for its processes in /proc")
def test_a_worker_killed_midway_costs_no_file_and_none_is_made_twice(model, photos, tmp_path):
    out = tmp_path / "out"
    torchrun = ["-m", "torch.distributed.run", "--nproc_per_node", "2"]
    run = start([*torchrun, *command(model, photos, out)])
    until = time.monotonic() + 60
    while len(list(out.glob("*.png"))) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(worker(run.pid, 1), signal.SIGKILL)
    made, said = run.communicate(timeout=60)
    assert run.returncode != 0
    assert "of 25 files are not done" in said
    assert "torchrun --nproc_per_node 2 -m pix2pix translate --model" in said

    first, second = two_together(command(model, photos, out))
    assert (first[0], second[0]) == (1, 0), "the first process speaks for all, and one file is broken"
    assert "1 of 25 files could not be translated" in first[2]
    assert "were done before" in first[1]
    assert second[2] == ""

    lines = [line for line in (made + first[1] + second[1]).splitlines() if " -> " in line]
    assert not [line for line, count in Counter(lines).items() if count > 1]
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {path.relative_to(photos).as_posix() for path in photos.rglob("[0-9][0-9].png")}
    assert len(lines) in (23, 24), "one may have been written and not yet told when its maker was killed"


def test_two_processes_make_each_file_once_even_when_all_is_made_anew(model, photos, tmp_path):
    few, out = tmp_path / "few", tmp_path / "out"
    few.mkdir()
    for number in (1, 2, 4, 5):
        os.link(photos / f"{number:02d}.png", few / f"{number}.png")
    for file in few.iterdir():
        (out / file.name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(out / file.name)
    first, second = two_together([*command(model, few, out, "--overwrite", "--json")])
    assert (first[0], second[0], second[1]) == (0, 0, "")
    assert [file["state"] for file in json.loads(first[1])["files"]] == ["translated"] * 4
    assert {path.name for path in out.iterdir()} == {path.name for path in few.iterdir()}
    assert {Image.open(file).size for file in out.iterdir()} == {(400, 400)}
