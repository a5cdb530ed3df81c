"""Makes the plan, before Ray starts: what the data, the law and the floors say of what the spec asks for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.data.data import Data
from models.measures.naming import LONG_CHAINS, long_chains, long_name
from models.measures.table import MeasureError, own_measure
from models.networks.knobs import like_width
from study.plan.codes import in_codes
from study.plan.identity import config_hash, phase_seeds, study_version
from study.plan.memory import largest
from study.plan.prediction import arm_limits, spread_of
from study.plan.samplers import sampler_arguments
from study.plan.space import confirm_sizes, design_configurations, estimate
from study.schema.plan import (
    Cell,
    CommonCell,
    Estimate,
    Extractor,
    Floor,
    LocalSpread,
    Plan,
    Planned,
    PlannedArm,
    PlannedData,
    PlannedMeasure,
    PlannedSearch,
)
from study.schema.unit import PHASES
from study.spec import StudySpec
from study.spec.knobs import idle
from study.spec.model import cells_of

if TYPE_CHECKING:
    from models.data.disk.index import Say
    from models.measures.sample_metrics import SampleMetrics

FLOOR_DRAWS = 20
SECONDS_A_CALL = 5e-4
SECONDS_AN_EVALUATION = {False: (0.01, 0.05), True: (0.03, 0.3)}  # a replicate, in training and after: plane, images


def make_plan(spec: StudySpec, data: Data, cpus: int, cache_dir: Path, say: Say = lambda line: None) -> Plan:
    """Trains the data set's feature extractor if `cache_dir` has none yet, and says so; the rest takes seconds.

    Raises ValueError or OSError for `evaluation.features` that cannot be used, MeasureError for a measure from outside.
    """
    from models.measures.sample_metrics import SampleMetrics

    own = None
    if spec.evaluation.features is not None:
        from models.measures.feature_file import own_extractor  # imports torch

        own = own_extractor(spec.evaluation.features, data.extent)
    measures = [own_measure(place) for place in spec.evaluation.measures]
    if len(data.shape) == 3:
        from models.measures.features import is_kept

        if not is_kept(data, cache_dir):
            say(f"training the features that judge samples (seconds, at 32 pixels a minute), kept in {cache_dir}")
    metrics = SampleMetrics(data, spec.evaluation.samples, spec.evaluation.split, cache_dir, own, measures)
    local = spread_of(data, spec.seed)
    spread = LocalSpread(n=local.n, k=local.k, coarse=local.coarse, **{
        key: float(getattr(local, key)) for key in ("s_min", "s_med", "se_min", "se_med")})
    floors = metrics.floors(FLOOR_DRAWS, np.random.default_rng(spec.seed))
    few = SampleMetrics(data, long_chains(spec.evaluation.samples), spec.evaluation.split, cache_dir)
    long = long_name(spec.primary)
    floors[long] = few.floors(FLOOR_DRAWS, np.random.default_rng(spec.seed), [few.primary])[few.primary]
    if bad := next((name for name, floor in floors.items() if not math.isfinite(floor.mean + floor.sd)), ""):
        raise MeasureError(f"measure {bad}: found {floors[bad].mean} of real data against real data, expected a number")
    sizes = estimate(spec)
    return Plan(
        study=spec.study, study_version=study_version(spec.resolved(), data.content_hash), question=spec.question,
        data=PlannedData(name=data.name, shape=list(data.shape), content_hash=data.content_hash, notes=data.notes,
                         n={name: len(getattr(data, name)) for name in ("train", "search", "confirm")}),
        primary=spec.primary, primary_long=long, direction=metrics.direction or "minimize", baseline=spec.baseline,
        common_cell=common_cell(spec), factors=_factors(spec), spread=spread,
        arms={name: PlannedArm(method=arm.method, fixed=dict(arm.knobs), limits=arm_limits(spec, arm, spread),
                               in_codes=in_codes(spec, arm))
              for name, arm in spec.arms.items()},
        seeds={phase: phase_seeds(spec, phase) for phase in PHASES},
        floors={name: Floor(**floor._asdict()) for name, floor in floors.items()},
        planned={phase: Planned(configurations=p.configurations, replicates=p.replicates,
                                exchanged=_exchanged(spec, phase)) for phase, p in sizes.phases.items()},
        extractor=None if metrics.extractor is None else Extractor(
            name=metrics.extractor.name, accuracy=metrics.extractor.accuracy),
        cells=[Cell(config_hash=config_hash(c, data.content_hash), arm=c.arm, method=c.method, knobs=dict(c.knobs))
               for c in design_configurations(spec)],
        estimate=sizes.model_copy(update={"seconds": tuple(_seconds(spec, data, sizes, end) / cpus for end in (0, 1)),
                                          "cpus": cpus}),
        measures={name: PlannedMeasure(label=m.label or m.family, direction=m.direction, unit=m.unit)
                  for m in measures for name in metrics.named(m)},
        memory=largest(spec, data), search=None if spec.search is None else PlannedSearch(
            sampler=spec.search.sampler, arguments=dict(sampler_arguments(spec.search.sampler)),
            prune=spec.search.prune, objectives=list(spec.search.objectives),
            directions=list(spec.search.directions),
            diverged_value={arm: diverged_values(spec, arm, data, metrics) for arm in spec.arms},
            idle={name: sorted(idle(arm.method, arm.full(spec.search.fixed[name])) & {*_factors(spec)})
                  for name, arm in spec.arms.items()},
            constraints=dict(spec.search.constraints),
            log=sorted({knob for free in spec.search.free.values() for knob, r in free.items() if r.log})))


def _exchanged(spec: StudySpec, phase: str) -> int:
    """How many configurations of a phase have another arm's settings, at most."""
    if phase != "confirm" or spec.confirm is None:
        return 0
    return sum(confirm_sizes(spec).values()) - spec.confirm.top * len(spec.arms)


