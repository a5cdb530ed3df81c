"""Imports go down the floors: study -> models; analysis -> study.schema; models needs only array libraries."""

from __future__ import annotations

import ast
import subprocess
import sys
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
FLOORS = ("read", "stats", "text", "panels", "page")  # of analysis, from the ground up; report.py stands on all


def _imported(file: Path) -> set[str]:
    """Names that a file imports anywhere in it, under `if TYPE_CHECKING` too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _wrong(file: Path, package: str) -> set[str]:
    allowed = f"{SHARED}." if package == "analysis" else "\0"
    return {name for name in _imported(file) if name.split(".")[0] in FORBIDDEN[package]
            and not f"{name}.".startswith(allowed)}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_file_imports_from_a_floor_above_or_a_house_apart(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    wrong = {str(f.relative_to(ROOT)): found for f in files if (found := _wrong(f, package))}
    assert not wrong


def _modules(package: str) -> dict[str, set[str]]:
    """Module -> the modules of the same package that it imports anywhere in it, lazily too."""
    files = {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f
             for f in sorted((ROOT / package).rglob("*.py"))}
    found: dict[str, set[str]] = {}
    for name, file in files.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                assert not node.level, f"{name}: a relative import"
                named |= {f"{node.module}.{alias.name}" for alias in node.names} & files.keys() or {node.module}
        found[name] = {other for other in named if other in files}
    return found


def test_the_rooms_of_analysis_import_downwards() -> None:
    wrong = [(module, other) for module, others in _modules("analysis").items() for other in others
             if _floor(other) > _floor(module)]
    assert not wrong


def _floor(module: str) -> int:
    """The floor of a room of analysis; what lies in none is the top."""
    room = module.split(".")[1] if "." in module else ""
    return FLOORS.index(room) if room in FLOORS else len(FLOORS)


@pytest.mark.parametrize("package", ["analysis"])
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    TopologicalSorter(_modules(package)).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("package", [study, models, analysis])
def test_the_packages_are_this_repositorys(package: object) -> None:
    """Their names are generic: another installed package of the same name must never be taken instead."""
    assert Path(package.__file__).parent.parent == ROOT  # type: ignore[attr-defined]


@pytest.mark.parametrize(("statement", "never"), [
    ("import study, study.spec, study.launch, models.methods.hparams, models.stability.law, models.data.datasets",
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
