"""YAML -> StudySpec: checked, all problems at once, in a moment: imports no array library, no ray, no optuna."""

from __future__ import annotations

import os
from collections.abc import Iterable

from study.schema.unit import PHASES, Evaluation
from study.spec.check import check
from study.spec.model import Arm, Confirm, Design, Factor, Resources, Search, StudySpec
from study.spec.overrides import apply_overrides
from study.spec.problems import Path, SpecError
from study.spec.yaml_text import parse, text_of

__all__ = ["PHASES", "Arm", "Confirm", "Design", "Evaluation", "Factor", "Resources", "Search", "SpecError",
           "StudySpec", "load", "loads", "located", "text_of"]


def load(file: str | os.PathLike[str], overrides: Iterable[str] = ()) -> StudySpec:
    """The study in a YAML file, with `path.to.key=value` overrides. Raises SpecError: all problems, a line each."""
    return loads(text_of(file), os.fspath(file), overrides)


def located(text: str, name: str, overrides: Iterable[str], path: Path, message: str) -> str:
    """A problem that only its data showed, as one line with its place in the text of a file."""
    return apply_overrides(parse(text, name), overrides).sentence(path, message)


def loads(text: str, name: str = "spec.yaml", overrides: Iterable[str] = (), needs_data: bool = True) -> StudySpec:
    """The study in a YAML text; `name` stands in messages. needs_data: whether its images on disk must be there. Raises
    SpecError like `load`."""
    return check(apply_overrides(parse(text, name), overrides), needs_data)
