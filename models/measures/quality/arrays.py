"""The arrays that every measure takes, checked once."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def checked(x: Array, y: Array, least: int = 2) -> tuple[Array, Array]:
    """Both arrays in float64. Raises ValueError unless they are (n, d) and (m, d), finite, of `least` rows or more."""
    arrays = np.asarray(x, np.float64), np.asarray(y, np.float64)
    for array in arrays:
        if array.ndim != 2 or array.shape[1] != arrays[0].shape[1]:
            raise ValueError(f"quality: found shapes {arrays[0].shape} and {arrays[1].shape}, expected (n, d), (m, d)")
        if len(array) < least:
            raise ValueError(f"quality: found {len(array)} rows, expected at least {least}")
        if not np.isfinite(array).all():
            raise ValueError("quality: found values that are not finite: the samples diverged, or a network of "
                             "features gives such")
    return arrays
