"""`python analysis/report.py`: tables, figures and one HTML page of a study, from MLflow alone."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # Python put analysis/ first (with -m: the working directory), whose modules shadow others'
    sys.path[:not sys.flags.safe_path] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from analysis.read.store import Store
    from analysis.read.study import Study


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 written, 2 when there is nothing to read or nowhere to write, 130 interrupted."""
    import argparse

    parser = argparse.ArgumentParser(prog="report.py", description=__doc__)
    parser.add_argument("--study", metavar="NAME", action="append", help="the study to report; default: the one "
                        "launched last. Given several times, studies of the same data and primary measure are compared")
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow's store; default: MLFLOW_TRACKING_URI where "
                        "that is set, else mlflow.db in this folder")
    parser.add_argument("--out", metavar="DIR", type=_path, help="where to write; default: reports/<study>")
    parser.add_argument("--panel", metavar="PLACE", action="append", default=[], help="a panel of your own at the end "
                        "of the page, as package.module:Name (analysis/panels/panel.py); may be given several times")
    parser.add_argument("--export", metavar="FILE", type=_path, help="also write every finished replicate, its knobs "
                        "and measures as columns, to FILE (.parquet or .csv)")
    parser.add_argument("--show-in-mlflow", action="store_true", help="also put the page and its tables at the study's "
                        "last launch in MLflow, and a summary on the page of its experiment")
    parser.add_argument("--watch", metavar="SECONDS", nargs="?", type=_seconds, const=30.0, help="look for new results "
                        "every SECONDS (%(const)g) and write the page again, until the study is complete or no launch "
                        "of it runs")
    options = parser.parse_args(arguments)
    try:
        return _report(options)
    except KeyboardInterrupt:
        print("report: interrupted; the same command writes it", file=sys.stderr)
        return 130


def _report(options: argparse.Namespace) -> int:
    """What `main` returns, of options that can be read. The imports take seconds, in which one may interrupt it."""
    from analysis.read.address import ReportError, check_folder
    from analysis.read.store import opened

    try:
        check_folder()
        with opened(options.tracking_uri) as store:
            names = [store.choose(name) for name in dict.fromkeys(options.study or [None])]
            out = options.out or Path("reports") / safe("+".join(names))
            try:
                (out / "cache").mkdir(parents=True, exist_ok=True)
            except OSError as problem:
                raise ReportError(f"--out {out}: cannot write there ({problem.strerror})") from problem
            if options.watch is None:
                _write(store, names, out, options)
        if options.watch is not None:
            _watch(names, out, options)
    except ReportError as problem:
        print(f"report: {problem}", file=sys.stderr)
        return 2
    return 0


def _write(store: Store, names: list[str], out: Path, options: argparse.Namespace, known: str = "") -> tuple[str, bool]:
    """Writes the report unless the study is in the state `known`; its state, and whether more is to come."""
    from analysis.panels.built_in import panels
    from analysis.read.load import read
    from analysis.read.pool import pooled

    shown = panels(options.panel)
    parts = [read(store, name, out / "cache") for name in names]
    study = pooled(parts)
    from analysis.text.findings import missing

    lacking, state = missing(study), _state(study)
    if state == known:
        return known, bool(lacking) and study.is_running
    from analysis.page.page import write
    from analysis.text.formatting import count

    print(f"{study.name}: {count(len(study.finals), 'replicate')} of {count(len(study.trials), 'trial')}", flush=True)
    if options.export is not None:
        from analysis.read.export import write as export

        print(f"exported: {options.export}, {export(study, options.export)} rows")
    again = round(options.watch) if options.watch is not None and lacking and study.is_running else None
    page = write(study, store, out, again, parts=parts, given=_given(store, options), panels=shown)
    if again is None:
        for line in [*study.warnings, *lacking]:
            print(f"  {line}")
    print(f"written: {page}", flush=True)
    if options.show_in_mlflow and again is None:
        from analysis.page.publish import publish

        for part in parts:
            print(f"in MLflow: at {publish(part, store, out)} of {part.name}", flush=True)
    return state, bool(lacking)


def _given(store: Store, options: argparse.Namespace) -> list[str]:
    """The words of this command that are not the default, beside the studies' names."""
    elsewhere = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    return [*(["--tracking-uri", store.uri] if elsewhere else []),
            *(["--out", str(options.out)] if options.out is not None else []),
            *(word for place in options.panel for word in ("--panel", place))]


def _state(study: Study) -> str:
    """What a page depends on that may change while a study runs: its launch, its trials, the count of replicates."""
    trials = study.trials[["run_id", "status", "complete", "seeds"]].to_json(orient="values")
    return f"{study.launch.get('run_id')} {study.is_running} {len(study.finals)} {trials}"


def _watch(names: list[str], out: Path, options: argparse.Namespace) -> None:
    """Writes the report whenever the study's state changed: until nothing is missing, until no launch runs and a second
    look finds nothing new, or until Ctrl-C. What may pass by itself (a store that is away, no plan yet) is tried again.
    """
    import time

    from analysis.read.address import PassingError
    from analysis.read.store import opened

    known, more = "", True
    try:
        while more:
            try:
                with opened(options.tracking_uri) as store:
                    known, more = _write(store, names, out, options, known)
            except PassingError as problem:
                print(f"report: {problem}; looking again in {options.watch:g} s", file=sys.stderr, flush=True)
            if more:
                time.sleep(options.watch)
        print("the page is final: no launch of the study runs, or nothing is missing")
    except KeyboardInterrupt:  # the usual way to end it: the last page written stands
        print("stopped watching; the last page written stands" if known else "stopped watching; no page was written")


def _seconds(text: str) -> float:
    import argparse

    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number of seconds >= 1")
    return value


def _path(text: str) -> Path:
    import argparse

    if not text.strip():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a path")
    return Path(text)


def safe(name: str) -> str:
    """The study's name as one folder's name: separators replaced, no leading dot."""
    return "".join(c if c.isalnum() or c in "-_.+ " else "_" for c in name).strip().lstrip(".") or "study"


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt  # so that a time limit ends it as Ctrl-C does


def command_line() -> int:
    """As the console script calls it."""
    import signal

    from study.schema.output import script

    signal.signal(signal.SIGTERM, _terminated)
    os.environ["MPLBACKEND"] = "agg"  # a profile may name one that matplotlib no longer has, or that is not installed
    return script(main)()


if __name__ == "__main__":
    sys.exit(command_line())
