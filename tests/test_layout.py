"""The house: which module may import which."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pix2pix"

# From the bottom up. A module imports from its own level (without a cycle) or from below.
LEVELS = [
    {"errors", "files", "interruption", "patience", "allocator"},
    {"config", "training_config", "tasks", "repository", "images", "cielab"},
    {"networks", "generators", "discriminators", "layers", "pretrained"}
    | {"capture", "instance_norm", "resize_convolution"}
    | {"normalization", "tiling", "losses", "drawing", "contact_sheet"}
    | {"metrics", "picture_statistics", "intervals", "sliced_wasserstein"}
    | {
        "toy",
        "toy_aerial",
        "toy_aerial_plan",
        "toy_facade",
        "toy_facade_plan",
        "toy_house",
        "toy_view",
        "toy_street",
        "toy_street_plan",
    }
    | {"pairs", "columns", "layouts", "data", "streaming"},
    {
        "training",
        "finetune",
        "checkpoints",
        "inference",
        "backends",
        "backend_torch",
        "backend_onnx",
        "backend_openvino",
        "graphs",
        "graph_making",
        "graph_trust",
        "augmentation",
        "pair_cache",
        "evaluation",
        "trackers",
        "results",
        "run_folder",
        "watchdog",
        "run_pairs",
        "machine",
    },
    {
        "card_facts",
        "card",
        "card_text",
        "discover",
        "hub",
        "hub_access",
        "release",
        "blending",
        "uploads",
        "usage",
        "visits",
        "space",
        "space_files",
    }
    | {"offers", "model_sources", "model_slot", "serving"}
    | {
        "interop",
        "interop_files",
        "interop_weights",
        "interop_pytorch",
        "interop_keras",
        "export",
        "quantization",
    }
    | {
        "doctor",
        "doctor_alignment",
        "doctor_duplicates",
        "doctor_evidence",
        "doctor_report",
        "doctor_sides",
        "pair_building",
        "pair_matching",
    }
    | {"video", "work_sharing", "provenance", "progress", "translation_jobs", "translation"}
    | {"perceptual", "model_pairs", "ranking_sheet"},
    {
        "cli",
        "cli_translate",
        "cli_evaluate",
        "cli_publish",
        "cli_release",
        "cli_import",
        "cli_export",
        "cli_doctor",
        "cli_pair",
        "__main__",
    }
    | {"page", "page_events", "page_api"},
    {"app", "train_accelerate"},
]
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}
SCRIPTS = [path for path in (ROOT / "app.py", ROOT / "train_accelerate.py") if path.exists()]
MODULES = {path.stem: path for path in [*sorted(PACKAGE.rglob("*.py")), *SCRIPTS] if path.stem != "__init__"}

# Libraries that only some modules may import, and where.
ONLY_IN = {
    "accelerate": {"train_accelerate"},
    "gradio": {"app", "page", "page_events", "page_api"},
    "datasets": {"columns"},
}
# Pairs that stay strangers, by any way round: the first must not reach the second.
STRANGERS = [
    ("networks", {"data", "pairs", "columns", "layouts", "training"}),
    ("inference", {"data", "pairs", "columns", "layouts", "training"}),
]


def imported_names(tree: ast.AST) -> set[str]:
    """Every dotted name the code imports, wherever it does: `from a import b` counts as a.b."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = "pix2pix" if node.level else ""
            start = ".".join(part for part in (package, node.module) if part)
            names |= {f"{start}.{alias.name}" for alias in node.names}
    return names


def imported_modules(path: Path) -> set[str]:
    """The project's own modules that a file imports; what the lazy package hands out counts as `__init__`."""
    modules: set[str] = set()
    for name in imported_names(ast.parse(path.read_text(encoding="utf-8"))):
        first, *rest = name.split(".")
        if first == "pix2pix" and rest != ["__version__"]:
            modules.add(rest[0] if rest and rest[0] in MODULES else "__init__")
        elif first in MODULES and MODULES[first] in SCRIPTS:
            modules.add(first)
    return modules


GRAPH = {name: imported_modules(path) for name, path in MODULES.items()}


def reached(name: str) -> set[str]:
    """All modules that importing `name` leads to."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = GRAPH.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def test_every_module_has_its_place():
    assert not [name for name in MODULES if name in {"utils", "util", "helpers", "misc"}], (
        "a file is named for its noun"
    )
    unknown = sorted(set(MODULES) - set(LEVEL_OF))
    assert not unknown, (
        f"add {', '.join(unknown)} to LEVELS in {Path(__file__).name}, at the level it belongs to"
    )
    assert all(path.parent in (PACKAGE, ROOT) for path in MODULES.values()), "the package has no sub-packages"


@pytest.mark.parametrize("name", sorted(set(MODULES) & set(LEVEL_OF)))
def test_imports_point_down(name):
    for other in GRAPH[name] & set(LEVEL_OF):
        assert LEVEL_OF[other] <= LEVEL_OF[name], f"{name} imports {other}, which stands above it"


@pytest.mark.parametrize("name", sorted(set(MODULES) - LEVELS[-1]))
def test_modules_import_each_other_and_not_the_package(name):
    assert "__init__" not in GRAPH[name], f"{name}: import from the module that defines it, not from pix2pix"


def test_imports_have_no_cycle():
    order = list(TopologicalSorter(GRAPH).static_order())  # a CycleError names the cycle
    assert set(order) >= set(MODULES)


@pytest.mark.parametrize(("name", "forbidden"), STRANGERS)
def test_strangers_stay_strangers(name, forbidden):
    assert not reached(name) & forbidden, f"{name} must not reach {forbidden}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_where_it_belongs(library):
    importing = {
        name
        for name, path in MODULES.items()
        if any(
            found.split(".")[0] == library
            for found in imported_names(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert importing <= ONLY_IN[library], f"only {ONLY_IN[library]} may import {library}"


def test_the_files_that_know_gradio_are_imported_by_the_app_alone():
    for name in ONLY_IN["gradio"]:
        importing = {other for other in MODULES if name in GRAPH[other]}
        assert importing <= ONLY_IN["gradio"], f"{name} is the page's: only app.py may lead to it"


def test_datasets_is_imported_inside_functions():
    for name in ONLY_IN["datasets"] & set(MODULES):
        tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
        tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom, ast.Try))]
        assert "datasets" not in {found.split(".")[0] for found in imported_names(tree)}, name


def modules_loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_importing_the_package_loads_nothing_slow():
    loaded = modules_loaded_by("import pix2pix; pix2pix.__version__; dir(pix2pix)")
    assert not loaded & {"torch", "numpy", "PIL", "huggingface_hub", "safetensors"}
    assert {name for name in loaded if name.startswith("pix2pix")} == {"pix2pix"}


def test_the_two_lowest_levels_need_no_torch():
    lowest = sorted((LEVELS[0] | LEVELS[1]) & set(MODULES))
    assert "torch" not in modules_loaded_by(f"import {', '.join(f'pix2pix.{name}' for name in lowest)}")


def test_every_public_name_is_there():
    import pix2pix

    assert set(pix2pix.__all__) <= set(dir(pix2pix))
    for name in pix2pix.__all__:
        assert getattr(pix2pix, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    import pix2pix

    with pytest.raises(AttributeError, match="no attribute 'Trnslator'"):
        pix2pix.Trnslator  # noqa: B018
