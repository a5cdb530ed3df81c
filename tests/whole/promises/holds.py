"""What must be so of any finished study, computed anew from the files of its units."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

from study.spec import StudySpec
from tests.faults.holdings import Holdings

STATES = {"told": "COMPLETE", "pruned": "PRUNED", "repeated": "FAIL"}


def finals(folder: Path) -> pd.DataFrame:
    """The last record of every replicate, with `phase`, `arm`, `config_hash` of its unit; and whether it was pruned."""
    found = []
    for path in sorted(folder.glob("*/*/records.parquet")):
        of = json.loads((path.parent / "config.json").read_text())["configuration"]
        frame = pd.read_parquet(path)
        found.append(frame[frame["stage"] == "final"].assign(
            phase=of["phase"], arm=of["arm"], config_hash=path.parent.parent.name))
    return pd.concat(found, ignore_index=True)


def units_are_as_planned(spec: StudySpec, plan: Mapping[str, Any], held: Holdings) -> None:
    """Each phase has as many as the plan said; a search fewer where its sampler repeated itself."""
    for phase, planned in plan["planned"].items():
        units = [unit for unit, (of, _) in held.phases.items() if of == phase]
        asked = sum(entry["state"] != "repeated" for journal in held.journals.values() for entry in journal)
        assert len(units) == (asked if phase == "search" else planned["configurations"]), phase
        assert {held.units[unit] for unit in units} <= {"finished", "diverged", "pruned"}
    assert set(held.journals) == (set(spec.arms) if spec.search else set())


def told_signs(plan: Mapping[str, Any]) -> dict[str, int]:
    """Objective -> -1 where it is better larger: a search minimises, and is told it negated."""
    search = plan["search"] or {"objectives": [], "directions": []}
    return {name: {"minimize": 1, "maximize": -1}[direction]
            for name, direction in zip(search["objectives"], search["directions"], strict=True)}


def kept(folder: Path, keep: str) -> None:
    """Of every unit that was trained to its end its networks; of `best` some of them."""
    done = [path.parent for path in folder.glob("*/*/done.json") if (path.parent / "records.parquet").exists()]
    there = [path for path in done if (path / "state.safetensors").exists()]
    assert there == done if keep == "final" else not there if keep == "none" else 0 < len(there) <= len(done)


def told_values_follow(plan: Mapping[str, Any], held: Holdings, last: pd.DataFrame) -> int:
    """Every told trial has the mean of its replicates, diverged ones as stated; how many diverged ones took part."""
    seen = 0
    signs = told_signs(plan)
    for arm, journal in held.journals.items():
        stated = plan["search"]["diverged_value"][arm]
        for entry in journal:
            if entry["state"] != "told":
                assert entry["values"] is None or entry["values"] == []
                continue
            own = last[(last["config_hash"] == entry["unit"].partition("/")[0]) & (last["phase"] == "search")]
            gone = own["diverged_at"].notna()
            seen += int(gone.sum())
            for (name, sign), value, told in zip(signs.items(), stated, entry["values"], strict=True):
                column = own[name] if name in own else pd.Series(math.nan, own.index)
                if value is not None:
                    column = column.where(~gone).fillna(value)
                assert math.isfinite(told) and told == pytest.approx(sign * column.mean(), rel=1e-12), (arm, name)
    return seen


def optuna_opens(folder: Path, held: Holdings, plan: Mapping[str, Any]) -> None:
    """optuna.db holds what the journals do."""
    [path] = folder.glob("search/*/optuna.db")
    url = f"sqlite:///{path}"
    studies = {name.rpartition(" ")[2]: optuna.load_study(study_name=name, storage=url)
               for name in optuna.get_all_study_names(url)}
    assert studies.keys() == held.journals.keys()
    for arm, study in studies.items():
        assert study.metric_names == [name if sign > 0 else f"-{name}" for name, sign in told_signs(plan).items()]
        trials, journal = study.get_trials(), held.journals[arm]
        assert [t.state.name for t in trials] == [STATES[entry["state"]] for entry in journal]
        assert [t.params for t in trials] == [entry["params"] for entry in journal]
        keeps = plan["search"]["constraints"]
        assert all(t.constraints.keys() == (keeps.keys() if t.state.name == "COMPLETE" else set()) for t in trials)
        assert all(t.values == entry["values"] for t, entry in zip(trials, journal, strict=True)
                   if entry["state"] == "told")


def mlflow_shows(held: Holdings, last: pd.DataFrame) -> None:
    """Counts, and means over the replicates that survived."""
    for config_hash, own in last.groupby("config_hash"):
        [run] = held.trials[str(config_hash)]
        lived = own[own["diverged_at"].isna()]
        latest = {name: curve[-1][1] for name, curve in run.curves.items()}
        assert (latest["replicates"], latest["diverged"]) == (len(own), len(own) - len(lived))
        for name in ("kappa", "gap", *(c for c in own if str(c).startswith(("kid_", "energy_distance_")))):
            known = lived[name].dropna() if name in lived else []
            if len(known):
                assert latest[name] == pytest.approx(known.mean(), rel=1e-9), name
            else:
                assert name not in latest
    assert not any(math.isinf(v) or math.isnan(v) for runs in held.trials.values() for run in runs
                   for curve in run.curves.values() for _, v in curve)


def means_are_of_survivors(frame: pd.DataFrame, last: Mapping[str, pd.DataFrame], primary: str, name: str) -> None:
    """Each row's mean, n and counts, of its `measure` or the primary one. last: config_hash -> its last records."""
    for row in frame.to_dict("records"):
        own = last[row["config_hash"]]
        lived = own[own["diverged_at"].isna()]
        assert (row.get("replicates", len(own)), row.get("diverged", len(own) - len(lived))) == (
            len(own), len(own) - len(lived)), name
        measure = row.get("measure", primary)
        known = lived[measure].dropna() if measure in lived else lived["seed"][:0]
        assert row["n"] == len(known), (name, measure)
        if len(known):
            assert row["mean"] == pytest.approx(known.mean(), rel=1e-6), (name, measure)


