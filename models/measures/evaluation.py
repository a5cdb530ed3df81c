"""What is measured beside training: quality of samples, kappa, and the means of what every update shows.

Evaluation draws from its own stream of chance, so measuring more often leaves the training path as it was. Only
finite numbers come out: a replicate that diverged has no quality, and a measure that is not finite is absent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.data.data import Data
from models.measures import quality
from models.measures.ais import log_z_bounds
from models.measures.chains import principal_axes
from models.measures.feature_file import FileExtractor
from models.measures.long_run import LongRun, long_run, told
from models.measures.naming import AIS_CHAINS, long_chains, long_name, raw_name
from models.measures.sample_metrics import SampleMetrics
from models.measures.signals import response_gap, saturation_excess, update_snr
from models.measures.table import Measure
from models.methods.chains import ImageChain
from models.methods.method import Draw, Method, first
from models.noise import Noise
from models.stability.divergence import kappa
from models.training.batches import batch
from models.training.fit import as_array, evaluation_noise, judged_draw, sample
from models.training.living import living, rows_of
from models.training.step import Info, TrainState

KAPPA_PARTICLES = 32
AXES_ROWS = 500  # of the held-out data, for their principal axes


class Evaluator:
    """Measures a TrainState, replicate by replicate.

    ais_steps: temperatures of annealed importance sampling in the final evaluation; 0: none. own: the user's extractor.
    measures: those from outside.
    """

    def __init__(self, method: Method, data: Data, samples: int = 256, long_run: int = 10, split: str = "search",
                 cache_dir: str | Path | None = None, ais_steps: int = 0, own: FileExtractor | None = None,
                 measures: Sequence[Measure] = ()) -> None:
        self.method, self.samples, self.long_run, self.ais_steps = method, samples, long_run, ais_steps
        self.metrics = SampleMetrics(data, samples, split, cache_dir, own, measures)
        self.primary, self.direction = self.metrics.primary, self.metrics.direction
        self.long_seconds = 0.0  # of CPU, that the last final evaluation spent on its long run

    def point(self, state: TrainState, infos: Sequence[Info]) -> list[dict[str, float]]:
        """During training: one dictionary a replicate, empty where it diverged. `infos`: since the last point."""
        part, rows = self._living(state)
        found = self._point(part, [Info(*(value[rows] for value in info)) for info in infos]) if rows else []
        return _for_all(found, rows, state)

    def _point(self, state: TrainState, infos: Sequence[Info]) -> list[dict[str, float]]:
        noise, method = evaluation_noise(state), self.method.at(state.update)
        draw = method.draw(state.nets, state.pool, noise, self.samples)
        window = {name: torch.stack(values) for name, values in
                  zip(Info._fields, zip(*infos, strict=True), strict=True)} if infos else {}
        means = {name: values.mean(0).tolist() for name, values in window.items()}
        if len(infos) > 1:  # oscillation faster than the evaluations shows only here
            means["gap_sd"] = window["gap"].std(0).tolist()
        if infos:
            means["energy_scale"] = window["sd_f"].log().mean(0).tolist()
        means["kappa"] = _kappa(method, state, draw, noise).tolist()
        means |= self._signals(method, state, draw, noise)
        rows: list[dict[str, float]] = []
        judged = {self.primary: draw.x}
        if _is_other(method):
            judged = {self.primary: method.scored(state.judged, judged_draw(method, state, self.samples, noise)),
                      raw_name(self.primary): draw.x}
        samples = {name: as_array(x) for name, x in judged.items()}
        for r in range(len(state.seeds)):
            quality_now = {name: self.metrics(x[r]) for name, x in samples.items() if np.isfinite(x[r]).all()}
            rows.append(_finite({k: v[r] for k, v in means.items()} | quality_now))
        return rows

    def final(self, state: TrainState) -> tuple[list[dict[str, float]], np.ndarray]:
        """After training: all measures of short-run samples; of at most 64 chains `long_run` times longer the primary
        one, and whether they have converged.

        Returns one dictionary a replicate and the short-run samples, (R, n, *shape); where it diverged empty and NaN.
        """
        samples = np.full((len(state.seeds), self.samples, *self.method.shape), np.nan, np.float32)
        part, rows = self._living(state)
        found: list[dict[str, float]] = []
        if rows:
            found, samples[rows] = self._final(part)
        return _for_all(found, rows, state), samples

    def _living(self, state: TrainState) -> tuple[TrainState, list[int]]:
        """The part of it that lives, and its rows; none where none does."""
        if not bool(state.alive.any()):
            return state, []
        part = living(self.method, self.metrics.data, state)
        return part, rows_of(part, state)

    def _final(self, state: TrainState) -> tuple[list[dict[str, float]], np.ndarray]:
        noise, method = evaluation_noise(state), self.method.at(state.update)
        samples = sample(method, state, self.samples, noise)
        longer = self._longer(method, state, noise)
        ended = as_array(longer.x) if longer is not None else None
        grid, rows = _log_densities(method, state), []
        likelihoods = self._likelihoods(method, state, longer.x if longer is not None else None, noise)
        raw = as_array(method.draw(state.nets, state.pool, noise, self.samples).x) if _is_other(method) else None
        for r, images in enumerate(samples):
            row: dict[str, float] = {}
            if np.isfinite(images).all():
                row = self.metrics.all(images)
                if raw is not None and np.isfinite(raw[r]).all():
                    row[raw_name(self.primary)] = self.metrics(raw[r])
                if longer is not None and ended is not None and np.isfinite(ended[r]).all():
                    row |= {long_name(self.primary): self.metrics(ended[r])} | told(longer, r)
                row |= self._saturation(images) | self._grid(grid, r) | likelihoods[r]
            rows.append(_finite(row))
        return rows, samples

    def _longer(self, method: Method, state: TrainState, noise: Noise) -> LongRun | None:
        """The chains run on from where training left them; None with `long_run: 0`."""
        steps, chains, begun = self.long_run * method.hp.mcmc_steps, long_chains(self.samples), time.process_time()
        if not steps:
            return None
        start = method.reference(noise, chains) if state.pool is None else first(state.pool, chains)
        found = long_run(method, state.judged, start, noise, steps, self._axes())
        self.long_seconds = time.process_time() - begun
        return found

    def _signals(self, method: Method, state: TrainState, draw: Draw, noise: Noise) -> dict[str, list[float]]:
        """Response gap of every layer and their largest, against held-out data; signal to noise of the next update."""
        hp, data = method.hp, self.metrics.data

        def smoothed(x: np.ndarray) -> Tensor:  # as training sees data
            points = torch.tensor(x, device=state.device, dtype=noise.dtype)
            return points + hp.data_noise * noise.normal(*x.shape[1:]) if hp.data_noise else points

        held_out = self.metrics.reference[:self.samples]
        gaps = response_gap(state.nets.f, smoothed(np.broadcast_to(held_out, (len(state.seeds), *held_out.shape))),
                            draw.x, method.at_once(len(state.seeds)))
        found = {f"response_gap_{k + 1}": gap.tolist() for k, gap in enumerate(gaps.unbind(1))}
        if found:
            found["response_gap"] = gaps.amax(1).tolist()
        x_data = smoothed(batch(data.train, state.seeds, state.update, hp.batch_size))
        return found | {"update_snr": update_snr(method, state.nets, draw, x_data, noise).tolist()}

    def _saturation(self, images: np.ndarray) -> dict[str, float]:
        """Of images: points in the plane have no range."""
        if images.ndim != 4:
            return {}
        excess = saturation_excess(images, self.metrics.reference, self.metrics.data.extent)
        return {f"saturation_excess_{self.samples}": excess}

    def _axes(self) -> np.ndarray:
        """The two principal axes of the held-out data, (dim, 2)."""
        held_out = self.metrics.reference[:AXES_ROWS].astype(np.float64)
        return principal_axes(held_out.reshape(len(held_out), -1), 2)

    def _grid(self, log_densities: Callable[[np.ndarray], np.ndarray], replicate: int) -> dict[str, float]:
        """Exact KL, total variation and likelihood in the plane, for methods whose density lives there."""
        density = self.metrics.data.density
        if density is None or not isinstance(self.method, ImageChain) or not self.method.hp.temperature:
            return {}
        try:
            found = quality.grid_kl(lambda points: log_densities(points)[replicate], density,
                                    held_out=self.metrics.reference)
        except ValueError:  # the model is not finite somewhere on the grid: no number is better than a false one
            return {}
        return {"kl_grid": found.kl, "tv_grid": found.tv, "nll_grid": found.nll, "border_grid": found.border}

    def _likelihoods(self, method: Method, state: TrainState, particles: Tensor | None,
                     noise: Noise) -> list[dict[str, float]]:
        """Negative log-likelihood of held-out data in nats per dimension, bounded by AIS from both sides.

        The reverse chains start at the long run's particles, which stand for exact samples of the model.
        """
        tau = float(method.hp.temperature)
        if not (self.ais_steps and tau and isinstance(method, ImageChain)):
            return [{} for _ in state.seeds]

        def potential(x: Tensor) -> Tensor:
            return method.potential(state.judged, x) / tau

        held_out = torch.tensor(self.metrics.reference, device=state.device, dtype=noise.dtype)
        with torch.no_grad():
            mean_u = torch.cat([potential(part.expand(len(state.seeds), *part.shape)) for part in held_out.split(256)],
                               1).mean(1)
        start = particles[:, :AIS_CHAINS] if particles is not None else None
        found = log_z_bounds(potential, method.hp.sigma, method.shape, noise, self.ais_steps, AIS_CHAINS, start)
        return found.likelihoods(mean_u, held_out[0].numel())


def _kappa(method: Method, state: TrainState, draw: Draw, noise: Noise) -> Tensor:
    """eta L at the particles, of the chain that is nearest its limit. Returns (R,)."""
    gauges = [kappa(potential, points[:, :KAPPA_PARTICLES], step_size, noise.generators)
              for potential, points, step_size in method.curvature_probes(state.nets, draw)]
    return torch.stack(gauges).amax(0)


def _for_all(found: Sequence[dict[str, float]], rows: Sequence[int], state: TrainState) -> list[dict[str, float]]:
    """What was found of these rows, for every replicate: empty where it diverged."""
    known = dict(zip(rows, found, strict=True))
    return [known[r] if alive else {} for r, alive in enumerate(state.alive.tolist())]


def _is_other(method: Method) -> bool:
    """Whether what is judged is not what trains, as its chain leaves it."""
    return bool(method.hp.ema) or method.hp.last_step != "noisy"


def _log_densities(method: Method, state: TrainState) -> Callable[[np.ndarray], np.ndarray]:
    """Points (n, 2), of a grid or held out -> the log-densities of all replicates there, (R, n), computed once.

    The model is what E3 samples, exp(-U / tau).
    """
    known: dict[int, np.ndarray] = {}

    @torch.no_grad()
    def on(points: np.ndarray) -> np.ndarray:
        if (n := len(points)) not in known:
            x = torch.tensor(points, device=state.device, dtype=state.noise.dtype).expand(len(state.seeds), n, 2)
            known[n] = as_array(-method.potential(state.judged, x) / method.hp.temperature)
        return known[n]

    return on


def _finite(row: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if math.isfinite(value)}
