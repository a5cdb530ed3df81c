"""The plan: what a study will run, what E13 predicts for it, its floors and its cost. plan.json, and MLflow's copy."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from study.schema.bound import Bound
from study.schema.columns import CELL

IN_CODES = ("noise a pixel: step_size sqrt(temperature), of one Langevin step, in units of the data (images span 2: "
            "black is -1, white 1, unless data.range says else; of a chain in z: a coordinate's); 2a / s^2 = "
            "score_scale / temperature: of a code that steps by a grad f + s eps")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PlannedData(_Part):
    """The data set. n: rows of each split."""

    name: str
    shape: list[int]
    content_hash: str
    n: dict[str, int]
    notes: str = ""


class Limit(_Part):
    """Step sizes above which training has no fixed point, for an arm with these knobs; None: no finite one.

    Of the direction with the smallest local spread and of the median one, each with the 95 % bounds of its sampling
    error; and the step size at which kappa* passes 1 in the median direction.
    """

    knobs: dict[str, Any]
    delta_min: float | None
    delta_min_low: float | None
    delta_min_high: float | None
    delta_med: float | None
    delta_med_low: float | None
    delta_med_high: float | None
    delta_kappa1: float | None


class PlannedArm(_Part):
    """A named variant of a method. fixed: the knobs that the spec fixes for it; limits: none where the law is silent;
    in_codes: as IN_CODES says, in words."""

    method: str
    fixed: dict[str, Any]
    limits: list[Limit]
    in_codes: dict[str, str] = {}


class LocalSpread(_Part):
    """Local standard deviation s of the data, in the smallest and the median direction, with standard errors, from k
    neighbours of n points. coarse: the neighbourhoods are too large a share of the points."""

    s_min: float
    s_med: float
    se_min: float
    se_med: float
    n: int
    k: int
    coarse: bool


class Floor(_Part):
    """Mean, sd and 95 % quantile of a measure of real data against real data: n rows in the samples' place, m as the
    reference."""

    mean: float
    sd: float
    high: float
    n: int
    m: int


class PlannedMeasure(_Part):
    """A measure from outside, for a report. direction: minimize | maximize; None: neither is better."""

    label: str
    direction: str | None
    unit: str


class Planned(_Part):
    """How much of a phase. exchanged: of its configurations those with another arm's settings."""

    configurations: int
    replicates: int
    exchanged: int = 0


class Extractor(_Part):
    """Whose features the measures see. accuracy: of a classifier, on the search split."""

    name: str
    accuracy: float | None


class Cell(_Part):
    """A configuration of the design."""

    config_hash: str
    arm: str
    method: str
    knobs: dict[str, Any]


class ArmCost(_Part):
    """Particle-gradient evaluations of training and of what is measured after it, low and high."""

    configurations: int
    gradients: tuple[float, float]
    measuring: tuple[float, float]


class PhaseCost(ArmCost):
    """runs: configurations x replicates."""

    replicates: int
    runs: int


class Estimate(_Part):
    """How large a study is, before it runs. equal_budget: phase -> largest arm's gradients / smallest arm's. seconds:
    low and high, of all units on so many CPUs."""

    phases: dict[str, PhaseCost]
    arms: dict[str, dict[str, ArmCost]]
    equal_budget: dict[str, float]
    seconds: tuple[float, float] = (0.0, 0.0)
    cpus: int = 1


class PlannedSearch(_Part):
    """diverged_value: arm -> what a diverged replicate counts as, an objective each; None: its own value counts. log:
    the searched knobs whose range is logarithmic. idle: arm -> those that have no effect there. constraints: measure ->
    its bound."""

    sampler: str
    arguments: dict[str, Any]
    prune: str | None
    objectives: list[str]
    directions: list[str]  # of the objectives: minimize | maximize
    diverged_value: dict[str, list[float | None]]
    log: list[str]
    idle: dict[str, list[str]] = {}
    constraints: dict[str, Bound] = {}


class PlannedMemory(_Part):
    """What tensors hold at the peak of the largest unit, in an update or an evaluation."""

    arm: str
    replicates: int
    bytes: int


class CommonCell(_Part):
    """Where the report compares the arms, fixed before any result."""

    step_size: float
    mcmc_steps: int


class Space(_Part):
    """The file that the study was launched from, so that a report can say how to make it again."""

    file: str
    text: str
    overrides: list[str]


