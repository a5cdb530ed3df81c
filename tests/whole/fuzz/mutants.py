"""Mutants of a good spec: its text, its tree, and `--set` options, damaged as people, editors and programs do it.

A mutant is made by a seeded `random.Random`, a few damages after each other; the same seed makes the same mutant.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from study.spec.check import KEYS
from study.spec.check_search import KEYS as SEARCH_KEYS
from study.spec.knobs import ALL_KNOBS, METHODS

Tree = dict[str, Any]
Where = tuple[str | int, ...]
WORDS = (
    *KEYS, *SEARCH_KEYS, *ALL_KNOBS, *METHODS, "zip", "log", "int", "float", "choice", "low", "high", "name", "size",
    "top", "points", "samples", "split", "long_run", "cpu", "gpu", "reference", "digits", "moons", "__proto__")
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 0.0, -0.0, 0.5, 1e-300, 1e300, -1e300, 5e-324, float("nan"), float("inf"),
    float("-inf"), 2**31, 2**53, 2**53 + 1, 2**63, -2**63, 2**64, 10**30, 10**400, "", " ", "x", "kl", "1", "0.1",
    "null", "true", "NaN", "\u00e9", "\u202eabc", "\U0001f600", "a" * 5000, "a\nb", "%s %d {0} {x}", "[bold]x[/bold]",
    "../../etc", "~", "<<", "*", "&a", [], {}, [None], [[]], [[1, 2]], {"": 1}, {"a": {}}, [1, 1.0, True], [0.1, 0.2],
    {"log": [0, 1]}, {"log": [1, 2]}, {"int": [1, 1.5]}, {"choice": []}, {"choice": [None, True, "x", 1]},
    {"float": [2, 1]}, {"low": 0, "high": None}, {"low": "a", "high": []}, {"log": {}}, {"choice": {}}, {"zip": {}},
    {"zip": [{}]}, list(range(60)), {f"k{i}": i for i in range(120)}, {"kl": {}, "jko": None}, {"method": "kl"},
    {"name": "digits"})
RAW: tuple[str, ...] = (
    ".nan", "-.inf", "+.INF", "1e999", "-1e-999", "1_000", "0x1F", "0o17", "017", "0b11", "1:30", "1:30.5", "+1", "1.",
    ".5", "1e3", "1E+3", "2001-12-14", "2001-12-14t21:59:43.10-05:00", "12:30:45", "yes", "No", "ON", "~", "Null",
    "NULL", "= ", "!!int '7'", "!!int ''", "!!int x", "!!int '0x'", "!!int '-'", "!!float ''", "!!float x",
    "!!float '.'", "!!bool maybe", "!!bool ''", "!!null x", "!!str 5", "!!str", "!!binary aGVsbG8=", "!!binary '='",
    "!!timestamp x", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!seq {}", "!!map []", "!!map x",
    "!!python/object/apply:os.getcwd []", "!<tag:yaml.org,2002:int> 3", "!<!x> 3", "!local 3", "!!merge <<", "! 5",
    "!a!b 5", "&a 1", "&a [*a]", "*a", "&a {b: *a}", "&a", "* ", "[", "]", "{", "}", "[1,", "{a: 1", "{a, b: 1}",
    "[a: 1, b]", "{? [x] : 1}", "{{}: 1}", "? x", ": ", "- ", "- 1", "|", ">", "|9", ">+-", "|0", "'", '"', "'a''b",
    '"\\ud800"', '"\\udfff\\ud800"', '"\\U00110000"', '"\\UFFFFFFFF"', '"\\x00"', '"\\e[31m"', '"\\N\\_\\L\\P"',
    '"\\u202e"', '"\\q"', '"\\x4"', "@x", "`x", "%x", "#", " # x", "--- ", "...", "<<: *a", "{<<: {a: 1}}",
    "0x" + "f" * 5000, "9" * 5000, "-" + "9" * 400, "1" + "0" * 308, "0." + "0" * 400 + "1", "[" * 200, "{a: " * 60,
    "- " * 100, "[" * 25 + "]" * 25, "? " * 40, "\t", "\t1", "1\t# x", "\ufeff1", "\u2028", "\x85", "a\u0000b",
    "\x1b[0m", "\ud7ff", "\ufffe", "k" * 2000, "{" + "k" * 1500 + ": 1}")
BYTES: tuple[bytes, ...] = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\r", b"\r\n",
    b"\x0c", b"\x1a", b"\x7f", b"\xc2\x85", b"\xe2\x80\xa8", b"\t", b"%", b"\\")
HEADS: tuple[str, ...] = (
    "%YAML 1.1\n---\n", "%YAML 1.2\n---\n", "%YAML 2.0\n---\n", "%YAML 1.3\n---\n", "%YAML 1\n---\n",
    "%TAG ! tag:x,1:\n---\n", "%TAG !! x\n---\n", "%FOO\n---\n", "---\n", "--- {}\n---\n", "...\n", "# x\n", "\ufeff",
    "\n" * 50)


@dataclass(frozen=True)
class Mutant:
    """A file's bytes and the options beside it. `made_by`: the damages, for a person who reads a failure."""

    data: bytes
    options: tuple[str, ...]
    made_by: tuple[str, ...]


