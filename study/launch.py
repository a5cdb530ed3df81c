"""The command line: run a study, or continue it. The only file that starts Ray.

    python -m study.launch --space search_spaces/jko.yaml

Exit codes: 0 finished, 1 a unit of work was lost, 2 bad input, 130 interrupted. The same command continues a study.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # Python put the working directory first, whose models/ or random.py would come before ours
    sys.path[:not sys.flags.safe_path] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.cpus import usable_cpus
from study.run.cluster import ClusterError, RunError, address_problem, connect_problem
from study.run.cluster.capacity import fits, gpu_problem
from study.run.cluster.failure import is_of_ray, last_line, root
from study.run.interrupt import terminable
from study.schema.output import lasting
from study.show import command
from study.show.redaction import redacted
from study.spec import StudySpec, loads, located, text_of
from study.spec.problems import SpecError

if TYPE_CHECKING:
    from rich.console import Console

    from study.run.work import Work
    from study.show.monitor import Monitor
    from study.store.units import Store

FINISHED, LOST, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words)
    try:
        with terminable():
            return _launch(arguments, words)
    except SpecError as error:
        for line in error.problems:
            print(line, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(_how_to_continue(words), file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study.launch", description="Run a study, or continue it: finished "
                                     "work is never run again.", epilog="Exit codes: 0 finished, 1 a unit of work was "
                                     "lost, 2 bad input, 130 interrupted (the same command continues).")
    parser.add_argument("--space", required=True, metavar="FILE", help="the study, as YAML (see search_spaces/)")
    only_look = parser.add_mutually_exclusive_group()
    only_look.add_argument("--dry-run", action="store_true", help="print the plan, predicted limits and cost; stop")
    only_look.add_argument("--status", action="store_true", help="print what is finished, running and left; start "
                           "nothing")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="replace a value of the file, such as design.replicates=10; may be given again")
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow's store or server (default: "
                        "MLFLOW_TRACKING_URI where that is set, else mlflow.db in this folder); a server has to answer "
                        "at a study's first launch, and may come and go afterwards")
    parser.add_argument("--storage", default="./runs", metavar="URI", help="where units of work leave their files: a "
                        "path or s3://... (default: %(default)s)")
    parser.add_argument("--address", metavar="ADDR", help="a Ray cluster's address, or auto (default: this machine)")
    parser.add_argument("--max-concurrent", type=_positive, metavar="N", help="at most so many units at once (default: "
                        "as many as there are CPUs for)")
    parser.add_argument("--takeover", action="store_true", help="take the study from a launch that seems to hold it on "
                        "an object store, at once (without it: after it has been silent for 30 s)")
    parser.add_argument("--insecure", action="store_true", help="go to a cluster that others can reach without a token")
    volume = parser.add_mutually_exclusive_group()
    volume.add_argument("--quiet", action="store_true", help="no line for each unit, no live view")
    volume.add_argument("--verbose", action="store_true", help="let Ray and its workers speak, too")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number >= 1")
    return int(text)


def _how_to_continue(words: Sequence[str]) -> str:
    return redacted(f"interrupted; to continue: {command.python()} {shlex.join(['-m', 'study.launch', *words])}")


def _launch(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    if problem := command.folder_problem() or address_problem(arguments.address):
        raise SpecError([problem])
    text = text_of(arguments.space)  # once: a pipe gives it once, and a person may save the file meanwhile
    spec = loads(text, arguments.space, arguments.overrides)
    if arguments.address and not arguments.dry_run and (problem := connect_problem(arguments.address)):
        raise SpecError([problem])
    cpus = usable_cpus()
    if arguments.address is None and spec.resources.cpu > cpus:
        raise SpecError([f"{arguments.space}: resources.cpu: found {spec.resources.cpu:g}, expected at most {cpus}, "
                         "the CPUs of this machine"])

    from rich.console import Console

    from study.show.tracking import TrackingError
    from study.store.units import StorageError

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    try:
        return _run(arguments, words, text, spec, cpus, console)
    except (StorageError, TrackingError) as error:
        raise SpecError([str(error)]) from error


def _run(arguments: argparse.Namespace, words: Sequence[str], text: str, spec: StudySpec, cpus: int,
         console: Console) -> int:
    from study.show.tracking import Tracking
    from study.show.tracking.contact import first_contact
    from study.store.lock import check_free, held
    from study.store.units import StorageError, Store

    store = Store(arguments.storage, spec.study)
    if arguments.status:
        from study.show.status import show_status

        show_status(spec, store, console)
        return FINISHED
    away = ""
    if not arguments.dry_run:  # the checks make a folder and a new store, and a dry run leaves no study behind
        if arguments.address is None and (problem := gpu_problem(spec.resources.gpu)):
            raise SpecError([located(text, arguments.space, arguments.overrides, ("resources", "gpu"), problem)])
        store.check_writable()
        check_free(store, arguments.takeover)
        if away := first_contact(Tracking(arguments.tracking_uri, spec.study, ""), store):
            console.print(away, markup=False, soft_wrap=True)

    from models.data.data import some
    from models.data.disk.options import DataError
    from models.data.load import load as load_data
    from study.plan.make import make_plan
    from study.resume import resume, what_changed
    from study.schema.plan import Space
    from study.show.plan import show
    from study.store.cache import cache_dir
    from study.store.sheet import DATA_SHEET, data_sheet

    try:
        data = load_data(spec.data, cache_dir=cache_dir(store),
                         say=lambda line: console.print(line, markup=False, soft_wrap=True))
    except DataError as error:
        where = ("data", *error.key)
        raise SpecError([located(text, arguments.space, arguments.overrides, where, error.message)]) from error
    at_once = min(arguments.max_concurrent or cpus, cpus, fits([{"CPU": cpus}], {"cpu": spec.resources.cpu}))
    try:
        plan = make_plan(spec, data, max(1, at_once), cache_dir(store))
    except (ValueError, OSError) as error:
        if spec.evaluation.features is None:
            raise
        where = ("evaluation", "features")
        raise SpecError([located(text, arguments.space, arguments.overrides, where, _one_line(error))]) from error
    # so that a report can say how to make the study again
    plan.space = Space(file=Path(arguments.space).name, text=text, overrides=arguments.overrides)
    show(plan, spec, console)
    if changed := what_changed(spec, plan, store):
        console.print(f"version {plan.study_version} is not the last launch's: {'; '.join(changed)}", markup=False,
                      soft_wrap=True)
    if arguments.dry_run:
        return FINISHED
    with held(store, arguments.takeover, lambda line: console.print(line, markup=False, soft_wrap=True)) as lock:
        extent = data.extent if data.density is None else data.density.extent
        store.write(DATA_SHEET, data_sheet(some(data.train), extent))
        monitor, work = resume(spec, plan, store, console, tracking_uri=arguments.tracking_uri,
                             quiet=arguments.quiet, ask_mlflow=not away)
        status, reason = "failed", ""
        try:
            if work.left:
                complete = _train(arguments, spec, store, monitor, work, cpus)
                if not lock.is_lost:
                    work.export(store)
            else:
                complete = True
                work.export(store, renew=False)
                monitor.start()
            status = "interrupted" if not complete else "failed" if monitor.lost_units else "finished"
        except KeyboardInterrupt:
            monitor.stopping()
            status = "interrupted"
        except ClusterError as error:
            reason = str(error)
        except (StorageError, RunError) as error:  # of the driver's own files, such as a journal: nothing can go on
            print(f"stopped: {error}; once that is mended the same command continues", file=sys.stderr)
        finally:
            if lock.is_lost:
                monitor.stop()
            elif not monitor.close(status):
                status = "interrupted"
    if lock.is_lost:  # as it has said: the study goes on elsewhere, and the same command would be in its way
        return INTERRUPTED
    return _report(arguments, words, status, reason, monitor, work, console)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def _train(arguments: argparse.Namespace, spec: StudySpec, store: Store, monitor: Monitor, work: Work,
           cpus: int) -> bool:
    """Start Ray and run what is left, in rounds; whether it came to its end.

    Raises ClusterError where the study cannot run there, RunError where Ray or this machine fails, which is nobody's
    bad input.
    """
    try:
        return _rounds(arguments, spec, store, monitor, work, cpus)
    except Exception as error:
        if arguments.verbose:
            raise
        if is_of_ray(cause := root(error)):
            raise RunError(f"Ray failed: {last_line(cause)} (--verbose shows all of it)") from error
        if isinstance(cause, OSError):
            raise RunError(last_line(cause)) from error
        raise cause from None


def _rounds(arguments: argparse.Namespace, spec: StudySpec, store: Store, monitor: Monitor, work: Work,
            cpus: int) -> bool:
    from study.run import cluster
    from study.run.cluster import capacity

    threads = max(1, int(spec.resources.cpu))
    say = (lambda line: None) if arguments.quiet else monitor.progress.say
    say("starting Ray" if arguments.address is None else f"joining the Ray cluster at {arguments.address}")
    with cluster.running(arguments.address, cpus, threads, arguments.verbose, arguments.insecure):
        resources = capacity.prepare(arguments.address, arguments.storage, store, spec.resources.cpu,
                                     spec.resources.gpu,
                                     lambda line: monitor.progress.console.print(line, markup=False))
        monitor.start()

        from study.run.rounds import run_round

        options = {"device": "cuda" if "gpu" in resources else "cpu"}
        excluded: set[str] = set()  # nodes that joined and turned out to be unfit
        say("training; a line follows for each unit of work that ends")
        with monitor.progress:
            for source, alone in work.rounds(monitor):
                wanted = capacity.whole_node(resources, excluded) if alone else resources
                room = capacity.room(arguments.address, wanted, arguments.max_concurrent, monitor.progress.say,
                                     excluded)
                while not source.is_exhausted:
                    if not run_round(source, monitor, store, options=lambda unit: {**options, **work.options(unit)},
                                     resources=wanted, room=room, alone=alone, verbose=arguments.verbose,
                                     excluded=None if arguments.address is None else excluded):
                        return False
    return True


def _report(arguments: argparse.Namespace, words: Sequence[str], status: str, reason: str, monitor: Monitor, work: Work,
            console: Console) -> int:
    """The last lines, and the exit code."""
    from study.show.summary import next_commands, show_summary

    show_summary(monitor, console)
    for line in work.notes():
        console.print(line, markup=False, soft_wrap=True)
    for unit, message in monitor.lost_units:
        print(f"lost: {monitor.name(unit)}: {message}", file=sys.stderr)
    if monitor.not_shown:
        most = "" if monitor.is_asked else "up to "
        cure = "once that is mended (see above) the same command" if monitor.is_refused else "the same command"
        print(f"{most}{monitor.not_shown} units are not shown in MLflow; {cure} adds them", file=sys.stderr)
    if status == "interrupted":
        print(_how_to_continue(words), file=sys.stderr)
        return INTERRUPTED
    if reason:
        raise SpecError([reason])
    for line in next_commands(monitor.spec.study, monitor.tracking.uri, monitor.tracking.known_id,
                              arguments.tracking_uri, bool(os.environ.get("MLFLOW_TRACKING_URI"))):
        console.print(line, markup=False, soft_wrap=True)
    return LOST if status == "failed" or monitor.lost_units else FINISHED


if __name__ == "__main__":
    sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)
    sys.exit(main())
