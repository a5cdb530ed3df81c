"""The command line: run a study, or continue it.

    python -m study.launch --space search_spaces/jko.yaml

Exit codes: 0 finished, 1 a unit of work was lost, 2 bad input, 130 interrupted. The same command continues a study.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # Python put the working directory first, whose models/ or random.py would come before ours
    sys.path[:not sys.flags.safe_path] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    from study.interrupt import silent

    silent()

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.cpus import usable_cpus
from study.arguments import parser
from study.cluster import SLOW_SECONDS, ClusterError, RunError, address_problem, connect_problem
from study.cluster.capacity import fits, gpu_problem, limits_problem
from study.ending import DONE, INTERRUPTED, ended
from study.schema.output import if_slow, script
from study.show import command
from study.show.redaction import redacted
from study.spec import StudySpec, loads, located, text_of
from study.spec.problems import SpecError

if TYPE_CHECKING:
    from rich.console import Console

    from models.data.data import Data
    from study.run.work import Work
    from study.schema.plan import Plan
    from study.show.monitor import Monitor
    from study.store.lock import Lock
    from study.store.units import Store

FINISHED, LOST = DONE, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(words)
    return ended(lambda: _launch(arguments, words), _how_to_continue(words))


def _how_to_continue(words: Sequence[str]) -> str:
    return redacted(f"interrupted; to continue: {command.python()} {shlex.join(['-m', 'study.launch', *words])}")


@dataclass(frozen=True)
class _Launch:
    """One command: its options and words, the file's text, the study in it, and where to speak."""

    arguments: argparse.Namespace
    words: Sequence[str]
    text: str
    spec: StudySpec
    cpus: int
    console: Console

    def say(self, line: str) -> None:
        """One line, as it is."""
        self.console.print(line, markup=False, soft_wrap=True)

    def refusal(self, path: tuple[str | int, ...], message: str) -> SpecError:
        """A problem that only data or machine showed, with its place in the file."""
        return SpecError([located(self.text, self.arguments.space, self.arguments.overrides, path, message)])


