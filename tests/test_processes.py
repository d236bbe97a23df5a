"""Several processes: the same run as one process with the whole batch, and nothing twice or lost."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from forked_runs import ForkServer
from tiny_runs import TINY, same, tensors, write_pairs

from pix2pix.checkpoints import list_checkpoints, load_checkpoint

ROOT = Path(__file__).parent.parent
# Without dropout, which every process draws for itself, and without crops the sums must be the same.
EXACT = ["--dropout", 0, "--learning_rate", 1e-3, "--augment", "none", "--max_train_steps", 6]


@pytest.fixture(scope="module")
def server():
    with ForkServer() as server:
        yield server


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def flags(folder, pairs, *more):
    return [*TINY, "--train_data_dir", pairs, "--output_dir", folder, *EXACT, *more]


def start_two(server, folder, arguments):
    """Start two processes of one run, as torchrun would; return them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    return [
        server.start(
            arguments,
            folder / f"log{rank}",
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            LOCAL_WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            ACCELERATE_USE_CPU="true",
        )
        for rank in range(2)
    ]


def train(server, folder, arguments, two=False):
    runs = start_two(server, folder, arguments) if two else [server.start(arguments, folder / "log")]
    for run in runs:
        assert run.wait() == 0, run.said()


def losses(folder):
    """What every step's checkpoint recorded of the losses is in the log; here: the final state."""
    return load_checkpoint(list_checkpoints(folder / "checkpoints")[0])


def close(a, b):
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.fixture(scope="module")
def single(server, pairs, tmp_path_factory):
    """One process with batches of four."""
    folder = tmp_path_factory.mktemp("single")
    train(server, folder, flags(folder / "run", pairs, "--train_batch_size", 4))
    return folder / "run"


def test_two_processes_train_the_weights_of_one_with_twice_the_batch(server, pairs, single, tmp_path):
    train(server, tmp_path, flags(tmp_path / "run", pairs, "--train_batch_size", 2), two=True)
    state, alone = losses(tmp_path / "run"), losses(single)
    assert state["progress"]["pairs_per_step"] == 4  # two really ran
    assert len(state["random"]) == 2
    for network in ("G", "D"):
        assert close(state[network], alone[network]) < 1e-4, network
    a, b = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "run", single))
    assert a["best"]["l1"] == pytest.approx(b["best"]["l1"], abs=1e-3)


def test_eight_accumulated_batches_of_one_equal_four_times_two(server, pairs, tmp_path):
    for name, batch, accumulated in (("ones", 1, 8), ("twos", 2, 4)):
        more = ("--train_batch_size", batch, "--gradient_accumulation_steps", accumulated)
        (tmp_path / name).mkdir()
        train(server, tmp_path / name, flags(tmp_path / name / "run", pairs, *more))
    ones, twos = losses(tmp_path / "ones" / "run"), losses(tmp_path / "twos" / "run")
    for network in ("G", "D"):
        assert close(ones[network], twos[network]) < 1e-4, network


def test_two_processes_with_accumulation_and_an_average_end_equal(server, pairs, single, tmp_path):
    # 6 pairs in steps of 2 processes x 1 pair x 2 batches: epochs end within a step.
    more = ("--gradient_accumulation_steps", 2, "--use_ema")
    train(server, tmp_path, flags(tmp_path / "run", pairs, *more), two=True)
    state, alone = losses(tmp_path / "run"), losses(single)
    assert state["progress"]["pairs_per_step"] == 4
    for network in ("G", "D"):
        assert close(state[network], alone[network]) < 1e-4, network


def test_a_run_of_two_processes_resumes_to_the_bit(server, pairs, tmp_path):
    more = ("--dropout", 0.5, "--augment", "standard", "--checkpointing_steps", 3)
    train(server, tmp_path / "whole", flags(tmp_path / "whole" / "run", pairs, *more), two=True)
    folder = tmp_path / "parts"
    train(server, folder, flags(folder / "run", pairs, *more), two=True)
    last = list_checkpoints(folder / "run" / "checkpoints")[0]
    (last / "G.pt").write_bytes(b"damaged")
    resumed = flags(folder / "run", pairs, *more, "--resume_from_checkpoint", "latest")
    train(server, folder, resumed, two=True)
    assert same(tensors(tmp_path / "whole" / "run"), tensors(folder / "run"))
    a, b = losses(tmp_path / "whole" / "run"), losses(folder / "run")
    assert all(torch.equal(a["D"][name], b["D"][name]) for name in a["D"])


def test_a_signal_to_one_process_ends_both_with_a_checkpoint(server, pairs, tmp_path):
    endless = flags(tmp_path / "run", pairs, "--max_train_steps", 100_000, "--checkpointing_steps", 5)
    runs = start_two(server, tmp_path, endless)
    assert runs[0].wait_for((tmp_path / "run" / "checkpoints" / "step-00000005").exists)
    os.kill(runs[1].pid, 15)
    statuses = [run.wait() for run in runs]
    assert statuses == [143, 143], runs[0].said()
    assert "Go on with" in runs[0].said()
    assert int(list_checkpoints(tmp_path / "run" / "checkpoints")[0].name[5:]) > 0


def test_torchrun_starts_two_that_know_of_each_other(pairs, tmp_path):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0",
        "--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0", str(ROOT / "train_accelerate.py"),
        *map(str, flags(tmp_path / "run", pairs, "--max_train_steps", 2)),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert losses(tmp_path / "run")["progress"]["pairs_per_step"] == 2
    assert result.stderr.count("Done.") == 1  # one process speaks
