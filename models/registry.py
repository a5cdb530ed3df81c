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
    if where.count(":") != 1:
        raise FindError(f"found {name!r}, expected one of {', '.join(TABLES[kind])}, or package.module:Name")
    found, base = _imported(where, name), _imported(BASES[kind], kind)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise FindError(f"{name} is no {kind}: expected a subclass of {BASES[kind].replace(':', '.')}")
    return found


def _imported(where: str, name: str) -> Any:
    module, _, attribute = where.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks something itself
        raise FindError(f"{name}: there is no module {error.name}") from error
    if not hasattr(found, attribute):
        raise FindError(f"{name}: the module {module} has no {attribute}")
    return getattr(found, attribute)
