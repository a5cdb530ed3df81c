"""A good spec: defaults filled in, values at the most specific place, everything resolved as plain JSON."""

import dataclasses
import json
from pathlib import Path

import pytest

from models.methods.jko import JKOKnobs
from models.methods.kl import KLKnobs
from study.plan.identity import phase_seeds
from study.plan.space import configuration, design_configurations
from study.spec import StudySpec, load, loads
from study.spec.knobs_page import page
from study.spec.overrides import apply_overrides
from study.spec.problems import SpecError
from study.spec.yaml_text import parse

SPACES = Path(__file__).parents[2] / "search_spaces"
GRID = "study: s\ndata: digits\nmethod: [kl, jko]\ndesign: {step_size: [0.1, 0.2]}\n"


def spec(text: str, *overrides: str) -> StudySpec:
    return loads(text, "s.yaml", overrides)


def knob(found: StudySpec, arm: str, name: str) -> object:
    """The knob's value in the first design cell of an arm."""
    return next(c for c in design_configurations(found) if c.arm == arm).knobs[name]


def test_defaults_are_filled_in() -> None:
    found = spec(GRID)
    assert (found.question, found.seed, found.baseline, found.primary) == ("", 0, "kl", "kid_clf64_256")
    assert found.data == {"name": "digits", "size": 8}
    assert dataclasses.asdict(found.evaluation) == {"points": 20, "samples": 256, "long_run": 10, "split": "search",
                                                    "ais_steps": 0, "features": None, "measures": []}
    assert dataclasses.asdict(found.resources) == {"cpu": 1, "gpu": "auto"}
    assert found.search is None and found.confirm is None
    assert {name: arm.method for name, arm in found.arms.items()} == {"kl": "kl", "jko": "jko"}
    assert {**found.arms["jko"].full({}), "budget": None} == dataclasses.asdict(JKOKnobs())
    assert found.arms["kl"].hparams({"width": 3}) == KLKnobs(width=3)


def test_a_spec_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec(GRID).seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("data, samples, primary", [
    ("faces", 20, "kid_ssl64_20"), ("moons", 256, "energy_distance_256"), ("patches", 256, "kid_ssl64_256")])
def test_samples_and_measure_follow_the_data(data: str, samples: int, primary: str) -> None:
    found = spec(GRID, f"data={data}")
    assert (found.evaluation.samples, found.primary) == (samples, primary)


def test_confirm_bounds_the_samples_too() -> None:
    assert spec(GRID, "confirm={top: 1}", "evaluation={split: train}").evaluation.samples == 256
    with pytest.raises(SpecError, match="expected at most 400: the confirm split"):
        spec(GRID, "confirm={top: 1}", "evaluation={split: train, samples: 500}")


@pytest.mark.parametrize("overrides, samples", [
    (["train.particles=100"], 100), (["train={particles: 100, jko: {particles: 80}}"], 80),
    (["design.particles=[128, 90]"], 90), (["train={chain: noise}"], 256), (["method=[amortized]"], 256),
    (["design=null", "search={space: {particles: {int: [70, 300]}}}"], 70),
    (["design.chain=[noise, persistent]", "train.batch_size=32"], 256)])
def test_samples_are_no_more_than_the_persistent_chains(overrides: list[str], samples: int) -> None:
    """Samples of an arm with a pool are its chains as they stand."""
    assert spec(GRID, *overrides).evaluation.samples == samples


def test_objectives_get_their_full_names() -> None:
    found = spec(GRID, "search={objective: [kid_clf64, fd_clf64_256, wall_seconds]}").search
    assert found is not None
    assert found.objectives == ("kid_clf64_256", "fd_clf64_256", "wall_seconds")
    assert found.diverged_value == ("reference",) * 3


def test_the_more_specific_place_wins() -> None:
    text = """
study: s
data: digits
arms:
  kl: {}
  short: {method: kl, updates: 4}
  jko:
train:
  updates: 1
  batch_size: 4
  width: 1
  particles: 99
  kl: {updates: 2, batch_size: 2, width: 2}
  short: {updates: 3, batch_size: 3}
design:
  replicates: 1
  width: 5
  kl: {step_size: [0.1, 0.2]}
  short: {step_size: 0.3}
"""
    found = spec(text)
    names = ("updates", "batch_size", "width", "particles")
    assert [knob(found, "kl", name) for name in names] == [2, 2, 5, 99]
    assert [knob(found, "jko", name) for name in names] == [1, 4, 5, 99]
    assert [knob(found, "short", name) for name in names] == [4, 3, 5, 99]
    assert [knob(found, "short", "step_size"), knob(found, "jko", "step_size")] == [0.3, KLKnobs().step_size]
    assert len(design_configurations(found)) == 4


def test_a_branch_by_method_reaches_every_arm_of_it() -> None:
    """So the controls of an arm get its settings, too."""
    found = spec("study: s\ndata: digits\narms: {kl: {}, drift: {method: kl, negatives_drift: 1}, jko: {}}\n"
                 "train: {kl: {chain: noise}}\ndesign: {}\n")
    assert [knob(found, arm, "chain") for arm in found.arms] == ["noise", "noise", "persistent"]