def mutant(tree: Tree, seed: int) -> Mutant:
    """A good tree, damaged one to three times."""
    chance = random.Random(seed)
    tree, made_by, options = copy.deepcopy(tree), [], []
    kinds = chance.choices(("tree", "text", "bytes", "option"), (8, 8, 2, 4), k=chance.choice((1, 1, 1, 2, 3)))
    for _ in range(kinds.count("tree")):
        if tree:  # a damage before may have left nothing
            made_by.append(_one_of(TREE, chance)(tree, chance))
    text = block(tree) if chance.random() < 0.8 else json.dumps(tree)
    for _ in range(kinds.count("text")):
        damage = _one_of(TEXT, chance)
        text = damage(text, chance)
        made_by.append(damage.__name__)
    for _ in range(kinds.count("option")):
        options.append(option(tree, chance))
    data = text.encode("utf-8", "surrogatepass")
    for _ in range(kinds.count("bytes")):
        damage_bytes = _one_of(RAW_BYTES, chance)
        data = damage_bytes(data, chance)
        made_by.append(damage_bytes.__name__)
    return Mutant(data, tuple(options), (*made_by, *options))


def _one_of(damages: tuple[Callable[..., Any], ...], chance: random.Random) -> Callable[..., Any]:
    return chance.choice(damages)


def block(tree: Any, indent: str = "") -> str:
    """YAML in the style that people write: a key a line, short lists in the line."""
    lines = []
    for key, value in tree.items():
        name = key if key and key.replace("_", "").isalnum() and key.isascii() else json.dumps(key, ensure_ascii=False)
        if isinstance(value, dict) and value:
            lines.append(f"{indent}{name}:\n{block(value, indent + '  ')}")
        else:
            lines.append(f"{indent}{name}: {flow(value)}\n")
    return "".join(lines)


def flow(value: Any) -> str:
    """A value in one line of YAML; JSON, but for what JSON cannot say."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, float) and value != value:
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return json.dumps(value, ensure_ascii=False)


# Damages to the tree. Each changes it in place, and returns what it did.

def places(value: Any, path: Where = ()) -> Iterator[Where]:
    """The path of every node below the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(tree: Any, path: Where) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def replace(tree: Tree, chance: random.Random) -> str:
    path, value = chance.choice([*places(tree)]), copy.deepcopy(chance.choice(VALUES))
    at(tree, path[:-1])[path[-1]] = value
    return f"{path} = {str(value)[:40]!r}"


def nudge(tree: Tree, chance: random.Random) -> str:
    """A number a little or much off, or its sign."""
    numbers = [p for p in places(tree) if type(at(tree, p)) in (int, float)]
    if not numbers:
        return replace(tree, chance)
    path = chance.choice(numbers)
    old = at(tree, path)
    change: tuple[Callable[[Any], Any], ...] = (lambda v: -v, lambda v: v + 1, lambda v: v - 1, lambda v: v * 1e6, str,
                                                lambda v: v / 3, bool, float, lambda v: [v], lambda v: int(v) * 10**9)
    at(tree, path[:-1])[path[-1]] = chance.choice(change)(old)
    return f"{path} nudged"


def rename(tree: Tree, chance: random.Random) -> str:
    """A key, one letter wrong."""
    path = chance.choice([p for p in places(tree) if isinstance(p[-1], str)])
    key, i = str(path[-1]), chance.randrange(len(str(path[-1])) + 1)
    new = chance.choice((key[:i] + key[i + 1:], key[:i] + chance.choice("abcxyz_ 0.-\u00e9") + key[i:],
                         key[:i] + key[i:i + 2][::-1] + key[i + 2:], key.upper(), key + " ", chance.choice(WORDS)))
    parent = at(tree, path[:-1])
    items = [(new if k == key else k, v) for k, v in parent.items()]
    parent.clear()
    parent.update(items)
    return f"{path} -> {new!r}"


