"""A YAML document -> StudySpec, or every problem it has."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import Any

from study.schema.columns import MCMC_STEPS, STEP_SIZE
from study.spec.branches import Placed, Section
from study.spec.check_arms import read_baseline, read_entries, read_methods
from study.spec.check_data import base_of, read_data, shape_of
from study.spec.check_evaluation import read_evaluation
from study.spec.check_search import read_search
from study.spec.cross import (
    arm_conflicts,
    factors_of,
    least_particles,
    same_cells,
    several_budgets,
    too_many_cells,
    wrong_for_the_data,
    wrong_together,
)
from study.spec.imports import Imported, read_imports
from study.spec.knobs import is_number, read_levels, read_range, read_value
from study.spec.model import KEEP, MAX_REPLICATES, Arm, Confirm, Design, Resources, Search, StudySpec, cells_of
from study.spec.networks import kinds_of, torn
from study.spec.objectives import primary
from study.spec.places import SECTIONS, unknown
from study.spec.problems import MAX_PROBLEMS, SpecError
from study.spec.reading import Reader, TooManyError
from study.spec.written import as_number
from study.spec.yaml_text import Document

KEYS = SECTIONS[""]
MAX_SEED = 2**31
LEAST_SHARE = 1e-4  # of a CPU or GPU
Places = dict[str, dict[str, Placed]]


def check(document: Document, needs_data: bool = True) -> StudySpec:
    """The study that a document describes. Raises SpecError with one line for each problem, in the file's order."""
    reader = Reader(document, needs_data)
    spec = None
    with suppress(TooManyError):
        imports = read_imports(reader, base_of(document, "import"))
        if not any(path[:1] == ("import",) for path, _ in reader.problems):  # else what lies there is not known
            spec = _study(reader, base_of(document), imports)
    if reader.problems or spec is None:
        ordered = sorted(reader.problems[:MAX_PROBLEMS], key=lambda problem: document.rank(problem[0]))
        more = [f"{document.name}: these are the first {MAX_PROBLEMS} problems; there may be more"]
        raise SpecError([*(document.sentence(*problem) for problem in ordered),
                         *(more if len(reader.problems) >= MAX_PROBLEMS else [])])
    return spec


def _study(reader: Reader, base: str, imports: dict[str, Imported]) -> StudySpec | None:
    for key in reader.raw:
        if key not in KEYS:
            reader.report((key,), unknown(key, KEYS))
    name, question, (data, kind, sizes) = _name(reader), _question(reader), read_data(reader, base)
    methods = read_methods(reader)
    baseline, seed = read_baseline(reader, methods), reader.whole((), "seed", 0, 0, MAX_SEED)
    kinds = kinds_of(reader, methods)
    entries = read_entries(reader, kinds)
    train = Section(kinds, read_value, reader.report).take(("train",), reader.mapping(("train",)))
    fixed = {arm: {**train[arm], **entries[arm]} for arm in methods}
    phases = _phases(reader, methods)
    confirm = _confirm(reader)
    evaluation = read_evaluation(reader, kind, sizes, confirm is not None, least_particles(methods, fixed, phases),
                                 base)
    search = (read_search(reader, phases["search"], methods, kind, evaluation)
              if "search" in phases else None)
    replicates = reader.whole(("design",), "replicates", 6, 1, MAX_REPLICATES)
    resources = _resources(reader)
    given = reader.raw.get("keep")
    keep = reader.word(("keep",), KEEP[0] if given is None else given, KEEP)
    for places in phases.values():
        for problem in (*arm_conflicts(entries, places), *several_budgets(places)):
            reader.report(*problem)
    for problem in torn(methods, fixed, phases):
        reader.report(*problem)
    if any(path[:1] in {("train",), ("arms",), ("method",), ("design",), ("search",)} for path, _ in reader.problems):
        return None  # a knob's value is unknown, so what follows might report what is not so
    arms = {arm: Arm(arm, method, {knob: placed.value for knob, placed in fixed[arm].items()})
            for arm, method in methods.items()}
    design = Design(replicates, {arm: factors_of(knobs) for arm, knobs in phases["design"].items()}
                    ) if "design" in phases else None
    for problem in too_many_cells(design) if design else ():
        reader.report(*problem)
    if not any(path == ("design",) for path, _ in reader.problems):
        data_known = kind and not any(path[:1] == ("data",) for path, _ in reader.problems)
        wrong = wrong_for_the_data(methods, fixed, phases, shape_of(kind, data)) if data_known else ()
        for problem in [*wrong_together(methods, fixed, phases), *wrong]:
            reader.report(*problem)
        if any(path[-1:] == ("budget",) for path, _ in reader.problems):
            return None  # it pays for no update, so there are no cells
        for problem in same_cells(arms, design, search):
            reader.report(*problem)
    _check_top(reader, confirm, design, search)
    compare_at = _compare_at(reader, arms.get(baseline), design)
    if reader.problems:
        return None
    return StudySpec(name, question, data, arms, baseline, compare_at, seed, design, search, confirm, evaluation,
                     resources, primary(kind, evaluation.samples), imports, keep)


def _name(reader: Reader) -> str:
    value = reader.raw.get("study")
    if value is None:
        reader.report(("study",), "missing; expected the study's name")
    elif problem := name_problem(value):
        reader.report(("study",), f"{problem}{reader.in_quotes(('study',))}")
    return str(value)