def test_whole_numbers_given_to_a_real_knob_are_real() -> None:
    found = spec(GRID, "train.lr_f=1", "design.step_size=[1]")
    assert type(knob(found, "kl", "lr_f")) is float and type(knob(found, "kl", "step_size")) is float


def test_resolved_is_json_and_complete() -> None:
    found = spec(GRID, "search={space: {step_size: {log: [0.1, 1]}, chain: {choice: [noise, data]}, width: 4}}",
                 "confirm={}")
    resolved = found.resolved()
    assert json.loads(json.dumps(resolved, allow_nan=False)) == resolved
    assert resolved["search"]["space"]["kl"] == {
        "width": 4, "step_size": {"float": [0.1, 1.0], "log": True}, "chain": {"choice": ["noise", "data"]}}
    assert resolved["design"]["factors"]["jko"] == [{"knobs": ["step_size"], "rows": [[0.1], [0.2]]}]
    assert resolved["arms"]["jko"] == {"method": "jko", "knobs": {
        knob: value for knob, value in dataclasses.asdict(JKOKnobs()).items() if knob != "budget"}}
    assert resolved["confirm"] == {"top": 3, "replicates": 10}


def test_layout_and_aliases_do_not_matter() -> None:
    other = ("design:\n    step_size: &a\n    - 1.0e-1\n    - .2\nmethod:\n- kl\n- jko\n"
             "data: {name: digits, size: 8}\nstudy: 's'\n")
    assert spec(other).resolved() == spec(GRID).resolved()
    twice = "study: s\ndata: digits\nmethod: kl\ntrain: &t {width: 4}\ndesign: *t\n"
    assert knob(spec(twice, "train.width=8"), "kl", "width") == 4  # an override of one use leaves the other


def test_words_of_yaml_1_1_are_text() -> None:
    assert spec(GRID, "question=yes").question == "yes"
    assert spec(GRID.replace("study: s", "study: 2024-01-31")).study == "2024-01-31"


def test_overrides() -> None:
    found = spec(GRID, "design.replicates=10", "search.trials=4", "search.space.step_size={float: [0.1, 0.5]}",
                 "train.jko.jko_weight=0.25", "seed = 5")
    assert found.design is not None and found.search is not None
    assert (found.design.replicates, found.search.trials, found.seed) == (10, 4, 5)
    assert knob(found, "jko", "jko_weight") == 0.25
    assert phase_seeds(found, "design") == list(range(5 * 10**6, 5 * 10**6 + 10))
    assert spec(GRID + "search: {}\n", "search=null").search is None
    dotted = "study: s\ndata: digits\ndesign: {}\narms: {kl: {}, jko-c0.25: {method: jko}}\n"
    assert knob(spec(dotted, "arms.jko-c0.25.jko_weight=0.25"), "jko-c0.25", "jko_weight") == 0.25
    assert spec(GRID, "seed=1", "seed=2").seed == 2


def test_an_override_leaves_the_document_as_it_was() -> None:
    document = parse(GRID, "s.yaml")
    assert apply_overrides(document, ["design.step_size=[0.3]"]).value["design"] == {"step_size": [0.3]}
    assert document.value["design"] == {"step_size": [0.1, 0.2]}


# The specs that ship.

@pytest.mark.parametrize("file", sorted(SPACES.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_shipped_spec_is_good_and_named_like_its_file(file: Path) -> None:
    found = load(file)
    assert found.study == file.stem and found.question.endswith("?")
    for arm in found.arms:
        configuration(found, "design", arm, {})


def test_the_comparison_has_every_control_that_measures_name() -> None:
    found = load(SPACES / "compare.yaml")
    differences = {arm.name: (arm.method, {k: v for k, v in arm.knobs.items()
                                           if k in ("negatives_drift", "data_noise", "drift_clip", "penalty_on",
                                                    "jko_weight")}) for arm in found.arms.values()}
    values = list(differences.values())
    assert {method for method, _ in values} == {"kl", "jko", "hidden", "amortized", "ggcn"}
    assert ("kl", {}) in values and ("kl", {"negatives_drift": 1}) in values
    assert ("jko", {"penalty_on": "data"}) in values
    assert any(set(knobs) == {"data_noise"} for _, knobs in values)
    assert any(set(knobs) == {"drift_clip"} for _, knobs in values)
    weights = {arm.full({})["jko_weight"] for arm in found.arms.values()
               if arm.method == "jko" and arm.full({})["penalty_on"] == "synthesis"}
    assert weights == {1 / 8, 1 / 4, 1 / 2, 1}
    cells = {(c.arm, c.knobs["step_size"], c.knobs["mcmc_steps"]) for c in design_configurations(found)}
    kl = {(step, steps) for arm, step, steps in cells if arm == "kl"}
    assert {(step, steps) for arm, step, steps in cells if arm == "kl+step"} == {(s, t + 1) for s, t in kl}


def test_the_smoke_study_is_tiny() -> None:
    found = load(SPACES / "smoke.yaml")
    assert len(design_configurations(found)) == 2
    assert found.search is not None and found.search.trials == 3


def test_the_page_of_knobs_is_up_to_date() -> None:
    """python -m study.spec.knobs_page > docs/knobs.md"""
    text = page()
    assert (Path(__file__).parents[2] / "docs" / "knobs.md").read_text() == text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert not [row[0] for row in rows if not row[-1].removesuffix(" |").strip()], "each has a source"
