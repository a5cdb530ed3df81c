"""What a spec names is found, or a sentence says why not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from models.methods.jko import JKO
from models.registry import METHODS, FindError, find


def test_a_built_in_name_and_its_place_are_one_method() -> None:
    assert find("method", "jko") is JKO is find("method", METHODS["jko"])


NO_MODULE = "expected a module that can be imported: ModuleNotFoundError: No module named"
UNNAMED = f"expected one of {', '.join(METHODS)}, or package.module:Name"


@pytest.mark.parametrize(("name", "problem"), [
    ("jco", UNNAMED), ("1:30", UNNAMED), (":KL", UNNAMED), ("..kl:KL", UNNAMED), ("models.methods.kl:", UNNAMED),
    ("models.methods.kl:KL:KL", UNNAMED),
    ("mylab.tempered:Tempered", f"{NO_MODULE} 'mylab'"), ("models.lost:Lost", f"{NO_MODULE} 'models.lost'"),
    ("models.methods.jko:Lost", "expected a method: models.methods.jko has no Lost"),
    ("models.methods.jko:JKOKnobs", "expected a method: it is no subclass of models.methods.method.Method"),
    ("models.methods.jko:jko_flow", "expected a method: it is no subclass of models.methods.method.Method")])
def test_what_is_not_there_is_one_sentence(name: str, problem: str) -> None:
    with pytest.raises(FindError, match=f"^{re.escape(f'found {name!r}, {problem}')}$"):
        find("method", name)


def test_a_module_that_breaks_while_it_is_imported_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_a_lab.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FindError, match="can be imported: ZeroDivisionError: division by zero"):
        find("method", "half_a_lab:Tempered")


def test_knobs_are_found_without_torch() -> None:
    code = ("import sys; from models.registry import METHODS, find; [find('method', m).Knobs() for m in METHODS]; "
            "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
