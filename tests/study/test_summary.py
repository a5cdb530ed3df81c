"""The last lines of a launch: what a search spent and found, and what is kept to oneself."""

from __future__ import annotations

import io
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import optuna
import pytest
from rich.console import Console

from study import launch
from study.plan.budget import random_start, unequal
from study.plan.samplers import make_sampler
from study.schema.pareto import fronts
from study.show.pareto import pareto_lines, pareto_set
from study.show.progress import Outcome, Progress, band
from study.show.redaction import redacted
from study.show.summary import next_commands, observed
from study.show.tracking import Tracking, TrackingError
from study.store.results import Result
from tests.configurations import plan as a_plan
from tests.configurations import unit

optuna.logging.set_verbosity(optuna.logging.ERROR)


def result(number: int, told: tuple[float, ...], status: str = "finished") -> Result:
    return Result(unit((0,), f"{number:03}", phase="search", step_size=number / 100), status, 1, 0, 0.5, 1.0, told=told)


def test_a_unit_s_line_has_the_gauge_beside_the_limit() -> None:
    seen = Outcome("design", "jko", "step_size=0.12", "kid_clf64_256", 0.0123, 6, 1, 12.0, 1.0, limits(0.1, 0.354),
                   kappa=0.41)
    assert seen.line() == ("jko step_size=0.12 | kid_clf64_256 0.0123 | 1/6 diverged | kappa 0.41 | "
                           "limit 0.1..0.35 (95 % 0.09..0.39) | 12 s")
    assert replace(seen, knobs="").line().startswith("jko | kid")
    judged = replace(seen, verdicts="4 stable, 1 oscillating; kappa > 2 (3); poor quality (5)")
    assert " | 1/6 diverged | 4 stable, 1 oscillating; kappa > 2 (3); poor quality (5) | kappa" in judged.line()
    assert judged.verdicts not in replace(judged, pruned=True).line()
    shown = Progress(Console(file=io.StringIO()), total=2, quiet=True)
    shown.finished(judged)
    assert f"best 0.0123 (jko step_size=0.12: {judged.verdicts})" in shown.text().plain
    assert "kappa" not in replace(seen, kappa=None).line() and "limit" not in replace(seen, limits={}).line()


def limits(low: float | None, high: float | None, error: float = 0.1) -> dict[str, float | None]:
    return {f"delta_{name}{end}": x and x * scale for name, x in (("min", low), ("med", high))
            for end, scale in (("", 1), ("_low", 1 - error), ("_high", 1 + error))}


def test_limits_have_their_errors_where_there_are_any() -> None:
    assert band(limits(0.1, 0.1, error=0)) == "0.1"
    assert band(limits(0.1, None)) == "0.1..none (95 % 0.09..none)"
    assert band(limits(None, None)) == "none"


@pytest.mark.parametrize("objectives", [2, 3])
def test_the_pareto_set_is_optunas(objectives: int) -> None:
    """Ties and twins among them."""
    values = np.random.default_rng(objectives).integers(0, 6, (60, objectives)) / 4
    study = optuna.create_study(directions=["minimize"] * objectives)
    for row in values:
        study.add_trial(optuna.trial.create_trial(values=row.tolist()))
    results = [result(i, tuple(row.tolist())) for i, row in enumerate(values)]
    best = {trial.number for trial in study.best_trials}
    found = pareto_set([*results, result(99, (), "pruned")])
    assert {int(r.unit.config_hash) for r in found} == best and 1 < len(best) < 60


@pytest.mark.parametrize("objectives", [2, 3])
def test_what_lies_behind_the_pareto_set_is_ranked_as_optuna_does(objectives: int) -> None:
    from optuna.study._multi_objective import _fast_non_domination_rank

    values = np.random.default_rng(objectives).integers(0, 6, (60, objectives)) / 4
    found = fronts(values.tolist())
    assert found == _fast_non_domination_rank(values).tolist() and max(found) > 1


def test_a_search_with_several_objectives_tells_its_pareto_set() -> None:
    results = [result(1, (0.5, 2.0)), result(2, (0.25, 3.0)), result(3, (0.75, 2.5)), result(4, (), "pruned")]
    assert pareto_lines(results, {"kid": 1, "cpu_seconds": 1}, ["step_size"]) == [
        "Pareto set of the search, 2 of 3 (kid, cpu_seconds):", "  kl step_size=0.02: 0.25, 3",
        "  kl step_size=0.01: 0.5, 2"]
    noise = replace(results[1], verdicts="2 stable; poor quality (2)")
    assert pareto_lines([noise], {"kid": 1, "fd": 1}, [])[1].endswith(": 0.25, 3 | 2 stable; poor quality (2)")
    assert pareto_lines(results, {"kid": 1}, ["step_size"]) == [] == pareto_lines([], {"kid": 1, "fd": 1}, [])
    many = [result(i, (float(i), -float(i))) for i in range(25)]
    assert pareto_lines(many, {"kid": 1, "fd": 1}, [])[-1] == "  and 5 more"