class Plan(_Part):
    """Everything that is known of a study before it runs."""

    study: str
    study_version: str
    question: str
    data: PlannedData
    primary: str
    primary_long: str
    direction: str  # of the primary measure: minimize | maximize
    baseline: str
    common_cell: CommonCell | None
    factors: list[str]  # knobs that any phase varies, the design's first
    arms: dict[str, PlannedArm]
    spread: LocalSpread
    seeds: dict[str, list[int]]
    floors: dict[str, Floor]
    planned: dict[str, Planned]  # of the phases that the study has
    extractor: Extractor | None
    cells: list[Cell]
    estimate: Estimate
    search: PlannedSearch | None = None
    space: Space | None = None
    measures: dict[str, PlannedMeasure] = {}  # name -> those from outside
    memory: PlannedMemory | None = None  # None where no unit is large

    @property
    def objectives(self) -> list[str]:
        """What the search minimizes; none without one."""
        return self.search.objectives if self.search else []

    @property
    def signs(self) -> dict[str, int]:
        """Objective -> 1, or -1 where larger is better: a search minimizes the product."""
        return {} if self.search is None else {
            name: -1 if way == "maximize" else 1
            for name, way in zip(self.search.objectives, self.search.directions, strict=True)}

    @property
    def exchanged(self) -> int:
        """How many configurations are confirmed with another arm's settings, at most."""
        return self.planned["confirm"].exchanged if "confirm" in self.planned else 0

    @property
    def constraints(self) -> dict[str, Bound]:
        """As of the search; none without one."""
        return self.search.constraints if self.search else {}

    @property
    def diverged_values(self) -> dict[str, list[float | None]]:
        """As of the search; none without one."""
        return self.search.diverged_value if self.search else {}

    def replicates(self, phase: str) -> int:
        """Seeds of a configuration of this phase; 0 where the study has no such phase."""
        return self.planned[phase].replicates if phase in self.planned else 0

    def configurations(self, phase: str) -> int:
        """How many this phase has; 0 where the study has no such phase."""
        return self.planned[phase].configurations if phase in self.planned else 0

    @property
    def further(self) -> list[str]:
        """Factors beyond step size and MCMC steps: those that extend the name of an arm."""
        return [factor for factor in self.factors if factor not in CELL]

    def varied(self, arm: str) -> list[str]:
        """Those further factors of which the design has several levels for this arm."""
        knobs = [cell.knobs for cell in self.cells if cell.arm == arm]
        return [factor for factor in self.further if len({str(k.get(factor)) for k in knobs}) > 1]

    def comparisons(self) -> int:
        """How many the report will make with the baseline: one for each arm of the design, and for each setting of its
        further factors; where the baseline has such settings too, for those that it shares."""
        settings: dict[str, set[tuple[tuple[str, str], ...]]] = {}
        for arm in {cell.arm for cell in self.cells}:
            varied = self.varied(arm)
            settings[arm] = {tuple((f, str(cell.knobs.get(f))) for f in varied) for cell in self.cells
                             if cell.arm == arm}
        base = settings.pop(self.baseline, set())
        return sum(len(own) if len(base) == 1 else len(own & base) for own in settings.values())

    def labels(self) -> dict[str, str]:
        """config_hash of a design cell -> its arm's name, extended by the further factors that vary there."""
        varied = {arm: self.varied(arm) for arm in {cell.arm for cell in self.cells}}
        found = {}
        for cell in self.cells:
            suffix = ", ".join(f"{f}={_short(cell.knobs[f])}" for f in varied[cell.arm])
            found[cell.config_hash] = f"{cell.arm} ({suffix})" if suffix else cell.arm
        return found

    def in_codes(self) -> list[str]:
        """`kl, jko: noise a pixel 0.1; 2a / s^2 1`, a line for arms that are alike; then what that means."""
        arms: dict[str, list[str]] = {}
        for name, arm in self.arms.items():
            arms.setdefault("; ".join(" ".join(pair) for pair in arm.in_codes.items()), []).append(name)
        lines = [f"{', '.join(names)}: {text}" for text, names in arms.items() if text]
        return [*lines, IN_CODES] if lines else []

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return self.model_dump(mode="json")

    @classmethod
    def read(cls, found: Any) -> Plan:
        """What `plain` wrote. Raises ValueError for anything else."""
        return cls.model_validate(found)


def _short(value: Any) -> str:
    """2e8 as 2e+08; a number that four digits do not hold stays whole, or two arms would have one name."""
    if isinstance(value, float) and float(short := f"{value:.4g}") == value:
        return short
    return str(value)
