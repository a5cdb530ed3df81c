"""The measures of samples against one split of the data, by name; and their floors.

A name carries the measure, the space in which it is taken and the number of samples: `fd_clf64_256`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.data.data import Data, some
from models.measures import quality
from models.measures.table import MEASURES, Measure, MeasureError, Place, primary

if TYPE_CHECKING:
    from models.measures.feature_file import FileExtractor
    from models.measures.features import Extractor

Space = Callable[[np.ndarray], np.ndarray]  # (n, *shape) -> (n, d)
Rows = dict[str, np.ndarray]  # by space: points (n, d), or their distances to the train split (n,)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """What code from outside does to torch's settings in the block is undone: the next unit trains in this process."""
    import torch

    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    with torch.set_grad_enabled(torch.is_grad_enabled()):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)


def _flat(points: np.ndarray) -> np.ndarray:
    return points.reshape(len(points), -1)


@lru_cache(maxsize=8)
def _train(space: Space, data: Data) -> np.ndarray:
    return space(some(data.train))


class SampleMetrics:
    """Distances of samples from one split of the data: KID and more on features, or energy distance in the plane."""

    def __init__(self, data: Data, samples: int, split: str = "search", cache_dir: str | Path | None = None,
                 own: FileExtractor | None = None, measures: Sequence[Measure] = ()) -> None:
        """own: the user's extractor, measured beside the data set's. measures: from outside, beside the built-in."""
        self.data, self.n = data, samples
        self.reference: np.ndarray = getattr(data, split)
        self.extractor: Extractor | None = None
        self.spaces: dict[str, Space] = {"pixels": _flat}
        self._judges: list[str] = []  # spaces in which everything is measured
        if len(data.shape) == 3:
            from models.measures import features  # imports torch, which nothing in the plane needs

            self.extractor = features.for_data(data, cache_dir)
            self._judges = [self.extractor.name] + ([own.name] if own else [])
            self.spaces |= {e.name: e for e in (self.extractor, own) if e}
            # What has learned hardly sees pixel noise, a random ConvNet does: KID is on both.
            second = features.random_convnet(data.train)
            self.spaces[second.name] = second
        place: Place = "images" if self.extractor else "plane"
        self.rows = [m for m in (*MEASURES, *measures) if m.by == "samples" and place in m.places
                     and ("data's density" not in m.needs or data.density is not None)]
        self._primary_row = primary(place)
        self.primary = self._primary_row.name(samples, self._space)
        self.direction = self._primary_row.direction

    def __call__(self, samples: np.ndarray) -> float:
        """The primary measure of samples (n, *shape)."""
        space = self.extractor or _flat
        return self._primary({self._space: space(samples)}, self._held_out)

    @property
    def _space(self) -> str:
        return self.extractor.name if self.extractor else "pixels"

    def _primary(self, x: Rows, y: Rows) -> float:
        return float(self._value(self._primary_row, x[self._space], y[self._space]))

    def all(self, samples: np.ndarray, only: Container[str] | None = None) -> dict[str, float]:
        """Every measure of samples (n, *shape), by name, less those that these numbers of rows do not allow; or of them
        `only` these."""
        x, of_train = self._embedded(samples), self._looks_at_train(only)
        return self._measures(x, self._held_out, self._to_train(x) if of_train else {},
                              self._held_out_to_train if of_train else {}, only)

    def names(self) -> list[str]:
        """Those that `all` has for n samples."""
        return [name for space, points in self._held_out.items() for m in self.rows
                if self._kind(space) in m.spaces and m.takes(self.n, len(points), points.shape[1])
                for name in [m.name(self.n, space)]]

    def refuses(self, name: str) -> str:
        """Why `all` has not this measure of n samples, where it is one of this data's; else ""."""
        return next((m.refuses(self.n, len(points), points.shape[1]) for space, points in self._held_out.items()
                     for m in self.rows if self._kind(space) in m.spaces and m.name(self.n, space) == name), "")

    def _looks_at_train(self, only: Container[str] | None) -> bool:
        """Whether any of these measures (None: all) needs distances to the train split, which cost much."""
        return any("train split" in m.needs for m in self.rows
                   for name in self.named(m) if only is None or name in only)

    def floors(self, draws: int, rng: np.random.Generator,
               only: Container[str] | None = None) -> dict[str, quality.Floor]:
        """Every measure, or `only` these, of real data against real data at the numbers of rows that `all` has.

        The rows are those of both held-out splits in one: they choose nothing, and one split alone is too small to
        play both parts. Where splits differ in law (patches: other parts of the photographs) that is not in the floor.
        """
        pool = self._embedded(np.concatenate([self.data.search, self.data.confirm]))
        to_train = self._to_train(pool) if self._looks_at_train(only) else {}

        def measures(i: np.ndarray, j: np.ndarray) -> dict[str, float]:
            return self._measures(_take(pool, i), _take(pool, j), _take(to_train, i), _take(to_train, j), only)

        rows = len(self.data.search) + len(self.data.confirm)
        return quality.floors(measures, rows, self.n, len(self.reference), draws, rng)

    def _embedded(self, points: np.ndarray) -> Rows:
        return {name: space(points) for name, space in self.spaces.items()}

    @cached_property
    def _held_out(self) -> Rows:
        return self._embedded(self.reference)

    @cached_property
    def _held_out_to_train(self) -> Rows:
        return self._to_train(self._held_out)

    def _to_train(self, points: Rows) -> Rows:
        """Distances to the nearest training point, in the spaces where copies are looked for."""
        spaces = ["pixels", *self._judges] if self.extractor else []
        return {name: quality.nearest(points[name], _train(self.spaces[name], self.data)) for name in spaces}

    def named(self, m: Measure) -> Iterator[str]:
        """The names under which `all` may have a measure."""
        yield from (m.name(self.n, space) for space in self.spaces if self._kind(space) in m.spaces)

    def _kind(self, space: str) -> str:
        return "pixels" if space == "pixels" else "judge" if space in self._judges else "second"

    def _measures(self, x: Rows, y: Rows, x_to_train: Rows, y_to_train: Rows,
                  only: Container[str] | None = None) -> dict[str, float]:
        found: dict[str, float] = {}
        for space in self.spaces:
            values: dict[tuple[Any, ...], Any] = {}  # by call: some functions have several measures
            for m in self.rows:
                here = self._kind(space) in m.spaces and m.takes(len(x[space]), len(y[space]), x[space].shape[1])
                if not here or ("train split" in m.needs and space not in x_to_train) or not (
                        only is None or m.name(self.n, space) in only):
                    continue
                call = m.function, m.reference, m.needs
                if call not in values:
                    sides = (x_to_train, y_to_train) if "train split" in m.needs else (x, y)
                    values[call] = self._value(m, *(side[space] for side in sides))
                found[m.name(self.n, space)] = getattr(values[call], m.field) if m.field else values[call]
        return found

    def _value(self, m: Measure, x: np.ndarray, y: np.ndarray) -> Any:
        if callable(m.function):
            return self._own_value(m, m.function, x, y)
        return self._called(m, getattr(quality, m.function), x, y)

    def _own_value(self, m: Measure, function: Callable[..., Any], x: np.ndarray, y: np.ndarray) -> float:
        try:
            with _undisturbed():
                return float(self._called(m, function, x.copy(), y.copy()))  # it may write into what it is given
        except (Exception, SystemExit) as error:  # whatever code from outside does
            said = str(error).partition("\n")[0]
            raise MeasureError(f"measure {m.family}: {type(error).__name__}: {said}") from error

    def _called(self, m: Measure, function: Callable[..., Any], x: np.ndarray, y: np.ndarray) -> Any:
        if "data's density" in m.needs:
            return function(x, self.data.density)
        if "chance" in m.needs:
            return function(x, y, np.random.default_rng(0))
        return function(x, y if m.reference is None else y[:m.reference * len(x)])


def _take(rows: Rows, which: np.ndarray) -> Rows:
    return {name: values[which] for name, values in rows.items()}
