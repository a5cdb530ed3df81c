"""`--set path.to.key=value`: one value of a spec replaced before it is checked."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from study.spec.compose import MAX_DEPTH, NotYaml, compose
from study.spec.problems import MAX_PROBLEMS, SpecError, dotted, shortened
from study.spec.yaml_text import Document, Walk


def apply_overrides(document: Document, overrides: Iterable[str]) -> Document:
    """`document` with each `path.to.key=value` (value in YAML) put in its place. Raises SpecError, all at once."""
    value, lines, options = deepcopy(document.value), dict(document.lines), dict(document.options)
    texts, problems = dict(document.texts), []
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        option = shortened(" ".join(f"--set {key}".split()))
        if not equals or not key:
            said = shortened(" ".join(f"--set {override}".split())) if override.strip() else "--set ''"
            problems.append(f"{said}: expected key=value, such as --set design.replicates=10")
            continue
        if key.count(".") >= MAX_DEPTH:
            problems.append(f"{option}: found a key of {key.count('.') + 1} parts, expected at most {MAX_DEPTH}")
            continue
        try:
            node = compose(text)
        except NotYaml as error:
            problems.append(f"{option}: found {shortened(repr(text))}, {error.args[0].partition(': ')[2]}")
            continue
        path = _place(value, key)
        if "" in path:
            problems.append(f"{option}: found a key with an empty part, expected names with one dot between them, "
                            "such as design.replicates")
            continue
        if node is None:
            problems.append(f"{option}: found nothing after the =, expected a value, or {option}=null if null is meant")
            continue
        walk = Walk()
        blocked = _put(value, path, walk.plain(node, path, ()))
        if blocked:
            problems.append(f"{option}: {dotted(blocked)} is not a mapping, so it has no key {path[len(blocked)]}")
        problems += [f"{option}: {dotted(inner[len(path):])}{': ' if len(inner) > len(path) else ''}{message}"
                     for inner, message in walk.problems]
        texts = {p: text for p, text in texts.items() if p[:len(path)] != path} | walk.texts
        lines = {p: line for p, line in lines.items() if p[:len(path)] != path}
        options = {p: o for p, o in options.items() if p[:len(path)] != path} | {path: option}
    if problems:
        raise SpecError(problems[:MAX_PROBLEMS])
    return replace(document, value=value, lines=lines, options=options, texts=texts)


def _place(value: Any, key: str) -> tuple[str, ...]:
    """A dotted key as a path; where a key of `value` has dots itself (an arm's name), that key is kept whole."""
    parts, path = key.split("."), []
    while parts:
        known = value if isinstance(value, dict) else {}
        size = next((n for n in range(len(parts), 1, -1) if ".".join(parts[:n]) in known), 1)
        path.append(".".join(parts[:size]))
        value, parts = known.get(path[-1]), parts[size:]
    return tuple(path)


def _put(value: dict[str, Any], path: tuple[str, ...], new: Any) -> tuple[str, ...] | None:
    """Set the value at `path`, making mappings on the way; or return the part of the path that is no mapping."""
    for depth, part in enumerate(path[:-1], start=1):
        if value.get(part) is None:
            value[part] = {}
        value = value[part]
        if not isinstance(value, dict):
            return path[:depth]
    value[path[-1]] = new
    return None
