"""StudySpec -> configurations: every cell of the design, or one suggestion of a sampler. Imports no optuna."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from itertools import product
from typing import TYPE_CHECKING, Any

from models.hparams import gradient_evaluations
from study.spec import PHASES, StudySpec
from study.spec.canonical import canonical
from study.spec.knobs import Range, coerce
from study.spec.model import cells_of

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Configuration = dict[str, Any]
# The knobs that gradient_evaluations and the number of updates depend on.
COSTLY = {"updates", "batch_size", "mcmc_steps", "latent_steps", "negatives_drift", "penalty_on", "flow"}


def configuration(spec: StudySpec, phase: str, arm: str, values: Mapping[str, Any]) -> Configuration:
    """One trial's configuration: the arm's knobs with `values` over them, defaults filled in.

    A search has no long run, which would cost it trials, unless an objective is measured there.
    """
    evaluation = asdict(spec.evaluation)
    if phase == "search" and spec.search and not any(name.endswith("_long") for name in spec.search.objectives):
        evaluation["long_run"] = 0
    return {"phase": phase, "arm": arm, "method": spec.arms[arm].method, "data": dict(spec.data),
            "knobs": spec.arms[arm].full(values), "evaluation": evaluation}


def design_configurations(spec: StudySpec) -> list[Configuration]:
    """Every cell of the design, in an order whose every beginning is a fair sample.

    Cells come shuffled by a hash (so levels that are added later keep the order of the others); all arms advance
    through their own cells at the same rate, and cells with the same shared levels stand near each other.
    """
    if spec.design is None:
        return []
    # A knob on which all arms have the same levels: cells that agree on those are compared, so they run together.
    shared = set.intersection(*({factor for factor in factors} for factors in spec.design.factors.values()))
    common = {knob for factor in shared for knob in factor.knobs}
    placed = []
    for rank, (arm, factors) in enumerate(spec.design.factors.items()):
        def order(cell: Mapping[str, Any]) -> tuple[str, str]:
            return _shuffle(spec.seed, {k: v for k, v in cell.items() if k in common}), _shuffle(spec.seed, cell)

        cells = sorted(cells_of(factors), key=order)
        placed += [((i + 0.5) / len(cells), rank, arm, cell) for i, cell in enumerate(cells)]
    placed.sort(key=lambda item: item[:2])
    return [configuration(spec, "design", arm, cell) for _, _, arm, cell in placed]


def _shuffle(seed: int, value: Any) -> str:
    return hashlib.sha256(canonical([seed, value]).encode()).hexdigest()


def suggest(spec: StudySpec, arm: str, trial: BaseTrial) -> Configuration:
    """What an Optuna trial of `arm`'s study proposes. Only freed knobs of that arm are suggested."""
    assert spec.search is not None
    values = dict(spec.search.fixed[arm])
    for knob, values_of in spec.search.free[arm].items():
        values[knob] = coerce(spec.arms[arm].method, knob, _suggest_one(trial, knob, values_of))
    return configuration(spec, "search", arm, values)


def _suggest_one(trial: BaseTrial, knob: str, values: Range) -> Any:
    if values.kind == "choice":
        return trial.suggest_categorical(knob, values.choices)
    if values.kind == "int":
        return trial.suggest_int(knob, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(knob, values.low, values.high, log=values.log)


def confirm_configuration(spec: StudySpec, chosen: Configuration) -> Configuration:
    """A chosen configuration again, judged on the confirm split."""
    return {**chosen, "phase": "confirm", "evaluation": {**chosen["evaluation"], "split": "confirm",
                                                            "long_run": spec.evaluation.long_run}}


def estimate(spec: StudySpec) -> dict[str, Any]:
    """How large a study is, before it runs. Training only, in particle-gradient evaluations.

    {"phases": {phase: {"configurations", "replicates", "runs", "gradients": [low, high]}},
     "arms": {phase: {arm: {"configurations", "gradients": [low, high]}}},
     "equal_budget": {phase: largest arm's gradients / smallest arm's}}
    """
    found: dict[str, Any] = {"phases": {}, "arms": {}, "equal_budget": {}}
    for phase in PHASES:
        if not (replicates := spec.replicates(phase)):
            continue
        arms = {arm: _arm_estimate(spec, phase, arm, replicates) for arm in spec.arms}
        total = [sum(a["gradients"][end] for a in arms.values()) for end in (0, 1)]
        count = sum(a["configurations"] for a in arms.values())
        found["arms"][phase] = arms
        found["phases"][phase] = {"configurations": count, "replicates": replicates, "runs": count * replicates,
                                  "gradients": total}
        middles = [sum(a["gradients"]) / 2 for a in arms.values()]
        found["equal_budget"][phase] = max(middles) / min(middles)
    return found


def search_trials(spec: StudySpec) -> dict[str, int]:
    """Trials of each arm's search. Equal budgets are counted in particle-gradient evaluations, planned at the middle of
    the knobs' ranges: what `trials` cost the costliest arm pays for more of a cheaper one.
    """
    assert spec.search is not None
    middles = {arm: sum(_search_costs(spec, arm)) for arm in spec.arms}
    if spec.search.equal == "trials":
        return dict.fromkeys(spec.arms, spec.search.trials)
    return {arm: round(spec.search.trials * max(middles.values()) / middle) for arm, middle in middles.items()}


def _search_costs(spec: StudySpec, arm: str) -> tuple[int, int]:
    """Particle-gradient evaluations of a replicate of an arm's cheapest and costliest trial."""
    assert spec.search is not None
    free = {knob: r.corners() for knob, r in spec.search.free[arm].items() if knob in COSTLY}
    costs = [_cost(spec, arm, {**spec.search.fixed[arm], **dict(zip(free, corner, strict=True))})
             for corner in product(*free.values())]
    return min(costs), max(costs)


def _cost(spec: StudySpec, arm: str, values: Mapping[str, Any]) -> int:
    hp = spec.arms[arm].hparams(values)
    return gradient_evaluations(hp) * hp.updates


def _arm_estimate(spec: StudySpec, phase: str, arm: str, replicates: int) -> dict[str, Any]:
    if phase == "design" or spec.search is None:
        assert spec.design is not None
        costs = [_cost(spec, arm, cell) * replicates for cell in cells_of(spec.design.factors[arm])]
    else:
        costs = [cost * replicates for cost in _search_costs(spec, arm)]
    if phase == "design":
        return {"configurations": len(costs), "gradients": [sum(costs)] * 2}
    count = search_trials(spec)[arm] if phase == "search" else spec.confirm.top if spec.confirm else 0
    return {"configurations": count, "gradients": [count * min(costs), count * max(costs)]}
