"""Bring back what a lost or damaged storage had finished, from MLflow. A launch reads its storage alone; this does not.

    python -m study.restore --space search_spaces/jko.yaml

Records, manifests and configurations come back, each checked; images do not. A journal of a search is made again by the
next launch. Exit codes: 0 done, 2 bad input, or nothing that can be restored, 130 interrupted.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # Python put the working directory first, whose models/ or random.py would come before ours
    sys.path[:not sys.flags.safe_path] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    from study.interrupt import silent

    silent()

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from study.arguments import restore_parser
from study.ending import DONE, ended
from study.schema.output import BAD_INPUT, script

if TYPE_CHECKING:
    import argparse

    from study.show.tracking.restorable import Restorable
    from study.store.units import Store



def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = restore_parser().parse_args(argv)
    return ended(lambda: _run(arguments), "interrupted; the same command goes on")


def _run(arguments: argparse.Namespace) -> int:
    from study.show.tracking.restorable import Restorable
    from study.spec import loads, text_of
    from study.store.lock import held
    from study.store.units import Store

    spec = loads(text_of(arguments.space), arguments.space, arguments.overrides)
    shown = Restorable(arguments.tracking_uri, spec.study)
    shown.check_reachable(make=False)
    store = Store(arguments.storage, spec.study)
    store.check_writable()
    with held(store, arguments.takeover, print):
        return _restore(store, shown)


def _restore(store: Store, shown: Restorable) -> int:
    """Write what MLflow shows and the storage lacks. Raises TrackingError where MLflow does not answer any more."""
    from study.show.tracking import TrackingError

    whole: defaultdict[str, set[int]] = defaultdict(set)  # config_hash -> seeds that are whole
    for unit, manifest in store.done_units(tidy=True):
        if not store.discard_if_damaged(unit, manifest):
            whole[unit.config_hash] |= {*unit.seeds}
    restored = there = refused = 0
    for run_id, block in shown.units():
        try:
            unit, manifest, records = shown.unit(run_id, block)
        except (TrackingError, ValueError) as problem:
            if isinstance(problem, TrackingError) and problem.away:
                raise
            refused += 1
            of = f", seeds {block}" if block else ""
            print(f"run {run_id} in MLflow{of}: {problem}", file=sys.stderr)
            continue
        if whole[unit.config_hash].issuperset(unit.seeds):
            there += 1
            continue
        store.restore(unit, records, manifest)
        restored += 1
    if not restored + there + refused:
        raise TrackingError(f"MLflow at {shown.uri} shows nothing finished of study {store.study!r}")
    print(f"{store.uri}/{store.study}: units of work: {restored} restored, {there} whole before"
          + (f", {refused} cannot be had from MLflow" if refused else ""))
    return DONE if restored or there else BAD_INPUT


command_line = script(main)


if __name__ == "__main__":
    sys.exit(command_line())
