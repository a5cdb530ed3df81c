"""Commands that a person is told to type: as they work in this folder, with the Python that runs."""

from __future__ import annotations

import contextlib
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


def _file(path: Path) -> str:
    """A file as one word, by its shortest path from here."""
    with contextlib.suppress(FileNotFoundError, ValueError):  # the folder has been removed; the file lies elsewhere
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def _program(path: Path) -> str:
    """A program as a command's first word: by its name where the shell finds just that one, else by its path."""
    found = shutil.which(path.name)
    if found and Path(found).absolute() == path:
        return path.name
    word = _file(path)
    return word if "/" in word else f"./{word}"


def python() -> str:
    """This Python."""
    return _program(Path(sys.executable)) if sys.executable else "python"


def mlflow() -> str:
    """MLflow's command line, of this Python."""
    script = Path(sys.executable).with_name("mlflow")
    return _program(script) if script.is_file() else f"{python()} -m mlflow"


def module(name: str) -> str:
    """`python -m NAME`, of this Python."""
    return f"{python()} -m {name}"


def report() -> str:
    """The report's."""
    return f"{python()} {_file(Path(__file__).absolute().parents[2] / 'analysis' / 'report.py')}"
