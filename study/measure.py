"""Take measures of what a study has trained, as if they had been asked for before.

    python -m study.measure --study jko --add kid_clf64_128

Exit codes: 0 done, 2 bad input, 130 interrupted (the same command goes on).
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # Python put the working directory first, whose models/ or random.py would come before ours
    sys.path[:not sys.flags.safe_path] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    from study.interrupt import silent

    silent()

from collections.abc import Sequence
from typing import TYPE_CHECKING

from study.arguments import measure_parser
from study.ending import DONE, ended
from study.schema.output import script

if TYPE_CHECKING:
    import argparse

    from study.run.later import Later
    from study.schema.plan import Plan
    from study.show.tracking import Tracking
    from study.store.units import Store


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = measure_parser().parse_args(argv)
    return ended(lambda: _measure(arguments), "interrupted; the same command goes on")


def _measure(arguments: argparse.Namespace) -> int:
    from study.run.later import Later
    from study.show.tracking import Tracking
    from study.store.kept import read_plan
    from study.store.lock import held
    from study.store.units import Store

    store = Store(arguments.storage, arguments.study, may_begin=False)
    plan = read_plan(store)
    tracking = Tracking(arguments.tracking_uri, plan.study, plan.study_version, plan.factors, plan.seeds, plan.data)
    tracking.check_reachable(make=False)
    later = Later(store, plan, arguments.add, arguments.modules, arguments.device)
    with held(store, arguments.takeover, print):
        return _add(store, plan, later, tracking)


def _add(store: Store, plan: Plan, later: Later, tracking: Tracking) -> int:
    """Measure unit by unit, each written before the next begins; then MLflow shows what is new."""
    from rich.console import Console
    from rich.progress import Progress

    from study.show.later import show_measures
    from study.store.kept import trained
    from study.store.units import DamagedError, StorageError

    done = trained(store, plan)
    if not done:
        raise StorageError("nothing of the study is finished yet")
    wanted = [(config_hash, i) for config_hash, units in done.items() for i, (_, m) in enumerate(units) if m.state]
    if not wanted:
        raise StorageError(f"{store.uri}/{store.study}: no networks are kept of what is finished (keep in the study's "
                           "file), and so nothing can be measured")
    new = gone = none = 0
    damaged: list[str] = []
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        for config_hash, i in bar.track(wanted, description="units"):
            unit, manifest = done[config_hash][i]
            try:
                payload = store.read_state(unit, manifest)
            except DamagedError as error:
                damaged.append(str(error))
                continue
            if payload is None:
                gone += 1
                continue
            rows = later.rows(unit, payload, store.rows(unit, manifest))
            if rows:
                done[config_hash][i] = unit, store.replace_rows(unit, manifest, rows)
                new += 1
            elif rows is not None:
                none += 1
            tracking.show(store, done[config_hash])
    print(*later.notes, sep="\n", end="\n" * bool(later.notes), file=sys.stderr)
    print(f"units of work: {new} measured, {len(wanted) - new - gone - none - len(damaged)} measured before"
          + (f"; {none} have no number: their replicates diverged, or the measure is not finite" if none else "")
          + (f"; the networks of {gone} are not kept" if gone else ""))
    finished = [(unit, store.rows(unit, manifest)) for units in done.values() for unit, manifest in units]
    show_measures(plan, finished, later.names, later.floors(), Console(highlight=False))
    if damaged:
        raise StorageError(f"units of work that are not measured: {len(damaged)}; {damaged[0]}")
    return DONE


command_line = script(main)


if __name__ == "__main__":
    sys.exit(command_line())
