"""A Hub of our own for every test: nothing here can reach the real one, a user's token or a user's cache."""

from __future__ import annotations

import os
import tempfile

import pytest
from loopback_hub import LoopbackHub

# huggingface_hub reads the environment when it is imported, so this happens before any test module is.
_HUB = LoopbackHub()
_HOME = tempfile.TemporaryDirectory(prefix="pix2pix-tests-")
os.environ |= _HUB.environment(_HOME.name)
for _name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def _running_hub():
    with _HUB as hub:
        yield hub


@pytest.fixture
def loopback(_running_hub):
    """The loopback Hub, empty."""
    _running_hub.reset()
    return _running_hub


@pytest.fixture
def ann(loopback, monkeypatch):
    """Ann's token, who is logged in and may write under ann/."""
    token = loopback.add_user("ann")
    monkeypatch.setenv("HF_TOKEN", token)
    return token


@pytest.fixture
def waits(monkeypatch):
    """Waiting takes no time; the list holds the seconds that were waited."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited
