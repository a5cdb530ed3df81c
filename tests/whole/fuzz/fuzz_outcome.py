"""What a launch may answer: it plans, or it refuses in one line a problem. Everything else is a failure."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data.load import load as load_data
from models.measures import features
from models.stability.local_sd import Spread
from study.launch import main
from study.plan import make as planning
from study.plan import memory
from study.plan.identity import config_hash, study_version
from study.plan.space import design_configurations, estimate
from study.run.phases import make_search
from study.schema.canonical import sealed
from study.schema.plan import Space
from study.spec import PHASES, StudySpec, load
from study.spec.knobs import METHODS
from study.spec.model import cells_of
from study.spec.problems import MAX_PROBLEMS, SpecError
from study.store.results import Results
from study.store.units import Store
from tests.stores import trained_once

NAME = "s.yaml"
LONGEST = 2600  # characters of a line: place, key and message, each of the last two cut at a thousand
QUICK = ("gaussians8", "gaussians25", "moons", "rings", "faces")  # data that a plan is made for in a moment
# What a sentence says beside its place: what was expected, or what to do.
HELPFUL = re.compile(r"expected|did you mean|missing|not valid YAML|keep one|write the |stands twice|does not exist|"
                     r"belongs |write a |write it |has no effect|take |has no key|more than|give |change one of them|"
                     r"has the method|repeat the whole|move this|there may be more")


def problems(lines: Sequence[str], data: bytes) -> None:
    """Whether lines name problems as the house does: one line each, with its place, fit for a terminal."""
    assert lines and len(lines) == len(set(lines)), "no line, or one twice"
    assert len(lines) <= MAX_PROBLEMS + 1, f"{len(lines)} lines, which nobody reads"
    newest = data.count(b"\n") + data.count(b"\r") + data.count(b"\xc2\x85") + data.count(b"\xe2\x80") + 1
    for line in lines:
        found = re.match(rf"(?:{re.escape(NAME)}(?::(\d+))?: |--set )\S", line)
        assert found, f"no place: {line!r}"
        assert found[1] is None or 1 <= int(found[1]) <= newest, f"no such line: {line!r}"
        assert len(line) <= LONGEST and len(line.splitlines()) == 1, f"not one short line: {line[:3000]!r}"
        assert HELPFUL.search(line), f"says not what to do: {line!r}"


def check(spec: StudySpec) -> None:
    """What holds for every spec that was accepted, without data."""
    resolved = spec.resolved()
    finite(resolved)
    typed(spec)
    assert not set(spec.question.encode("utf-8")) & {0, 7, 27}, "a terminal's codes"
    finite(estimate(spec).model_dump())
    assert json.loads(json.dumps(resolved)) == resolved and len(study_version(resolved, "abc")) == 12
    cells = design_configurations(spec)
    assert len({config_hash(cell, "abc") for cell in cells}) == len(cells), "two cells of the design are one"


def typed(spec: StudySpec) -> None:
    """A truth value is no number and a number no truth value, though Python takes either for the other."""
    wholes = [spec.seed, spec.evaluation.points, spec.evaluation.samples, spec.evaluation.long_run,
              *(spec.replicates(phase) for phase in PHASES), spec.confirm.top if spec.confirm else 1,
              spec.search.trials if spec.search else 1]
    assert {type(number) for number in wholes} == {int}, wholes
    for arm in spec.arms.values():
        hints = typing.get_type_hints(METHODS[arm.method])
        said = [*arm.full({}).items()]
        if spec.design:
            said += [pair for cell in cells_of(spec.design.factors[arm.name]) for pair in cell.items()]
        if spec.search:
            said += spec.search.fixed[arm.name].items()
            said += [(k, choice) for k, r in spec.search.free[arm.name].items() for choice in r.choices]
        for knob, value in said:
            kinds = {type(word) if typing.get_origin(hints[knob]) is typing.Literal else word
                     for word in typing.get_args(hints[knob]) or (hints[knob],)}
            assert type(value) in kinds, f"{arm.name}: {knob} = {value!r}"


def finite(value: Any) -> None:
    json.dumps(value, allow_nan=False)


def loaded(file: Path, options: Sequence[str]) -> StudySpec | None:
    """The spec in a file, checked; None where it was refused as it should be."""
    try:
        spec = load(file.name, options)
    except SpecError as error:
        problems(error.problems, file.read_bytes())
        return None
    check(spec)
    return spec


def dry_run(file: Path, options: Sequence[str]) -> int:
    """The exit code of `--dry-run` on a file, with what it printed checked."""
    out, err = io.StringIO(), io.StringIO()
    words = [word for option in options for word in ("--set", option)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["--space", file.name, "--dry-run", *words])
    said = out.getvalue().encode("utf-8").decode() + err.getvalue().encode("utf-8", "backslashreplace").decode()
    assert "Traceback" not in said and "nan" not in said.split()
    if code == 0:
        assert "estimated cost" in out.getvalue() and not err.getvalue()
    else:
        assert code == 2 and not out.getvalue()
        problems(err.getvalue().splitlines(), file.read_bytes())
    return code


def begin(file: Path, options: Sequence[str]) -> str:
    """Leave in the storage what a launch of a good file does before its first unit ends: plan, and journals with three
    suggestions. The study's name."""
    spec = load(file.name, options)
    store = Store("runs", spec.study)
    plan = planning.make_plan(spec, load_data(spec.data), 1, Path("runs/.cache"))
    plan.space = Space(file=file.name, text=file.read_text(encoding="utf-8"), overrides=list(options))
    store.write_json("plan.json", sealed(plan.plain()))
    if spec.search is not None:
        results = Results(store, spec.primary, plan.signs, plan.diverged_values, plan.constraints)
        search = make_search(spec, plan.study_version, plan.data.content_hash, results, store)
        for _ in range(3):
            search.next()
    return spec.study


def status(file: Path, options: Sequence[str]) -> tuple[int, str]:
    """The exit code of `--status` on a file, and what it printed, checked: counts, or a sentence."""
    out, err = io.StringIO(), io.StringIO()
    words = [word for option in options for word in ("--set", option)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["--space", file.name, "--status", *words])
    if code == 2:
        problems(err.getvalue().splitlines(), file.read_bytes())
    else:
        assert code == 0 and not err.getvalue()
        said = out.getvalue().splitlines()[-1]
        assert "units of work: " in said or "has not been started" in said or "counts what it can use" in said, said
    return code, out.getvalue()


def is_quick(spec: StudySpec) -> bool:
    """Whether a plan takes a fraction of a second: small data, few samples, few cells."""
    cells = sum(math.prod(len(f.rows) for f in factors) for factors in (spec.design.factors.values() if spec.design
                                                                        else ()))
    return str(spec.data["name"]) in QUICK and cells <= 200


_KEPT: dict[Any, Any] = {}  # of this process


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """What a plan measures on the data alone is measured once in the process: real parts, each used many times."""
    features_of, spread_of = features.Extractor.__call__, planning.spread_of
    random_convnet, for_data, counted = features.random_convnet, features.for_data, memory._counted

    def extract(self: features.Extractor, images: np.ndarray) -> np.ndarray:
        if images.flags.writeable:
            return features_of(self, images)
        return once(("features", id(self), id(images)), lambda: (features_of(self, images), self, images))[0]

    def once(key: Any, make: Any) -> Any:
        if key not in _KEPT:
            _KEPT[key] = make()
        return _KEPT[key]

    def spread(data: Any, seed: int) -> Spread:
        return once(("spread", data.content_hash), lambda: spread_of(data, 0))

    def convnet(train: np.ndarray, seed: int = 0) -> features.Extractor:
        return once(("convnet", id(train), seed), lambda: (random_convnet(train, seed), train))[0]

    def bytes_of(arm: Any, hp: Any, data: Any, *numbers: int) -> int:
        return once(("bytes", arm.method, hp, data.content_hash, numbers), lambda: counted(arm, hp, data, *numbers))

    def learned(data: Any, cache_dir: Any = None) -> features.Extractor:
        return once(("learned", data.content_hash), lambda: for_data(data, cache_dir))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.Extractor, "__call__", extract)
        patch.setattr(features, "random_convnet", convnet)
        patch.setattr(features, "for_data", learned)
        patch.setattr(features, "_cached", trained_once(features._cached))
        patch.setattr(planning, "spread_of", spread)
        patch.setattr(planning, "FLOOR_DRAWS", 2)
        patch.setattr(memory, "_counted", bytes_of)
        yield
