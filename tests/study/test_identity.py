"""Hashes and versions: equal when the meaning is equal, different when it is not."""

import copy
import hashlib
from dataclasses import fields, replace
from typing import Any

import pytest

from models.knobs import knob_problem
from models.methods.jko import JKOKnobs
from study.plan import identity
from study.plan.identity import canonical, changed_keys, config_hash, knobs_text, phase_seeds, study_version
from study.plan.space import design_configurations
from study.schema.unit import Configuration, Evaluation
from study.spec import StudySpec, loads
from study.spec.knobs import METHODS
from tests.configurations import configuration

TEXT = """
study: s
question: Which?
data: digits
method: [kl, jko]
train: {width: 4}
design: {replicates: 3, step_size: [0.1, 0.2]}
search: {replicates: 2, trials: 8, space: {step_size: {log: [0.05, 0.5]}}}
confirm: {top: 2, replicates: 4}
"""


def spec(*overrides: str) -> StudySpec:
    return loads(TEXT, overrides=overrides)


def jko_cell() -> Configuration:
    return next(c for c in design_configurations(spec()) if c.arm == "jko" and c.knobs["step_size"] == 0.2)


def test_the_hash_is_of_this_very_text() -> None:
    """Written out by hand: studies on disk are found again by it, so it must never change by accident."""
    text = ('{"data":{"content_hash":"abc","name":"digits","size":8},'
            '"evaluation":{"long_run":10,"points":20,"samples":256,"split":"search"},'
            '"knobs":{"step_size":0.2,"width":4},"method":"jko","phase":"design"}')
    assert config_hash(jko_cell(), "abc") == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_name_order_and_defaults_do_not_matter() -> None:
    cell, expected = jko_cell(), config_hash(jko_cell(), "abc")
    assert config_hash(replace(cell, arm="other"), "abc") == expected
    assert config_hash(replace(cell, knobs=dict(reversed(cell.knobs.items()))), "abc") == expected
    knobs = {k: v for k, v in cell.knobs.items() if k != "penalty_of"}  # as before a release that adds it
    assert config_hash(replace(cell, knobs=knobs), "abc") == expected


def test_everything_else_matters() -> None:
    cell = jko_cell()
    hashes = [config_hash(cell, "abc"), config_hash(cell, "abd"), config_hash(replace(cell, phase="search"), "abc"),
              config_hash(replace(cell, method="kl"), "abc"),
              config_hash(replace(cell, data={"name": "digits", "size": 16}), "abc")]
    for key in fields(cell.evaluation):
        hashes.append(config_hash(replace(cell, evaluation=replace(cell.evaluation, **{key.name: 7})), "abc"))
    for knob, value in cell.knobs.items():
        other = next(v for v in (7, 0.7, True, "data", "noise", "f", "bf16", "mlp", "step", "noise-free", "xavier")
                     if v != value and knob_problem(JKOKnobs, knob, v) is None)
        hashes.append(config_hash(replace(cell, knobs={**cell.knobs, knob: other}), "abc"))
    assert len(set(hashes)) == len(hashes)


def test_all_cells_of_a_design_differ() -> None:
    cells = design_configurations(spec("design.step_size=[0.1, 0.1000001, 0.2]", "design.mcmc_steps=[1, 2, 3]"))
    assert len({config_hash(cell, "abc") for cell in cells}) == len(cells) == 18


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nothing_without_a_value_is_hashed(value: float) -> None:
    with pytest.raises(ValueError):
        canonical({"a": [value]})


# Versions.

def version(*overrides: str) -> str:
    return study_version(spec(*overrides).resolved(), "abc")


@pytest.mark.parametrize("override", [
    "question=Why?", "design.replicates=30", "design.step_size=[0.1, 0.2, 0.4]", "design.mcmc_steps=[5, 20]",
    "design=null", "search.trials=64", "confirm.replicates=40", "confirm.top=5", "confirm=null", "resources.cpu=2",
    "baseline=jko"])
def test_what_extends_a_study_keeps_its_version(override: str) -> None:
    assert version(override) == version()
    assert changed_keys(spec().resolved(), spec(override).resolved()) == []


@pytest.mark.parametrize("override, keys", [
    ("search.replicates=3", ["search.replicates"]),
    ("search.sampler=gp", ["search.sampler"]),
    ("search.prune=successive_halving", ["search.prune"]),
    ("search.diverged_value=9", ["search.diverged_value"]),
    ("search.objective=fd_clf64", ["search.objectives"]),
    ("search.space.jko={step_size: {log: [0.05, 0.6]}}", ["search.space.jko.step_size.float"]),
    ("search.space.width=8", ["search.space.jko.width", "search.space.kl.width"]),
    ("train.width=8", ["arms.jko.knobs.width", "arms.kl.knobs.width"]),
    ("train.jko={jko_weight: 0.25}", ["arms.jko.knobs.jko_weight"]),
    ("evaluation.points=5", ["evaluation.points"]),
    ("data.size=16", ["data.size"]),
    ("seed=1", ["seed"]),
    ("design.updates=20", ["design.jko.updates", "design.kl.updates"]),
    ("method=[kl]", ["arms.jko.knobs.width", "arms.jko.method", "search.space.jko.step_size.float",
                     "search.space.jko.step_size.log"])])
