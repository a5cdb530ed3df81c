"""YAML 1.2 text -> plain values with the line of every key. Runs no code, whatever the text says.

Tags beyond YAML's core types are refused, as are duplicate keys; aliases may not blow a small text up. What no study
needs is refused while it is read: very many values, very deep nesting, numbers that no float holds exactly, characters
that no terminal shows.
"""

from __future__ import annotations

import io
import os
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import Reader

from study.spec.compose import MAX_DEPTH, MAX_NODES, NotYaml, compose
from study.spec.problems import MAX_PROBLEMS, Path, SpecError, dotted, nearest, shortened
from study.spec.written import stray_comma, unspaced

MAX_BYTES = 250_000
MAX_WHOLE = 2**53  # up to here a float holds every whole number
CORE = "tag:yaml.org,2002:"
AS_TEXT = {CORE + "str", CORE + "timestamp"}  # YAML 1.2 has no dates
AS_VALUE = {CORE + "int": "a whole number", CORE + "float": "a number", CORE + "bool": "true or false",
            CORE + "null": "null"}


@dataclass(frozen=True)
class Document:
    """A text's plain value, and where each of its keys stands. `problems` are (path, message), met while reading."""

    name: str  # the file as its user named it
    value: Any
    lines: Mapping[Path, int]
    options: Mapping[Path, str] = field(default_factory=dict)  # what --set gave: path -> option as it was written
    problems: tuple[tuple[Path, str], ...] = ()
    texts: Mapping[Path, str] = field(default_factory=dict)  # of what YAML takes for no text, as it is written

    def in_quotes(self, path: Path, words: Collection[str] | None = None) -> str:
        """The end of a message where text was expected: how to write what stands at `path` as text, if it is not.

        words: all that may stand there; None: any text.
        """
        if not self.texts.get(path) or (words is not None and self.texts[path] not in words):
            return ""  # what is left empty needs a value, not quotes
        text = f'"{self.texts[path]}"'
        if path in self.options:
            text = f"--set '{dotted(path)}={text}'"
        elif isinstance(path[-1], str):  # else it stands in a list
            text = f"{path[-1]}: {text}"
        return f"; write it in quotes: {text}"

    def rank(self, path: Path) -> tuple[bool, int]:
        """For sorting: problems of the file by line, then those of options."""
        near = self._known(path)
        return near in self.options, self.lines.get(near, 0)

    def sentence(self, path: Path, message: str) -> str:
        """One line for people: place, key, message."""
        near = self._known(path)
        inside = next((option for p, option in self.options.items() if p[:len(path)] == path), None)
        if near in self.options or (near != path and inside):  # an option that made `path` on its way
            place = self.options.get(near, inside)
            key = "" if near == path else dotted(path)
        else:
            place, key = f"{self.name}:{self.lines.get(near, 1)}", dotted(path)
        return " ".join(f"{place}: {shortened(key) + ': ' if key else ''}{shortened(message)}".split())

    def _known(self, path: Path) -> Path:
        while path and path not in self.lines and path not in self.options:
            path = path[:-1]
        return path


