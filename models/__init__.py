"""Training methods for energy-based generative ConvNets. Needs torch and the array libraries only, and those only where
one of its public names is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.data.load import load
    from models.measures.sample_metrics import SampleMetrics
    from models.methods.method import build
    from models.training.fit import fit, sample

__all__ = ["SampleMetrics", "build", "fit", "load", "sample"]

_PUBLIC = {"load": "models.data.load", "build": "models.methods.method", "fit": "models.training.fit",
           "sample": "models.training.fit", "SampleMetrics": "models.measures.sample_metrics"}


def __getattr__(name: str) -> Any:
    """A public name, from the file that has it."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
