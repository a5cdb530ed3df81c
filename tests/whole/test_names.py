"""What lies where a command is typed, or on PYTHONPATH, under a name of ours or of the standard library's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SHADOWS = "queue.py", "random.py", "argparse.py", "numpy.py", "pandas.py", "rich.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory full of other things: folders without __init__.py are packages, too, to Python."""
    for name in ("models", "study", "analysis", "tests"):
        (tmp_path / name).mkdir()
    for name in SHADOWS:
        (tmp_path / name).write_text(f"raise SystemExit('{name} of the working directory')\n")
    return tmp_path


@pytest.mark.parametrize("safe", ["", "1"])
@pytest.mark.parametrize("command", [["-m", "study.launch", "--space", "no.yaml"],
                                     [str(ROOT / "study/launch.py"), "--space", "no.yaml"],
                                     ["-m", "analysis.report", "--tracking-uri", "sqlite:///no.db"],
                                     [str(ROOT / "analysis/report.py"), "--tracking-uri", "sqlite:///no.db"]])
def test_ours_are_found_wherever_a_command_is_typed(folder: Path, command: list[str], safe: str) -> None:
    other = folder / "elsewhere"
    (other / "models").mkdir(parents=True)
    (other / "models/__init__.py").write_text("raise SystemExit('models of PYTHONPATH')\n")
    environment = {**os.environ, "PYTHONPATH": str(other), "PYTHONSAFEPATH": safe}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no.yaml: no such file" in done.stderr or "no tracking store" in done.stderr