def remove(tree: Tree, chance: random.Random) -> str:
    path = chance.choice([*places(tree)])
    del at(tree, path[:-1])[path[-1]]
    return f"without {path}"


def move(tree: Tree, chance: random.Random) -> str:
    """A subtree to another place."""
    path = chance.choice([*places(tree)])
    value = at(tree, path[:-1]).pop(path[-1])
    homes = [tree, *(at(tree, p) for p in places(tree))]
    home = chance.choice([h for h in homes if isinstance(h, dict)])
    home[str(path[-1])] = value
    return f"{path} moved"


def insert(tree: Tree, chance: random.Random) -> str:
    """A word of the language with any value, where it may not belong."""
    homes = [(), *(p for p in places(tree) if isinstance(at(tree, p), dict))]
    home, word = chance.choice(homes), chance.choice(WORDS)
    at(tree, home)[word] = copy.deepcopy(chance.choice(VALUES))
    return f"{(*home, word)} inserted"


def wrap(tree: Tree, chance: random.Random) -> str:
    path = chance.choice([*places(tree)])
    old = at(tree, path)
    at(tree, path[:-1])[path[-1]] = chance.choice(([old], {chance.choice(WORDS): old}, [old, old], {"choice": [old]}))
    return f"{path} wrapped"


def swap(tree: Tree, chance: random.Random) -> str:
    """Two values change places."""
    one, two = chance.choices([*places(tree)], k=2)
    a, b = copy.deepcopy(at(tree, one)), copy.deepcopy(at(tree, two))
    at(tree, one[:-1])[one[-1]] = b
    if one != two[:len(one)] and two != one[:len(two)]:
        at(tree, two[:-1])[two[-1]] = a
    return f"{one} <-> {two}"


def grow(tree: Tree, chance: random.Random) -> str:
    """A grid, a choice or a chain of sections that nobody meant."""
    many = chance.choice(([i / 997 + 1e-3 for i in range(300)], list(range(2, 150)), {"choice": list(range(2, 200))}))
    section = chance.choice(("design", "search", "train"))
    home = tree.setdefault(section, {})
    if isinstance(home, dict):
        for knob in chance.sample(ALL_KNOBS, 3):
            home[knob] = many
    return f"{section} grown"


def reorder(tree: Tree, chance: random.Random) -> str:
    """Keys in another order: the same spec."""
    home = chance.choice([tree, *(v for v in tree.values() if isinstance(v, dict))])
    items = chance.sample([*home.items()], len(home))
    home.clear()
    home.update(items)
    return "reordered"


TREE = (replace, replace, nudge, nudge, nudge, reorder, rename, remove, move, insert, wrap, swap, grow)


# Damages to the text.

def _lines(change: Callable[[list[str], int, random.Random], None]) -> Callable[[str, random.Random], str]:
    def damage(text: str, chance: random.Random) -> str:
        lines = text.split("\n")
        change(lines, chance.randrange(len(lines)), chance)
        return "\n".join(lines)

    damage.__name__ = change.__name__
    return damage


def delete_line(lines: list[str], i: int, chance: random.Random) -> None:
    del lines[i]


def double_line(lines: list[str], i: int, chance: random.Random) -> None:
    lines.insert(chance.randrange(len(lines)), lines[i])


def swap_lines(lines: list[str], i: int, chance: random.Random) -> None:
    j = chance.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]


def indent_line(lines: list[str], i: int, chance: random.Random) -> None:
    lines[i] = chance.choice((" ", "  ", "\t", "\u00a0", "- ", "? ", ": ", "# ")) + lines[i]


def dedent_line(lines: list[str], i: int, chance: random.Random) -> None:
    lines[i] = lines[i].lstrip() if chance.random() < 0.5 else lines[i][1:]


def new_value(lines: list[str], i: int, chance: random.Random) -> None:
    key = lines[i].partition(":")[0]
    lines[i] = f"{key}: {chance.choice(RAW)}"


def question(lines: list[str], i: int, chance: random.Random) -> None:
    """The one text that is free, so that any text reaches what prints and saves it."""
    lines[:] = [line for line in lines if not line.startswith("question")]
    escaped = [raw for raw in RAW if raw.startswith('"\\')]
    lines.append(f"question: {chance.choice((chance.choice(escaped), chance.choice(RAW)))}\n")


def new_line(lines: list[str], i: int, chance: random.Random) -> None:
    lines.insert(i, chance.choice(("", "  ", "    ")) + chance.choice((f"{chance.choice(WORDS)}: ",
    "")) + chance.choice(RAW))


