"""CITATION.cff has what the format asks for (CFF 1.2.0), of this release."""

from __future__ import annotations

import tomllib

from ruamel.yaml import YAML

from tests.whole.pages import ROOT


def test_it_names_this_release_and_the_paper() -> None:
    found = YAML(typ="safe").load(ROOT / "CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found["cff-version"] == "1.2.0" and found["message"] and found["title"].startswith(project["name"])
    assert (found["version"], found["license"]) == (project["version"], project["license"])
    [paper] = found["references"]
    assert paper["type"] == "article" and "1910.14216" in paper["url"]
    assert all(person.keys() <= {"name", "family-names", "given-names"} for one in (found, paper)
               for person in one["authors"])
