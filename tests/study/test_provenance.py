"""Provenance is found where there is some, and its absence never fails a study."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from study import provenance


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another place for the project."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    provenance.commit.cache_clear()
    yield tmp_path
    provenance.commit.cache_clear()


def git(root: Path, *arguments: str) -> str:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(root), *name, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_commit_and_changes_of_a_checkout(root: Path) -> None:
    (root / "model.py").write_text("a = 1\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    clean = provenance.provenance()
    assert clean.commit == git(root, "rev-parse", "HEAD").strip() and len(clean.commit) == 40
    assert (clean.dirty, clean.diff) == (False, "")
    (root / "model.py").write_text("a = 2\n")
    (root / "new.py").write_text("")
    changed = provenance.provenance()
    assert changed.dirty and "-a = 1\n+a = 2\n" in changed.diff and "# not in git: new.py\n" in changed.diff


def test_project_without_git_in_a_checkout_of_something_else(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(root, "init", "-q")
    git(root, "commit", "-qm", "another project", "--allow-empty")
    (root / "installed").mkdir()
    monkeypatch.setattr(provenance, "ROOT", root / "installed")
    assert provenance.provenance().commit == ""


def test_broken_checkout_and_missing_git(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / ".git").mkdir()
    assert provenance.commit() is None
    provenance.commit.cache_clear()
    monkeypatch.setenv("PATH", str(root))
    assert not any(getattr(provenance.provenance(), key) for key in ("commit", "dirty", "diff", "gpus"))


def test_a_checkout_of_another_owner(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group's installation: git has nothing to do with it unless told."""
    git(root, "init", "-q")
    git(root, "commit", "-qm", "first", "--allow-empty")
    head = git(root, "rev-parse", "HEAD").strip()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(subprocess.CalledProcessError):
        git(root, "rev-parse", "HEAD")
    assert provenance.commit() == head


def test_packages_read_like_pip_freeze() -> None:
    lines = provenance.packages().splitlines()
    assert f"numpy=={np.__version__}" in lines and lines == sorted(lines, key=lambda line: line.split("==")[0].lower())
    assert provenance.versions()["numpy"] == np.__version__


def test_a_launch_is_tagged_with_its_hardware_in_words() -> None:
    found = provenance.Provenance(dirty=True, host="n1", cpu="EPYC", gpus=["H100", "H100"], python="3.12.1")
    assert found.tags() == {"commit": "unknown", "dirty": "true", "host": "n1", "cpu": "EPYC", "gpus": "H100, H100",
                            "python": "3.12.1"}
    assert replace(found, gpus=[]).tags()["gpus"] == "none"
    assert provenance.provenance().tags().keys() == found.tags().keys()
