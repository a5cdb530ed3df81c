"""The `search` section, but for its space: budget, sampler, objectives, pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.measures.table import own_measure
from study.schema.bound import Bound
from study.schema.columns import KAPPA
from study.schema.unit import Evaluation
from study.spec.branches import Placed
from study.spec.knobs import METHODS, is_number
from study.spec.model import MAX_REPLICATES, Search
from study.spec.objectives import FEATURES, Objective, measures, primary
from study.spec.places import SECTIONS
from study.spec.problems import Path
from study.spec.reading import Reader
from study.spec.written import as_number

KEYS = SECTIONS["search"]
SAMPLERS = ("tpe", "random", "gp", "nsga2")
BUDGETS = ("gradients", "trials")
DIRECTIONS = {"minimize": "smaller", "maximize": "larger"}  # what is better
MAX_OBJECTIVES = 3
STEPS = Objective(KAPPA, KAPPA)  # how near the chain is to its limit
UNKNOWN = Objective("", "")  # stands for an objective that there is not, so that nothing else is said of it


def read_search(reader: Reader, space: Mapping[str, Mapping[str, Placed]], methods: Mapping[str, str], data: str,
                evaluation: Evaluation) -> Search:
    """The whole section. `space`: what was read of search.space; `data` is "" where the data set is unknown."""
    given = reader.mapping(("search",), KEYS)
    known = _known(data, evaluation)
    chosen = _objectives(reader, given.get("objective", "primary"), methods, known, evaluation.samples)
    _check_direction(reader, given.get("direction"), chosen)
    diverged = given.get("diverged_value", "reference")
    return Search(
        replicates=reader.whole(("search",), "replicates", 2, 1, MAX_REPLICATES),
        sampler=_sampler(reader, given.get("sampler", "tpe")),
        trials=reader.whole(("search",), "trials", 16, 1),
        equal=reader.word(("search", "equal"), given.get("equal", "gradients"), BUDGETS, noun="kind of budget"),
        objectives=tuple(measure.name or primary(data, evaluation.samples) for measure in chosen),
        directions=tuple(measure.direction for measure in chosen),
        prune=_prune(reader, given.get("prune"), chosen),
        diverged_value=_diverged_value(reader, diverged, len(chosen)),
        constraints=_constraints(reader, methods, known, evaluation.samples),
        fixed={arm: {k: p.value[0] for k, p in knobs.items() if isinstance(p.value, tuple)}
               for arm, knobs in space.items()},
        free={arm: {k: p.value for k, p in knobs.items() if not isinstance(p.value, tuple)}
              for arm, knobs in space.items()})


def _sampler(reader: Reader, value: Any) -> str:
    """A built-in one's word, or `package.module:Name` of one that can be made."""
    where = ("search", "sampler")
    if isinstance(value, str) and ":" in value:
        reader.find(where, "sampler", value)
        return value
    return reader.word(where, value, SAMPLERS, noun="sampler")


@dataclass(frozen=True)
class Known:
    """What these data have: the measures by each of their names, and what is said where there is no such name."""

    named: Mapping[str, Objective]
    words: Sequence[str]
    context: str


def _known(data: str, evaluation: Evaluation) -> Known | None:
    """None where the data set is unknown."""
    if not data:
        return None
    found = measures(data, evaluation.samples, map(own_measure, evaluation.measures))
    return Known({"primary": found[0], **{m.family: m for m in found}, **{m.name: m for m in found}},
                 ["primary", *(m.family for m in found)], f" for {data} and evaluation.samples = {evaluation.samples}")


def _objectives(reader: Reader, value: Any, methods: Mapping[str, str], known: Known | None,
                samples: int) -> list[Objective]:
    words = value if isinstance(value, list) else [value]
    if known is None:
        return [Objective("primary", "primary")] * len(words)
    chosen: list[Objective] = []
    for i, word in enumerate(words):
        where: Path = ("search", "objective", i) if isinstance(value, list) else ("search", "objective")
        measure = known.named.get(word) if isinstance(word, str) else None
        if measure is None:
            reader.unknown(where, word, known.words, "objective", may_be_list=True, context=known.context)
            chosen.append(UNKNOWN)
            continue
        _check_measured(reader, where, word, measure, methods, samples, "; take primary")
        if measure in chosen:
            reader.report(where, f"{word} stands twice in the list")
        chosen.append(measure)
    if not 1 <= len(words) <= MAX_OBJECTIVES:
        reader.report(("search", "objective"), f"found {len(words)} objectives, expected 1 to {MAX_OBJECTIVES}")
    return chosen


