"""Plant each fault in a copy of the code and run the one test that must notice: python -m tests.mutants [WORD ...].

With words, only mutants whose name holds one of them. First all named tests run on an untouched copy and must pass.
A fault counts as caught when its test fails by what it asserts; a mutant that does not even run (a name, type or import
error) is BROKEN, and counts as not caught. Exit code 1 if any was not caught.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.planted import MUTANTS, ROOT, Mutant

COPIED = ("models", "tests", "study", "pyproject.toml")
BROKEN = {"SyntaxError", "IndentationError", "NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError",
          "AttributeError", "TypeError"}
SECONDS = 120  # for one test; a mutant that runs longer was not caught


def copy(into: Path) -> None:
    """The packages under test, with compiled files: they carry their source's time, so an edited one is not taken."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, into / name)
        else:
            shutil.copy2(ROOT / name, into / name)


def plant(mutant: Mutant, root: Path) -> None:
    """Edit the copy. Raises ValueError where the old text does not occur exactly once."""
    mutant.check()
    file = root / "models" / mutant.file
    file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")


def run(tests: list[str], root: Path, seconds: float) -> tuple[int, str]:
    """pytest's exit code and output for these nodes, in the copy; -1 where it ran out of time."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-rf", "-p", "no:cacheprovider", "--durations=0", *tests]
    wide = {**os.environ, "COLUMNS": "200"}  # or the summary loses the name of the error behind a long node
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=seconds, env=wide)
    except subprocess.TimeoutExpired:
        return -1, f"longer than {seconds:g} s"
    return done.returncode, done.stdout + done.stderr


def outcome(code: int, output: str) -> str:
    """`caught`, `SURVIVED` or `BROKEN`, from what pytest said of the named test."""
    if code == 0:
        return "SURVIVED"
    failed = re.search(r"^FAILED \S.*?(?: - (\w+)|$)", output, re.MULTILINE)
    return "caught" if code == 1 and failed and failed[1] not in BROKEN else "BROKEN"


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(word in m.name for word in words)]
    if not chosen:
        print(f"no mutant's name holds any of {words}")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        copy(Path(folder))
        tests = list(dict.fromkeys(m.test for m in chosen))
        code, output = run(tests, Path(folder), SECONDS * len(tests))
        if code:
            print(f"{output}\nThe named tests must pass before anything is planted.")
            return 1
    wide = max(len(m.name) for m in chosen)
    print(f"{len(tests)} named tests pass without a fault; {len(chosen)} faults, one at a time:")
    lost = []
    for mutant in chosen:
        with tempfile.TemporaryDirectory() as folder:
            copy(Path(folder))
            plant(mutant, Path(folder))
            began = time.monotonic()
            code, output = run([mutant.test], Path(folder), SECONDS)
        found = outcome(code, output)
        print(f"{mutant.name:<{wide}}  {found:<8}  {time.monotonic() - began:5.1f} s  {mutant.test}", flush=True)
        if found != "caught":
            lost.append(mutant.name)
            print(output if found == "BROKEN" else f"{'':<{wide}}  {mutant.why}")
    print(f"{len(chosen) - len(lost)} of {len(chosen)} caught" + (f"; not caught: {', '.join(lost)}" if lost else ""))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
