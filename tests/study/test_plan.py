"""What the plan says of predicted limits and of the local spread they come from."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

import study.show.plan
from analysis.read.study import Study
from analysis.read.trials import planned_cells
from models.data.load import load as load_data
from models.stability.local_sd import NEIGHBOURS
from study.plan.make import _seconds, make_plan
from study.plan.space import estimate
from study.run.work import Work
from study.schema.plan import Plan
from study.show.plan import MIRRORED, ROUNDED, show
from study.spec import StudySpec, load, loads
from study.store.results import Results
from study.store.units import Store
from tests.analysis.small_study import a_plan

SPEC = """\
study: limits
data: gaussians8
arms:
  kl: {method: kl}
  eighth: {method: jko, jko_weight: 0.125}
  fifth: {method: jko, jko_weight: 0.2}
  half: {method: jko, jko_weight: 0.5}
  normed: {method: kl, spectral_norm: true, score_scale: 3}
  tied: {method: kl, energy_l2: 0.1}
design: {step_size: [0.1, 0.3], fifth: {mcmc_steps: [5, 20]}}
"""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudySpec, Plan]:
    path = tmp_path_factory.mktemp("plan") / "limits.yaml"
    path.write_text(SPEC)
    spec = load(path)
    return spec, make_plan(spec, load_data("gaussians8"), 2, path.parent)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the features that images need are learned once."""
    return tmp_path_factory.mktemp("cache")


def shown(spec: StudySpec, plan: Plan) -> list[str]:
    out = io.StringIO()
    show(plan, spec, Console(file=out, width=200))
    return out.getvalue().splitlines()


def test_kappa_passes_one_where_the_closed_form_says(planned: tuple[StudySpec, Plan]) -> None:
    """`s / sqrt(1 - 4c)`: for 1/8 < c < 1/4 the only bound that the law knows; from 1/4 on none."""
    limits = {arm: entry.limits for arm, entry in planned[1].arms.items()}
    s = planned[1].spread.s_med
    at = {arm: entries[0].delta_kappa1 for arm, entries in limits.items() if entries}
    assert at == {"kl": pytest.approx(s), "eighth": pytest.approx(s * math.sqrt(2)),
                  "fifth": pytest.approx(s / math.sqrt(0.2)), "half": None}
    assert limits["fifth"][0].delta_med is None and limits["eighth"][0].delta_med == pytest.approx(2 * s)
    assert limits["normed"] == limits["tied"] == []


def test_the_table_shows_where_kappa_passes_one(planned: tuple[StudySpec, Plan]) -> None:
    lines = shown(*planned)
    [head] = [line for line in lines if "kappa* = 1 at" in line]
    column = [cell.strip() for cell in head.replace("┃", "│").split("│")].index("kappa* = 1 at")
    found = {cells[1]: cells[column] for line in lines if len(cells := [c.strip() for c in line.split("│")]) > column}
    assert {arm: found[arm] for arm in ("kl", "eighth", "fifth", "half")} == {
        "kl": "0.2", "eighth": "0.28", "fifth": "0.45", "half": "none"}
    assert sum("no prediction" in line for line in lines) == 2  # normed, tied


def test_arms_stand_beside_released_codes(planned: tuple[StudySpec, Plan]) -> None:
    """In the plan and in the report, a line for arms that are alike."""
    same, scaled, unit = planned[1].in_codes()
    assert same == "kl, eighth, fifth, half, tied: noise a pixel 0.1, 0.3; 2a / s^2 1" and "units of the data" in unit
    assert scaled == "normed: noise a pixel 0.1, 0.3; 2a / s^2 3" and {same, scaled, unit} <= {*shown(*planned)}
    old = planned[1].plain()
    for arm in old["arms"].values():
        del arm["in_codes"]  # a plan of an earlier release
    assert Plan.read(old).in_codes() == []


@pytest.mark.parametrize(("data", "said"), [("digits", True), ("faces", False)])
def test_mirrored_digits_are_warned_of(data: str, said: bool, cache: Path) -> None:
    for flip in ("false", "true"):
        text = f"study: s\ndata: {data}\nmethod: [kl]\ntrain: {{flip: {flip}}}\ndesign: {{step_size: [0.1]}}"
        spec = loads(text, "s.yaml")
        lines = shown(spec, make_plan(spec, load_data(data), 2, cache))
        assert (MIRRORED in lines) == (said and flip == "true")


