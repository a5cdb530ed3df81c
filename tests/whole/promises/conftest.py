"""What the launches of a file of tests share: a storage, an MLflow store and a process's Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest

from tests.stores import template
from tests.whole.promises.commands import Commands
from tests.whole.promises.studies import data_in


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One storage and one MLflow store for all studies of this process, and the data that they train on."""
    folder = tmp_path_factory.mktemp("promises")
    (folder / "data").mkdir()
    data_in(folder / "data")
    copy(template(), folder / "mlflow.db")
    return folder


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    one = Commands()
    yield one
    one.close()
