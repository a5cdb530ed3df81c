"""How far samples are from data: arrays in, floats out, all in float64.

x are samples, y the reference, each (n, d): points of the plane, or features of images. Every function raises
ValueError for arrays of the wrong shape, too few rows or non-finite values: a diverged replicate has no quality.
docs/metrics.md states each measure's equation, estimator, bias and interval.
"""

from models.measures.quality.distances import energy_distance, kid, mmd, variance_ratio
from models.measures.quality.floors import Floor, floors
from models.measures.quality.frechet import fd, fd_infinity
from models.measures.quality.manifold import NEIGHBOURS, Manifold, expected_coverage, manifold
from models.measures.quality.memory import Memory, memory, nearest
from models.measures.quality.plane import Coverage, GridComparison, grid_kl, mode_coverage
from models.measures.quality.transport import W2_MOST, w2

__all__ = ["NEIGHBOURS", "W2_MOST", "Coverage", "Floor", "GridComparison", "Manifold", "Memory", "energy_distance",
           "expected_coverage", "fd", "fd_infinity", "floors", "grid_kl", "kid", "manifold", "memory", "mmd",
           "mode_coverage", "nearest", "variance_ratio", "w2"]
