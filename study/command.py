"""Commands that a person is told to type: as they work in this folder, with the Python that runs."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def folder_problem() -> str | None:
    """Why nothing can be found or kept in the working folder, as one sentence, or None."""
    try:
        Path.cwd()
    except OSError as error:  # it was removed, or made anew: then the shell still stands in the old one
        return f"the folder that this was started in cannot be used ({error.strerror}); cd to one that is there"
    return None


def typed(path: Path) -> str:
    """A file as one word of a command: by its name where the shell finds just that one, else by its shortest path."""
    found = shutil.which(path.name)
    if found and Path(found).absolute() == path:
        return path.name
    is_below = folder_problem() is None and path.is_relative_to(Path.cwd())
    return shlex.quote(str(path.relative_to(Path.cwd()) if is_below else path))


def python() -> str:
    """This Python."""
    return typed(Path(sys.executable)) if sys.executable else "python"


def mlflow() -> str:
    """MLflow's command line, of this Python."""
    script = Path(sys.executable).with_name("mlflow")
    return typed(script) if script.is_file() else f"{python()} -m mlflow"


def report() -> str:
    """The report's."""
    return f"{python()} {typed(Path(__file__).absolute().parents[1] / 'analysis' / 'report.py')}"
