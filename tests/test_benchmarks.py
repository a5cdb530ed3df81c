"""The scripts of benchmarks/ that are not run here at least find what they import."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_script_imports(name):
    assert callable(importlib.import_module(f"benchmarks.{name}").main)
