"""The pages of the documentation: their commands, the files that they show, and a folder in which they are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.stores import template

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({*ROOT.glob("*.md"), ROOT / "models/EQUATIONS.md", *ROOT.glob("docs/**/*.md")} - {ROOT / "CHANGELOG.md"})
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"# (\S+\.(?:py|yaml))\n(.*)", re.DOTALL)


def name(page: Path) -> str:
    """As a person writes it."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of what stands between fences."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def commands(page: Path) -> list[str]:
    """The lines of its `sh` blocks, in order."""
    return [line for language, text in blocks(page) if language == "sh" for line in text.splitlines() if line]


def spans(page: Path) -> list[str]:
    """What stands between backticks in the text, on one line each."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def files(page: Path) -> dict[str, str]:
    """Name -> text of the files that it has one write: blocks that begin with `# name.py` or `# name.yaml`."""
    return {found[1]: found[2] for _, text in blocks(page) if (found := NAMED.fullmatch(text))}


def prepare(folder: Path, page: Path) -> None:
    """Its files, and an empty MLflow store."""
    for file, text in files(page).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    shutil.copy(template(), folder / "mlflow.db")


def run(folder: Path, command: str) -> str:
    """What it says in a shell with .venv activated. It has to end with 0, and to say nothing on stderr."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MLFLOW_TRACKING_URI", "PYTHONPATH")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True,
                          check=False, timeout=500)
    assert (done.returncode, done.stderr) == (0, ""), f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout
