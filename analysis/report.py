"""`python analysis/report.py`: tables, figures and one HTML page of a study, from MLflow alone."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run as a file: Python put analysis/ first, where our modules would shadow others'
    sys.path[:] = [str(_ROOT), *(p for p in sys.path if Path(p or ".").resolve() != _ROOT / "analysis")]


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 written, 2 when there is nothing to read."""
    import argparse
    import os

    parser = argparse.ArgumentParser(prog="report.py", description=__doc__)
    parser.add_argument("--study", metavar="NAME", help="the study to report; default: the one launched last")
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="MLflow's store; default: MLFLOW_TRACKING_URI, or MLflow's own default in this directory",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write; default: reports/<study>")
    options = parser.parse_args(arguments)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a server that is away is said so in seconds
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

    from analysis.load import ReportError, opened

    try:
        with opened(options.tracking_uri) as store:
            name = store.choose(options.study)
            out = options.out or Path("reports") / safe(name)
            (out / "cache").mkdir(parents=True, exist_ok=True)
            study = store.read(name, out / "cache")
            print(f"{name}: {len(study.finals)} replicates of {len(study.trials)} trials", flush=True)
            from analysis.page import write

            page = write(study, store, out)
    except ReportError as problem:
        print(f"report: {problem}", file=sys.stderr)
        return 2
    from analysis.findings import missing

    for line in [*study.warnings, *missing(study)]:
        print(f"  {line}")
    print(f"written: {page}")
    return 0


def safe(name: str) -> str:
    """The study's name as one folder's name: separators replaced, no leading dot."""
    return "".join(c if c.isalnum() or c in "-_. " else "_" for c in name).strip().lstrip(".") or "study"


if __name__ == "__main__":
    sys.exit(main())
