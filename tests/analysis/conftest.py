"""The toy study, written and read once a session; nobody writes to either."""

from __future__ import annotations

from pathlib import Path
from shutil import copy

import pytest

from analysis.panels.declared import Declared
from analysis.panels.limits import Limits
from analysis.read.load import read
from analysis.read.store import Store
from analysis.read.study import Study
from tests.analysis import synthetic_study as toy


@pytest.fixture(scope="session")
def toy_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tracking URI of a store that holds the toy."""
    return toy.shared(tmp_path_factory)


@pytest.fixture(scope="session")
def study(toy_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The toy as it is read from its store."""
    return read(Store(toy_uri), "toy", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def own_uri(toy_uri: str, tmp_path: Path) -> str:
    """A copy of the toy's store, for who writes into it."""
    return f"sqlite:///{copy(toy_uri.removeprefix('sqlite:///'), tmp_path / 'own.db')}"


@pytest.fixture
def few_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of three tables and a figure, where drawing is not the question: all of them take seconds."""
    monkeypatch.setattr("analysis.panels.built_in.PANELS", (Declared(), Limits()))
