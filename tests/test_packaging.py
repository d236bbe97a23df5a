"""What is shipped: the wheel, the pins, the licence and the citation."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import pix2pix

ROOT = Path(__file__).parent.parent
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built offline from a copy, so that the checkout stays clean."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignore = shutil.ignore_patterns("__pycache__")
    for path in ROOT.iterdir():
        if path.name in ("pix2pix", "model_cards", "tests", "benchmarks"):
            shutil.copytree(path, source / path.name, ignore=ignore)
        elif path.suffix in (".py", ".toml", ".md") or path.name == "LICENSE":
            source.mkdir(exist_ok=True)
            shutil.copy(path, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def requirements(file: str) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-r ")]


def pins(file: str, python: str) -> dict[str, str]:
    """Package name -> the version that the file pins on a Python."""
    found: dict[str, str] = {}
    for requirement in requirements(file):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            name = normalized(requirement.name)
            assert name not in found, f"{file} pins {name} twice on Python {python}"
            (specifier,) = requirement.specifier
            found[name] = specifier.version
    return found


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"pix2pix-{pix2pix.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"pix2pix", info}
    assert {f"pix2pix/{path.name}" for path in (ROOT / "pix2pix").glob("*.py")} <= names
    assert {"pix2pix/py.typed", f"{info}/licenses/LICENSE"} <= names
    cards = {name for name in names if name.startswith("pix2pix/model_cards/")}
    assert cards == {"pix2pix/model_cards/template.md"}, "no shipped model travels in the package"


def test_an_unpacked_wheel_renders_a_card(wheel, tmp_path):
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "from pix2pix.card import template_path as path; print(path()); path().read_text()"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.strip() == str(tmp_path / "pix2pix" / "model_cards" / "template.md"), run.stderr


def test_the_wheel_says_what_it_is(metadata):
    assert metadata["Name"] == "pix2pix"
    assert metadata["Version"] == pix2pix.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert all(SpecifierSet(metadata["Requires-Python"]).contains(python) for python in PYTHONS)


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned(file):
    for requirement in requirements(file):
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], str(requirement)
        assert "*" not in str(requirement.specifier), str(requirement)


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_nothing_asks_for_torchvision(file):
    assert not {"torchvision", "torchaudio"} & {normalized(found.name) for found in requirements(file)}


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_gets_one_version_of_each(python):
    run, develop = pins("requirements.txt", python), pins("requirements-dev.txt", python)
    assert set(run) == {normalized(found.name) for found in requirements("requirements.txt")}
    assert set(develop) == {normalized(found.name) for found in requirements("requirements-dev.txt")}
    assert not set(run) & set(develop), "the second file reads the first"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_ranges_admit_the_pins(metadata, python):
    pinned = pins("requirements.txt", python)
    asked = [Requirement(line) for line in metadata.get_all("Requires-Dist")]
    environment = {"python_version": python, "extra": "train"}
    asked = [found for found in asked if found.marker is None or found.marker.evaluate(environment)]
    assert {"torch", "accelerate"} <= {found.name for found in asked}
    for found in asked:
        version = pinned[normalized(found.name)]
        assert found.specifier.contains(version), f"pyproject.toml asks for {found}, pinned is {version}"


def test_the_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert text.rstrip().endswith("limitations under the License.")


def test_the_citation_names_the_project_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == pix2pix.__version__
    assert citation["license"] == "Apache-2.0"
    (paper,) = citation["references"]
    assert paper["doi"] == "10.1109/CVPR.2017.632"
    assert [author["family-names"] for author in paper["authors"]] == ["Isola", "Zhu", "Zhou", "Efros"]
