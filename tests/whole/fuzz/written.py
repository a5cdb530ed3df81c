"""A resolved study -> a file that says it again: what `load` reads from it resolves to the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from study.spec.knobs import METHODS

Tree = dict[str, Any]


def written(resolved: Mapping[str, Any]) -> Tree:
    """`StudySpec.resolved()` in the words of a spec: every arm has its own branches; defaults are left out."""
    design, search = resolved["design"], resolved["search"]
    levels = {arm: _levels(factors) for arm, factors in design["factors"].items()} if design else {}
    space = {arm: {knob: _freed(value) for knob, value in knobs.items()}
             for arm, knobs in search["space"].items()} if search else {}
    said = {arm: {*_knobs_of(levels.get(arm, {})), *space.get(arm, {})} for arm in resolved["arms"]}
    entries, train = _fixed(resolved["arms"], said)
    found: Tree = {key: resolved[key] for key in ("study", "question", "data")}
    found |= {"arms": entries, "baseline": resolved["baseline"], "seed": resolved["seed"], "train": train}
    if design:
        found["design"] = {"replicates": design["replicates"], **levels}
    if search:
        found["search"] = {"objective" if key == "objectives" else key: value for key, value in search.items()
                           if key != "space"} | {"space": space}
    if resolved["confirm"]:
        found["confirm"] = dict(resolved["confirm"])
    return found | {key: dict(resolved[key]) for key in ("evaluation", "resources")}


def _fixed(arms: Mapping[str, Any], said: Mapping[str, set[str]]) -> tuple[Tree, Tree]:
    """`arms` and `train`. What a phase overrides stands in `train`: no phase may undo what an arm itself fixes.

    A branch named like a method holds for all arms of it, so those say their own value where it differs.
    """
    defaults = {name: {f.name: f.default for f in fields(cls)} for name, cls in METHODS.items()}
    own = {arm: {k: v for k, v in a["knobs"].items() if v != defaults[a["method"]][k]} for arm, a in arms.items()}
    for arm, a in arms.items():
        if a["method"] in arms:
            for knob in own[a["method"]].keys() & said[a["method"]]:
                own[arm].setdefault(knob, a["knobs"][knob])
    entries = {arm: {"method": a["method"], **{k: v for k, v in own[arm].items() if k not in said[arm]}}
               for arm, a in arms.items()}
    return entries, {arm: shared for arm in arms
                     if (shared := {k: v for k, v in own[arm].items() if k in said[arm]})}


def _levels(factors: list[Tree]) -> Tree:
    """One arm's branch of the design."""
    alone = {f["knobs"][0]: [row[0] for row in f["rows"]] for f in factors if len(f["knobs"]) == 1}
    pairs = [{knob: [row[i] for row in f["rows"]] for i, knob in enumerate(f["knobs"])}
             for f in factors if len(f["knobs"]) > 1]
    return {**alone, **({"zip": pairs} if pairs else {})}


def _knobs_of(levels: Tree) -> set[str]:
    return {*levels, *(knob for pair in levels.get("zip", ()) for knob in pair)} - {"zip"}


def _freed(value: Any) -> Any:
    """One knob of a search space: a value, a choice, or an interval in the one form that means it."""
    if not isinstance(value, Mapping) or "choice" in value:
        return value
    kind = "int" if "int" in value else "float"
    return {"log" if value["log"] else kind: value[kind]}
