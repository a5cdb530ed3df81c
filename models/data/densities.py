"""Densities in the plane with exact log-probabilities: points or circular arcs, thickened by Gaussian noise.

A mode is an arc of radius 0, so one formula serves Gaussians and curves:
p(x) = mean over arcs a, mean over t in [0, 1], of N(x; a(t), local_sd^2 I).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

NODES = 32  # Gauss-Legendre nodes an arc; no arc here is longer than 16 local_sd, so log p is exact to 1e-8 (tested)


@dataclass(frozen=True, eq=False)
class Density:
    """Arcs of equal mass, thickened by isotropic Gaussian noise.

    arcs: (k, 5), each centre x, centre y, radius, first angle, angle swept (radians). extent: the square
    [low, high]^2 that holds all but a negligible part of the mass, with room around it for a model's.
    """

    name: str
    arcs: np.ndarray
    local_sd: float
    extent: tuple[float, float]

    @property
    def modes(self) -> np.ndarray | None:
        """(k, 2) centres of the Gaussians, or None where the density lies along curves."""
        return self.arcs[:, :2] if not self.arcs[:, 2].any() else None

    @cached_property
    def _quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (m, 2) along the arcs and their weights (m,), which sum to 1."""
        t, w = (np.zeros(1), np.full(1, 2.0)) if self.modes is not None else np.polynomial.legendre.leggauss(NODES)
        nodes = np.stack([_points(self.arcs, np.full(len(self.arcs), (s + 1) / 2)) for s in t], axis=1)
        return nodes.reshape(-1, 2), np.tile(w / 2, len(self.arcs)) / len(self.arcs)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Natural logarithm of the density. x: (n, 2). Returns (n,) float64."""
        from scipy.spatial.distance import cdist
        from scipy.special import logsumexp

        nodes, weights = self._quadrature
        points = np.asarray(x, np.float64)
        variance = self.local_sd**2
        # Slices keep the (n, m) table of a fine grid at a few megabytes.
        parts = [logsumexp(-cdist(part, nodes, "sqeuclidean") / (2 * variance), axis=1, b=weights)
                 for part in np.array_split(points, max(1, len(points) // 2048))]
        return np.concatenate(parts) - math.log(2 * math.pi * variance)

    def distances(self, x: np.ndarray) -> np.ndarray:
        """Distance of every point to the nearest place of every arc. x: (n, 2). Returns (n, k)."""
        cx, cy, radius, first, swept = self.arcs.T
        offset = np.asarray(x, np.float64)[:, None] - np.stack([cx, cy], 1)
        middle = first + swept / 2
        angle = np.remainder(np.arctan2(offset[..., 1], offset[..., 0]) - middle + np.pi, 2 * np.pi) - np.pi
        angle = middle + np.clip(angle, -swept / 2, swept / 2)
        apart: np.ndarray = np.hypot(offset[..., 0] - radius * np.cos(angle), offset[..., 1] - radius * np.sin(angle))
        return apart

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws. Returns (n, 2) float64."""
        arcs = self.arcs[rng.integers(len(self.arcs), size=n)]
        return _points(arcs, rng.random(n)) + self.local_sd * rng.standard_normal((n, 2))


def _points(arcs: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The place at share t of its arc. arcs: (n, 5), t: (n,). Returns (n, 2)."""
    cx, cy, radius, first, swept = arcs.T
    angle = first + t * swept
    return np.stack([cx + radius * np.cos(angle), cy + radius * np.sin(angle)], axis=1)


def _circle(x: float, y: float, radius: float, first: float, last: float, pieces: int) -> list[list[float]]:
    """A circular curve cut into pieces of equal length, which mode coverage counts like modes."""
    swept = (last - first) / pieces
    return [[x, y, radius, first + i * swept, swept] for i in range(pieces)]


@lru_cache(maxsize=8)
def density(name: str) -> Density:
    """One of gaussians8, gaussians25, moons, rings. Raises KeyError for any other name."""
    pi = math.pi
    eight = [[2 * math.cos(i * pi / 4), 2 * math.sin(i * pi / 4), 0.0, 0.0, 0.0] for i in range(8)]
    grid = [[float(x), float(y), 0.0, 0.0, 0.0] for x in range(-2, 3) for y in range(-2, 3)]
    moons = _circle(-0.5, -0.25, 1, 0, pi, 4) + _circle(0.5, 0.25, 1, pi, 2 * pi, 4)
    rings = _circle(0, 0, 1, 0, 2 * pi, 8) + _circle(0, 0, 2, 0, 2 * pi, 8)
    arcs, local_sd, reach = {"gaussians8": (eight, 0.2, 4.0), "gaussians25": (grid, 0.1, 4.0),
                             "moons": (moons, 0.1, 4.0), "rings": (rings, 0.1, 4.0)}[name]
    return Density(name, np.array(arcs), local_sd, (-reach, reach))
