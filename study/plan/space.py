"""StudySpec -> configurations: every cell of the design, or one suggestion of a sampler. Imports no optuna."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from models.measures.naming import AIS_CHAINS, long_chains
from study.schema.canonical import canonical
from study.schema.plan import ArmCost, Estimate, PhaseCost
from study.schema.unit import PHASES, Configuration
from study.spec import StudySpec
from study.spec.knobs import METHODS, Range, coerce, with_network
from study.spec.model import cells_of, fixed_in

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


def configuration(spec: StudySpec, phase: str, arm: str, values: Mapping[str, Any]) -> Configuration:
    """One trial's configuration: the arm's knobs with `values` over them, defaults filled in.

    A search has no long run, which would cost it trials, unless an objective or a constraint is measured there.
    """
    evaluation = spec.evaluation
    if phase == "search" and spec.search and not any(
            name.endswith("_long") for name in (*spec.search.objectives, *spec.search.constraints)):
        evaluation = replace(evaluation, long_run=0)
    method, knobs = spec.arms[arm].method, spec.arms[arm].full(values)
    own = any(":" in str(name) for name in (method, knobs["network"], spec.data.get("name", ""), *evaluation.measures))
    return Configuration(phase, arm, method, dict(spec.data), knobs, evaluation, spec.checksums if own else {})


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
    kind = with_network(spec.arms[arm].method, {**spec.arms[arm].knobs, **values}.get("network"))
    for knob, values_of in spec.search.free[arm].items():
        values[knob] = coerce(kind, knob, _suggest_one(trial, knob, values_of))
    return configuration(spec, "search", arm, values)


def _suggest_one(trial: BaseTrial, knob: str, values: Range) -> Any:
    if values.kind == "choice":
        return trial.suggest_categorical(knob, values.choices)
    if values.kind == "int":
        return trial.suggest_int(knob, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(knob, values.low, values.high, log=values.log)


def confirm_configuration(spec: StudySpec, chosen: Configuration) -> Configuration:
    """A chosen configuration again, judged on the confirm split."""
    return replace(chosen, phase="confirm", evaluation=replace(chosen.evaluation, split="confirm",
                                                               long_run=spec.evaluation.long_run))


def exchanged(spec: StudySpec, own: Configuration, other: Configuration) -> Configuration:
    """What is confirmed of an arm's best with what another arm's has of the knobs that both search in one range."""
    assert spec.search is not None
    knobs = {knob: own.knobs[knob] for knob in spec.search.free[own.arm]}
    knobs |= {knob: other.knobs[knob] for knob in _shared(spec, own.arm, other.arm)}
    return confirm_configuration(spec, configuration(spec, "search", own.arm, {**spec.search.fixed[own.arm], **knobs}))


def _shared(spec: StudySpec, arm: str, other: str) -> list[str]:
    """The knobs that two arms search in one range, so that each may take the other's value."""
    assert spec.search is not None
    free = spec.search.free
    return [knob for knob, values in free[arm].items() if free[other].get(knob) == values]


def confirm_sizes(spec: StudySpec) -> dict[str, int]:
    """How many configurations of each arm are confirmed."""
    if spec.confirm is None:
        return dict.fromkeys(spec.arms, 0)
    exchange = spec.confirm.exchange
    return {arm: spec.confirm.top + sum(exchange for other in spec.arms if exchange and other != arm
                                        and _shared(spec, arm, other)) for arm in spec.arms}


def estimate(spec: StudySpec) -> Estimate:
    """How large a study is, before it runs, in particle-gradient evaluations: `gradients` of training, the currency of
    equal budgets, and beside it `measuring`, what long runs and AIS take after it."""
    found = Estimate(phases={}, arms={}, equal_budget={})
    for phase in PHASES:
        if not (replicates := spec.replicates(phase)):
            continue
        arms = {arm: _arm_estimate(spec, phase, arm, replicates) for arm in spec.arms}
        count = sum(a.configurations for a in arms.values())
        found.arms[phase] = arms
        found.phases[phase] = PhaseCost(
            configurations=count, replicates=replicates, runs=count * replicates,
            gradients=_summed(a.gradients for a in arms.values()),
            measuring=_summed(a.measuring for a in arms.values()))
        middles = [sum(a.gradients) / 2 for a in arms.values()]
        found.equal_budget[phase] = max(middles) / min(middles)
    return found


def _summed(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    low, high = map(sum, zip(*pairs, strict=True))
    return low, high


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
    costs = [_cost(spec, arm, values) for values in _corners(spec, arm)]
    return min(costs), max(costs)


def _corners(spec: StudySpec, arm: str) -> list[dict[str, Any]]:
    """The ends of an arm's search space, in the knobs that cost depends on."""
    assert spec.search is not None
    costly = METHODS[spec.arms[arm].method].entering("cost")
    free = {knob: r.corners() for knob, r in spec.search.free[arm].items() if knob in costly}
    return [{**spec.search.fixed[arm], **dict(zip(free, corner, strict=True))} for corner in product(*free.values())]


def most_updates(spec: StudySpec, arm: str) -> int:
    """Of an arm's longest trial."""
    return max(spec.arms[arm].hparams(values).updates for values in _corners(spec, arm))


def paid_updates(spec: StudySpec, arm: str) -> tuple[int, int] | None:
    """The fewest and the most updates that an arm's budget pays for; None without one."""
    one, places = spec.arms[arm], [*fixed_in(spec, spec.arms[arm]), *(_corners(spec, arm) if spec.search else ())]
    found = [one.hparams(values).updates for values in places if "budget" in one.said(values)]
    return (min(found), max(found)) if found else None


def _cost(spec: StudySpec, arm: str, values: Mapping[str, Any]) -> int:
    hp = spec.arms[arm].hparams(values)
    return hp.gradients_until(hp.updates)


def _measuring(spec: StudySpec, phase: str, arm: str, values: Mapping[str, Any]) -> int:
    """Particle-gradient evaluations of what is measured after training with chains of its own. A long run takes those
    of the last space alone; AIS, whose two runs have a pilot of 16 temperatures, only chains in image space."""
    hp, evaluation = spec.arms[arm].hparams(values), configuration(spec, phase, arm, {}).evaluation
    long = long_chains(evaluation.samples) * evaluation.long_run * hp.mcmc_steps
    steps = 0 if hp.latent_chain else evaluation.ais_steps
    return int(long + (2 * AIS_CHAINS * (steps + 16) if steps else 0))


def _arm_estimate(spec: StudySpec, phase: str, arm: str, replicates: int) -> ArmCost:
    if phase == "design" or spec.search is None:
        assert spec.design is not None
        trials = list(cells_of(spec.design.factors[arm]))
    else:
        trials = _corners(spec, arm)
    costs = [_cost(spec, arm, trial) * replicates for trial in trials]
    others = [_measuring(spec, phase, arm, trial) * replicates for trial in trials]
    if phase == "design":
        return ArmCost(configurations=len(costs), gradients=(sum(costs),) * 2, measuring=(sum(others),) * 2)
    count = (search_trials if phase == "search" else confirm_sizes)(spec)[arm]
    return ArmCost(configurations=count, gradients=(count * min(costs), count * max(costs)),
                   measuring=(count * min(others), count * max(others)))