@pytest.mark.parametrize(("spent", "said"), [
    ({"kl": 100.0, "jko": 125.0}, ""), ({"kl": 100.0}, ""),
    ({"kl": 100.0, "jko": 126.0, "r1": 110.0}, "search budgets are not equal: jko spent 1.26 times what kl did; "),
    ({"kl": 0.0, "jko": 126.0}, "search budgets are not equal: jko spent and kl nothing; ")])
def test_searches_that_spent_too_differently_are_named(spent: dict[str, float], said: str) -> None:
    assert unequal(spent).startswith(said) and bool(unequal(spent)) == bool(said)


def suggested(sampler: str, number: int, good: float) -> list[float]:
    """The point suggested after so many told ones, of which those near `good` were the best."""
    study = optuna.create_study()
    for i in range(number + 1):
        study.sampler = make_sampler(sampler, i)
        trial = study.ask()
        point = [trial.suggest_float(name, 0, 1) for name in "abcd"]
        study.tell(trial, sum(abs(x - good) for x in point))
    return point


@pytest.mark.parametrize(("sampler", "first"), [("tpe", 10), ("gp", 10), ("nsga2", 20)])
def test_a_sampler_that_never_comes_to_choose_is_named(sampler: str, first: int) -> None:
    """The number is where what it was told begins to matter."""
    assert suggested(sampler, first - 1, 0.0) == suggested(sampler, first - 1, 1.0)
    assert suggested(sampler, first, 0.0) != suggested(sampler, first, 1.0)
    assert random_start(sampler, {"kl": first + 1}) == "" == random_start("random", {"kl": 3})
    assert random_start(sampler, {"kl": first, "jko": first + 1}) == (
        f"search: random start only: the first {first} trials of {sampler} are drawn at random, and kl has no more "
        "than that (search.trials)")


URI = "postgresql://me:sec/ret@db.example:5432/mlflow".replace("/ret", "@ret")


def test_no_password_is_printed() -> None:
    assert redacted(f"a {URI} b") == "a postgresql://me:***@db.example:5432/mlflow b"
    assert redacted("https://me:s3@host/#/x http://host:80/a?password=p&b=1 s3://bucket/a@b:c") == (
        "https://me:***@host/#/x http://host:80/a?password=***&b=1 s3://bucket/a@b:c")
    with pytest.raises(TrackingError) as found:
        Tracking("http://me:secret@127.0.0.1:9", "jko", "v1").check_reachable(timeout=2)
    said = [str(found.value), *next_commands("jko", URI, None, URI, False),
            *next_commands("jko", URI, None, None, True),
            launch._how_to_continue(["--space", "jko.yaml", "--tracking-uri", URI])]
    for line in said:
        assert "***@" in line or "--study jko" in line, line
        assert "sec@ret" not in line and "secret" not in line, line


