"""The panels of the page in their order, and those that a user names."""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from analysis.panels.budget import Budget
from analysis.panels.cell_tables import Best, DesignCells, SearchCells
from analysis.panels.compared import Compared
from analysis.panels.confirmed import Confirmed
from analysis.panels.curves import Curves
from analysis.panels.declared import Declared
from analysis.panels.divergence import Divergence
from analysis.panels.effects import Effects
from analysis.panels.exchange import Exchange
from analysis.panels.horizon import Horizon
from analysis.panels.importance import Importance
from analysis.panels.kappa import Kappa
from analysis.panels.ladder import Ladder
from analysis.panels.limits import Limits
from analysis.panels.panel import Panel
from analysis.panels.parallel import Parallel
from analysis.panels.pareto import Pareto
from analysis.panels.path import Path
from analysis.panels.profiles import Profiles
from analysis.panels.quality import Quality
from analysis.panels.replicates import Replicates
from analysis.panels.samples import Samples
from analysis.panels.search import Search
from analysis.panels.search_pareto import SearchPareto
from analysis.panels.survival import Survival
from analysis.read.address import ReportError

PANELS: tuple[Panel, ...] = (
    Divergence(), Declared(), Compared(), Best(), Confirmed(), Exchange(), Limits(), Horizon(), Survival(), Kappa(),
    Quality(), Samples(), Profiles(), Pareto(), Ladder(), Path(), Importance(), Curves(), Replicates(), Search(),
    Parallel(), SearchPareto(), Budget(), Effects(), DesignCells(), SearchCells())


def panels(named: Sequence[str]) -> tuple[Panel, ...]:
    """The built-in panels, then those at `package.module:Name`. Raises ReportError for one that is none."""
    found = list(PANELS)
    for place in named:
        panel = _panel(place)
        if any(panel.name == other.name for other in found):
            raise ReportError(f"--panel {place}: there is a panel named {panel.name!r} already")
        found.append(panel)
    return tuple(found)


def _panel(place: str) -> Panel:
    """The panel at `package.module:Name`, which may lie in the working directory: a Panel, or a class of it."""
    module, colon, name = place.partition(":")
    if not (colon and all(part.isidentifier() for part in [*module.split("."), name])):
        raise ReportError(f"--panel {place}: expected package.module:Name")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        holder = importlib.import_module(module)
    except (Exception, SystemExit) as problem:  # whatever a module from outside does when it is imported
        raise ReportError(f"--panel {place}: cannot import {module} ({_said(problem)})") from problem
    if not hasattr(holder, name):
        near = difflib.get_close_matches(name, dir(holder), 1)
        raise ReportError(f"--panel {place}: {module} has no {name}" + (f"; did you mean {near[0]}?" if near else ""))
    panel = getattr(holder, name)
    if isinstance(panel, type) and issubclass(panel, Panel):
        try:
            panel = panel()
        except Exception as problem:
            raise ReportError(f"--panel {place}: it cannot be made without arguments ({_said(problem)})") from problem
    if not isinstance(panel, Panel):
        raise ReportError(f"--panel {place}: found {panel!r:.60}, expected a class that inherits "
                          "analysis.panels.panel.Panel")
    for known in ("name", "title"):
        if not isinstance(getattr(panel, known, None), str):
            raise ReportError(f"--panel {place}: it states no {known}")
    if not re.fullmatch(r"[\w-]+", panel.name):
        raise ReportError(f"--panel {place}: its name is {panel.name!r}, expected letters, digits, - and _")
    return panel


def _said(problem: BaseException) -> str:
    """Its class and its first line."""
    return f"{type(problem).__name__}: {str(problem).partition(chr(10))[0][:200]}"


@contextmanager
def guarded(panel: Panel) -> Iterator[None]:
    """What a panel from outside raises becomes a ReportError that names it; in a built-in one it is our own failure."""
    try:
        yield
    except Exception as problem:
        if panel in PANELS or isinstance(problem, ReportError):
            raise
        raise ReportError(f"--panel {type(panel).__module__}:{type(panel).__name__}: {_said(problem)}") from problem


def named_well(panel: Panel, names: Sequence[str], taken: set[str], what: str) -> None:
    """Raises ReportError where the files of a panel from outside would replace others, or lie elsewhere."""
    for name in names:
        if panel not in PANELS and (name in taken or not re.fullmatch(r"[\w-]+", name)):
            raise ReportError(f"--panel {type(panel).__module__}:{type(panel).__name__}: its {what} is named {name!r}, "
                              "expected letters, digits, - and _, and a name that no other has")
    taken.update(names)
