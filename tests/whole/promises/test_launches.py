"""Every second row of the matrix, and smoke.yaml: launched on real Ray, shown by MLflow, reported. Another process runs
the other rows, which are in a file of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.whole.promises.commands import Commands
from tests.whole.promises.launched import holds_from_spec_to_report
from tests.whole.promises.rows import matrix
from tests.whole.promises.studies import study_of

pytestmark = [pytest.mark.slow,
              pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]  # MLflow's own use of SQLAlchemy

ROOT = Path(__file__).resolve().parents[3]
ROWS = matrix()


@pytest.mark.parametrize("number", range(0, len(ROWS), 2))
def test_a_row_holds(home: Path, commands: Commands, number: int) -> None:
    row = ROWS[number]
    holds_from_spec_to_report(home, commands, study_of(row, number, home / "data"), row["reported"])


def test_smoke_as_it_is(home: Path, commands: Commands) -> None:
    holds_from_spec_to_report(home, commands, YAML(typ="safe").load(ROOT / "search_spaces/smoke.yaml"))
