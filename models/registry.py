"""Where things are that a study names: built-in names, and `package.module:Name` from outside. Imports none of them.

To add one: a line here, or none and the longer name in the spec.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

METHODS = {
    "kl": "models.methods.kl:KL",
    "jko": "models.methods.jko:JKO",
    "hidden": "models.methods.hidden:Hidden",
    "amortized": "models.methods.amortized:Amortized",
    "ggcn": "models.methods.ggcn:GGCN",
}
NETWORKS = {  # of f
    "mlp": "models.networks.mlp:MLPScore",
    "convnet": "models.networks.convnet:ConvScore",
}
TABLES = {"method": METHODS, "network": NETWORKS}
BASES = {"method": "models.methods.method:Method", "network": "models.networks.layers:Score"}  # of every one of a kind


class FindError(ValueError):
    """One sentence: what was asked for, and why it is not there."""


def find(kind: str, name: str) -> Any:
    """The class that `name` stands for: a name of the kind's table, or `package.module:Name`. Raises FindError."""
    short = {where: known for known, where in TABLES[kind].items()}
    if name in short:  # under two names one thing would be trained twice, and counted twice
        raise FindError(f"found {name!r}, expected {short[name]}: it is built in")
    where = TABLES[kind].get(name, name)
    module, _, attribute = where.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise FindError(f"found {name!r}, expected one of {', '.join(TABLES[kind])}, or package.module:Name")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except (Exception, SystemExit) as error:  # whatever a module from outside does when it is imported
        said = str(error).partition("\n")[0][:200]
        raise FindError(f"found {name!r}, expected a module that can be imported: {type(error).__name__}: {said}"
                        ) from error
    of, _, base = BASES[kind].partition(":")
    if found is None:
        raise FindError(f"found {name!r}, expected a {kind}: {module} has no {attribute}")
    if not (isinstance(found, type) and issubclass(found, getattr(importlib.import_module(of), base))):
        raise FindError(f"found {name!r}, expected a {kind}: it is no subclass of {of}.{base}")
    if problem := _lacks(kind, found):
        raise FindError(f"found {name!r}, expected a {kind}: {problem}")
    return found


def _lacks(kind: str, found: Any) -> str:
    """What every one of a kind states and this one does not; "" where it has all."""
    if kind == "network":
        if getattr(found.make, "__isabstractmethod__", False):
            return "it makes none (make)"
        own = found.Knobs
        fit = own is None or (dataclasses.is_dataclass(own) and all(
            f.kw_only and f.default is not dataclasses.MISSING for f in dataclasses.fields(own)))
        return "" if fit else "its Knobs is no keyword-only dataclass whose knobs all have a default"
    base = importlib.import_module("models.methods.hparams").HParams
    knobs = found.__dict__.get("Knobs", getattr(found, "Knobs", None))
    whole = isinstance(knobs, type) and issubclass(knobs, base) and dataclasses.is_dataclass(knobs)
    return "" if whole else "its Knobs is no dataclass that inherits models.methods.hparams.HParams"
