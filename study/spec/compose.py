"""YAML 1.2 text -> nodes, or the place and the reason why it is none, in words for people.

Only ruamel.yaml's composer is used: it makes nodes, never objects.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node

from study.spec.written import unspaced

MAX_NODES = 10_000
MAX_DEPTH = 30
BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # what ruamel.yaml counts as the end of a line
CONFLICT = re.compile(r"(<{7}|={7}|>{7})( |$)")
INDENTATION = "; expected the indentation of the keys beside it"


class NotYaml(Exception):
    """args[0] is `LINE: column COLUMN: not valid YAML: why`."""


class _Limited(Composer):
    """Stops at a text that is too large or too deep, before it costs seconds or ends in Python's recursion limit."""

    nodes = levels = 0  # not `depth`, which newer composers have and count themselves

    def compose_node(self, parent: Node | None, index: Any) -> Node:
        is_key = isinstance(parent, MappingNode) and index is None
        self.nodes, self.levels = self.nodes + (not is_key), self.levels + 1
        if self.levels > MAX_DEPTH or self.nodes > MAX_NODES:
            why = (f"nested more than {MAX_DEPTH} deep" if self.levels > MAX_DEPTH
                   else f"more than {MAX_NODES:,} values")
            raise MarkedYAMLError(problem=why, problem_mark=self.parser.peek_event().start_mark)
        node: Node = super().compose_node(parent, index)
        self.levels -= 1
        return node


def compose(text: str) -> Node | None:
    """The root node; None where the text holds no value. Raises NotYaml."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a reused anchor is fine
            reader = YAML(typ="safe", pure=True)
            reader.Composer = _Limited
            node: Node | None = reader.compose(text)
            return node
    except MarkedYAMLError as error:
        place, why = _marked(error, BREAK.split(text))
    except YAMLError as error:
        offset = getattr(error, "position", 0)
        why = f"unacceptable character #x{ord(text[offset]):04x}"
        place = f"{text.count(chr(10), 0, offset) + 1}"
    except (KeyError, AssertionError):  # ruamel.yaml's own checks of that line
        version = next((i for i, line in enumerate(text.split("\n"), 1) if line.startswith("%YAML")), 0)
        place, why = str(version or 1), ("expected %YAML 1.2, or no such line" if version else "cannot be parsed")
    except (ValueError, OverflowError):  # from chr() of an escape
        place, why = _bad_escape(text)
    raise NotYaml(f"{place}: not valid YAML: {' '.join(why.split())}") from None


def _marked(error: MarkedYAMLError, lines: list[str]) -> tuple[str, str]:
    """Place and reason. ruamel.yaml names the place at which it gave up, which may be lines after the fault."""
    mark, begun = error.problem_mark or error.context_mark, error.context_mark
    context, problem = error.context or "", error.problem or ""
    if mark is None:
        return "1", f"{context} {problem}"
    if "<document start>" in problem and any(line.startswith("%") for line in lines):
        number = next(i for i, line in enumerate(lines, 1) if line.startswith("%"))
        return f"{number}: column 1", "found '%' at the beginning; text that begins with it stands in quotes"
    place = f"{mark.line + 1}: column {mark.column + 1}"
    for number, line in enumerate(lines, 1):
        if CONFLICT.match(line):
            return str(number), f"found {line[:7]}, the mark of a merge conflict, expected one of its sides"
    if "'\\t'" in problem:
        return place, "found a tab, expected spaces"
    if fault := _no_colon(lines, begun.line if begun and "simple key" in context else mark.line):
        return fault
    if "mapping values are not allowed" in problem:
        again = re.search(r":\s+\S", lines[mark.line][:mark.column])
        problem += "; text with a colon in it stands in quotes" if again else INDENTATION
    elif "<block mapping start>" in problem:
        problem += INDENTATION
    elif "cannot start any token" in problem:
        problem += "; text that begins with it stands in quotes"
    elif begun and begun.line < mark.line and ("flow" in context or "quoted" in context):
        problem += f", begun on line {begun.line + 1}"
    return place, f"{context} {problem}"


def _no_colon(lines: list[str], at: int) -> tuple[str, str] | None:
    """Place and reason of the first of the lines up to the one `at` that lack a colon and a space after their keys."""
    first = None
    for number in range(min(at, len(lines) - 1), -1, -1):
        line = lines[number].strip()
        if not line or line.startswith("#"):
            continue
        if hint := unspaced(line):
            first = str(number + 1), f"found {line}{hint}"
        elif first or number < at:
            break
    return first


def _bad_escape(text: str) -> tuple[str, str]:
    """Line and reason of the first `\\U...` beyond Unicode."""
    found = next((m for m in re.finditer(r"\\U([0-9a-fA-F]{8})", text) if int(m[1], 16) > 0x10FFFF), None)
    return (f"{text.count(chr(10), 0, found.start()) + 1}", f"{found[0]} is no character") if found else ("1", "escape")