@pytest.mark.parametrize(("data", "precision", "gpu", "units", "said"), [
    ("digits", "bf16", "auto", True, "for data as small as these"), ("digits", "fp32", "auto", False, ""),
    ("faces", "bf16", 0, False, "which has no units for it"), ("faces", "bf16", 0, True, ""),
    ("digits", "bf16", 1, False, "")])
def test_chains_that_rounding_slows_are_warned_of(data: str, precision: str, gpu: int | str, units: bool, said: str,
                                                  cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study.show.plan, "rounds_fast", lambda: units)
    spec = loads(f"study: s\ndata: {data}\nmethod: [kl]\ntrain: {{precision: {precision}}}\n"
                 f"design: {{step_size: [0.1]}}\nresources: {{gpu: {gpu}}}", "s.yaml")
    lines = shown(spec, make_plan(spec, load_data(data), 2, cache))
    assert [line for line in lines if "bf16" in line] == ([ROUNDED.format(said)] if said else [])


@pytest.mark.parametrize(("design", "count"), [
    ("step_size: [0.1, 0.3]", 2), ("step_size: [0.1, 0.3], mcmc_steps: [5, 20]", 2),
    ("zip: {step_size: [0.1, 0.3], lr_f: [0.001, 0.002]}", 4),  # each arm at each lr_f, with the baseline there
    ("step_size: 0.1, jko: {jko_weight: [0.25, 0.5]}", 3), ("step_size: 0.1, kl: {lr_f: [0.001, 0.002]}", 2)])
