"""The other rows of the matrix, and every knob at its ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.whole.promises import extremes
from tests.whole.promises.commands import Commands
from tests.whole.promises.launched import holds_from_spec_to_report
from tests.whole.promises.rows import matrix
from tests.whole.promises.studies import study_of

pytestmark = [pytest.mark.slow,
              pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]  # MLflow's own use of SQLAlchemy

ROWS = matrix()


@pytest.mark.parametrize("number", range(1, len(ROWS), 2))
def test_a_row_holds(home: Path, commands: Commands, number: int) -> None:
    row = ROWS[number]
    holds_from_spec_to_report(home, commands, study_of(row, number, home / "data"), row["reported"])


def test_every_knob_at_its_ends(home: Path, commands: Commands) -> None:
    holds_from_spec_to_report(home, commands, extremes.study(), report=False)  # of so many arms it takes a minute
