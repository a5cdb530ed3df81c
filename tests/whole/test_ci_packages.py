""".ci/packages, with stand-ins for the programs of the machine that it runs on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ("chromium", "chromedriver", "pdflatex", "ip", "initdb", "kpsewhich")


def run(tmp_path: Path, *programs: str, apt: str | None = None) -> str:
    """What it says on a machine with these programs alone, and an apt-get of which each line is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("tail", "mktemp"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, text in {**dict.fromkeys(programs, "exit 0"), **({"apt-get": apt} if apt is not None else {})}.items():
        (folder / name).write_text(f"#!{shutil.which('bash')}\n{text}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run([str(shutil.which("bash")), str(ROOT / ".ci" / "packages")], env={"PATH": str(folder)},
                          capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_nothing_is_done_where_all_is_there(tmp_path):
    assert run(tmp_path, *OTHERS, apt="echo never; exit 1") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs")
def test_what_is_missing_is_installed_and_a_failure_is_said(tmp_path):
    apt = f'echo "$@" >> {tmp_path}/asked; if [[ $1 == install ]]; then echo "no route"; exit 100; fi'
    said = run(tmp_path, "chromedriver", "ip", "initdb", apt=apt)
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("update\ninstall -y --no-install-recommends ")
    assert set(asked.split()[4:]) == {"chromium", "texlive-latex-base", "texlive-latex-recommended"}
    assert "no route" in said and "packages: apt-get could not install " in said


def test_without_apt_it_says_what_is_missing(tmp_path):
    assert run(tmp_path, *OTHERS[1:]) == "packages: not installed here, and only root can, with apt-get: chromium\n"