def comment(lines: list[str], i: int, chance: random.Random) -> None:
    lines[i] += chance.choice(("  # why", " #", "\t# \u00e9", "\n", "\n  # here", "\n\n", " "))


def anchor_and_alias(lines: list[str], i: int, chance: random.Random) -> None:
    """A value named once and used elsewhere, perhaps before it is named."""
    key, _, rest = lines[i].partition(": ")
    lines[i] = f"{key}: &a {rest}"
    j = chance.randrange(len(lines))
    lines[j] = chance.choice((f"{lines[j].partition(':')[0]}: *a", f"<<: *a\n{lines[j]}", f"x: [*a, *a]\n{lines[j]}"))


def merge(lines: list[str], i: int, chance: random.Random) -> None:
    lines.insert(i, chance.choice(("<<: {seed: 1}", "  <<: {width: 2}", "  <<: [{width: 2}, {width: 3}]", "'<<': 3")))


def letters(text: str, chance: random.Random) -> str:
    """A few characters replaced, removed or put in."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        i = chance.randrange(len(text) + 1)
        new = chance.choice([*":-?,[]{}#&*!|>'\"%@`\n\t ~\\0x9.eE+_", "\u00a0", "\ufeff", "\x00", "\u2028", "\x85",
        "\x1b",
                             "\U0001f600", "\ud800"])
        text = text[:i] + chance.choice(("", new)) + text[i + chance.choice((0, 1)):]
    return text


def cut(text: str, chance: random.Random) -> str:
    return text[:chance.randrange(len(text) + 1)]


def twice(text: str, chance: random.Random) -> str:
    return text + chance.choice(("", "---\n", "...\n", "\n")) + text


def headed(text: str, chance: random.Random) -> str:
    return chance.choice(HEADS) + text


def bomb(text: str, chance: random.Random) -> str:
    """Aliases of aliases."""
    wide, deep = chance.choice(((10, 9), (2, 40), (1, 300), (3, 12)))
    layers = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * wide)}]\n" for i in range(1, deep))
    return chance.choice(("l0: &l0 [x]\n" + layers + text, text + "l0: &l0 {a: 1}\n" + layers))


def nested(text: str, chance: random.Random) -> str:
    depth = chance.choice((5, 28, 29, 30, 31, 100, 2000))
    opened, closed = chance.choice((("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")))
    return text + chance.choice(WORDS) + chance.choice((": ", ":\n")) + opened * depth + "1" + closed * depth + "\n"


TEXT = (*map(_lines, (delete_line, double_line, swap_lines, indent_line, dedent_line, question, new_value, new_value,
                      new_line, comment, anchor_and_alias, merge)),
        letters, letters, cut, twice, headed, bomb, nested)


# Damages to the bytes.

def line_ends(data: bytes, chance: random.Random) -> bytes:
    return data.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\n\n", b"")))


def recoded(data: bytes, chance: random.Random) -> bytes:
    return data.decode("utf-8", "replace").encode(chance.choice(("utf-16", "utf-16-le", "utf-32", "latin-1",
    "utf-8-sig",
                                                                 "cp037")), "replace")


def garbage(data: bytes, chance: random.Random) -> bytes:
    i = chance.randrange(len(data) + 1)
    return data[:i] + chance.choice((chance.choice(BYTES), chance.randbytes(chance.choice((1, 3, 50))))) + data[i:]


def flipped(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return b"\x00"
    i = chance.randrange(len(data))
    return data[:i] + bytes([data[i] ^ 1 << chance.randrange(8)]) + data[i + 1:]


RAW_BYTES = (line_ends, recoded, garbage, flipped)


def option(tree: Tree, chance: random.Random) -> str:
    """A `--set` option: a path of the tree or none at all, and any value."""
    paths = [".".join(map(str, p)) for p in places(tree)]
    key = chance.choice([*chance.sample(paths, min(4, len(paths))), chance.choice(WORDS), "", ".", "a..b", " seed ",
    "\u00e9",
                         "design." + chance.choice(WORDS), "x" * 3000, "a" + ".a" * 40, "a\nb", "\udcff",
                         "arms.kl.x.y"])
    value = chance.choice((*RAW, flow(chance.choice(VALUES)), flow(chance.choice(VALUES)), flow(chance.choice(VALUES))))
    return chance.choice((f"{key}={value}", f"{key}={value}", f"{key}={value}", key, f"{key}==1"))
