"""One study: launched on real Ray, shown by MLflow, asked for its status, launched again, reported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from study.spec.yaml_text import as_yaml
from tests.faults.holdings import faults, holdings
from tests.whole.promises import holds
from tests.whole.promises.commands import Commands
from tests.whole.promises.studies import spec_of

SURELY = 24  # replicates, of which some have a score_scale that makes them diverge


def holds_from_spec_to_report(home: Path, commands: Commands, tree: dict[str, Any], report: bool = True) -> None:
    name = tree["study"]
    (home / f"{name}.yaml").write_text(as_yaml(tree))
    command = ["launch", "--space", f"{name}.yaml", "--max-concurrent", "1", "--quiet"]
    after = [["sample", "--study", name, "-n", "8"]] if tree.get("keep") in ("final", "best") else []
    after += [["report", "--study", name]] if report else []
    said = commands.run(home, command, [*command[:3], "--status"], command, *after)
    assert [one.code for one in said] == [0] * (3 + len(after)), said[-1:]
    assert [one.err for one in said] == [""] * len(said)
    assert "\nunits of work: 0 left" in said[1].out and "finished, 0 left" in said[2].out

    folder = home / "runs" / name
    plan, last = json.loads((folder / "plan.json").read_text()), holds.finals(folder)
    held = holdings(folder, f"sqlite:///{home}/mlflow.db", name, curves=False)
    assert faults(held) == []
    if report:
        first = min(os.stat(path).st_mtime_ns for path in home.glob(f"reports/{name}/tables/*"))
        assert max(path.stat().st_mtime_ns for path in folder.glob("*/*/done.json")) < first
    holds.units_are_as_planned(spec_of(tree, home / "data"), plan, held)
    diverged = holds.told_values_follow(plan, held, last)
    if "search" in tree:
        assert diverged or len(last) < SURELY or name == "smoke", "no diverged replicate was told to a search"
        holds.optuna_opens(folder, held, plan)
    holds.mlflow_shows(held, last)
    holds.kept(folder, tree.get("keep", "final"))
    if report:
        holds.report_agrees(home / "reports" / name, last, plan, held)
