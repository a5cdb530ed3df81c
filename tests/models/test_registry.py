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


@pytest.mark.parametrize(("name", "problem"), [
    ("jco", f"found 'jco', expected one of {', '.join(METHODS)}, or package.module:Name"),
    ("mylab.tempered:Tempered", "mylab.tempered:Tempered: there is no module mylab"),
    ("models.methods.lost:Lost", "models.methods.lost:Lost: there is no module models.methods.lost"),
    ("models.methods.jko:Tempered", "models.methods.jko:Tempered: the module models.methods.jko has no Tempered"),
    ("models.methods.jko:JKOKnobs", "models.methods.jko:JKOKnobs is no method: expected a subclass of "
                                    "models.methods.method.Method"),
    ("models.methods.jko:jko_flow", "models.methods.jko:jko_flow is no method: expected a subclass of "
                                    "models.methods.method.Method")])
def test_what_is_not_there_is_one_sentence(name: str, problem: str) -> None:
    with pytest.raises(FindError, match=f"^{re.escape(problem)}$"):
        find("method", name)


def test_what_a_module_itself_lacks_is_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_a_lab.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        find("method", "half_a_lab:Tempered")


def test_knobs_are_found_without_torch() -> None:
    code = ("import sys; from models.registry import METHODS, find; [find('method', m).Knobs() for m in METHODS]; "
            "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
