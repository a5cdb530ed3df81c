"""The key `import`: the user's own modules, found beside the study's file or where the launch is started.

Of these folders nothing else is importable: a `random.py` that lies there stays unseen. Every worker gets a copy.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from study.spec.problems import Path as Place
from study.spec.problems import nearest
from study.spec.reading import Reader

OURS = ("models", "study", "analysis", "tests")
MOST_BYTES = 100 * 1024**2  # of a package: it travels to every node


@dataclass(frozen=True)
class Imported:
    """A module, or a package, of the user's. checksum: of what its files say, 12 hex digits."""

    path: str  # of its file, or of the package's folder
    checksum: str


class ImportedError(ValueError):
    """A module of the user's that is not there; one sentence."""


class _Finder(MetaPathFinder):
    """Finds the modules that a spec has named, each in its folder."""

    def __init__(self) -> None:
        self.known: dict[str, Imported] = {}

    def find_spec(self, fullname: str, path: Sequence[str] | None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        if path is not None or fullname not in self.known:
            return None
        return PathFinder.find_spec(fullname, [str(Path(self.known[fullname].path).parent)])

    def learn(self, name: str, found: Imported) -> None:
        """From now on `name` is this module: what is loaded of an earlier one goes."""
        here = getattr(sys.modules.get(name), "__file__", None) or ""
        if self.known.get(name, found) != found or not Path(here).is_relative_to(found.path):
            for loaded in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
                del sys.modules[loaded]
        self.known[name] = found
        if self not in sys.meta_path:
            sys.meta_path.append(self)


FINDER = _Finder()


def read_imports(reader: Reader, base: str) -> dict[str, Imported]:
    """name -> module, each of which can be imported from now on. base: the folder of the study's file."""
    value = reader.raw.get("import")
    found: dict[str, Imported] = {}
    places: dict[str, Place] = {}
    for i, name in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
        where: Place = ("import", i) if isinstance(value, list) else ("import",)
        problem = _name_problem(name) or (f"{name} stands twice in the list" if name in found else "")
        one = problem or _found(name, dict.fromkeys([str(Path(base).resolve()), str(Path.cwd())]))
        if isinstance(one, str):
            reader.report(where, one)
        else:
            found[name], places[name] = one, where
    for name, module in found.items():  # all of them before any is imported: one may import another
        FINDER.learn(name, module)
    for name, where in places.items():
        if problem := _import_problem(name):
            reader.report(where, problem)
            del found[name]
    return found


def learn_again(trained_with: Mapping[str, str], folder: str) -> list[str]:
    """Make modules importable with which something was trained, name -> checksum ("": whatever it is), from this
    folder; of those that say something else by now a sentence each. Raises ImportedError."""
    notes = []
    for name, checksum in trained_with.items():
        one = _name_problem(name) or _found(name, [str(Path(folder).resolve())])
        if isinstance(one, str):
            raise ImportedError(f"--modules: {one}")
        if checksum not in ("", one.checksum):
            notes.append(f"{one.path} is not the {name} of the training: what it says has changed since")
        FINDER.learn(name, one)
    return notes


def _name_problem(name: object) -> str:
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        return f"found {name!r}, expected the name of a module or package, such as mylab"
    if "." in name:
        return f"found {name}, expected {name.partition('.')[0]}: a package travels whole"
    if name in OURS or name in sys.stdlib_module_names:
        return f"found {name}, expected another name: " + (
            "this program has it" if name in OURS else "Python's own library has it")
    return ""


def _found(name: str, folders: Sequence[str] | dict[str, None]) -> Imported | str:
    """The module in the first of these folders that has it, else an installed one; or why there is none."""
    installed = next((spec for finder in sys.meta_path if finder is not FINDER
                      and (spec := finder.find_spec(name, None)) is not None and spec.origin), None)
    own = next((spec for folder in folders if (spec := PathFinder.find_spec(name, [folder])) and spec.origin), None)
    if own and installed and os.path.realpath(str(own.origin)) != os.path.realpath(str(installed.origin)):
        return f"found {own.origin}, expected another name: {installed.origin} is installed"
    spec = own or installed
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        bare = next((folder for folder in folders if Path(folder, name).is_dir()), None)
        if bare is not None:
            return f"found the folder {Path(bare, name)}, expected an __init__.py in it"
        if absent := next((folder for folder in folders if not Path(folder).is_dir()), ""):
            return f"found {absent!r}, expected a folder that is there, with {name}.py or a package {name}/ in it"
        known = [p.stem for folder in folders for p in Path(folder).iterdir() if p.suffix == ".py" or p.is_dir()]
        near = nearest(name, known)
        return (f"found {name!r}, expected {name}.py or a package {name}/ in {' or '.join(folders)}"
                + (f"; did you mean {near}?" if near else ""))
    path = Path(spec.origin).parent if spec.submodule_search_locations is not None else Path(spec.origin)
    files = _files(path)
    if (size := sum(file.stat().st_size for file in files)) > MOST_BYTES:
        return (f"found {size / 1024**2:,.0f} MiB in {path}, expected at most {MOST_BYTES // 1024**2}: it travels to "
                "every worker; keep data elsewhere")
    return Imported(str(path), _checksum(path, files))


def _files(path: Path) -> list[Path]:
    """Of a module its file; of a package all of its files, but caches and what is hidden."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and not any(
        part == "__pycache__" or part.startswith(".") for part in file.relative_to(path).parts))


def _checksum(path: Path, files: Sequence[Path]) -> str:
    """Of code what it says, whatever its comments and layout; of other files their bytes."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        if file.suffix == ".py":
            try:
                content = ast.unparse(ast.parse(content)).encode()
            except (SyntaxError, ValueError):  # not imported, or its import says so
                pass
        digest.update(f"{file.relative_to(path.parent).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _import_problem(name: str) -> str:
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever a module from outside does when it is imported
        said = str(error).partition("\n")[0][:200]
        return f"found {name!r}, expected a module that can be imported: {type(error).__name__}: {said}"
    return ""
