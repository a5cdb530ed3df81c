"""What commands say: nothing about it ends them, neither a reader that goes away nor a character."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import study
from study.schema.output import if_slow

ROOT = Path(__file__).resolve().parents[2]
HEAD = ("import os, sys; from study.schema.output import lasting; "
        "sys.stdout, sys.stderr = map(lasting, (sys.stdout, sys.stderr)); ")
GONE = "the output cannot be written (Broken pipe): the command goes on without it\n"


def run(*words: str, unread: tuple[str, ...] = (), encoding: str = "utf-8") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a Python program; unread: those that nobody reads."""
    streams: dict[str, int] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    for name in unread:
        reader, streams[name] = os.pipe()
        os.close(reader)
    done = subprocess.run([sys.executable, *words], cwd=ROOT, check=False, stdout=streams["stdout"],
                          stderr=streams["stderr"], env={**os.environ, "PYTHONIOENCODING": encoding})
    for name in unread:
        os.close(streams[name])
    return done.returncode, (done.stdout or b"").decode(encoding), (done.stderr or b"").decode(encoding)


def run_code(code: str, **options: Any) -> tuple[int, str, str]:
    return run("-c", HEAD + code, **options)


@pytest.mark.parametrize("code", [
    "print('all of it is in the buffer until the end')",
    "print(10**6 * 'x'); print('more'); print('and more', flush=True)",
    "from rich.console import Console; Console().print('rich ends a program whose reader has gone'); print('more')",
])
def test_a_reader_that_goes_away_ends_nothing_and_is_told_once(code: str) -> None:
    assert run_code(f"{code}; sys.exit(7)", unread=("stdout",)) == (7, "", GONE)


@pytest.mark.parametrize("words", [["-W", "error"], ["-W", "error::UserWarning", "-W", "ignore::FutureWarning"]])
def test_a_librarys_warning_ends_no_command(words: list[str]) -> None:
    """Neither as PYTHONWARNINGS would have it in the processes to come; what is ignored stays so."""
    code = ("import os, sys, warnings; os.environ['PYTHONWARNINGS'] = 'error'; from study.schema.output import script; "
            "main = lambda: (warnings.warn('of MLflow', UserWarning), warnings.warn('old', DeprecationWarning),"
            "warnings.filters[0][0] == 'ignore', 'PYTHONWARNINGS' in os.environ)[2:]; print(script(main)())")
    ended, said, warned = run(*words, "-c", code)
    assert (ended, said) == (0, f"({'FutureWarning' in words[-1]}, False)\n")
    assert "UserWarning: of MLflow" in warned
    assert run("-c", code.replace("'error'", "'ignore'"))[1] == "(False, True)\n", "what silences workers stays"


def test_docstrings_are_needed() -> None:
    """MLflow formats its own, Ray's raylet ends without its own, after which a launch waits half a minute for it."""
    code = "import sys; from study.schema.output import script; sys.exit(script(lambda: 0)())"
    assert run("-OO", "-c", code) == (2, "", "PYTHONOPTIMIZE, or -O: found 2, expected at most 1: MLflow and Ray "
                                             "use the docstrings that it strips\n")
    assert run("-O", "-c", code) == (0, "", "")


def test_what_takes_long_is_told_once() -> None:
    said: list[str] = []
    with if_slow(30, lambda: said.append("soon enough")):
        pass
    heard = threading.Event()
    with if_slow(0, heard.set):
        assert heard.wait(30)
    assert said == []


def test_nobody_reads_what_would_be_said_about_it() -> None:
    both = "stdout", "stderr"
    assert run_code("print(1, flush=True); print(2, file=sys.stderr); sys.exit(7)", unread=both) == (7, "", "")
    assert run_code("print(1, file=sys.stderr); print(2); sys.exit(7)", unread=both[1:]) == (7, "2\n", "")


def test_a_full_disk_and_a_closed_stream() -> None:
    full = "os.dup2(os.open('/dev/full', os.O_WRONLY), 1); print(1, flush=True); print(2, file=sys.stderr); sys.exit(7)"
    assert run_code(full) == (7, "", GONE.replace("Broken pipe", "No space left on device") + "2\n")
    assert run_code("sys.stdout = lasting(None); print(1, flush=True); sys.exit(7)") == (7, "", "")


@pytest.mark.parametrize(("encoding", "shown"), [
    ("utf-8", "größe 图 \\udcff\n"), ("latin-1", "größe \\u56fe \\udcff\n"),
    ("ascii", "gr\\xf6\\xdfe \\u56fe \\udcff\n")])
def test_a_character_that_cannot_be_shown_is_escaped(encoding: str, shown: str) -> None:
    code = r"[print('gr\xf6\xdfe \u56fe \udcff', file=f) for f in (sys.stdout, sys.stderr)]"
    assert run_code(code, encoding=encoding) == (0, shown, shown)


@pytest.mark.parametrize("command", [["-m", "study.launch"], ["analysis/report.py"]])
def test_both_commands_speak_so(command: list[str]) -> None:
    assert run(*command, "--help", unread=("stdout",)) == (0, "", GONE)


def test_each_command_has_a_script_that_works_from_any_folder(tmp_path: Path) -> None:
    """Also from one that has modules of the names of ours."""
    (tmp_path / "study.py").write_text("raise SystemExit('not ours')\n")
    scripts = {one.name: one.value for one in entry_points(group="console_scripts")
               if one.value.endswith(":command_line")}
    modules = [path.stem for path in Path(study.__path__[0]).glob("*.py") if "command_line =" in path.read_text()]
    assert scripts == {"study-report": "analysis.report:command_line"} | {
        "study" if name == "launch" else f"study-{name}": f"study.{name}:command_line" for name in modules}
    for name in scripts:
        done = subprocess.run([Path(sys.executable).with_name(name), "--help"], cwd=tmp_path, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0 and done.stdout.startswith("usage: ") and not done.stderr, done.stderr