def common_cell(spec: StudySpec) -> CommonCell | None:
    """Where the report compares the arms, fixed before any result: `compare_at`, or of the baseline's design cells
    those with the most MCMC steps, and of their step sizes the middle one (of two middle ones the smaller)."""
    if spec.compare_at is not None:
        return CommonCell(**spec.compare_at)
    if spec.design is None:
        return None
    arm = spec.arms[spec.baseline]
    cells = {(hp.mcmc_steps, hp.step_size) for hp in map(arm.hparams, cells_of(spec.design.factors[spec.baseline]))}
    most = max(steps for steps, _ in cells)
    levels = sorted(size for steps, size in cells if steps == most)
    return CommonCell(step_size=levels[(len(levels) - 1) // 2], mcmc_steps=most)


def diverged_values(spec: StudySpec, arm: str, data: Data, metrics: SampleMetrics) -> list[float | None]:
    """What a diverged replicate of an arm counts as, an objective each. `reference`: that of its reference's samples.

    None where the reference has no such value (costs): the replicate's own stands.
    """
    assert spec.search is not None
    sigma = float(getattr(spec.arms[arm].hparams(spec.search.fixed[arm]), "sigma", 1.0))
    rng = np.random.default_rng(spec.seed)
    samples = (sigma * rng.standard_normal((spec.evaluation.samples, *data.shape))).astype(np.float32)
    known = metrics.all(samples)
    known[long_name(metrics.primary)] = known[metrics.primary]
    if data.density is not None:
        from models.measures.quality import grid_kl

        known["kl_grid"] = grid_kl(lambda x: -np.square(x).sum(1) / (2 * sigma**2), data.density).kl
    own = {name for m in metrics.rows if callable(m.function) for name in metrics.named(m)}
    if lacking := next((name for name in spec.search.objectives if name in own and name not in known), ""):
        raise MeasureError(f"measure {lacking}: found none of {spec.evaluation.samples} samples, expected one: it is "
                           "an objective of the search")
    if bad := next((name for name in spec.search.objectives if not math.isfinite(known.get(name, 0.0))), ""):
        raise MeasureError(f"measure {bad}: found {known[bad]} of the reference's samples, expected a number: it "
                           "stands for a diverged replicate (search.diverged_value)")
    return [known.get(name) if value == "reference" else float(value)
            for name, value in zip(spec.search.objectives, spec.search.diverged_value, strict=True)]


def _factors(spec: StudySpec) -> list[str]:
    """Knobs that any phase varies, the design's first."""
    design = [] if spec.design is None else [
        knob for factors in spec.design.factors.values() for f in factors if len(f.rows) > 1 for knob in f.knobs]
    search = [] if spec.search is None else [knob for free in spec.search.free.values() for knob in free]
    return list(dict.fromkeys(design + search))


def _seconds(spec: StudySpec, data: Data, sizes: Estimate, end: int) -> float:
    """CPU seconds of all units on one core in single precision, low (end 0) or high (1): a rough guess.

    A part for each particle-gradient evaluation that grows with the net, one for each call of the net, which serves a
    batch of all replicates, and one for each evaluation; with an upsampler a gradient passes two nets. All were fitted
    by eye to a few timings.
    """
    point, last = SECONDS_AN_EVALUATION[len(data.shape) > 1]
    total = 0.0
    for phase, p in sizes.phases.items():
        for arm, a in sizes.arms[phase].items():
            hp = spec.arms[arm].hparams({})
            each = (1.5e-7 * like_width(hp) if len(data.shape) == 1 else
                    1.7e-8 * math.prod(data.shape[1:]) * like_width(hp) ** 1.25) * (1 + hp.uses_generator)
            total += (a.gradients[end] * (each + SECONDS_A_CALL / (hp.batch_size * p.replicates))
                      + a.measuring[end] * (each + SECONDS_A_CALL / (LONG_CHAINS * p.replicates)))
        total += p.runs * (spec.evaluation.points * point + last)
    return total
