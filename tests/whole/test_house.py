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
