"""Imports go down the floors: study -> models; analysis -> study.schema; models needs only array libraries."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import analysis
import models
import study

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "models": {"study", "analysis", "ray", "optuna", "mlflow", "pandas"},
    "study": {"analysis", "seaborn", "matplotlib"},
    "analysis": {"study", "models", "torch", "ray", "optuna"},
}
SHARED = "study.schema"  # of study the one package that analysis imports
FLOORS = {  # the rooms of each package from the ground up; what lies in none stands on all
    "models": ("noise cpus langevin registry knobs", "stability", "data", "networks", "methods", "training", "measures",
               "testing"),
    "study": ("schema interrupt provenance", "spec", "plan", "store", "cluster", "run", "show", "arguments resume"),
    "analysis": ("read", "stats", "text", "panels", "page"),
}


def _imported(file: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of what a file imports anywhere in it: lazily, and under `if TYPE_CHECKING`, too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{file}: a relative import"
            yield from ((node.module, alias.name) for alias in node.names)


def _modules(package: str) -> dict[str, set[str]]:
    """Module -> the modules of the same package that it imports."""
    files = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
             for file in sorted((ROOT / package).rglob("*.py"))}
    return {name: {whole if (whole := f"{module}.{one}") in files else module for module, one in _imported(file)
                   } & files.keys() - {name} for name, file in files.items()}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_file_imports_from_a_floor_above_or_a_house_apart(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    wrong = {(str(file.relative_to(ROOT)), module) for file in files for module, name in _imported(file)
             if module.split(".")[0] in FORBIDDEN[package]
             and not (package == "analysis" and f"{module}.{name}".startswith(SHARED))}
    assert wrong == set()


@pytest.mark.parametrize("package", FLOORS)
def test_the_rooms_of_a_package_import_downwards(package: str) -> None:
    level = {room: k for k, rooms in enumerate(FLOORS[package]) for room in rooms.split()}

    def floor(module: str) -> int:
        return level.get(module.partition(".")[2].split(".")[0], len(level))

    modules = _modules(package)
    assert {floor(module) for module in modules} == {*level.values(), len(level)}, "a room that is not there"
    assert {(one, other) for one, others in modules.items() for other in others if floor(other) > floor(one)} == set()


@pytest.mark.parametrize("package", FLOORS)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    TopologicalSorter(_modules(package)).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("package", [study, models, analysis])
def test_the_packages_are_this_repositorys(package: object) -> None:
    """Their names are generic: another installed package of the same name must never be taken instead."""
    assert Path(package.__file__).parent.parent == ROOT  # type: ignore[attr-defined]


@pytest.mark.parametrize(("statement", "never"), [
    ("import study, study.spec, study.launch, models.stability.law, models.data.datasets",
     ("ray", "torch", "numpy", "optuna", "mlflow", "pandas", "pyarrow")),
    ("import models.training.step, models.measures.evaluation, models.training.checkpoint, models.measures.features",
     ("ray", "optuna", "mlflow", "sklearn", "skimage", "scipy", "pandas")),
    ("import study.run.unit_run, study.store.units", ("ray", "mlflow", "optuna", "torch")),
    ("import analysis.report, analysis.read.load, analysis.page.page, analysis.panels.built_in",
     ("torch", "ray", "mlflow", "seaborn")),
    ("import analysis", ("pandas", "numpy")),
])
def test_what_an_import_must_not_load(statement: str, never: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print(*[name for name in {never!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("", "")
