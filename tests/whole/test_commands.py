"""Every command in README, CONTRIBUTING and docs/ is run by a test, or stands here with the reason why not. Then the
program itself reads its options, and the study that it names is planned."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import tomllib
import warnings
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from models.measures import features
from study import arguments, launch
from study.plan import make
from study.spec import load
from tests.stores import trained_once
from tests.whole.pages import PAGES, ROOT, commands, name, spans

Words = list[str]
RUN = {"docs/tutorial.md": "test_tutorial.py", "docs/own.md": "test_lab.py"}  # page -> beside this, who runs its blocks
WRITTEN = {"lab.yaml", "photos.yaml"}  # by these pages


def launched(words: Words) -> None:
    """With the values of --set the study's file is right. What is left out, as `...`, may be the file."""
    found = arguments.parser().parse_args(words if "--space" in words else [*words, "--space", "FILE"])
    if found.space not in WRITTEN and not found.space.startswith(("FILE", "/path/")):
        load(ROOT / found.space, found.overrides)


def read_by(parser: ArgumentParser) -> Callable[[Words], None]:
    def check(words: Words) -> None:
        parser.parse_args(words)
    return check


def report(words: Words) -> None:
    """It knows the options, and then finds no store."""
    from analysis.report import main

    assert main([*words, "--tracking-uri", "sqlite:////nowhere/mlflow.db"]) == 2


def read_by_click(place: str) -> Callable[[Words], None]:
    """By a program with commands of its own. Where the page gives no more than their names, these."""
    def check(words: Words) -> None:
        module, _, attribute = place.partition(":")
        with warnings.catch_warnings(action="ignore"):  # importing all of MLflow says this and that
            command = getattr(importlib.import_module(module), attribute)
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words[0])
            assert found is not None, words[0]
            command, words = found, words[1:]
        if words:
            command.make_context(command.name, words)
    return check


def made(words: Words) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {word for word in words if "=" not in word} <= targets


def submitted(words: Words) -> None:
    assert all((ROOT / word).is_file() for word in words if "/" in word)


def installed(words: Words) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert words[:2] == ["-c", "constraints.txt"] and set(re.findall(r"\[(.*)\]", words[-1])) <= set(extras)


def unread(words: Words) -> None:
    """Nothing here can read its options."""


# How a command begins -> what checks the rest, and why the command is not run as the page has it, or where it is.
KNOWN: dict[str, tuple[Callable[[Words], None], str]] = {
    "python -m study.launch": (launched, "planned below, trained by tests/whole/promises"),
    "python -P -m study.launch": (launched, "as the one without -P"),
    "python -m study.new": (read_by(arguments.new_parser()), "tests/study/test_new.py, the tutorial"),
    "python -m study.sample": (read_by(arguments.sample_parser()), "tests/study/test_kept.py, the tutorial"),
    "python -m study.measure": (read_by(arguments.measure_parser()), "tests/study/test_kept.py"),
    "python -m study.restore": (read_by(arguments.restore_parser()), "tests/study/test_restore.py"),
    "python analysis/report.py": (report, "tests/analysis/test_command.py, the tutorial"),
    "python -m study.spec.knobs_page": (unread, "tests/study/test_spec.py compares the page"),
    "python -m models.measures.table_page": (unread, "tests/models/test_sample_metrics.py compares the page"),
    "python -m benchmarks.law_figure": (unread, "takes the whole study of law.yaml"),
    "python -m benchmarks.cold_figure": (unread, "takes the whole study of cold.yaml"),
    "python -m benchmarks.methods_table": (unread, "tests/whole/test_benchmarks.py"),
    "python -m benchmarks.pairs": (unread, "tests/analysis/test_exchange.py"),
    "python -m benchmarks.before_after": (unread, "a benchmark of an hour"),
    "python -m benchmarks.replicates": (unread, "a benchmark of two minutes"),
    "python -m benchmarks.whole_study": (unread, "a benchmark of 15 minutes"),
    "python -m benchmarks.local_spread": (unread, "a benchmark of minutes"),
    "python -m benchmarks.measures_cost": (unread, "a benchmark of minutes"),
    "python -m benchmarks.features": (unread, "a benchmark of minutes"),
    "python -m benchmarks.altered": (unread, "tests/whole/test_benchmarks.py"),
    "python benchmarks/report_scale.py": (unread, "a benchmark of minutes"),
    "python benchmarks/scale.py": (unread, "a benchmark of minutes"),
    "python benchmarks/floors.py": (unread, "a benchmark of minutes"),
    "python -m benchmarks.gpu": (unread, "tests/whole/test_benchmarks.py"),
    "python -m http.server": (unread, "a server of Python's, until Ctrl-C"),
    "make": (made, "CI runs test, lint and docs; the others do minutes of what tests do in part"),
    "mlflow": (read_by_click("mlflow.cli:cli"), "until Ctrl-C; tests/study/test_tracking_server.py has servers"),
    "ray": (read_by_click("ray.scripts.scripts:cli"), "several machines; tests/study/test_multi_node.py has nodes"),
    "sbatch": (submitted, "Slurm; tests/study/test_slurm.py runs the script"),
    "kubectl apply": (submitted, "Kubernetes; tests/whole/test_deploy.py has its schemas"),
    "pip install": (installed, "the net; `make setup` does the like"),
    "optuna": (unread, "test_tutorial.py runs it on a search"),
    "optuna-dashboard": (unread, "a package of its own, whose version 0.21.0 was tried by hand"),
    ".": (unread, "the shell's"), "export": (unread, "the shell's"), "chmod": (unread, "the shell's"),
}
PROGRAMS = {key.split()[0] for key in KNOWN}


