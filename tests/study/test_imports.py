"""`import`: modules that lie beside the study's file are found, alone of all there; or a line says why not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.plan.identity import changes, config_hash, study_version
from study.plan.space import design_configurations
from study.spec import StudySpec, load, loads
from study.spec import imports as of_spec
from study.spec.problems import SpecError

LAW = """\
from models.methods.kl import KL
class Tempered(KL):  # as KL
    pass
"""
SPEC = """\
study: s
import: [mylab, one]
data: rings
method: [kl, mylab.tempered:Tempered]
design: {step_size: [0.1]}
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the package mylab, the module one, a study's file, and a module named like one of Python's."""
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab/__init__.py").touch()
    (tmp_path / "mylab/tempered.py").write_text(LAW)
    (tmp_path / "one.py").touch()
    (tmp_path / "random.py").write_text("raise SystemExit('random of the folder')\n")
    (tmp_path / "s.yaml").write_text(SPEC)
    monkeypatch.setattr(of_spec.FINDER, "known", {})
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mylab", "one", "broken", "script")]:
        del sys.modules[name]


def problems(lab: Path, value: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(lab / "s.yaml", [f"import={value}"])
    return [line.replace(str(lab), "DIR") for line in caught.value.problems]


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(of_spec.ImportedError, match=r"^--modules: found '/nowhere', expected a folder that is there, "):
        of_spec.learn_again({"mylab": ""}, "/nowhere")


def test_modules_beside_the_file_are_found_and_nothing_else_that_lies_there(lab: Path) -> None:
    found = load(lab / "s.yaml")
    assert found.arms["Tempered"].method == "mylab.tempered:Tempered"
    assert {name: Path(one.path) for name, one in found.imports.items()} == {
        "mylab": lab / "mylab", "one": lab / "one.py"}
    code = (f"import sys\nfrom study.spec import load\nload({str(lab / 's.yaml')!r})\nimport random\n"
            f"print(any({str(lab)!r} == folder for folder in sys.path), 'mylab.tempered' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[2])
    assert done.stdout == "False True\n"


def test_modules_of_the_launch_s_folder_are_found_too(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab)
    assert set(loads(SPEC).imports) == {"mylab", "one"}
    (lab / "specs").mkdir()
    (lab / "specs/s.yaml").write_text(SPEC.replace("[mylab, one]", "mylab"))
    assert set(load(lab / "specs/s.yaml").imports) == {"mylab"}


@pytest.mark.parametrize(("value", "said"), [
    ("mylabs", "found 'mylabs', expected mylabs.py or a package mylabs/ in DIR; did you mean mylab?"),
    ("mylab.tempered", "found mylab.tempered, expected mylab: a package travels whole"),
    ("my-lab", "found 'my-lab', expected the name of a module or package, such as mylab"),
    ("{mylab: 1}", "found {'mylab': 1}, expected the name of a module or package, such as mylab"),
    ("random", "found random, expected another name: Python's own library has it"),
    ("study", "found study, expected another name: this program has it"),
    ("bare", "found the folder DIR/bare, expected an __init__.py in it"),
    ("broken", "found 'broken', expected a module that can be imported: ZeroDivisionError: division by zero"),
    ("script", "found 'script', expected a module that can be imported: SystemExit: 0"),
    ("unwritten", "found 'unwritten', expected a module that can be imported: SyntaxError: '(' was never closed "
                  "(unwritten.py, line 1)")])
def test_what_cannot_be_imported_is_one_line(lab: Path, monkeypatch: pytest.MonkeyPatch, value: str,
                                             said: str) -> None:
    monkeypatch.chdir(lab)
    (lab / "bare").mkdir()
    (lab / "broken.py").write_text("1 / 0\n")
    (lab / "script.py").write_text("import sys\nsys.exit(0)\n")
    (lab / "unwritten.py").write_text("f(\n")
    assert problems(lab, value) == [f"--set import: {said}"]


def test_a_line_of_the_file_is_named_and_each_name_stands_once(lab: Path) -> None:
    (lab / "s.yaml").write_text(SPEC.replace("[mylab, one]", "\n  - one\n  - lost\n  - one"))
    with pytest.raises(SpecError) as caught:
        load(lab / "s.yaml")
    assert [line.partition(": found")[0] for line in caught.value.problems] == [
        f"{lab}/s.yaml:4: import[1]", f"{lab}/s.yaml:5: import[2]: one stands twice in the list"]


def test_a_name_that_something_installed_has_is_refused(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the two a worker would take is nobody's guess."""
    monkeypatch.chdir(lab)
    (lab / "rich.py").touch()
    [line] = problems(lab, "rich")
    assert line.startswith("--set import: found DIR/rich.py, expected another name: ")
    assert line.endswith("/rich/__init__.py is installed")