def text_of(file: str | os.PathLike[str]) -> str:
    """The text of a study's file. Raises SpecError when it cannot be read, is too large or no text."""
    name = os.fspath(file)
    if not name:
        raise SpecError(["found an empty name, expected a study's YAML file, such as search_spaces/jko.yaml"])
    try:
        with open(name, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if os.path.islink(name):
            raise SpecError([f"{name}: a link to {os.readlink(name)}, where no file is"]) from None
        folder = FilePath(name).parent
        known = {p.stem: p for p in folder.glob("*.y*ml")} if folder.is_dir() else {}
        near = nearest(FilePath(name).stem, known)  # stems: the ending makes everything alike
        raise SpecError([f"{name}: no such file" + (f"; did you mean {known[near]}?" if near else "")]) from None
    except IsADirectoryError:
        raise SpecError([f"{name}: is a directory, expected a YAML file"]) from None
    except (OSError, ValueError) as error:
        raise SpecError([f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    if len(data) > MAX_BYTES:
        raise SpecError([f"{name}: is larger than {MAX_BYTES:,} bytes, expected a study's YAML file"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError([f"{name}:{line}: is not UTF-8 text (byte 0x{data[error.start]:02x}), "
                         "expected a YAML file"]) from None


def parse(text: str, name: str) -> Document:
    """The document in a text; `name` stands in messages. Raises SpecError when it is not one YAML mapping."""
    try:
        root = compose(text)
    except NotYaml as error:
        raise SpecError([f"{name}:{error.args[0]}"]) from None
    if root is None or (isinstance(root, ScalarNode) and root.tag == CORE + "null"):
        raise SpecError([f"{name}: is empty, expected a study with the keys study, data, method, ..."])
    walk = Walk()
    value = walk.plain(root, (), ())
    document = Document(name, value, walk.lines, problems=tuple(walk.problems), texts=walk.texts)
    if walk.fatal:
        raise SpecError(document.sentence(*problem) for problem in walk.problems)
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else shortened(repr(value))
        raise SpecError([f"{name}:1: found {kind}, expected a mapping with the keys study, data, method, ..."
                         + unspaced(value)])
    return document


class Walk:
    """Nodes -> plain values, with lines and problems noted on the way."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[tuple[Path, str]] = []
        self.texts: dict[Path, str] = {}  # of scalars that are no text, as they are written
        self.fatal = False  # a value is unknown, so checking the rest would mislead
        self.stopped = False  # at a limit: the rest is not looked at
        self.visited = 0
        self.construct = YAML(typ="safe", pure=True).constructor.construct_object  # of core scalars only

    def plain(self, node: Node, path: Path, above: tuple[Node, ...]) -> Any:
        if self.stopped:
            return None
        self.lines.setdefault(path, node.start_mark.line + 1)
        self.visited += 1
        if any(node is other for other in above):
            return self._refuse(path, "an alias inside its own anchor never ends; write the value out")
        if len(above) >= MAX_DEPTH:
            return self._stop(path, f"nested more than {MAX_DEPTH} deep once its aliases are written out")
        if self.visited > MAX_NODES:
            return self._stop(path, f"more than {MAX_NODES:,} values once its aliases are written out")
        if isinstance(node, MappingNode) and node.tag == CORE + "map":
            return self._mapping(node, path, (*above, node))
        if isinstance(node, SequenceNode) and node.tag == CORE + "seq":
            return [self.plain(item, (*path, i), (*above, node)) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.tag in AS_TEXT:
            return self._text(path, node.value)
        if isinstance(node, ScalarNode) and node.tag in AS_VALUE:
            return self._scalar(node, path)
        return self._refuse(path, f"found the tag {str(node.tag).replace(CORE, '!!')}, expected a plain value without "
                                  "a tag: nothing in a spec is run")

    def _text(self, path: Path, text: str) -> str:
        """Escapes can write what YAML forbids: half a character, which cannot be saved, or a terminal's codes."""
        if Reader.NON_PRINTABLE.search(text):  # JSON writes a character beyond #xffff as two halves
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if bad := Reader.NON_PRINTABLE.search(text):
            self._refuse(path, f"found the character #x{ord(bad[0]):04x}, expected text that can be printed")
        return text

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        if node.value == "" and path and (hint := unspaced(path[-1]) or stray_comma(path[-1])):
            return self._refuse(path, f"found a key without a value{hint}")
        self.texts[path] = node.value
        try:
            value = self.construct(node)
        except (ValueError, KeyError, IndexError):
            value = None
        if (value is None and node.tag != CORE + "null") or (isinstance(value, int) and abs(value) > MAX_WHOLE):
            limit = f" of at most {MAX_WHOLE:,} in size" if node.tag == CORE + "int" else ""
            return self._refuse(path, f"found {node.value[:40]!r}, expected {AS_VALUE[str(node.tag)]}{limit}")
        return value

    def _mapping(self, node: MappingNode, path: Path, above: tuple[Node, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key_node, ScalarNode):
                self.lines.setdefault((*path, "?"), line)
                self._refuse((*path, "?"), "found a list or a mapping as a key, expected a name")
            elif hidden := next((c for c in key if unicodedata.category(c) in ("Cf", "Zs") and c != " "), ""):
                self.lines.setdefault((*path, "?"), line)
                self._refuse((*path, "?"), f"found the character #x{ord(hidden):04x}, which nobody sees, in a key, "
                                           "expected plain letters and spaces; write the line again")
            elif Reader.NON_PRINTABLE.search(key):
                self.lines.setdefault((*path, "?"), line)
                self._text((*path, "?"), key)
            elif key in found:
                self.problems.append(((*path, key), f"duplicate key, also on line {line}; keep one"))
            else:
                self.lines[(*path, key)] = line
                if key == "<<":
                    self._refuse((*path, key), "YAML 1.2 has no merge keys; write the keys out")
                found[key] = self.plain(value_node, (*path, key), above)
        return found

    def _refuse(self, path: Path, message: str) -> None:
        self.problems.append((path, message))
        self.fatal = True
        self.stopped |= len(self.problems) >= MAX_PROBLEMS

    def _stop(self, path: Path, message: str) -> None:
        self._refuse(path, message)
        self.stopped = True


def as_yaml(resolved: Mapping[str, Any]) -> str:
    """A resolved spec as YAML, keys in their order."""
    text = io.StringIO()
    YAML().dump(dict(resolved), text)
    return text.getvalue()
