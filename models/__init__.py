"""Training methods for energy-based generative ConvNets. Needs torch and the array libraries only, and those only where
one of its public names is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.data.load import load as load_data
    from models.measures.sample_metrics import SampleMetrics
    from models.methods.method import build
    from models.training.fit import fit, sample
    from models.training.kept import keep, load

__all__ = ["SampleMetrics", "build", "fit", "keep", "load", "load_data", "sample"]

_PUBLIC = {"load_data": "models.data.load:load", "build": "models.methods.method:build",
           "fit": "models.training.fit:fit", "sample": "models.training.fit:sample",
           "keep": "models.training.kept:keep", "load": "models.training.kept:load",
           "SampleMetrics": "models.measures.sample_metrics:SampleMetrics"}


def __getattr__(name: str) -> Any:
    """A public name, from the file that has it."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