def _launch(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    if problem := address_problem(arguments.address):
        raise SpecError([problem])
    text = text_of(arguments.space)  # once: a pipe gives it once, and a person may save the file meanwhile
    spec = loads(text, arguments.space, arguments.overrides, needs_data=not arguments.status)
    if arguments.address and not arguments.dry_run and (problem := connect_problem(arguments.address)):
        raise SpecError([problem])
    cpus = usable_cpus()
    if arguments.address is None and spec.resources.cpu > cpus:
        raise SpecError([f"{arguments.space}: resources.cpu: found {spec.resources.cpu:g}, expected at most {cpus}, "
                         "the CPUs of this machine"])

    from rich.console import Console

    from study.show.status import show_status
    from study.store.units import Store

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if arguments.diff is not None:
        from study.show.difference import show_difference

        show_difference(spec, loads(text_of(arguments.diff), arguments.diff), arguments.diff, console)
        return FINISHED
    one = _Launch(arguments, words, text, spec, cpus, console)
    store = Store(arguments.storage, spec.study)
    if arguments.status:
        show_status(spec, store, console)
        return FINISHED
    return _run(one, store)


def _run(one: _Launch, store: Store) -> int:
    from models.data.data import some
    from study.plan.memory import memory_problem
    from study.plan.own_parts import own_part_problem
    from study.resume import resume, what_changed, what_is_left
    from study.show.plan import show
    from study.store.lock import held
    from study.store.sheet import DATA_SHEET, data_sheet

    if not one.arguments.dry_run:
        _check(one, store)
    data, plan = _plan(one, store)
    show(plan, one.spec, one.console)
    problem = memory_problem(plan.memory, one.spec.resources.gpu) if one.arguments.address is None else None
    problem = problem or own_part_problem(one.spec, data)
    if changed := what_changed(one.spec, plan, store):
        one.say(f"version {plan.study_version} is not the last launch's: {'; '.join(changed)}")
    if one.arguments.dry_run:
        for line in filter(None, (problem and f"cannot run here: {problem}", what_is_left(one.spec, plan, store))):
            one.say(line)
        return FINISHED
    with held(store, one.arguments.takeover, one.say) as lock:
        store.write(DATA_SHEET, data_sheet(some(data.train), data.view))
        monitor, work = resume(one.spec, plan, store, one.console, tracking_uri=one.arguments.tracking_uri,
                               quiet=one.arguments.quiet)
        if problem and work.left:
            raise one.refusal((), problem)
        status, reason = _work(one, store, monitor, work, lock)
    if lock.is_lost:  # as it has said: the study goes on elsewhere, and the same command would be in its way
        return INTERRUPTED
    return _report(one, status, reason, monitor, work)


def _check(one: _Launch, store: Store) -> None:
    """What can be refused before anything is made; a dry run, which leaves no study behind, does without. A server that
    is away may be no reason, which is said."""
    from study.show.tracking import Tracking
    from study.show.tracking.contact import first_contact
    from study.store.lock import check_free

    if one.arguments.address is None:
        if problem := gpu_problem(one.spec.resources.gpu):
            raise one.refusal(("resources", "gpu"), problem)
        if problem := limits_problem():
            raise SpecError([problem])
    with if_slow(SLOW_SECONDS, lambda: one.say(f"waiting for the storage {redacted(store.uri)}")):
        store.check_writable()
    check_free(store, one.arguments.takeover)
    if away := first_contact(Tracking(one.arguments.tracking_uri, one.spec.study, ""), store):
        one.say(away)


def _plan(one: _Launch, store: Store) -> tuple[Data, Plan]:
    from models.data.disk.options import DataError
    from models.data.load import load
    from models.measures.table import MeasureError
    from study.plan.make import make_plan
    from study.plan.prediction import LawError
    from study.schema.plan import Space
    from study.store.cache import cache_dir

    arguments, spec = one.arguments, one.spec
    try:
        data = load(spec.data, cache_dir=cache_dir(store), say=one.say)
    except DataError as error:
        raise one.refusal(("data", *error.key), error.message) from error
    most = min(arguments.max_concurrent or one.cpus, one.cpus, fits([{"CPU": one.cpus}], {"cpu": spec.resources.cpu}))
    try:
        plan = make_plan(spec, data, max(1, most), cache_dir(store), one.say)
    except (LawError, MeasureError) as error:
        raise one.refusal(() if isinstance(error, LawError) else ("evaluation", "measures"), str(error)) from error
    except (ValueError, OSError) as error:
        if spec.evaluation.features is None:
            raise
        raise one.refusal(("evaluation", "features"), str(error)) from error
    plan.space = Space(file=Path(arguments.space).name, text=one.text, overrides=arguments.overrides)
    return data, plan


def _work(one: _Launch, store: Store, monitor: Monitor, work: Work, lock: Lock) -> tuple[str, str]:
    """Train what is left, and show it: how that ended (finished | failed | interrupted), and why the study cannot run
    here, where that is so."""
    from study.store.units import StorageError
    from study.train import train

    status, reason, complete = "failed", "", True
    try:
        if work.left:
            complete = train(one.arguments, one.cpus, one.say, store, monitor, work)
            if not lock.is_lost:
                work.export(store)
        else:
            work.export(store, renew=False)
            monitor.start()
        if complete and not lock.is_lost:
            work.forget(store)
            monitor.register()
        status = "interrupted" if not complete else "failed" if monitor.lost_units else "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        monitor.stopping()
    except ClusterError as error:
        reason = str(error)
    except (StorageError, RunError) as error:  # of the driver's own files, such as a journal: nothing can go on
        print(f"stopped: {error}; once that is mended the same command continues", file=sys.stderr)
    finally:
        if lock.is_lost:
            monitor.stop()
        elif not monitor.close(status):
            status = "interrupted"
    return status, reason


def _report(one: _Launch, status: str, reason: str, monitor: Monitor, work: Work) -> int:
    """The last lines, and the exit code."""
    from study.show.summary import next_commands, show_summary

    show_summary(monitor, one.console)
    for line in work.notes():
        one.say(line)
    for unit, message in monitor.lost_units:
        print(f"lost: {monitor.name(unit)}: {message}", file=sys.stderr)
    for line in monitor.what_lacks():
        print(line, file=sys.stderr)
    if status == "interrupted":
        print(_how_to_continue(one.words), file=sys.stderr)
        return INTERRUPTED
    if reason:
        raise SpecError([reason])
    commands = next_commands(monitor.spec.study, monitor.tracking.uri, monitor.tracking.known_id,
                             one.arguments.tracking_uri, bool(os.environ.get("MLFLOW_TRACKING_URI")),
                             one.arguments.storage if one.spec.keep != "none" and monitor.kept_bytes else None,
                             monitor.plan)
    for line in commands if monitor.results.all() and not monitor.tracking.is_gone else ():  # else nothing is there
        one.say(line)
    return LOST if status == "failed" or monitor.lost_units else FINISHED


command_line = script(main)


if __name__ == "__main__":
    sys.exit(command_line())