def report_agrees(out: Path, last: pd.DataFrame, plan: Mapping[str, Any], held: Holdings) -> None:
    """The page is there with the figures and tables that such a study has, and their numbers are the storage's."""
    page = (out / "index.html").read_text()
    assert plan["study"] in page and page.count("<svg") >= 2 and "Traceback" not in page
    every = pd.read_csv(out / "tables/all_measures.csv")
    assert set(every["config_hash"]) == set(last["config_hash"])
    files = [path for path in (*out.glob("tables/*.csv"), *out.glob("figures/*.csv"))
             if {"config_hash", "mean", "n"} <= set(pd.read_csv(path, nrows=0).columns)]
    assert len(files) >= 2, "neither the cells nor a figure"
    of = {str(config_hash): own for config_hash, own in last.groupby("config_hash")}
    for path in files:
        means_are_of_survivors(pd.read_csv(path), of, plan["primary"], path.name)
    for phase in plan["planned"]:
        cells = pd.read_csv(out / f"tables/{phase}_cells.csv")
        counted = {unit.partition("/")[0] for unit, (of, _) in held.phases.items()
                   if of == phase and held.units[unit] != "pruned"}
        assert len(cells) == len(counted), phase
    figures = {path.stem for path in (out / "figures").glob("*.svg")}
    signs = told_signs(plan)
    names = list(signs)
    if names:
        assert "search" in figures
    if len(names) > 1:
        assert figures >= {f"search_pareto_{name}" for name in names[1:]}
        told = pd.read_csv(out / "tables/search_objectives.csv").set_index("config_hash")
        said = {entry["unit"].partition("/")[0]: entry["values"] for journal in held.journals.values()
                for entry in journal if entry["state"] == "told"}
        assert set(told.index) == set(said)
        for config_hash, values in said.items():
            shown = [sign * told.loc[config_hash, name] for name, sign in signs.items()]
            assert shown == pytest.approx(values, rel=1e-9)
        keep = [config_hash for config_hash in said if _keeps(plan, last[last["config_hash"] == config_hash])]
        best = {one for one in keep if not any(
            all(a <= b for a, b in zip(said[other], said[one], strict=True)) and said[other] != said[one]
            for other in keep)}
        assert set(told.index[told["front"]]) == best
        words = f"{len(best)} of {len(said)} finished trials are beaten by no other"
        assert (words if best else f"None of {len(said)} finished trials") in (out / "findings.md").read_text()


def _keeps(plan: Mapping[str, Any], own: pd.DataFrame) -> bool:
    """Whether a trial of these replicates is within every bound of its search."""
    return all(own["diverged_at"].isna().all() and bool((own[name] <= bound["limit"]).all()
               if bound["direction"] == "minimize" else (own[name] >= bound["limit"]).all())
               for name, bound in plan["search"]["constraints"].items())