def test_what_is_importable_already_from_the_same_place_is_the_same(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that is installed in place, or on PYTHONPATH, by whatever path."""
    (lab / "link").symlink_to(lab)
    monkeypatch.syspath_prepend(lab / "link")
    assert set(load(lab / "s.yaml").imports) == {"mylab", "one"}


def test_an_installed_one_may_be_named_wherever_it_lies(lab: Path, tmp_path_factory: pytest.TempPathFactory,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(lab)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "s.yaml"
    elsewhere.write_text(SPEC)
    assert load(elsewhere).imports == load(lab / "s.yaml").imports


def test_a_package_that_is_data_is_refused(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_spec, "MOST_BYTES", 1000)
    monkeypatch.chdir(lab)
    (lab / "mylab/images.npy").write_bytes(bytes(5000))
    assert problems(lab, "mylab")[0].endswith(
        "MiB in DIR/mylab, expected at most 0: it travels to every worker; keep data elsewhere")


# Identity.

def version(spec: StudySpec) -> str:
    return study_version(spec.resolved(), "abc")


def hashes(spec: StudySpec) -> dict[str, str]:
    return {c.arm: config_hash(c, "abc") for c in design_configurations(spec)}


def test_what_the_code_says_makes_the_version_and_what_is_trained_again(lab: Path) -> None:
    """Of the arms those that use it; comments, layout and caches say nothing."""
    before = load(lab / "s.yaml")
    (lab / "mylab/tempered.py").write_text(LAW.replace("# as KL", "# as E4\n"))
    (lab / "mylab/__pycache__").mkdir(exist_ok=True)
    (lab / "mylab/__pycache__/x.pyc").touch()
    same = load(lab / "s.yaml")
    assert (version(same), hashes(same)) == (version(before), hashes(before))
    (lab / "mylab/tempered.py").write_text(LAW.replace("pass", "temper = 2"))
    after = load(lab / "s.yaml")
    assert hashes(after)["kl"] == hashes(before)["kl"] and hashes(after)["Tempered"] != hashes(before)["Tempered"]
    assert version(after) != version(before)
    [told] = changes(before.resolved(), after.resolved())
    assert told == f'the code of mylab: "{before.checksums["mylab"]}", now "{after.checksums["mylab"]}"'
    assert sys.modules["mylab.tempered"].Tempered.temper == 2, "the module that was loaded before"


def test_a_study_without_it_is_as_it_was() -> None:
    plain = loads(SPEC.replace("import: [mylab, one]\n", "").replace(", mylab.tempered:Tempered", ""))
    assert "import" not in plain.resolved() and not plain.imports
    assert all("imports" not in c.plain() for c in design_configurations(plain))


@pytest.mark.parametrize("order", ["[mylab, one]", "[one, mylab]"])
def test_modules_may_import_each_other_whatever_the_order_of_the_list(lab: Path, order: str) -> None:
    (lab / "mylab/__init__.py").write_text("import one\n")
    (lab / "s.yaml").write_text(SPEC.replace("[mylab, one]", order))
    assert [*load(lab / "s.yaml").checksums] == order.strip("[]").split(", ")


def test_a_module_that_is_loaded_from_there_already_stays(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook's: its classes are those that it knows."""
    monkeypatch.syspath_prepend(lab)
    import mylab  # type: ignore[import-not-found]

    load(lab / "s.yaml")
    assert sys.modules["mylab"] is mylab
