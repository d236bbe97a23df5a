"""Signals that ask, and signals that end."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pix2pix.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish(number, capsys):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert (interruption.requested, interruption.status) == (None, 0)
        os.kill(os.getpid(), number)
        assert interruption.requested == number
    assert interruption.status == 128 + number
    assert signal.getsignal(number) is before
    assert "Ctrl-C ends at once" in capsys.readouterr().err


def test_the_second_signal_ends_the_process():
    code = """
import os, signal, time
from pix2pix.interruption import Interruption

with Interruption():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)  # a launcher's echo
    os.kill(os.getpid(), signal.SIGTERM)
    print("heard once", flush=True)
    time.sleep(1.1)
    os.kill(os.getpid(), signal.SIGTERM)
    print("not ended by SIGTERM", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("still here")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 130
    assert result.stdout.split("\n")[:2] == ["heard once", "not ended by SIGTERM"]
    assert "still here" not in result.stdout


def test_another_thread_trains_without_listening():
    found = []

    def listen():
        with Interruption() as interruption:
            found.append(interruption.requested)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == [None]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_a_run_ends_with_the_launcher_that_started_it(tmp_path):
    child = """
import sys, time
from pix2pix.interruption import Interruption, end_with_parent

end_with_parent()
with Interruption() as interruption:
    print("ready", flush=True)
    while not interruption.requested:
        time.sleep(0.01)
open(sys.argv[1], "w").close()
"""
    parent = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]])"
    saved = tmp_path / "saved"
    launcher = subprocess.Popen(
        [sys.executable, "-c", parent, child, str(saved)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == b"ready\n"
    launcher.kill()
    until = time.monotonic() + 20
    while not saved.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
