"""Where things are that a study names: built-in names, and `package.module:Name` from outside. Imports none of them.

To add one: a line here, or none and the longer name in the spec.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import warnings
from collections.abc import Callable, Mapping
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
    "resnet": "models.networks.resnet:ResNetScore",
}
TABLES: Mapping[str, Mapping[str, str]] = {"method": METHODS, "network": NETWORKS}
BASES = {  # of every one of a kind
    "method": "models.methods.method:Method", "network": "models.networks.layers:Score",
    "data set": "models.data.datasets:DataSet", "measure": "models.measures.table:Measure",
    "sampler": "optuna.samplers:BaseSampler",  # imported where a spec names one from outside, as the next
    "pruner": "optuna.pruners:BasePruner",
}
OBJECTS = ("measure",)  # the others are classes


class FindError(ValueError):
    """One sentence: what was asked for, and why it is not there."""


def find(kind: str, name: str) -> Any:
    """What `name` stands for: a name of the kind's table, or `package.module:Name`. Raises FindError."""
    table = TABLES.get(kind, {})
    short = {where: known for known, where in table.items()}
    if name in short:  # under two names one thing would be trained twice, and counted twice
        raise FindError(f"found {name!r}, expected {short[name]}: it is built in")
    where = table.get(name, name)
    module, _, attribute = where.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), attribute]):
        known = f"one of {', '.join(table)}, or " if table else ""
        raise FindError(f"found {name!r}, expected {known}package.module:Name")
    try:
        holder = importlib.import_module(module)
        found = getattr(holder, attribute, None)
    except (Exception, SystemExit) as error:  # whatever a module from outside does when it is imported
        said = str(error).partition("\n")[0][:200]
        top = module.partition(".")[0]
        hint = f"; a spec names it under import: {top}" if getattr(error, "name", None) == top else ""
        raise FindError(f"found {name!r}, expected a module that can be imported: {type(error).__name__}: {said}{hint}"
                        ) from error
    of, _, base = BASES[kind].partition(":")
    if not hasattr(holder, attribute):
        near = difflib.get_close_matches(attribute, vars(holder), 1)
        raise FindError(f"found {name!r}, expected a {kind}: {module} has no {attribute}"
                        + (f"; did you mean {near[0]}?" if near else ""))
    cls = getattr(importlib.import_module(of), base)
    if not (isinstance(found, cls) if kind in OBJECTS else isinstance(found, type) and issubclass(found, cls)):
        raise FindError(f"found {name!r}, expected a {kind}: it is no "
                        f"{'object' if kind in OBJECTS else 'subclass'} of {of}.{base}")
    if problem := _LACKS[kind](found):
        raise FindError(f"found {name!r}, expected a {kind}: {problem}")
    return found


def name_of(kind: str, thing: type) -> str:
    """By what name `find` finds this class."""
    where = f"{thing.__module__}:{thing.__qualname__}"
    return next((name for name, known in TABLES.get(kind, {}).items() if known == where), where)


def _method_lacks(found: Any) -> str:
    """What every one of a kind states and this one does not; "" where it has all. So the others."""
    base = importlib.import_module("models.methods.hparams").HParams
    knobs = found.__dict__.get("Knobs", getattr(found, "Knobs", None))
    whole = isinstance(knobs, type) and issubclass(knobs, base) and dataclasses.is_dataclass(knobs)
    return "" if whole else "its Knobs is no dataclass that inherits models.methods.hparams.HParams"


def _network_lacks(found: Any) -> str:
    if getattr(found.make, "__isabstractmethod__", False):
        return "it makes none (make)"
    own = found.Knobs
    fit = own is None or (dataclasses.is_dataclass(own) and all(
        f.kw_only and f.default is not dataclasses.MISSING for f in dataclasses.fields(own)))
    return "" if fit else "its Knobs is no keyword-only dataclass whose knobs all have a default"


def _data_set_lacks(found: Any) -> str:
    datasets = importlib.import_module("models.data.datasets")
    info = getattr(found, "info", None)
    if not isinstance(info, datasets.DatasetInfo):
        return "its info is no models.data.datasets.DatasetInfo"
    for part in ("labels", "density"):
        if getattr(info, part) and getattr(found, part) is getattr(datasets.DataSet, part):
            return f"its info says {part}, and it lacks that method"
    return _abstract(found)


def _unmade(found: Any, words: str, **given: Any) -> str:
    if abstract := _abstract(found):
        return abstract
    try:
        with warnings.catch_warnings(action="ignore"):  # that it is experimental, say
            found(**given)
    except Exception as error:  # whatever one from outside does when it is made
        return f"it cannot be made {words} ({type(error).__name__}: {error})"
    return ""


def _abstract(found: Any) -> str:
    lacks = sorted(getattr(found, "__abstractmethods__", ()))
    return f"it lacks {', '.join(lacks)}" if lacks else ""


_LACKS: Mapping[str, Callable[[Any], str]] = {
    "method": _method_lacks, "network": _network_lacks, "data set": _data_set_lacks,
    "measure": lambda found: str(found.problem()),
    "sampler": lambda found: _unmade(found, "with a seed alone", seed=0),
    "pruner": lambda found: _unmade(found, "without arguments")}
