"""A lab's code is changed between two launches: what it made is trained again, and nothing else; the report follows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.read.load import read
from analysis.read.store import opened
from study.spec import imports as of_spec
from tests.study.test_launch import SPEC
from tests.study.test_launch_whole import Launch, done, launch

__all__ = ["launch"]  # the fixture

CODE = """\
from models.methods.kl import KL, kl_flow

def flow(method, nets, draw, x_data, noise):
    found = kl_flow(method, nets, draw, x_data, noise)
    return found._replace(loss=2 * found.loss)

class Twice(KL):
    def choose_flow(self):
        return flow
"""


@pytest.fixture
def lab(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Its one module, which tiny.yaml imports."""
    monkeypatch.setattr(of_spec.FINDER, "known", {})
    code = Path("twice.py")
    code.write_text(CODE)
    Path("tiny.yaml").write_text(SPEC.replace("method: [kl, jko]", "import: twice\nmethod: [kl, 'twice:Twice']"))
    yield code
    sys.modules.pop("twice", None)


def units() -> dict[str, set[str]]:
    """Arm -> config_hashes of its finished units."""
    found: dict[str, set[str]] = {"kl": set(), "Twice": set()}
    for path in done():
        of = json.loads((path.parent / "config.json").read_text())
        found[of["configuration"]["arm"]].add(of["config_hash"])
    return found


def test_what_a_changed_lab_made_is_trained_again_and_alone_counts(launch: Launch, lab: Path, tmp_path: Path) -> None:
    assert launch("--quiet")[0] == 0
    first = units()
    lab.write_text(CODE.replace("2 * found", "3 * found"))
    code, said, _ = launch("--quiet")
    then = units()
    assert code == 0 and any("is not the last launch's: the code of twice: " in line for line in said)
    assert then["kl"] == first["kl"] and then["Twice"] > first["Twice"] and len(then["Twice"]) == 4
    with opened(f"sqlite:///{tmp_path}/mlflow.db") as store:
        study = read(store, "tiny", tmp_path)
    shown = {str(arm): set(own["config_hash"]) for arm, own in study.finals.groupby("arm")}
    assert shown == {"kl": first["kl"], "Twice": then["Twice"] - first["Twice"]}
