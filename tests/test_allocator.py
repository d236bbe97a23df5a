"""The allocator's setting: what it saves, that it is checked, and that only scripts make it."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from trained_folder import trained_folder

from pix2pix import allocator, cli, cli_translate, toy

ROOT = Path(__file__).parent.parent
FAULTS = """
import resource, sys
from pix2pix.allocator import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
def draw():
    for _ in range(5):
        b"x" * (40 << 20)  # as an activation; beyond what glibc learns to keep by itself
draw()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
draw()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="not glibc")


def faults(word: str) -> int:
    run = subprocess.run(
        [sys.executable, "-c", FAULTS, word], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(run.stdout)


@glibc
def test_memory_is_kept_from_one_picture_to_the_next():
    kept, mapped = faults("keep"), faults("default")
    assert kept < 1000
    if mapped < 1000:
        pytest.skip("this kernel hands out huge pages: nothing to save here")
    assert kept < mapped / 5


@glibc
def test_a_refusal_of_the_allocator_is_told(monkeypatch):
    class Refusing:
        def __init__(self, name):
            def mallopt(_setting, _value):
                return 0

            self.mallopt, self.gnu_get_libc_version = mallopt, None

    monkeypatch.setattr(ctypes, "CDLL", Refusing)
    assert allocator.keep_memory() is False


def test_another_library_than_glibc_is_left_alone(monkeypatch):
    class Other:
        def __init__(self, name):
            self.mallopt = None  # musl has one, which does nothing

    monkeypatch.setattr(ctypes, "CDLL", Other)
    assert allocator.keep_memory() is False


@pytest.mark.parametrize(("backend", "times"), [("torch", 1), ("onnx", 0), ("openvino", 0)])
def test_what_loading_a_graph_took_is_given_back(tmp_path, monkeypatch, backend, times):
    model, called = trained_folder(tmp_path / "model"), []
    monkeypatch.setattr(cli_translate, "keep_memory", lambda: called.append(1))
    toy.draw_pair("map", 0, 32)[0].save(tmp_path / "photo.png")
    words = ["translate", "--model", model, tmp_path / "photo.png", "--output", tmp_path / "out"]
    assert cli.main([*map(str, words), "--device", "cpu", "--backend", backend]) == 0
    assert len(called) == times


def test_only_scripts_set_the_process_up():
    """Importing the library must not change the process of whoever imports it."""
    scripts = {"cli_translate.py", "cli_evaluate.py", "cli_release.py", "app.py", "train_accelerate.py"}
    files = [*(ROOT / "pix2pix").glob("*.py"), *ROOT.glob("*.py")]
    calling = {path.name for path in files if "keep_memory()" in path.read_text(encoding="utf-8")}
    assert calling - {"allocator.py"} == scripts
