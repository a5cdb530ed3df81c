"""What a study is, once checked: frozen, every default filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import product
from typing import Any

from models.methods.hparams import HParams
from study.schema.bound import Bound
from study.schema.unit import Evaluation
from study.spec.imports import Imported
from study.spec.knobs import Range, hparams

KEEP = ("final", "best", "none")  # whose networks stay after training: all, the best, none
MAX_REPLICATES = 1000  # of a phase: the seeds of the phases are this far apart


@dataclass(frozen=True)
class Arm:
    """A named variant of a method. `knobs`: what the spec fixes for it in every phase."""

    name: str
    method: str
    knobs: Mapping[str, Any]

    def full(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Every knob of the method: `values` over the arm's knobs over the defaults. A budget is its updates."""
        hp = self.hparams(values)
        return {f.name: getattr(hp, f.name) for f in fields(hp) if f.name != "budget"}

    def said(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same, but for a budget: it stands in place of its updates, which depend on knobs that may vary."""
        if (budget := {**self.knobs, **values}.get("budget")) is None:
            return self.full(values)
        return {"budget": budget, **{knob: value for knob, value in self.full(values).items() if knob != "updates"}}

    def hparams(self, values: Mapping[str, Any]) -> HParams:
        """The same as the dataclass of the method, and of its network."""
        return hparams(self.method, {**self.knobs, **values})


@dataclass(frozen=True)
class Factor:
    """A knob of the design and its levels; or several knobs paired by `zip`. One row gives each knob a value."""

    knobs: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def cells_of(factors: tuple[Factor, ...]) -> Iterator[dict[str, Any]]:
    """Every combination of the factors' rows, as knob -> value."""
    for rows in product(*(factor.rows for factor in factors)):
        yield {knob: value for factor, row in zip(factors, rows, strict=True)
               for knob, value in zip(factor.knobs, row, strict=True)}


@dataclass(frozen=True)
class Design:
    """Every cell of a grid, for claims."""

    replicates: int
    factors: Mapping[str, tuple[Factor, ...]]  # arm -> its factors; all combinations of their rows are its cells


@dataclass(frozen=True)
class Search:
    """One Optuna study an arm, for finding."""

    replicates: int
    sampler: str
    trials: int  # of the costliest arm
    equal: str  # gradients: cheaper arms get as many more trials as cost the same; trials: all arms have as many
    objectives: tuple[str, ...]  # names of measures
    directions: tuple[str, ...]  # of each: minimize | maximize
    prune: str | None
    diverged_value: tuple[float | str, ...]  # an objective; "reference": the objective of samples from the reference
    fixed: Mapping[str, Mapping[str, Any]]  # arm -> knob -> value
    free: Mapping[str, Mapping[str, Range]]  # arm -> knob -> range
    constraints: Mapping[str, Bound] = field(default_factory=dict)  # by measure


@dataclass(frozen=True)
class Confirm:
    """The best `top` configurations of each arm again, on fresh seeds and held-out samples; and its best one with the
    values that the best `exchange` of every other arm have of the knobs that both search."""

    top: int
    replicates: int
    exchange: int = 0


@dataclass(frozen=True)
class Resources:
    """What one unit of work occupies. gpu "auto": 1 where the cluster has GPUs, else 0."""

    cpu: float
    gpu: float | str


@dataclass(frozen=True)
class StudySpec:
    """A study, checked. `primary` is the measure that its claims are about."""

    study: str
    question: str
    data: Mapping[str, Any]  # {name, size}, or images on disk: models.data.disk.options
    arms: Mapping[str, Arm]
    baseline: str
    compare_at: Mapping[str, Any] | None  # {step_size, mcmc_steps} where the report compares the arms; None: the plan's
    seed: int
    design: Design | None
    search: Search | None
    confirm: Confirm | None
    evaluation: Evaluation
    resources: Resources
    primary: str
    imports: Mapping[str, Imported] = field(default_factory=dict)  # the user's own modules
    keep: str = KEEP[0]

    def replicates(self, phase: str) -> int:
        """How many seeds a configuration of this phase gets; 0 where the study has no such phase."""
        found: Design | Search | Confirm | None = getattr(self, phase)
        return found.replicates if found else 0

    @property
    def checksums(self) -> dict[str, str]:
        """Of the user's own modules, by name."""
        return {name: one.checksum for name, one in self.imports.items()}

    def resolved(self) -> dict[str, Any]:
        """Everything as plain JSON values, defaults filled in: for display, spec.json and MLflow."""
        return {
            "study": self.study, "question": self.question, "data": dict(self.data), "baseline": self.baseline,
            "compare_at": self.compare_at and dict(self.compare_at), "seed": self.seed, "primary": self.primary,
            "arms": {name: {"method": arm.method, "knobs": arm.said({})} for name, arm in self.arms.items()},
            "design": self.design and {
                "replicates": self.design.replicates,
                "factors": {arm: [{"knobs": list(f.knobs), "rows": [list(row) for row in f.rows]} for f in factors]
                            for arm, factors in self.design.factors.items()}},
            "search": self.search and {
                **{key: getattr(self.search, key) for key in ("replicates", "sampler", "trials", "equal", "prune")},
                "objectives": list(self.search.objectives),
                "diverged_value": list(self.search.diverged_value),
                **({"constraints": {name: bound.limit for name, bound in self.search.constraints.items()}}
                   if self.search.constraints else {}),
                "space": {arm: {**self.search.fixed[arm],
                                **{knob: r.plain() for knob, r in self.search.free[arm].items()}}
                          for arm in self.arms}},
            "confirm": self.confirm and {key: value for key, value in asdict(self.confirm).items() if value},
            "evaluation": asdict(self.evaluation), "resources": asdict(self.resources),
            "keep": self.keep,
            **({"import": self.checksums} if self.imports else {})}


def fixed_in(spec: StudySpec, arm: Arm) -> Iterator[Mapping[str, Any]]:
    """What each cell of the design gives an arm's knobs, and what the search fixes, last."""
    if spec.design is not None:
        yield from cells_of(spec.design.factors[arm.name])
    if spec.search is not None:
        yield spec.search.fixed[arm.name]
