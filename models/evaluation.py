"""What is measured beside training: quality of samples, kappa, and the means of what every update shows.

Evaluation draws from its own stream of chance, so measuring more often leaves the training path as it was. Only
finite numbers come out: a replicate that diverged has no quality, and a measure that is not finite is absent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models import features, quality
from models.data import Data
from models.method import ImageChain, Method, first
from models.noise import Noise, generators_for
from models.stability import kappa
from models.training import Info, TrainState

KAPPA_PARTICLES = 32


class Yardstick:
    """Distances of samples from one split of the data: KID and FD on features, or energy distance in the plane."""

    direction = "minimize"

    def __init__(self, data: Data, samples: int, split: str = "search", cache_dir: str | Path | None = None) -> None:
        self.data, self.n = data, samples
        self.reference: np.ndarray = getattr(data, split)
        self.extractor = features.for_data(data, cache_dir) if len(data.shape) == 3 else None
        # A classifier hardly sees pixel noise, a random ConvNet does: where there are labels, both are reported.
        self.second = features.random_convnet(data.train) if data.labels is not None else None
        self.features = self._features(self.reference)
        self.primary = f"kid_{self.extractor.name}_{samples}" if self.extractor else f"energy_distance_{samples}"

    def _features(self, points: np.ndarray) -> np.ndarray:
        return self.extractor(points) if self.extractor else points.astype(np.float64)

    def _measure(self, x: np.ndarray, y: np.ndarray) -> float:
        return quality.kid(x, y) if self.extractor else quality.energy_distance(x, y)

    def __call__(self, samples: np.ndarray) -> float:
        """The primary measure of samples (n, *shape)."""
        return self._measure(self._features(samples), self.features)

    def all(self, samples: np.ndarray) -> dict[str, float]:
        """Every measure of samples (n, *shape), by name."""
        found = self._features(samples)
        values = {self.primary: self._measure(found, self.features),
                  f"variance_ratio_{self.n}": quality.variance_ratio(samples.reshape(len(samples), -1),
                                                                     self.reference.reshape(len(self.reference), -1))}
        if self.extractor and min(len(found), len(self.features)) >= 2 * self.extractor.dim:
            values[f"fd_{self.extractor.name}_{self.n}"] = quality.fd(found, self.features)
        if self.second:
            values[f"kid_{self.second.name}_{self.n}"] = quality.kid(self.second(samples), self.second(self.reference))
        if self.data.density is not None:
            coverage = quality.mode_coverage(samples, self.data.density)
            values |= {f"modes_{self.n}": coverage.modes, f"near_mode_{self.n}": coverage.near}
        return values

    def floor(self, draws: int, rng: np.random.Generator) -> quality.Floor:
        """The primary measure of real data against real data."""
        return quality.floor(self._measure, self.features, self.n, draws, rng)


class Evaluator:
    """Measures a TrainState, replicate by replicate."""

    def __init__(self, method: Method, data: Data, samples: int = 256, long_run: int = 10, split: str = "search",
                 cache_dir: str | Path | None = None) -> None:
        self.method, self.samples, self.long_run = method, samples, long_run
        self.yardstick = Yardstick(data, samples, split, cache_dir)
        self.primary, self.direction = self.yardstick.primary, self.yardstick.direction

    def _noise(self, state: TrainState) -> Noise:
        return Noise(generators_for(state.seeds, "evaluation", state.device, state.update), state.noise.dtype)

    def point(self, state: TrainState, infos: Sequence[Info]) -> list[dict[str, float]]:
        """During training: one dictionary a replicate, empty where it diverged. `infos`: since the last point."""
        noise = self._noise(state)
        x = self.method.samples(state.nets, state.pool, noise, self.samples)
        window = {name: torch.stack(values) for name, values in
                  zip(Info._fields, zip(*infos, strict=True), strict=True)} if infos else {}
        means = {name: values.mean(0).tolist() for name, values in window.items()}
        if len(infos) > 1:  # oscillation faster than the evaluations shows only here
            means["gap_sd"] = window["gap"].std(0).tolist()
        means["kappa"] = self._kappa(state, x, noise).tolist()
        rows: list[dict[str, float]] = []
        for r, images in enumerate(_arrays(x)):
            usable = bool(state.alive[r]) and bool(np.isfinite(images).all())
            quality_now = {self.primary: self.yardstick(images)} if usable else {}
            rows.append(_finite({k: v[r] for k, v in means.items()} | quality_now) if state.alive[r] else {})
        return rows

    def final(self, state: TrainState) -> tuple[list[dict[str, float]], np.ndarray]:
        """After training: all measures of short-run samples, the primary one of chains `long_run` times longer.

        Returns one dictionary a replicate (empty where it diverged) and the short-run samples, (R, n, *shape).
        """
        noise, method = self._noise(state), self.method
        x = method.samples(state.nets, state.pool, noise, self.samples)
        start = method.reference(noise, self.samples) if state.pool is None else first(state.pool, self.samples)
        steps = self.long_run * method.hp.mcmc_steps
        longer = _arrays(method.run(state.nets, start, noise, steps)[0].x) if steps else None
        grid, rows = self._log_densities(state), []
        for r, images in enumerate(_arrays(x)):
            row: dict[str, float] = {}
            if state.alive[r] and np.isfinite(images).all():
                row = self.yardstick.all(images)
                if longer is not None and np.isfinite(longer[r]).all():
                    row[f"{self.primary}_long"] = self.yardstick(longer[r])
                row |= self._grid(grid, r)
            rows.append(_finite(row))
        return rows, _arrays(x)

    def _kappa(self, state: TrainState, x: Tensor, noise: Noise) -> Tensor:
        """eta L at the particles, in the space of the last chain. Returns (R,)."""
        points = x[:, :KAPPA_PARTICLES]
        if self.method.hp.latent_chain:
            points = state.pool if state.pool is not None else self.method.reference(noise, KAPPA_PARTICLES)
            points = points[:, :KAPPA_PARTICLES]
        return kappa(lambda p: self.method.potential(state.nets, p), points, self.method.hp.step_size,
                     noise.generators)

    def _log_densities(self, state: TrainState) -> Callable[[np.ndarray], np.ndarray]:
        """Points (n, 2) of one fixed grid -> the log-densities of all replicates there, (R, n), computed once.

        The model is what E3 samples, exp(-U / tau).
        """
        @lru_cache(maxsize=1)
        @torch.no_grad()
        def of_grid(n: int) -> np.ndarray:
            x = torch.tensor(grid[0], device=state.device, dtype=state.noise.dtype)
            potential = self.method.potential(state.nets, x.expand(len(state.seeds), n, 2))
            return _arrays(-potential / self.method.hp.temperature)

        grid: list[np.ndarray] = []

        def on(points: np.ndarray) -> np.ndarray:
            grid[:] = [points]
            return of_grid(len(points))

        return on

    def _grid(self, log_densities: Callable[[np.ndarray], np.ndarray], replicate: int) -> dict[str, float]:
        """Exact KL and total variation in the plane, for methods whose density lives there."""
        density = self.yardstick.data.density
        if density is None or not isinstance(self.method, ImageChain) or not self.method.hp.temperature:
            return {}
        try:
            found = quality.grid_kl(lambda points: log_densities(points)[replicate], density)
        except ValueError:  # the model is not finite somewhere on the grid: no number is better than a false one
            return {}
        return {"kl_grid": found.kl, "tv_grid": found.tv}


def _arrays(x: Tensor) -> np.ndarray:
    return np.asarray(x.detach().float().cpu().numpy())


def _finite(row: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if math.isfinite(value)}