def check(command: str) -> list[str]:
    """Its keys in KNOWN. Fails where there is none, or as the program does at an option that it does not know."""
    keys = []
    for part in re.sub(r"\$\([^)]*\)", "found", command).split(" && "):
        words = [word for word in shlex.split(part.partition(" > ")[0], comments=True) if word != "..."]
        fitting = [key for key in KNOWN if words[:len(key.split())] == key.split()]
        assert fitting, f"{command}: not run by a test, and not in KNOWN with a reason"
        keys.append(max(fitting, key=len))
        rest = words[len(keys[-1].split()):]
        if rest:  # else the text names the program
            KNOWN[keys[-1]][0](rest)
        if "--" in rest:  # what a cluster is given to run
            keys += check(shlex.join(rest[rest.index("--") + 1:]))
    return keys


def those_of(page: Path) -> list[str]:
    """The commands of a page's blocks, unless they are all run, and those in its text that say more than a name."""
    found = [] if name(page) in RUN else commands(page)
    return found + [span for span in spans(page) if span.split()[0] in PROGRAMS and len(span.split()) > 1]


@pytest.mark.slow  # imports Ray and MLflow
def test_every_command_is_run_or_known(capsys: pytest.CaptureFixture[str]) -> None:
    used = {key for page in PAGES for command in those_of(page) for key in check(command)}
    assert used == set(KNOWN), "what no page has needs no reason"
    for command in ("make no-such", "mlflow uy", "ray start --hed", "sbatch deploy/slurm/no.sbatch", "docker run x"):
        with pytest.raises((AssertionError, click.ClickException)):
            check(command)
    for command in ("python -m study.launch --spase x", "python analysis/report.py --no-such"):
        with pytest.raises(SystemExit):
            check(command)


def test_what_is_named_is_there() -> None:
    for words in map(str.split, KNOWN):
        if words[0] == "python":
            assert (ROOT / words[1]).is_file() or importlib.util.find_spec(words[-1]), words
    for page, test in RUN.items():
        assert Path(page).name in (Path(__file__).parent / test).read_text(encoding="utf-8")


def test_no_command_hides_in_a_block_without_a_language() -> None:
    for page in PAGES:
        fences = re.findall(r"^```.*$", page.read_text(encoding="utf-8"), re.M)
        assert len(fences) % 2 == 0 and all(fence in ("```sh", "```python", "```yaml") for fence in fences[::2]), page


@pytest.mark.slow
def test_every_study_that_a_command_names_can_be_planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As it is; that values of --set are right, the program has said above."""
    monkeypatch.setattr(make, "FLOOR_DRAWS", 2)
    monkeypatch.setattr(features, "_cached", trained_once(features._cached))
    text = " ".join(command for page in PAGES for command in those_of(page))
    files = sorted(set(re.findall(r"search_spaces/\w+\.yaml", text)))
    assert len(files) > 3
    words = ["--dry-run", "--storage", str(tmp_path)]
    assert [launch.main(["--space", str(ROOT / file), *words]) for file in files] == [0] * len(files)