def test_any_other_change_makes_a_version_and_is_named(override: str, keys: list[str]) -> None:
    overrides = ["data={name: digits}", override]
    assert version(*overrides) != version()
    assert changed_keys(spec().resolved(), spec(*overrides).resolved()) == keys


def test_a_design_may_begin_with_one_level_of_a_factor() -> None:
    """Its second level adds a cell; the search beside it stays the one that it was."""
    one = ("design.step_size=[0.1]", "design.mcmc_steps=5")
    assert version(*one) == version(one[0], "design.mcmc_steps=[5, 20]") == version()
    assert version(*one, "design.updates=20") == version("design.updates=20") != version()


def test_new_data_make_a_new_version() -> None:
    assert study_version(spec().resolved(), "abd") != version()


def test_a_knob_of_a_later_release_changes_nothing_at_its_default() -> None:
    new = spec().resolved()
    old = copy.deepcopy(new)
    del old["arms"]["jko"]["knobs"]["penalty_of"], old["arms"]["kl"]["knobs"]["energy_l2"]
    assert study_version(old, "abc") == study_version(new, "abc") and changed_keys(old, new) == []
    new["arms"]["jko"]["knobs"]["penalty_of"] = "f"
    assert study_version(old, "abc") != study_version(new, "abc")
    assert changed_keys(old, new) == ["arms.jko.knobs.penalty_of"]


# Seeds.

def test_seeds_of_phases_never_meet_and_more_replicates_only_add() -> None:
    largest = spec("seed=7", "design.replicates=1000", "search.replicates=1000", "confirm.replicates=1000")
    seeds = [phase_seeds(largest, phase) for phase in ("design", "search", "confirm")]
    assert len(set().union(*seeds)) == 3000
    assert phase_seeds(spec("seed=7"), "design") == [7000000, 7000001, 7000002] == seeds[0][:3]
    assert phase_seeds(spec("seed=7"), "search") == [7001000, 7001001] and seeds[2][0] == 7002000
    assert not set(phase_seeds(spec("seed=1000"), "design")) & set(phase_seeds(spec(), "search"))
    assert phase_seeds(spec("confirm=null"), "confirm") == []


def test_an_extractor_is_its_file_s_content_and_what_is_off_changes_no_hash() -> None:
    own = {"file": "/a/own.pt2", "sha256": "0", "size": 8}

    def hashed(**more: Any) -> str:
        return config_hash(configuration(evaluation=Evaluation(3, 16, 2, "search", **more)), "abc")

    assert hashed() == hashed(ais_steps=0, features=None) != hashed(ais_steps=5)
    assert hashed(features=own) == hashed(features={**own, "file": "/b/own.pt2"}) != hashed(
        features={**own, "sha256": "1"})


# The default of every knob whose default an identity leaves out. A change here needs a higher number in DEFAULTS.
KNOWN = {
    "kl": {"updates": 600, "batch_size": 64, "width": 16, "lr_f": 2e-3, "step_size": 0.1, "mcmc_steps": 20,
           "refresh": 0.05, "particles": 256, "sigma": 1.0},
    "jko": {"updates": 600, "batch_size": 64, "width": 16, "lr_f": 2e-3, "step_size": 0.1, "mcmc_steps": 20,
            "jko_weight": 0.5},
    "hidden": {"updates": 600, "lr_f": 2e-3, "lr_g": 1e-3, "step_size": 0.5, "mcmc_steps": 5, "latent_dim": 16},
    "amortized": {"updates": 600, "lr_f": 2e-3, "lr_g": 1e-3, "step_size": 0.2, "mcmc_steps": 5, "latent_dim": 16},
    "ggcn": {"updates": 600, "lr_f": 2e-3, "lr_g": 3e-4, "step_size": 0.2, "mcmc_steps": 5, "latent_steps": 5,
             "latent_step_size": 0.3},
}


def test_changed_defaults_make_other_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    """An identity leaves defaults out, so a changed default would pass old work off as new."""
    assert identity.DEFAULTS == {"hidden": 2, "amortized": 2, "ggcn": 2}
    for method, known in KNOWN.items():
        assert {name: getattr(METHODS[method], name) for name in known} == known
    resolved = loads("study: s\ndata: digits\nmethod: [kl, hidden]\ndesign: {replicates: 2}\n").resolved()
    old = study_version(resolved, "abc")
    monkeypatch.setitem(identity.DEFAULTS, "hidden", 3)
    assert study_version(resolved, "abc") != old


def test_a_name_shows_what_has_an_effect() -> None:
    factors = ["step_size", "jko_weight", "bank", "absent"]
    shown = {flow: knobs_text(configuration(method="hidden", flow=flow, step_size=0.1, jko_weight=0.5), factors)
             for flow in ("jko", "kl")}
    assert shown == {"jko": "step_size=0.1 jko_weight=0.5", "kl": "step_size=0.1"}
