"""Signals that ask, and signals that end."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from pix2pix.interruption import Interruption


def python(code, *arguments):
    """Run code in a process of its own: a signal that is missed would end the tests' own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish(number):
    code = """
import signal, sys
from pix2pix.interruption import Interruption

number = int(sys.argv[1])
before = signal.getsignal(number)
with Interruption() as interruption:
    print(interruption.requested, interruption.status)
    signal.raise_signal(number)
    print(interruption.requested == number)
print(interruption.status, signal.getsignal(number) is before)
"""
    result = python(code, str(int(number)))
    assert result.stdout.splitlines() == ["None 0", "True", f"{128 + number} True"], result.stderr
    assert result.returncode == 0
    assert "Ctrl-C ends at once" in result.stderr


def test_the_second_signal_ends_the_process():
    code = """
import signal, time
from pix2pix.interruption import Interruption

with Interruption():
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)  # a launcher's echo
    signal.raise_signal(signal.SIGTERM)
    print("heard once", flush=True)
    time.sleep(1.1)
    signal.raise_signal(signal.SIGTERM)
    print("not ended by SIGTERM", flush=True)
    signal.raise_signal(signal.SIGINT)
    print("still here")
"""
    result = python(code)
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
