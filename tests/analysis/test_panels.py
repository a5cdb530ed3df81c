"""A panel is one object: the built-in ones state what the page needs, and one of a user's own is found by its place."""

from __future__ import annotations

import sys
from textwrap import dedent

import pandas as pd
import pytest
from PIL import Image

from analysis import report
from analysis.panels.built_in import PANELS
from analysis.panels.panel import Panel
from tests.analysis import synthetic_study as toy

OWN = '''
    """Panels of a lab."""

    import pandas as pd

    from analysis.panels.palette import colours
    from analysis.panels.panel import Panel, Table


    class Gap(Panel):
        name, title = "lab-gap", "The gap of <the lab>"

        def frame(self, study):
            ends = study.curves[study.curves["phase"] == "design"].groupby(["arm", "config_hash", "seed"])["gap"].last()
            return ends.groupby("arm", sort=False).agg(["median", "size"]).reset_index()

        def plot(self, study, frame, ax):
            ax.bar(frame["arm"], frame["median"], color=[colours(study.arms)[arm] for arm in frame["arm"]])

        def caption(self, study, frame):
            return f"Median over {frame['size'].sum()} replicates of `{study.name}`."


    class Empty(Gap):
        name = "lab-empty"

        def frame(self, study):
            return pd.DataFrame()


    class Spoils(Gap):
        name = "lab-spoils"

        def frame(self, study):
            study.finals["config_hash"] = "none"
            return pd.DataFrame()


    class Taken(Gap):
        name = "limits"


    class Strange(Gap):
        name = "../gap"


    class Nameless(Gap):
        name = None


    class Numberless(Panel):
        name, title = "lab-numberless", "None"

        def caption(self, study, frame):
            return ""


    class Raises(Gap):
        name = "lab-raises"

        def frame(self, study):
            raise ValueError("no gap\\nat all")


    class Needy(Gap):
        name = "lab-needy"

        def __init__(self, more):
            pass


    class Replaces(Gap):
        name = "lab-replaces"

        def tables(self, study, frame):
            return [Table("../lab", frame.astype(str), frame)]


    table_alone = type("Numbers", (Gap,), {
        "name": "lab-table", "figures": lambda *_: [],
        "tables": lambda self, study, frame: [Table("lab-table", frame.astype(str), frame)]})()
    number, long = 7, "x" * 1000
'''


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder with the module `lab_panels`, in which one works."""
    (tmp_path / "lab_panels.py").write_text(dedent(OWN), encoding="utf-8")
    (tmp_path / "lab_broken.py").write_text("import no_such_module_of_the_lab\n", encoding="utf-8")
    (tmp_path / "lab_script.py").write_text("import sys\nsys.exit(3)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("lab_panels", "lab_broken", "lab_script"):
        sys.modules.pop(name, None)


@pytest.fixture
def command(toy_uri):
    return ["--study", "toy", "--tracking-uri", toy_uri, "--out", "r"]


def test_panels_of_ones_own_are_on_the_page_in_figures_and_tables(lab, command, monkeypatch):
    monkeypatch.setattr("analysis.panels.built_in.PANELS", ())  # draws these alone
    own = ["--panel", "lab_panels:Gap", "--panel", "lab_panels:Empty", "--panel", "lab_panels:table_alone"]
    assert report.main([*command, *own]) == 0
    page = (lab / "r" / "index.html").read_text(encoding="utf-8")
    shown = pd.read_csv(lab / "r" / "figures" / "lab-gap.csv")
    assert set(shown["arm"]) == set(toy.ARMS) and shown["size"].sum() == 130
    assert 'id="to-the-gap-of-the-lab">The gap of &lt;the lab&gt;</h2>' in page
    assert "Median over 130 replicates of <code>toy</code>." in page and 'id="lab-gap-' in page
    assert "--panel lab_panels:Gap --panel lab_panels:Empty" in page  # the command that makes it again
    with Image.open(lab / "r" / "figures" / "lab-gap.png") as picture:
        assert min(picture.size) > 200
    assert pd.read_csv(lab / "r" / "tables" / "lab-table.csv").equals(shown)
    assert (lab / "r" / "tables" / "lab-table.tex").exists() and page.count("<h2 id=") == 3  # how it was measured, too
    assert not (lab / "r" / "figures" / "lab-empty.svg").exists()


def test_a_panel_that_changes_the_studys_frames_changes_no_sentence(lab, command, monkeypatch):
    monkeypatch.setattr("analysis.panels.built_in.PANELS", ())
    written = []
    for own in ([], ["--panel", "lab_panels:Spoils"]):
        assert report.main([*command, *own]) == 0
        written.append((lab / "r" / "index.html").read_text(encoding="utf-8").replace(" --panel lab_panels:Spoils", ""))
    assert written[0] == written[1] and (lab / "r" / "findings.md").exists()


@pytest.mark.parametrize(("place", "said"), [
    ("lab_panels", "expected package.module:Name"),
    ("lab_panels:", "expected package.module:Name"),
    ("no_such_lab:Gap", "cannot import no_such_lab (ModuleNotFoundError: No module named 'no_such_lab')"),
    ("lab_broken:Gap", "cannot import lab_broken (ModuleNotFoundError: No module named 'no_such_module_of_the_lab')"),
    ("lab_panels:Gapp", "lab_panels has no Gapp; did you mean Gap?"),
    ("lab_panels:number", "found 7, expected a class that inherits analysis.panels.panel.Panel"),
    ("lab_panels:long", f"found '{'x' * 59}, expected a class that inherits analysis.panels.panel.Panel"),
    ("lab_panels:Nameless", "it states no name"),
    ("lab_panels:Strange", "its name is '../gap', expected letters, digits, - and _"),
    (".lab_panels:Gap", "expected package.module:Name"),
    ("lab_script:Gap", "cannot import lab_script (SystemExit: 3)"),
    ("lab_panels:Needy", "it cannot be made without arguments (TypeError: Needy.__init__() missing 1 required "
                         "positional argument: 'more')"),
    ("lab_panels:Numberless", "it cannot be made without arguments (TypeError: Can't instantiate abstract class "
                              "Numberless with abstract method frame)"),
    ("lab_panels:Raises", "ValueError: no gap"),
    ("lab_panels:Replaces", "its table is named '../lab', expected letters, digits, - and _, and a name that no other "
                            "has"),
    ("lab_panels:Taken", "there is a panel named 'limits' already"),
])
def test_what_is_no_panel_is_one_line_and_ends_with_2(lab, command, few_panels, place, said, capsys):
    assert report.main([*command, "--panel", place]) == 2
    assert capsys.readouterr().err == f"report: --panel {place}: {said}\n"
    assert not (lab / "r" / "index.html").exists()


def test_the_built_in_panels_state_their_own_names_and_titles():
    names = [panel.name for panel in PANELS]
    assert len(set(names)) == len(names) == 26
    for panel in PANELS:
        assert isinstance(panel, Panel) and type(panel).__doc__
        assert hasattr(panel, "title") or type(panel).heading is not Panel.heading
        draws = {"plot", "figures", "tables"} & {k for c in type(panel).__mro__[:-2] for k in vars(c)}
        assert draws, panel.name
