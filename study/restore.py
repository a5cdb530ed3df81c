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

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence

from study.arguments import restore_parser
from study.run.interrupt import terminable
from study.schema.canonical import unsealed
from study.schema.manifest import Manifest
from study.schema.output import lasting
from study.schema.unit import Unit, block_name
from study.show import command
from study.show.tracking.errors import TrackingError, named
from study.show.tracking.experiment import Experiment
from study.show.tracking.tags import RECORDS, UNITS
from study.spec import loads, text_of
from study.spec.problems import SpecError
from study.store.lock import held
from study.store.units import StorageError, Store

RESTORED, BAD_INPUT, INTERRUPTED = 0, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = restore_parser().parse_args(argv)
    try:
        if problem := command.folder_problem():
            raise SpecError([problem])
        spec = loads(text_of(arguments.space), arguments.space, arguments.overrides)
        shown = Shown(arguments.tracking_uri, spec.study)
        shown.check_reachable(make=False)
        store = Store(arguments.storage, spec.study)
        store.check_writable()
        with terminable(), held(store, arguments.takeover, print):
            return _restore(store, shown)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    except SpecError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
    except (StorageError, TrackingError) as error:
        print(error, file=sys.stderr)
    return BAD_INPUT


def _restore(store: Store, shown: Shown) -> int:
    """Write what MLflow shows and the storage lacks. Raises TrackingError where MLflow does not answer any more."""
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
            print(f"run {run_id} in MLflow, seeds {block}: {problem}", file=sys.stderr)
            continue
        if whole[unit.config_hash].issuperset(unit.seeds):
            there += 1
            continue
        store.restore(unit, records, manifest)
        restored += 1
    print(f"{store.uri}/{store.study}: {restored} units of work are restored, {there} were whole"
          + (f", {refused} cannot be restored and will be trained again" if refused else ""))
    return RESTORED if restored or there else BAD_INPUT


class Shown(Experiment):
    """What MLflow shows of a study."""

    @named
    def units(self) -> list[tuple[str, str]]:
        """(id of a trial's run, block of seeds) of each unit of work that can be restored."""
        return [(run.info.run_id, path.removeprefix(f"{UNITS}/").removesuffix(".json"))
                for run in self.search("tags.kind = 'trial'") for path in self.artifacts(run.info.run_id, UNITS)]

    @named
    def unit(self, run_id: str, block: str) -> tuple[Unit, Manifest, bytes]:
        """Its manifest and its records, none of a pruned one. Raises ValueError for what is not what was written."""
        try:
            found = unsealed(json.loads(self.read_artifact(run_id, f"{UNITS}/{block}.json")))
            unit, manifest = Unit.read(found["unit"]), Manifest.model_validate(found["manifest"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{UNITS}/{block}.json is damaged") from error
        if manifest.status == "pruned":
            return unit, manifest, b""
        records = self.read_artifact(run_id, f"records/{block}.parquet")
        if hashlib.sha256(records).hexdigest() != manifest.files[RECORDS].sha256 or block_name(unit.seeds) != block:
            raise ValueError(f"records/{block}.parquet is damaged")
        return unit, manifest, records


if __name__ == "__main__":
    sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)
    sys.exit(main())
