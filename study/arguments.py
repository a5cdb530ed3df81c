"""The options of the command line, and their help."""

from __future__ import annotations

import argparse


def parser() -> argparse.ArgumentParser:
    """Of `python -m study.launch`."""
    made = argparse.ArgumentParser(prog="python -m study.launch", description="Run a study, or continue it: finished "
                                     "work is never run again.", epilog="Exit codes: 0 finished, 1 a unit of work was "
                                     "lost, 2 bad input, 130 interrupted (the same command continues).")
    made.add_argument("--space", required=True, metavar="FILE", help="the study, as YAML (see search_spaces/)")
    only_look = made.add_mutually_exclusive_group()
    only_look.add_argument("--dry-run", action="store_true", help="print the plan, predicted limits and cost; stop")
    only_look.add_argument("--status", action="store_true", help="print what is finished, running and left; start "
                           "nothing")
    _add_places(made)
    made.add_argument("--address", metavar="ADDR", help="a Ray cluster's address, or auto (default: this machine)")
    made.add_argument("--max-concurrent", type=_positive, metavar="N", help="at most so many units at once (default: "
                        "as many as there are CPUs for)")
    made.add_argument("--insecure", action="store_true", help="go to a cluster that others can reach without a token")
    volume = made.add_mutually_exclusive_group()
    volume.add_argument("--quiet", action="store_true", help="no line for each unit, no live view")
    volume.add_argument("--verbose", action="store_true", help="let Ray and its workers speak, too")
    return made


def restore_parser() -> argparse.ArgumentParser:
    """Of `python -m study.restore`."""
    made = argparse.ArgumentParser(prog="python -m study.restore", description="Write finished units of work that the "
                                   "storage lost, or that are damaged there, again from what MLflow shows.",
                                   epilog="Exit codes: 0 done, 2 bad input, or nothing that can be restored, "
                                   "130 interrupted (the same command goes on).")
    made.add_argument("--space", required=True, metavar="FILE", help="the study, as YAML (see search_spaces/)")
    _add_places(made)
    return made


def _add_places(made: argparse.ArgumentParser) -> None:
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="replace a value of the file, such as design.replicates=10; may be given again")
    made.add_argument("--tracking-uri", metavar="URI", help="MLflow's store or server (default: "
                        "MLFLOW_TRACKING_URI where that is set, else mlflow.db in this folder); a server has to answer "
                        "at a study's first launch, and may come and go afterwards")
    made.add_argument("--storage", default="./runs", metavar="URI", help="where units of work leave their files: a "
                        "path or s3://... (default: %(default)s)")
    made.add_argument("--takeover", action="store_true", help="take the study from a launch that seems to hold it on "
                        "an object store, at once (without it: after it has been silent for 30 s)")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number >= 1")
    return int(text)