def name_problem(value: object) -> str:
    """Why a study cannot have this name; or ""."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        return ""
    return (f"found {value!r}, expected a name of letters, digits, '.', '_' and '-', beginning with a letter or digit, "
            "at most 100 long")


def _question(reader: Reader) -> str:
    value = reader.raw.get("question")
    if value is not None and not isinstance(value, str):
        reader.report(("question",), f"found {value!r}, expected text{reader.in_quotes(('question',))}")
    return str(value or "").strip()


def _phases(reader: Reader, methods: dict[str, str]) -> dict[str, Places]:
    """The knobs of design and search, for those that the spec has."""
    found = {}
    if reader.raw.get("design") is not None:
        section = Section(kinds_of(reader, methods, "design"), read_levels, reader.report, zips=True)
        found["design"] = section.take(("design",), reader.mapping(("design",)), ("replicates",))
    if reader.raw.get("search") is not None:
        section = Section(kinds_of(reader, methods, "search", "space"), read_range, reader.report)
        found["search"] = section.take(("search", "space"), reader.mapping(("search", "space")))
    if not found:
        reader.report((), "no phase; expected design (a grid, for claims) or search (Optuna, for finding), or both")
    return found


def _confirm(reader: Reader) -> Confirm | None:
    if reader.raw.get("confirm") is None:
        return None
    reader.mapping(("confirm",), SECTIONS["confirm"])
    return Confirm(reader.whole(("confirm",), "top", 3, 1),
                   reader.whole(("confirm",), "replicates", 10, 1, MAX_REPLICATES),
                   reader.whole(("confirm",), "exchange", 0, 0))


def _check_top(reader: Reader, confirm: Confirm | None, design: Design | None, search: Search | None) -> None:
    """`confirm.top` and `exchange` against what there is to choose from."""
    if confirm is None or any(path[:1] == ("confirm",) for path, _ in reader.problems):
        return
    cells = [math.prod(len(f.rows) for f in factors) for factors in design.factors.values()] if design else []
    most, what = (search.trials, "trials") if search else (min(cells, default=0), "cells of the design")
    if confirm.top > most:
        reader.report(("confirm", "top"), f"found {confirm.top}, expected at most {most}, the {what} of an arm")
    if confirm.exchange > confirm.top:
        reader.report(("confirm", "exchange"), f"found {confirm.exchange}, expected at most {confirm.top}, those of an "
                                               "arm that are confirmed (confirm.top)")
    if confirm.exchange and search is None:
        reader.report(("confirm", "exchange"), f"found {confirm.exchange} without a search: the cells of a design are "
                                               "the same for all arms as they are")


def _compare_at(reader: Reader, baseline: Arm | None, design: Design | None) -> dict[str, Any] | None:
    """The cell at which the report compares the arms: one of the baseline's."""
    where = ("compare_at",)
    if reader.raw.get("compare_at") is None or baseline is None:
        return None
    given = reader.mapping(where, ("step_size", "mcmc_steps"))
    if not isinstance(reader.raw["compare_at"], dict):
        return None
    if design is None:
        reader.report(where, "found a cell, expected none: only a design has cells")
        return None
    cells = [(hp.step_size, hp.mcmc_steps) for hp in map(baseline.hparams, cells_of(design.factors[baseline.name]))]
    if (given.get(STEP_SIZE), given.get(MCMC_STEPS)) not in cells:  # a list: what is given may have no hash
        known = "; ".join(f"{size:g} with {steps}" for size, steps in sorted(set(cells))[:12])
        found = [f"{name} {given[name]!r}" if name in given else f"no {name}" for name in (STEP_SIZE, MCMC_STEPS)]
        reader.report(where, f"found {' with '.join(found)}, expected a cell of {baseline.name}: {known}")
        return None
    return {STEP_SIZE: float(given[STEP_SIZE]), MCMC_STEPS: int(given[MCMC_STEPS])}


def _resources(reader: Reader) -> Resources:
    given = reader.mapping(("resources",), SECTIONS["resources"])
    cpu, gpu = given.get("cpu", 1), given.get("gpu", "auto")
    if not is_number(cpu) or cpu <= 0:
        reader.report(("resources", "cpu"), f"found {cpu!r}, expected a number > 0{as_number(cpu)}")
    elif cpu < LEAST_SHARE:
        reader.report(("resources", "cpu"), f"found {cpu!r}, expected at least {LEAST_SHARE}, the least that Ray "
                                            "counts")
    if gpu != "auto" and not (is_number(gpu) and gpu >= 0):
        reader.report(("resources", "gpu"), f"found {gpu!r}, expected auto or a number >= 0{as_number(gpu)}")
    elif gpu != "auto" and 0 < gpu < LEAST_SHARE:
        reader.report(("resources", "gpu"), f"found {gpu!r}, expected 0 or at least {LEAST_SHARE}, the least that Ray "
                                            "counts")
    elif gpu != "auto" and gpu > 1 and gpu != int(gpu):
        reader.report(("resources", "gpu"), f"found {gpu!r}, expected auto, a share of one GPU or a whole number: Ray "
                                            "gives no part of a second one")
    return Resources(cpu, gpu)