def test_the_next_commands_are_there_where_they_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the checkout with its Python on the PATH they are as the README has them."""
    def told(folder: Path, path: str) -> tuple[str, list[str]]:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("PATH", path)
        page, report = next_commands("jko", f"sqlite:///{folder}/mlflow.db", "1", None, False)
        assert page.endswith("   # then open http://127.0.0.1:5000/#/experiments/1/runs")
        return page.partition("   #")[0], shlex.split(report)

    bin, root = Path(sys.executable).parent, Path(launch.__file__).parents[1]
    page, words = told(root, str(bin))
    assert page == "mlflow ui" and words == [Path(sys.executable).name, "analysis/report.py", "--study", "jko"]
    for name in (Path(sys.executable).name, "mlflow"):  # of another Python
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    page, words = told(tmp_path, str(tmp_path))
    assert Path(page.split()[0]).parent == bin and Path(words[0]) == Path(sys.executable)
    assert Path(words[1]).samefile(root / "analysis" / "report.py")
    assert launch._how_to_continue(["--space", "x"]).endswith(f": {sys.executable} -m study.launch --space x")
    page, words = told(bin, "/nowhere")  # a bare name would be looked for on the PATH
    assert page.startswith("./mlflow ui") and words[0] == f"./{Path(sys.executable).name}"
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()  # an earlier MLflow's, to which a bare `mlflow ui` would turn
    page, _ = told(tmp_path, str(bin))
    assert page == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db"
    page, _, samples = next_commands("jko", f"sqlite:///{tmp_path}/mlflow.db", "1", None, False, "s3://b/my studies",
                                     a_plan(planned={"design": {"configurations": 1, "replicates": 1}}))
    query = parse_qs(page.partition("?")[2])
    assert query == {"workflowType": ["machine_learning"], "viewStateShareKey": ["design"]}
    assert samples.endswith(" -m study.sample --study jko --storage 's3://b/my studies'")
    _, report = next_commands("jko", "http://host:5000", None, "http://host:5000/#/experiments/1/runs", False)
    assert report.endswith(" --tracking-uri http://host:5000")


def test_what_ranks_the_best_is_said_where_the_search_has_other_objectives() -> None:
    from rich.console import Console

    from study.show import summary

    for objectives, words in ((["cpu_seconds", "kid"], "best search by kid: "), (["kid"], "best search: ")):
        plan = a_plan(search={"sampler": "tpe", "arguments": {}, "prune": None, "objectives": objectives,
                              "directions": ["minimize"] * len(objectives),
                              "diverged_value": {}, "log": []})
        outcome = SimpleNamespace(phase="search", measure="kid", line=lambda: "kl | kid 0.1")
        monitor: Any = SimpleNamespace(results=SimpleNamespace(all=lambda: []), lost_units=[], plan=plan,
                                       spec=SimpleNamespace(keep="none"))
        console = Console(record=True, width=200, file=io.StringIO())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(summary, "best_of", lambda monitor, outcome=outcome: outcome)
            summary.show_summary(monitor, console)
        assert words in console.export_text()


def test_the_time_left_is_right_from_the_first_unit_on() -> None:
    """Two at once, 10 s each, eight of equal cost: when the first two have ended, six are left, 30 s."""
    progress = Progress(Console(quiet=True), total=8, cost=8.0, quiet=True)
    assert progress.seconds_left() is None
    for done, left in ((1, 35.0), (2, 30.0)):
        progress.running = 1  # the other one
        progress.finished(Outcome("design", "jko", "", "kid", 0.01, 6, 0, 10.0, 1.0))
        assert progress.done == done and progress.seconds_left() == pytest.approx(left)
    progress.finished(Outcome("search", "jko", "", "kid", None, 6, 0, 0.0, 1.0, pruned=True))
    assert progress.seconds_left() == pytest.approx(25.0), "a pruned unit's time is not known"
    progress.finished(Outcome("confirm", "jko", "", "kid", 0.01, 6, 0, 60.0, 6.0))
    assert progress.seconds_left() == pytest.approx(4 * 9 / 4 * 10 / 2), "four are left, of what the others cost"


def test_long_units_are_told_on_their_way_and_time_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of equal cost, two at once, of 200 s each and a worker's start of 10 s, which is no part of the rate."""
    clock = [0.0]
    monkeypatch.setattr("study.show.progress.time", SimpleNamespace(monotonic=lambda: clock[0]))
    sink = io.StringIO()
    progress = Progress(Console(file=sink, width=200), total=4, cost=4.0)
    progress.running = 2
    for clock[0], share in ((30.0, 0.1), (50.0, 0.2), (70.0, 0.3)):
        for name in ("kl", "jko"):
            progress.advanced(name, 1.0, share)
    assert progress.seconds_left() == pytest.approx((4 - 0.6) * 200 / 2)
    assert sink.getvalue() == "[0/4] kl 30%, jko 20% | about 5 min 50 s left\n", "once a minute"
    assert "2 running (30%, 30%)" in progress.text().plain and "about 5 min 40 s left" in progress.text().plain
    progress.left("jko")
    progress.running = 1
    progress.finished(Outcome("design", "jko", "", "kid", 0.01, 6, 0, 200.0, 1.0))
    assert progress.seconds_left() == pytest.approx((4 - 1 - 0.3) * 200 / 2)


def test_what_has_not_diverged_is_not_called_calm_where_kappa_is_past_its_limit() -> None:
    """jko at .5: nothing diverged in 300 updates, and kappa of 20 says that the chain is past its limit."""
    def of(step: float, diverged: int, kappa: float | None) -> Result:
        return Result(unit((0,), f"{step}", method="jko", step_size=step, mcmc_steps=20), "finished", 6,
                      diverged, 0.5, 1.0, kappa=kappa)

    cell = {"config_hash": "", "arm": "jko", "method": "jko", "knobs": {}}
    plan = a_plan(factors=["step_size", "mcmc_steps"], cells=[cell] * 3,
                  arms={"jko": {"method": "jko", "fixed": {}, "limits": []}})
    calm = [of(0.12, 0, 0.4), of(0.25, 0, 1.9)]
    for last, said in ((of(0.5, 0, 20.0), ("none of the grid", "0.5, kappa > 2 from 0.5")),
                       (of(0.5, 0, None), ("none of the grid", "0.5")), (of(0.5, 6, 20.0), ("0.5", "0.25"))):
        assert observed([*calm, last], plan) == [("jko", "20", "none", *said)]
