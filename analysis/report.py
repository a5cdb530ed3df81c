"""`python analysis/report.py`: tables, figures and one HTML page of a study, from MLflow alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

_ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a file: Python put analysis/ first, where our modules would shadow others'
    sys.path[:] = [str(_ROOT), *(p for p in sys.path if Path(p or ".").resolve() != _ROOT / "analysis")]

if TYPE_CHECKING:
    import argparse

    from analysis.store import Store


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 written, 2 when there is nothing to read."""
    import argparse
    import os

    parser = argparse.ArgumentParser(prog="report.py", description=__doc__)
    parser.add_argument("--study", metavar="NAME", action="append", help="the study to report; default: the one "
                        "launched last. Given several times, studies of the same data and primary measure are compared")
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow's store; default: MLFLOW_TRACKING_URI, or "
                        "MLflow's own default in this directory")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write; default: reports/<study>")
    parser.add_argument("--export", metavar="FILE", type=Path, help="also write every finished replicate, its knobs "
                        "and measures as columns, to FILE (.parquet or .csv)")
    parser.add_argument("--watch", metavar="SECONDS", nargs="?", type=_seconds, const=30.0, help="look for new results "
                        "every SECONDS (%(const)g) and write the page again, until the study is complete")
    options = parser.parse_args(arguments)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a server that is away is said so in seconds
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

    from analysis.load import ReportError, opened

    try:
        with opened(options.tracking_uri) as store:
            names = [store.choose(name) for name in options.study or [None]]
            out = options.out or Path("reports") / safe("+".join(names))
            (out / "cache").mkdir(parents=True, exist_ok=True)
            if options.watch is None:
                _write(store, names, out, options)
            else:
                _watch(store, names, out, options)
    except ReportError as problem:
        print(f"report: {problem}", file=sys.stderr)
        return 2
    return 0


def _write(store: Store, names: list[str], out: Path, options: argparse.Namespace, known: int = -1) -> tuple[int, bool]:
    """Writes the report unless it has `known` replicates already; how many there are, and whether none is missing."""
    from analysis.load import read
    from analysis.pool import pooled

    parts = [read(store, name, out / "cache") for name in names]
    study = pooled(parts)
    if len(study.finals) == known:
        return known, False
    from analysis.findings import missing
    from analysis.page import write

    print(f"{study.name}: {len(study.finals)} replicates of {len(study.trials)} trials", flush=True)
    if options.export is not None:
        from analysis.export import write as export

        print(f"exported: {options.export}, {export(study, options.export)} rows")
    lacking = missing(study)
    again = round(options.watch) if options.watch is not None and lacking else None
    page = write(study, store, out, again, parts=parts, given=_given(store, options))
    if options.watch is None:
        for line in [*study.warnings, *lacking]:
            print(f"  {line}")
    print(f"written: {page}", flush=True)
    return len(study.finals), not lacking


def _given(store: Store, options: argparse.Namespace) -> list[str]:
    """The words of this command that are not the default, beside the studies' names."""
    import os

    elsewhere = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    return [*(["--tracking-uri", store.uri] if elsewhere else []),
            *(["--out", str(options.out)] if options.out is not None else [])]


def _watch(store: Store, names: list[str], out: Path, options: argparse.Namespace) -> None:
    """Writes the report whenever there are new replicates, until nothing is missing or at Ctrl-C."""
    import time

    known, complete = -1, False
    try:
        while not complete:
            known, complete = _write(store, names, out, options, known)
            if not complete:
                time.sleep(options.watch)
    except KeyboardInterrupt:  # the usual way to end it: the last page written stands
        print(f"stopped watching; the page has {known} replicates")


def _seconds(text: str) -> float:
    import argparse

    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number of seconds >= 1")
    return value


def safe(name: str) -> str:
    """The study's name as one folder's name: separators replaced, no leading dot."""
    return "".join(c if c.isalnum() or c in "-_.+ " else "_" for c in name).strip().lstrip(".") or "study"


if __name__ == "__main__":
    sys.exit(main())
