"""Imports go down the floors: study -> models; analysis reads MLflow alone; models needs only array libraries."""

from __future__ import annotations

import ast
import subprocess
import sys
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


def _imported(file: Path) -> set[str]:
    """Top-level names that a file imports anywhere in it, under `if TYPE_CHECKING` too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_file_imports_from_a_floor_above_or_a_house_apart(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    wrong = {str(f.relative_to(ROOT)): found for f in files if (found := _imported(f) & FORBIDDEN[package])}
    assert not wrong


FLOORS = (  # of models/, from the ground up; the last is models/__init__.py
    {"noise", "cpus", "langevin", "registry", "knobs"}, {"stability"}, {"data"}, {"networks"}, {"methods"},
    {"training"}, {"measures"}, {"testing"}, {"models"})


def _files_imported(file: Path) -> set[Path]:
    """Files of models/ that a file imports anywhere in it; of a folder its __init__.py."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
            [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            if isinstance(node, ast.ImportFrom) and node.module else [])
        for name in names:
            path = ROOT.joinpath(*name.split("."))
            found |= {one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()}
    return {one for one in found if one.is_relative_to(ROOT / "models") and one.read_text(encoding="utf-8").strip()}


def test_imports_within_models_go_down_its_floors_and_in_no_circle() -> None:
    """Lazy ones and those for type checkers included."""
    level = {name: k for k, names in enumerate(FLOORS) for name in names}
    files = {file: _files_imported(file) - {file} for file in (ROOT / "models").rglob("*.py")}
    floor = {file: level[file.relative_to(ROOT / "models").parts[0].removesuffix(".py").replace("__init__", "models")]
             for file in files}
    up = [(file.name, other.name) for file, others in files.items() for other in others if floor[other] > floor[file]]
    assert up == []
    while leaves := {file for file, others in files.items() if not others & files.keys()}:
        files = {file: others for file, others in files.items() if file not in leaves}
    assert [str(file.relative_to(ROOT)) for file in files] == []


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
    ("import analysis.report, analysis.load, analysis.page, analysis.sections", ("torch", "ray", "mlflow", "seaborn")),
])
def test_what_an_import_must_not_load(statement: str, never: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print(*[name for name in {never!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("", "")
