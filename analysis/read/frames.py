"""Rows of a frame as objects with one attribute a column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd


def rows(frame: pd.DataFrame) -> Iterable[Any]:
    """Named tuples. Typed Any: the stubs give each field the union of all that a column may hold."""
    return frame.itertuples()
