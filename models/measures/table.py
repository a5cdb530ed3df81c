"""One row per measure: what it is called, what it is taken of, which way is better, and what reads it. One from
outside is such a row, too.

From it are read what an evaluation takes of samples, the objectives of a search, and the inputs of the verdict. Imports
no array library, so that a spec is checked without one. docs/metrics.md has the equations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from models.measures.naming import AIS_CHAINS
from models.registry import find

Place = Literal["plane", "images"]
Need = Literal["data's density", "model's density", "train split", "chance"]
EVERYWHERE: tuple[Place, ...] = ("plane", "images")
Better = Literal["minimize", "maximize"]
SPACES = ("pixels", "judge", "second")
JUDGES = ("judge",)  # of spaces: the features of the data set's extractor, and of the user's


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A family of measures: one number a replicate each, in each of its spaces.

    label: in words. by: who takes it: SampleMetrics (`samples`), Evaluator or the clock. function: for SampleMetrics,
    one of models.measures.quality, or itself: samples and held-out data, each (n, features), -> a number; field:
    which of its values, where it has several. spaces: `pixels` (the data as they are), `judge`, `second` (a random
    ConvNet's features). direction: None where neither way is better. in_training: at every
    evaluation, not at the end alone. least, per_feature: rows that the smaller side needs; most: of samples;
    reference: held-out rows a sample (None: all). needs: what besides samples and held-out data: with `data's
    density` the function is given it instead of data, with `chance` a generator, too, with `train split` distances to
    the nearest training row instead of rows. objective: whether a search may take it. verdict: by what name the
    verdict reads it. alarm: as a person reads it.
    """

    family: str
    label: str = ""
    function: str | Callable[..., Any] = ""
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

    def problem(self) -> str:
        """Why it cannot be one from outside, which SampleMetrics takes at the end of training; or ""."""
        if not callable(self.function):
            return "its function cannot be called"
        if not isinstance(self.family, str) or not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", self.family):
            return f"its family is {self.family!r}, expected small letters, digits and _"
        if alike := next((m.family for m in MEASURES if f"{m.family}_".startswith(f"{self.family}_")
                          or f"{self.family}_".startswith(f"{m.family}_")), ""):
            return f"its family is {self.family!r}, which reads like the built-in {alike}"
        if self.direction not in (None, "minimize", "maximize"):
            return f"its direction is {self.direction!r}, expected minimize or maximize"
        if self.objective and self.direction is None:
            return "it is an objective and states no direction"
        if not self.spaces:
            return "it states no spaces, such as ('pixels',)"
        if unknown := next((space for space in self.spaces if space not in SPACES), ""):
            return f"it states the space {unknown!r}, expected one of {', '.join(SPACES)}"
        if "plane" in self.places and "pixels" not in self.spaces:
            return "it states the place plane, where there is no space but pixels"
        if "model's density" in self.needs:
            return "it needs the model's density, which only built-in ones are given"
        own = Measure(family=self.family)
        if said := next((key for key in ("by", "n", "in_training", "verdict", "field")
                         if getattr(self, key) != getattr(own, key)), ""):
            return f"it states {said}, which only built-in ones have"
        return ""

    def takes(self, n: int, m: int, features: int) -> bool:
        """Whether n samples and m held-out rows of so many features are enough, and n not too many."""
        return not self.refuses(n, m, features)

    def refuses(self, n: int, m: int, features: int) -> str:
        """Why these rows do not allow it; "" where they do."""
        least = max(self.least, math.ceil(self.per_feature * features))
        if min(n, m) < least:
            return f"found {n} samples and {m} held-out rows, expected at least {least} of each"
        if self.most is not None and n > min(m, self.most):
            return f"found {n} samples, expected at most {min(m, self.most)}"
        return ""


def _row(family: str, label: str, function: str = "", direction: Better | None = None, field: str = "",
         **more: Any) -> Measure:
    return Measure(family=family, label=label, function=function, direction=direction, field=field, **more)


_judged = partial(_row, places=("images",), spaces=JUDGES)
_flat = partial(_row, places=("plane",), spaces=("pixels",))
_grid = partial(_row, by="evaluation", places=("plane",), n=None, needs=("data's density", "model's density"))
_memory = partial(_row, function="memory", places=("images",), spaces=("pixels", "judge"), least=1,
                  needs=("train split",))
