"""What a spec names is found, or a sentence says why not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from models.methods.jko import JKO
from models.registry import METHODS, TABLES, FindError, find


def test_what_is_built_in_has_one_name() -> None:
    """Under two it would be trained twice, and counted as two arms."""
    assert find("method", "jko") is JKO
    for kind, table in TABLES.items():
        for name, place in table.items():
            with pytest.raises(FindError, match=f"^found '{place}', expected {name}: it is built in$"):
                find(kind, place)


NO_MODULE = "expected a module that can be imported: ModuleNotFoundError: No module named"
UNNAMED = f"expected one of {', '.join(METHODS)}, or package.module:Name"


@pytest.mark.parametrize(("name", "problem"), [
    ("jco", UNNAMED), ("1:30", UNNAMED), (":KL", UNNAMED), ("..kl:KL", UNNAMED), ("models.methods.kl:", UNNAMED),
    ("models.methods.kl:KL:KL", UNNAMED),
    ("mylab.tempered:Tempered", f"{NO_MODULE} 'mylab'; a spec names it under import: mylab"),
    ("models.lost:Lost", f"{NO_MODULE} 'models.lost'"),
    ("models.methods.jko:Lost", "expected a method: models.methods.jko has no Lost"),
    ("models.methods.jko:JKOKnobs", "expected a method: it is no subclass of models.methods.method.Method"),
    ("models.methods.jko:jko_flow", "expected a method: it is no subclass of models.methods.method.Method")])
def test_what_is_not_there_is_one_sentence(name: str, problem: str) -> None:
    with pytest.raises(FindError, match=f"^{re.escape(f'found {name!r}, {problem}')}$"):
        find("method", name)


def test_a_name_that_stands_for_nothing_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.methods.jko.unset", None, raising=False)
    with pytest.raises(FindError, match="expected a method: it is no subclass of"):
        find("method", "models.methods.jko:unset")


def test_a_module_that_breaks_while_it_is_imported_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_a_lab.py").write_text("1 / 0\n")
    (tmp_path / "script_of_a_lab.py").write_text("import sys\nsys.exit(0)\n")  # without a main guard
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FindError, match="can be imported: ZeroDivisionError: division by zero"):
        find("method", "half_a_lab:Tempered")
    with pytest.raises(FindError, match="can be imported: SystemExit: 0"):
        find("method", "script_of_a_lab:Tempered")


def test_what_lacks_a_part_of_its_kind_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare_lab.py").write_text(
        "import dataclasses\nfrom models.methods.jko import JKO, JKOKnobs\nfrom models.methods.method import Method\n"
        "from models.networks.layers import Score\n"
        "class None_(Method): ...\nclass Other(Method): Knobs = int\n"
        "class Unmade(Score): ...\n"
        "@dataclasses.dataclass(frozen=True, kw_only=True)\nclass Knobs(JKOKnobs):\n    pull: float = 0.3\n"
        "class Plain(JKO): Knobs = Knobs\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("None_", "Other"):
        with pytest.raises(FindError, match="its Knobs is no dataclass that inherits"):
            find("method", f"bare_lab:{name}")
    with pytest.raises(FindError, match="expected a network: it makes none"):
        find("network", "bare_lab:Unmade")
    knobs = find("method", "bare_lab:Plain").Knobs  # whose own knob says nothing of itself
    assert "pull" not in knobs.entering("cost") and knobs().pull == 0.3


def test_knobs_are_found_without_torch() -> None:
    code = ("import sys; from models.registry import METHODS, find; [find('method', m).Knobs() for m in METHODS]; "
            "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
