"""The tests' own launches: one that hangs ends, with all that it started, and tells what it had said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.study.launching import launch, processes

HANGS = """\
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
print("started", child.pid, flush=True)
time.sleep(60)
"""


def test_a_launch_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    monkeypatch.chdir(tmp_path)
    pids: list[int] = []

    def on_line(line: str, pid: int) -> None:
        pids.extend([pid, int(line.split()[1])])

    with pytest.raises(AssertionError, match=r"(?s)no end within 1\.5 s:.*started \d+"):
        launch(module="hangs", environment={"PYTHONPATH": str(tmp_path)}, on_line=on_line, deadline=1.5)
    assert len(pids) == 2
    end = time.monotonic() + 10
    while set(pids) & processes().keys():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_character_that_is_written_in_two_parts_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a table's frame crosses the end of a buffer."""
    (tmp_path / "halves.py").write_text("""\
import os, time
for part in "━ ━\\n".encode().partition(b"\\x94"):
    os.write(1, part)
    time.sleep(0.3)
""")
    monkeypatch.chdir(tmp_path)
    assert launch(module="halves", environment={"PYTHONPATH": str(tmp_path)}) == (0, ["━ ━"])