_ais = partial(_row, by="evaluation", n=AIS_CHAINS, needs=("model's density",))

MEASURES = (  # of a place the first one with a value in training is the primary measure
    Measure(family="variance_ratio", label="variance of the samples over that of the data", function="variance_ratio",
            spaces=("pixels",), verdict="variance_ratio", alarm="< 1/4 and bad: collapsed"),
    Measure(family="energy_distance", label="energy distance, unbiased", function="energy_distance", places=("plane",),
            spaces=("pixels",), direction="minimize", unit="length", in_training=True, objective=True),
    # MMD's cost grows with the square of the reference, its noise is that of the samples: 4 n rows will do.
    _flat("mmd", "squared MMD with five Gaussian kernels, unbiased", "mmd", "minimize", reference=4),
    _flat("w2", "Wasserstein distance of order 2", "w2", "minimize", unit="length", reference=1, most=1500),
    _flat("modes", "share of modes with a fifth of their samples", "mode_coverage", "maximize", "modes",
          needs=("data's density",), verdict="modes", alarm="< 1/2 and bad: collapsed", objective=True),
    _flat("near_mode", "share of samples near a mode", "mode_coverage", "maximize", "near", needs=("data's density",),
          objective=True),
    _grid("kl_grid", "KL(data || model) on a grid", direction="minimize", unit="nats", objective=True),
    _grid("tv_grid", "total variation on a grid", direction="minimize"),
    _grid("nll_grid", "negative log-likelihood of held-out data on a grid", direction="minimize",
          unit="nats per dimension"),
    _grid("border_grid", "the model's share at the square's border",
          alarm="not small: mass beyond the square is unseen"),
    Measure(family="kid", label="KID: squared MMD with the cubic kernel, unbiased", function="kid", places=("images",),
            spaces=("judge", "second"), direction="minimize", in_training=True, objective=True),
    _judged("fd", "Frechet distance, biased", "fd", "minimize", per_feature=2, objective=True),
    _judged("fdinf", "Frechet distance, extrapolated to infinite n", "fd_infinity", "minimize", per_feature=2.5,
            needs=("chance",)),
    _judged("precision", "share of samples in the data's balls", "manifold", "maximize", "precision", least=6,
            objective=True),
    _judged("recall", "share of data in the samples' balls", "manifold", "maximize", "recall", least=6, objective=True),
    _judged("density", "how many of the data's balls hold a sample, over k", "manifold", "maximize", "density", least=6,
            objective=True),
    _judged("coverage", "share of the data's balls that hold a sample", "manifold", "maximize", "coverage", least=6,
            objective=True),
    _memory("nearer_train", "P(a sample is nearer to the train split than held-out data)", field="nearer_train"),
    _memory("copies", "share of samples nearer than 95 % of held-out data", field="copies"),
    Measure(family="saturation_excess", label="share of saturated pixels, less that of the data", by="evaluation",
            places=("images",), spaces=("pixels",), verdict="saturation_excess", alarm="> 1/2 and bad: collapsed"),
    _ais("nll_ais_forward", "negative log-likelihood by forward AIS", direction="minimize", unit="nats per dimension"),
    _ais("nll_ais_reverse", "negative log-likelihood by reverse AIS", direction="minimize", unit="nats per dimension"),
    _ais("ess_ais_forward", "effective size of forward AIS", unit="chains"),
    _ais("ess_ais_reverse", "effective size of reverse AIS", unit="chains"),
    Measure(family="particle_gradients", label="gradients of one particle's potential", by="clock", n=None,
            direction="minimize", in_training=True, objective=True),
    Measure(family="wall_seconds", label="elapsed time", by="clock", n=None, direction="minimize", unit="s",
            in_training=True, objective=True),
)


def primary(place: Place) -> Measure:
    """What a study is judged by: the energy distance in the plane, KID on images."""
    return next(m for m in MEASURES if place in m.places and m.in_training)


def own_measure(place: str) -> Measure:
    """The one at `package.module:name`. Raises FindError."""
    found: Measure = find("measure", place)
    return found


class MeasureError(ValueError):
    """A measure from outside failed; one sentence."""
