"""Who is who: hashes of what is trained, versions of a study, seeds of a phase. An identity is given, never guessed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from models.data.disk.options import KINDS, kind_of
from study.schema.canonical import canonical
from study.schema.unit import Configuration
from study.spec.knobs import METHODS, idle, with_network

if TYPE_CHECKING:
    from study.spec import StudySpec

FIRST_SEED = {"design": 0, "search": 1000, "confirm": 2000}  
SEEDS_APART = 10**6  # between two values of the study's seed, so that their replicates never meet
# An identity leaves out knobs at their default. A method whose defaults were changed counts here, or work that was done
# with the old ones would be taken for work with the new.
DEFAULTS = {"hidden": 2, "amortized": 2, "ggcn": 2}
# Knobs by which every report tells cells apart: another level of them, be it the second, never changes what is there.
LEVELS = ("step_size", "mcmc_steps")
# What extends a study, or only names, shows or places it; all else changes its meaning.
EXTENDS = {"": {"study", "question", "baseline", "compare_at", "confirm", "resources", "keep"},
           "search": {"trials", "equal"}}


def config_hash(configuration: Configuration, content_hash: str) -> str:
    """12 hex digits for what a configuration trains, on data with this content.

    The arm's name is left out, and knobs at their default, so that a knob that a later release adds changes nothing.
    """
    meaning = {key: value for key, value in configuration.plain().items() if key != "arm"}
    meaning["knobs"] = _without_defaults(configuration.method, configuration.knobs)
    meaning["data"] = {**_without_place(configuration.data), "content_hash": content_hash}
    meaning["evaluation"] = _judged_by(meaning["evaluation"])
    return hashlib.sha256(canonical(meaning).encode()).hexdigest()[:12]


def study_version(resolved: Mapping[str, Any], content_hash: str) -> str:
    """12 hex digits for what a study means; `resolved` is StudySpec.resolved().

    Budgets, replicates of design and confirm, levels of the design, resources, question and baseline are left out: more
    of them extends a study. Replicates of search change what the sampler is told, so they count, and so do knobs but
    LEVELS that the design gives a single value: a report of two such values would not tell which is which.
    """
    return hashlib.sha256(canonical([_meaning(resolved), content_hash]).encode()).hexdigest()[:12]


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The dotted keys in which two resolved specs differ and that make a new study_version."""
    before, after = _flat(_meaning(old)), _flat(_meaning(new))
    absent = object()
    return sorted(key for key in before.keys() | after.keys() if before.get(key, absent) != after.get(key, absent))


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`changed_keys` as a person reads them, with both values: `updates of kl, jko: 300, now 600`; of an arm that is
    gone or new its name alone."""
    before, after = _flat(_meaning(old)), _flat(_meaning(new))
    gone, added = ([arm for arm in one["arms"] if arm not in other["arms"]] for one, other in ((old, new), (new, old)))
    told = [f"{'arm' if len(names) == 1 else 'arms'} {', '.join(names)} {'is' if len(names) == 1 else 'are'} {what}"
            for names, what in ((gone, "gone"), (added, "new")) if names]
    arms: dict[tuple[str, str, str], list[str]] = {}
    for key in changed_keys(old, new):
        parts, of = key.split("."), ""
        if parts[0] in ("arms", "design") and parts[1] in (*gone, *added):
            continue
        if parts[0] == "import":
            parts = [f"the code of {parts[1]}"]
        if parts[0] == "arms":
            of, parts = parts[1], [part for part in parts[2:] if part != "knobs"]
        was, now = (canonical(side[key]) if key in side else "absent" for side in (before, after))
        arms.setdefault((".".join(parts), was, now), []).append(of)
    return told + [(f"{key} of {', '.join(names)}" if any(names) else key) + f": {was[:100]}, now {now[:100]}"
                   for (key, was, now), names in arms.items()]


def phase_seeds(spec: StudySpec, phase: str) -> list[int]:
    """The seeds of a phase's replicates; those of different phases never meet."""
    first = SEEDS_APART * spec.seed + FIRST_SEED[phase]
    return list(range(first, first + spec.replicates(phase)))


def _without_place(data: Mapping[str, Any]) -> dict[str, Any]:
    """What data are, wherever and in whatever kind of file they lie: of images on disk the content hash says which."""
    place = (*KINDS, "column", "refuse_broken")
    return {key: value for key, value in data.items() if key not in place} if kind_of(data) else dict(data)


def _judged_by(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is off, and without the place of the user's extractor: its checksum says which it is."""
    off = ("ais_steps", "features", "measures")
    found = {key: value for key, value in evaluation.items() if value or key not in off}
    if isinstance(features := found.get("features"), Mapping):
        found["features"] = {key: value for key, value in features.items() if key != "file"}
    return found


def _without_defaults(method: str, knobs: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {f.name: f.default for f in fields(METHODS[with_network(method, knobs.get("network"))])}
    given = {knob: value for knob, value in knobs.items() if knob not in defaults or defaults[knob] != value}
    return {**given, "defaults": DEFAULTS[method]} if method in DEFAULTS else given


def _meaning(resolved: Mapping[str, Any]) -> dict[str, Any]:
    meaning = {key: value for key, value in resolved.items() if key not in EXTENDS[""]}
    meaning["data"] = _without_place(resolved["data"])
    meaning["evaluation"] = _judged_by(resolved["evaluation"])
    meaning["arms"] = {name: {**arm, "knobs": _without_defaults(arm["method"], arm["knobs"])}
                       for name, arm in resolved["arms"].items()}
    design = meaning.pop("design") or {"factors": {}}
    fixed = {arm: {knob: value for f in factors if len(f["rows"]) == 1
                   for knob, value in zip(f["knobs"], f["rows"][0], strict=True) if knob not in LEVELS}
             for arm, factors in design["factors"].items()}
    if any(fixed.values()):
        meaning["design"] = fixed
    if search := resolved["search"]:
        meaning["search"] = {key: value for key, value in search.items() if key not in EXTENDS["search"]}
    return meaning


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {key: leaf for name, item in value.items()
                for key, leaf in _flat(item, f"{path}.{name}".removeprefix(".")).items()}
    return {path: value}


def knobs_text(configuration: Configuration, factors: Sequence[str]) -> str:
    """`step_size=0.12 mcmc_steps=20`, of the knobs that the study varies and that have an effect here."""
    return " ".join(f"{k}={value}" for k, value in written(configuration, factors).items())


def written(configuration: Configuration, factors: Sequence[str]) -> dict[str, str]:
    """Those of the knobs that the study varies, as a name shows them; without those that others switch off."""
    knobs, off = configuration.knobs, idle(configuration.method, configuration.knobs)
    return {k: f"{knobs[k]:.4g}" if isinstance(knobs[k], float) else f"{knobs[k]}"
            for k in factors if k in knobs and k not in off}
