"""Where things are that a study names: built-in names, and `package.module:Name` from outside. Imports none of them.

To add one: a line here, or none and the longer name in the spec.
"""

from __future__ import annotations

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
    where = TABLES[kind].get(name, name)
    module, _, attribute = where.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise FindError(f"found {name!r}, expected one of {', '.join(TABLES[kind])}, or package.module:Name")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # whatever a module from outside does when it is imported
        said = str(error).partition("\n")[0][:200]
        raise FindError(f"found {name!r}, expected a module that can be imported: {type(error).__name__}: {said}"
                        ) from error
    of, _, base = BASES[kind].partition(":")
    if found is None:
        raise FindError(f"found {name!r}, expected a {kind}: {module} has no {attribute}")
    if not (isinstance(found, type) and issubclass(found, getattr(importlib.import_module(of), base))):
        raise FindError(f"found {name!r}, expected a {kind}: it is no subclass of {of}.{base}")
    return found
