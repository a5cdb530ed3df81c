"""The command line: what it refuses in one sentence, how it ends, and what it imports."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import report
from study.provenance import Provenance
from study.show.tracking import Tracking
from tests.stores import template

ROOT = Path(__file__).resolve().parents[2]


def test_an_unknown_study_names_the_nearest(toy_uri, capsys):
    assert report.main(["--study", "tooy", "--tracking-uri", toy_uri]) == 2
    assert capsys.readouterr().err == "report: no study named 'tooy'; did you mean toy? (studies: toy)\n"


def test_a_deleted_experiment_is_named_as_such(tmp_path, capsys):
    uri = f"sqlite:///{shutil.copy(template(), tmp_path / 'mlflow.db')}"
    tracking = Tracking(uri, "jko", "v1")
    tracking.start_launch("study: jko\n", {"study": "jko"}, Provenance("c0ffee", True, "", "", "here"), "here")
    tracking._client.delete_experiment(tracking.experiment_id)
    assert report.main(["--study", "jko", "--tracking-uri", uri]) == 2
    said = capsys.readouterr().err
    assert said.startswith("report: the experiment 'jko' was deleted in MLflow; `mlflow experiments restore --exp")
    assert report.main(["--study", "other", "--tracking-uri", uri]) == 2
    assert "holds no study yet" in capsys.readouterr().err


def test_a_launch_whose_files_are_gone_says_how_they_come_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{shutil.copy(template(), 'mlflow.db')}"
    tracking = Tracking(uri, "jko", "v1")
    tracking.check_reachable()
    tracking.start_launch("study: jko\n", {"study": "jko"}, Provenance("c0ffee", True, "", "", "here"), "here")
    shutil.rmtree("mlruns")
    assert report.main(["--tracking-uri", uri]) == 2
    assert capsys.readouterr().err == (
        "report: study jko has no plan in MLflow: its launch has not written it yet, or its artifacts are gone; the "
        "same launch again writes it\n")


def test_a_study_named_twice_is_one(toy_uri, few_panels, tmp_path, capsys):
    words = ["--study", "toy", "--study", "toy", "--tracking-uri", toy_uri, "--out", str(tmp_path)]
    assert report.main(words) == 0
    assert capsys.readouterr().out.startswith("toy: ")


def test_a_report_that_cannot_be_written_is_one_sentence(toy_uri, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    assert report.main(["--study", "toy", "--tracking-uri", toy_uri, "--out", "file"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "report: --out file: cannot write there (Not a directory)"

    def interrupted(*words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "_write", interrupted)
    assert report.main(["--study", "toy", "--tracking-uri", toy_uri, "--out", "out"]) == 130
    assert capsys.readouterr().err.splitlines() == ["report: interrupted; the same command writes it"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_one_sentence(number, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        silent.settimeout(60)
        process = subprocess.Popen([sys.executable, str(ROOT / "analysis" / "report.py"), "--tracking-uri", uri],
                                   cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        with silent.accept()[0]:  # it waits for an answer
            process.send_signal(number)
            said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (130, "report: interrupted; the same command writes it\n")


@pytest.mark.parametrize("option", ["--out", "--export"])
def test_an_empty_path_is_refused(option, toy_uri, tmp_path, monkeypatch, capsys):
    """It would be this folder, among whose files the report's would lie."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        report.main(["--study", "toy", "--tracking-uri", toy_uri, option, ""])
    assert ended.value.code == 2 and not list(tmp_path.iterdir())
    assert f"argument {option}: found '', expected a path" in capsys.readouterr().err


def test_a_missing_store_is_one_sentence(tmp_path, capsys):
    assert report.main(["--tracking-uri", f"sqlite:///{tmp_path}/no.db"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_server_that_is_away_is_one_sentence(capsys):
    assert report.main(["--tracking-uri", "http://me:secret@127.0.0.1:9"]) == 2
    said = capsys.readouterr().err
    assert said == "report: no tracking server answers at http://me:PASSWORD@127.0.0.1:9 (ConnectionError)\n"


@pytest.mark.parametrize("command", [[str(ROOT / "analysis" / "report.py")], ["-m", "analysis.report"]])
def test_help_is_fast_because_it_imports_nothing_heavy(command):
    code = ["-X", "importtime", *command, "--help"]
    done = subprocess.run([sys.executable, *code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--tracking-uri" in done.stdout
    loaded = set(re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE))
    assert "argparse" in loaded and not {"pandas", "mlflow", "seaborn", "numpy", "matplotlib"} & loaded


def test_run_as_a_file_it_imports_from_the_root_and_neither_torch_nor_ray(tmp_path):
    script = ROOT / "analysis" / "report.py"
    probe = (
        "import runpy, sys\n"
        f"sys.argv, sys.path[0] = ['report.py', '--help'], {str(script.parent)!r}\n"
        f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except SystemExit as end: print('exit', end.code)\n"
        "import analysis.page.page, analysis.report\n"
        f"print(sys.path[0], {str(script.parent)!r} in sys.path, {{'torch', 'ray'}} & set(sys.modules))\n"
        "print(analysis.page.page.__file__)\n"
    )
    command = [sys.executable, "-c", probe]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment)
    page = ROOT / "analysis" / "page" / "page.py"
    assert done.stdout.splitlines()[-3:] == ["exit 0", f"{ROOT} False set()", str(page)]