def _check_measured(reader: Reader, where: Path, word: str, measure: Objective, methods: Mapping[str, str],
                    samples: int, instead: str = "") -> None:
    """Whether each arm has this measure, of so many samples; instead: what else to take."""
    if measure.needs > samples:
        why = ", twice its features" if measure.needs > FEATURES else ""
        reader.report(where, f"{word} needs evaluation.samples >= {measure.needs}{why}, found {samples}{instead}")
    without = [arm for arm, method in methods.items() if METHODS[method].latent_chain]
    if measure.needs_density and without:
        reader.report(where, f"{word} needs a density of the data space, which {', '.join(without)} does not have"
                             f"{instead}")


def _constraints(reader: Reader, methods: Mapping[str, str], known: Known | None, samples: int) -> dict[str, Bound]:
    """Bounds of measures, by name, of which kappa is one that is no objective."""
    found: dict[str, Bound] = {}
    given = reader.mapping(("search", "constraints"))
    if known is None:
        return {}
    for word, limit in given.items():
        where = ("search", "constraints", word)
        measure = STEPS if word == KAPPA else known.named.get(word)
        if measure is None:
            reader.unknown(where, word, [KAPPA, *known.words], "measure", context=known.context)
            continue
        _check_measured(reader, where, word, measure, methods, samples)
        if not is_number(limit):
            reader.report(where, f"found {limit!r}, expected a finite number{as_number(limit)}")
        elif measure.name in found:
            reader.report(where, f"{measure.name} stands twice")
        else:
            found[measure.name] = Bound(float(limit), measure.direction)
    return found


def _check_direction(reader: Reader, value: Any, chosen: list[Objective]) -> None:
    """One word for each objective, a single word for all; it may be said, and is the measure's own."""
    words = value if isinstance(value, list) else [value] * len(chosen)
    if len(words) != len(chosen):
        reader.report(("search", "direction"), f"found {len(words)} for {len(chosen)} objectives, expected one each")
    for i, (word, measure) in enumerate(zip(words, chosen, strict=False)):
        where: Path = ("search", "direction", i) if isinstance(value, list) else ("search", "direction")
        known = word in tuple(DIRECTIONS)  # which asks for no hash
        if known and word != measure.direction and measure is not UNKNOWN:
            reader.report(where, f"found {word}, expected {measure.direction}: the {DIRECTIONS[measure.direction]} "
                                 f"{measure.name}, the better")
        elif value is not None and not known:
            reader.word(where, word, tuple(DIRECTIONS))


def _prune(reader: Reader, value: Any, chosen: list[Objective]) -> str | None:
    where = ("search", "prune")
    if value is None:
        return None
    if isinstance(value, str) and ":" in value:
        reader.find(where, "pruner", value)
        word = value
    else:
        word = reader.word(where, value, ("successive_halving",), "null")
    if word != value:
        return None
    if len(chosen) > 1:
        reader.report(where, f"found {word} with {len(chosen)} objectives, expected one: "
                             "a pruner compares single values")
    for measure in chosen:
        if measure.at_end_only:
            reader.report(where, f"found {word} with {measure.name}, which has no value before the end of training; "
                                 "take prune: null")
    return word


def _diverged_value(reader: Reader, value: Any, count: int) -> tuple[float | str, ...]:
    """A number for each objective; `reference` may stand for all."""
    where = ("search", "diverged_value")
    values = value if isinstance(value, list) else [value] * count if value == "reference" else [value]
    for item in values:
        if item != "reference" and not is_number(item):
            reader.report(where, f"found {item!r}, expected a finite number or reference")
    if len(values) != count:
        reader.report(where, f"found {len(values)} for {count} objectives, expected one each")
    return tuple(float(item) if is_number(item) else "reference" for item in values)
