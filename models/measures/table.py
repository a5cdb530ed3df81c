"""Every measure, a row each: what it is called, what it is taken of, which way is better, and what reads it.

From it are read what an evaluation takes of samples, the objectives of a search, and the inputs of the verdict. Imports
no array library, so that a spec is checked without one. docs/metrics.md has the equations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.measures.naming import AIS_CHAINS

Place = Literal["plane", "images"]
Need = Literal["data's density", "model's density", "train split", "chance"]
EVERYWHERE: tuple[Place, ...] = ("plane", "images")
Better = Literal["minimize", "maximize"]
JUDGES = ("judge",)  # of spaces: the features of the data set's extractor, and of the user's


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A family of measures: one number a replicate each, in each of its spaces.

    by: who takes it: SampleMetrics (`samples`), Evaluator or the clock. function: of models.measures.quality, for
    SampleMetrics; field: which of its values, where it has several. spaces: `pixels` (the data as they are), `judge`,
    `second` (a random ConvNet's features beside a classifier's). direction: None where neither way is better.
    in_training: at every evaluation, not at the end alone. least, per_feature: rows that the smaller side needs; most:
    of samples; reference: held-out rows a sample (None: all). needs: what besides samples and held-out data.
    objective: whether a search may take it. verdict: by what name the verdict reads it. alarm: as a person reads it.
    """

    family: str
    function: str = ""
    field: str = ""
    by: Literal["samples", "evaluation", "clock"] = "samples"
    places: tuple[Place, ...] = EVERYWHERE
    spaces: tuple[str, ...] = ()
    n: int | Literal["samples"] | None = "samples"  # what stands at the end of its name
    direction: Better | None = None
    unit: str = ""
    in_training: bool = False
    least: int = 2
    per_feature: float = 0.0
    most: int | None = None
    reference: int | None = None
    needs: tuple[Need, ...] = ()
    objective: bool = False
    verdict: str = ""
    alarm: str = ""

    def name(self, samples: int, space: str = "") -> str:
        """`kid_clf64_256`; without the space where there is none but pixels."""
        number = samples if self.n == "samples" else self.n
        parts = [self.family, "" if self.spaces == ("pixels",) else space, "" if number is None else str(number)]
        return "_".join(filter(None, parts))

    def takes(self, n: int, m: int, features: int) -> bool:
        """Whether n samples and m held-out rows of so many features are enough, and n not too many."""
        rows = min(n, m)
        return rows >= self.least and rows >= self.per_feature * features and (
            self.most is None or n <= min(m, self.most))


def _judged(family: str, function: str, better: Better, field: str = "", *, least: int = 2, per_feature: float = 0.0,
            needs: tuple[Need, ...] = (), objective: bool = False) -> Measure:
    """On the features of images."""
    return Measure(family=family, function=function, field=field, places=("images",), spaces=JUDGES, direction=better,
                   least=least, per_feature=per_feature, needs=needs, objective=objective)


def _flat(family: str, function: str, better: Better, field: str = "", *, unit: str = "", most: int | None = None,
          reference: int | None = None, needs: tuple[Need, ...] = (), objective: bool = False, verdict: str = "",
          alarm: str = "") -> Measure:
    """Of points of the plane."""
    return Measure(family=family, function=function, field=field, places=("plane",), spaces=("pixels",),
                   direction=better, unit=unit, most=most, reference=reference, needs=needs, verdict=verdict,
                   alarm=alarm, objective=objective)


def _grid(family: str, better: Better | None, unit: str = "", alarm: str = "") -> Measure:
    return Measure(family=family, by="evaluation", places=("plane",), n=None, direction=better, unit=unit, alarm=alarm,
                   needs=("data's density", "model's density"), objective=family == "kl_grid")


MEASURES = (  # of a place the first one with a value in training is the primary measure
    Measure(family="variance_ratio", function="variance_ratio", spaces=("pixels",), verdict="variance_ratio",
            alarm="< 1/4 and bad: collapsed"),
    Measure(family="energy_distance", function="energy_distance", places=("plane",), spaces=("pixels",),
            direction="minimize", unit="length", in_training=True, objective=True),
    # MMD's cost grows with the square of the reference, its noise is that of the samples: 4 n rows will do.
    _flat("mmd", "mmd", "minimize", reference=4),
    _flat("w2", "w2", "minimize", unit="length", reference=1, most=1500),
    _flat("modes", "mode_coverage", "maximize", "modes", needs=("data's density",), verdict="modes",
          alarm="< 1/2 and bad: collapsed", objective=True),
    _flat("near_mode", "mode_coverage", "maximize", "near", needs=("data's density",), objective=True),
    _grid("kl_grid", "minimize", "nats"),
    _grid("tv_grid", "minimize"),
    _grid("nll_grid", "minimize", "nats per dimension"),
    _grid("border_grid", None, alarm="not small: mass beyond the square is unseen"),
    Measure(family="kid", function="kid", places=("images",), spaces=("judge", "second"), direction="minimize",
            in_training=True, objective=True),
    _judged("fd", "fd", "minimize", per_feature=2, objective=True),
    _judged("fdinf", "fd_infinity", "minimize", per_feature=2.5, needs=("chance",)),
    _judged("precision", "manifold", "maximize", "precision", least=6, objective=True),
    _judged("recall", "manifold", "maximize", "recall", least=6, objective=True),
    _judged("density", "manifold", "maximize", "density", least=6, objective=True),
    _judged("coverage", "manifold", "maximize", "coverage", least=6, objective=True),
    *(Measure(family=family, function="memory", field=family, places=("images",), spaces=("pixels", "judge"), least=1,
              needs=("train split",)) for family in ("nearer_train", "copies")),
    Measure(family="saturation_excess", by="evaluation", places=("images",), spaces=("pixels",),
            verdict="saturation_excess", alarm="> 1/2 and bad: collapsed"),
    *(Measure(family=family, by="evaluation", n=AIS_CHAINS, direction="minimize", unit="nats per dimension",
              needs=("model's density",)) for family in ("nll_ais_forward", "nll_ais_reverse")),
    *(Measure(family=family, by="evaluation", n=AIS_CHAINS, unit="chains", needs=("model's density",))
      for family in ("ess_ais_forward", "ess_ais_reverse")),
    Measure(family="particle_gradients", by="clock", n=None, direction="minimize", in_training=True, objective=True),
    Measure(family="wall_seconds", by="clock", n=None, direction="minimize", unit="s", in_training=True,
            objective=True),
)


def primary(place: Place) -> Measure:
    """What a study is judged by: the energy distance in the plane, KID on images."""
    return next(m for m in MEASURES if place in m.places and m.in_training)


def larger_is_better(name: str) -> bool:
    """Of a measure by its name, such as `recall_clf64_256`. Unknown ones are better smaller."""
    return any(m.direction == "maximize" and f"{name}_".startswith(f"{m.family}_") for m in MEASURES)