def test_the_plan_counts_the_comparisons_that_the_report_makes(design: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("study: some\ndata: gaussians8\narms: {kl: {method: kl}, jko: {method: jko}, drift: {method: kl, "
                    f"negatives_drift: 1}}}}\ndesign: {{{design}}}\n")
    spec = load(path)
    plan = make_plan(spec, load_data("gaussians8"), 2, tmp_path)
    cells, none = planned_cells(plan), pd.DataFrame()
    reported = Study("some", plan, "", {}, {}, list(cells["arm"].unique()), cells, none, none, none)
    assert plan.comparisons() == count == len(reported.family)


def test_the_long_run_has_a_floor_at_its_own_n(planned: tuple[StudySpec, Plan]) -> None:
    """Fewer chains tell less: the floor of 64 is wider than that of 256."""
    floors, primary, long = planned[1].floors, planned[1].primary, planned[1].primary_long
    assert (primary, long) == ("energy_distance_256", "energy_distance_64_long")
    assert floors[long].n == 64 and floors[long].sd > 1.5 * floors[primary].sd


def test_cells_that_the_law_says_nothing_of_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("study: some\ndata: gaussians8\nmethod: kl\ndesign: {step_size: [0.1, 0.3], "
                    "spectral_norm: [true, false], energy_l2: [0.0, 0.1]}\n")
    spec = load(path)
    plan = make_plan(spec, load_data("gaussians8"), 2, tmp_path)
    [entry] = plan.arms["kl"].limits
    assert entry.knobs == {"spectral_norm": False, "energy_l2": 0.0}
    [line] = [line for line in shown(spec, plan) if "no prediction" in line]
    assert "kl, other knobs" in line and line.split("│")[3].strip() == "6"


def test_a_search_of_what_the_law_reads_has_a_limit_a_trial(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("study: some\ndata: gaussians8\nmethod: [kl, hidden]\n"
                    "search: {space: {step_size: {log: [0.1, 0.3]}, temperature: {log: [0.1, 1.0]}}}\n")
    spec = load(path)
    lines = shown(spec, make_plan(spec, load_data("gaussians8"), 2, tmp_path))
    said = {cells[1]: cells[4] for line in lines if len(cells := [c.strip() for c in line.split("│")]) > 4}
    assert said == {"kl": "each trial's own", "hidden": "no prediction"}


def test_a_plan_says_which_searched_knobs_have_no_effect_in_an_arm(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("study: some\ndata: gaussians8\nmethod: [jko, hidden]\ntrain: {hidden: {flow: kl}}\n"
                    "search: {space: {step_size: {log: [0.1, 0.3]}, jko: {jko_weight: {log: [0.1, 1.0]}}}}\n")
    search = make_plan(load(path), load_data("gaussians8"), 2, tmp_path).search
    assert search is not None and search.idle == {"jko": [], "hidden": ["jko_weight"]}


@pytest.mark.parametrize(("prune", "said"), [("successive_halving", True), ("null", False)])
def test_the_cost_of_a_search_that_prunes_is_an_upper_end(tmp_path: Path, prune: str, said: bool) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("study: some\ndata: gaussians8\nmethod: kl\n"
                    f"search: {{prune: {prune}, space: {{step_size: {{log: [0.1, 0.3]}}}}}}\n")
    spec = load(path)
    [line] = [line for line in shown(spec, make_plan(spec, load_data("gaussians8"), 2, tmp_path)) if "cost" in line]
    assert (", less what the search prunes, beside the start of Ray" in line) == said


@pytest.mark.parametrize(("data", "coarse"), [("faces", True), ("digits", False), ("gaussians8", False)])
def test_the_plan_says_where_neighbours_are_too_many_of_the_points(data: str, coarse: bool, tmp_path: Path,
                                                                   cache: Path) -> None:
    path = tmp_path / "few.yaml"
    path.write_text(f"study: few\ndata: {data}\nmethod: kl\ndesign: {{step_size: [0.1]}}\n")
    spec = load(path)
    plan = make_plan(spec, load_data(data), 2, cache)
    assert plan.spread.coarse is coarse and plan.spread.k == (0 if data == "gaussians8" else NEIGHBOURS)
    found = [line for line in shown(spec, plan) if line.startswith("coarse: ")]
    assert found == ["coarse: 20 neighbours are 33% of 60 points, so a mode with fewer than 60 is not told "
                     "from its surroundings; s and the limits may be too large"][:coarse]


@pytest.mark.parametrize("levels, names", [
    ([8e4, 2e8], ["a (score_scale=8e+04)", "a (score_scale=2e+08)"]),
    ([0.5, 1.0], ["a (score_scale=0.5)", "a (score_scale=1)"]),
    ([0.123451, 0.123452], ["a (score_scale=0.123451)", "a (score_scale=0.123452)"])])
def test_an_arm_that_a_factor_splits_has_short_names_and_different_ones(levels: list[float], names: list[str]) -> None:
    cells = [{"arm": "a", "config_hash": str(level), "method": "kl",
              "knobs": {"step_size": 0.1, "mcmc_steps": 5, "score_scale": level}} for level in levels]
    plan = a_plan(cells=cells, factors=["score_scale"], baseline="a", common_cell=None, planned={})
    assert planned_cells(plan)["arm"].tolist() == names == list(plan.labels().values())


def test_a_worker_has_an_hour_or_far_more_than_its_unit_is_guessed_to_take(tmp_path: Path) -> None:
    """Before it is taken to hang."""
    spec = loads("study: s\ndata: moons\nmethod: kl\n"
                 "design: {replicates: 2, step_size: [0.1, 0.2], mcmc_steps: [5, 20]}\n")
    plan, store = make_plan(spec, load_data("moons"), 4, tmp_path), Store(str(tmp_path), "s")

    def patience() -> list[float]:
        work = Work(spec, plan, Results(store, spec.primary), store)
        return [work.options(unit)["patience"] for unit in work._design]

    assert patience() == [3600.0] * 4
    plan.estimate.seconds = (8e5, 1e6)  # of 4 CPUs
    assert sum(patience()) == pytest.approx(20 * 4e6) and len(set(patience())) == 2


def test_a_guess_of_the_time_knows_the_networks_size(tmp_path: Path) -> None:
    """A ConvNet of width 32 took 1.2 CPU seconds an update, CoopNets' 4.9, a residual f 3.2, of two blocks 7.1."""
    data = load_data("digits", 8)

    def guessed(network: str) -> float:
        spec = loads("study: s\ndata: {name: digits, size: 8}\nmethod: kl\ndesign: {replicates: 1, step_size: 0.1}\n"
                     f"evaluation: {{long_run: 1}}\ntrain: {{updates: 9000, {network}}}\n")
        return _seconds(spec, data, estimate(spec), 1)

    base = guessed("width: 32")
    assert guessed("network: convnet, width: 32") == guessed("network: convnet, widths: 32-64") == base
    for network, took in (("network: convnet, widths: 64-128-256, outputs: 100", 4.9),
                          ("network: resnet, width: 32", 3.2), ("network: resnet, width: 32, blocks: 2", 7.1)):
        assert 0.5 < guessed(network) / base / (took / 1.2) < 2
