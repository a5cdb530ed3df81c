"""MLflow, fed from storage by the driver alone, and what a relaunch reads back from it.

A run is looked up by its tags before it is created, everything that is logged is a function of the unit's files, and
the tag `complete` comes last: so a job that was interrupted anywhere is repeated as a whole and leaves no trace.

A slow server may still carry out a request that was given up, after the run was looked up in vain and made again.
MLflow holds no tag unique, so such twins are found by their tags and one of them is deleted: when the unit is logged,
at the end of a launch in which the answer to a create_run was lost, and at each start.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from study.plan.cost import cost
from study.plan.identity import knobs_text
from study.schema.manifest import Manifest
from study.schema.outcomes import ending, verdicts
from study.schema.unit import Unit, block_name
from study.show.tracking.errors import TrackingError, named
from study.show.tracking.experiment import NOTE, Experiment, metric
from study.show.tracking.tags import (
    RUNGS_FILE,
    Finished,
    blocks,
    finished_units,
    identity,
    joined,
    parameters,
    rungs_tag,
    verdict_tags,
)
from study.store.aggregates import aggregates, curves, final_rows
from study.store.provenance import tags as noted
from study.store.records import read_records
from study.store.sheet import DATA_SHEET
from study.store.units import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["Finished", "Tracking", "TrackingError"]

log = logging.getLogger(__name__)

RECORDS = "records.parquet"
IDENTITY = ("kind", "launch", "config_hash", "seed")  # tags that no two runs share
SUPERSEDED = "-superseded"  # behind the study_version of a confirmation that does not count any more
LAUNCH_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
NOTES = {
    "experiment": "One study. Runs of kind `launch` are starts of it, `trial` are configurations, and below a trial "
                  "`replicate` are its seeds. The report is made by `python analysis/report.py --study {study}`.",
    "launch": "One start of the study: its resolved spec, plan, packages and uncommitted changes; counts while it ran.",
    "trial": "One configuration. Metrics are means over the replicates that survived, with a 95 % t interval "
             "(`_low`, `_high`); n is `replicates` - `diverged`. `spent_...` are costs of all replicates together. "
             "Everything else is in records/*.parquet.",
    "replicate": "One seed of the configuration above it. Curves have the training update as their step.",
}


class Tracking(Experiment):
    """The experiment of one study. Only one process may hold one: the driver."""

    def __init__(self, uri: str | None, study: str, study_version: str, factors: Sequence[str] = (),
                 seeds: Mapping[str, Collection[int]] | None = None) -> None:
        """uri: None for MLFLOW_TRACKING_URI, else mlflow.db in the working directory (see `address.resolved`).
        factors: the knobs that a trial's name shows. seeds: phase -> what a trial's metrics are over (None: all seeds).
        Touches no store yet.
        """
        super().__init__(uri, study, NOTES["experiment"].format(study=study))
        self._common = {"study": study, "study_version": study_version}
        self._factors = tuple(factors)
        self._seeds = dict(seeds or {})
        self._begun = time.time()
        self._identity = uuid.uuid4().hex  # of the launch
        self._launch: str | None = None  # its run
        self._is_started = False
        self._commit = "unknown"
        self._updates = 0

    @named
    def start_launch(self, spec_yaml: str, plan: Mapping[str, Any], provenance: dict[str, Any], storage: str,
                     data_sheet: bytes | None = None, places: Collection[str] = ()) -> None:
        """Create this launch's run. Launches of the same storage that never ended become KILLED: the study is locked
        there, so they died. Those of another storage may live, which is said. Once it has succeeded it does nothing.

        places: other names of the storage.
        """
        if self._is_started:
            return
        self._commit = str(provenance["commit"] or "unknown")
        for run in self.heal():
            if run.data.tags.get("launch") == self._identity:
                continue
            other = run.data.tags.get("storage", "unknown")
            if other in (storage, *places):
                self.end(run.info.run_id, "KILLED")
            else:
                log.warning("MLflow shows that another storage, %s, has a launch of this study that is running (%s): "
                            "both would write the same runs, and no lock keeps them apart; if it is dead, delete that "
                            "run", other, run.info.run_name)
        mine = self._launch_runs(self._identity)
        if mine:
            self._launch = mine[0].info.run_id
        else:
            tags = {**noted(provenance), "storage": storage, "launch": self._identity}
            name = time.strftime("launch %Y-%m-%d %H:%M:%S", time.localtime(self._begun))
            self._launch = self._create("launch", name, tags, _milliseconds(self._begun))
        for file, text in {"spec.yaml": spec_yaml, "plan.json": json.dumps(plan, indent=1, allow_nan=False),
                           "pip-freeze.txt": provenance["packages"], "git.diff": provenance["diff"]}.items():
            self.log_bytes(self._launch, file, text.encode())
        if data_sheet:
            self.log_bytes(self._launch, DATA_SHEET, data_sheet)
        self.log(self._launch, [], {"complete": "true"})
        self._is_started = True

    @named
    def update_launch(self, counts: dict[str, float]) -> None:
        """Live counts: units_done, units_total, replicates_diverged, ..."""
        if self._launch is not None:
            self._updates += 1
            now = _milliseconds(time.time())
            self.log(self._launch, [metric(name, value, now, self._updates) for name, value in counts.items()])

    @named
    def end_launch(self, status: str, counts: dict[str, float]) -> None:
        """status: finished | failed | interrupted."""
        if self._launch is not None:
            if self.is_unsure:
                self.heal()
            self.update_launch(counts)
            self.end(self._launch, LAUNCH_STATUS[status])

    @named
    def heal(self) -> list[Run]:
        """Delete the twins of runs that were made twice; the runs of kind launch that seem to live, twins aside.

        A twin was created and then left alone, so it seems to live.
        """
        running = self.search("attributes.status = 'RUNNING'")
        for config_hash in sorted({run.data.tags["config_hash"] for run in running if "config_hash" in run.data.tags}):
            self._runs_of(config_hash)
        launches = [run for run in running if run.data.tags.get("kind") == "launch"]
        identities = sorted({run.data.tags["launch"] for run in launches if "launch" in run.data.tags})
        kept = {run.info.run_id for identity in identities for run in self._launch_runs(identity)}
        return [run for run in launches if "launch" not in run.data.tags or run.info.run_id in kept]

    def _launch_runs(self, identity: str) -> list[Run]:
        return self._unique(self.search(f"tags.launch = '{identity}'"))

    def _runs_of(self, config_hash: str) -> list[Run]:
        """The trial run of a configuration and its replicates', each once."""
        return self._unique(self.search(f"tags.config_hash = '{config_hash}'"))

    def _unique(self, runs: Sequence[Run]) -> list[Run]:
        """Of runs with the same tags of identity the one that is complete, else that says most; the others go."""
        kept: dict[tuple[str | None, ...], Run] = {}
        for run in sorted(runs, reverse=True, key=lambda run: (
                run.data.tags.get("complete") == "true", len(run.data.tags), run.info.run_id)):
            identity = tuple(run.data.tags.get(tag) for tag in IDENTITY)
            if identity in kept:
                self.delete(run.info.run_id)
            else:
                kept[identity] = run
        return list(kept.values())

    # Units of work.

    @named
    def log_unit(self, store: Store, unit: Unit, manifest: Manifest) -> None:
        """Show a done unit: a trial run for its configuration, below it a run a seed. Harmless when repeated.

        A further block of seeds joins the trial run of its configuration, whose aggregates are made again.
        Raises TrackingError, and StorageError for a file that is not what its manifest says.
        """
        runs = self._runs_of(unit.config_hash)
        trial = next((run for run in runs if run.data.tags["kind"] == "trial"), None)
        shown = blocks(trial)
        if trial and trial.data.tags.get("status") == "pruned" and (manifest.status != "pruned" or self._is_news(
                trial, manifest)):
            shown = []  # another version of the study stopped it, and this one trained it to its end or stopped it, too
        if unit.seeds in shown:
            return
        started, ended = _milliseconds(manifest.started), _milliseconds(manifest.ended)
        version = self._version_of(manifest)
        trial_id = trial.info.run_id if trial else self._create_trial(unit, started, version)
        final = self._final_rows(trial_id, shown) if shown else {}
        if RECORDS in manifest.files:
            payload = store.read_verified(unit, RECORDS, manifest)
            rows = read_records(payload)
            known = {run.data.tags["seed"]: run for run in runs if run.data.tags["kind"] == "replicate"}
            for seed in unit.seeds:
                self._log_replicate(store, unit, seed, [row for row in rows if row["seed"] == seed], manifest,
                                      trial_id, known.get(str(seed)))
            self.log_bytes(trial_id, f"records/{unit.block}.parquet", payload)
            final |= final_rows(rows, unit.block)
        planned = self._seeds.get(unit.configuration.phase, final)
        # A unit of an earlier plan shows what it has.
        own = [row for seed, row in final.items() if seed in planned] or list(final.values())
        measured, how = aggregates(own), verdicts(own)
        earlier = trial.data.tags.get("commit", "") if trial and shown else ""
        tags = {"status": manifest.status, "seeds": ",".join(map(block_name, sorted([*shown, unit.seeds]))),
                "commit": joined([self._commit_of(manifest), earlier]), NOTE: NOTES["trial"], "complete": "true"}
        if how:
            tags |= {"verdicts": how, NOTE: f"{NOTES['trial']}\n\nReplicates that did not diverge: {how}."}
        if version == self._common["study_version"]:
            tags |= self._common
        if shown and final:
            tags["status"] = "diverged" if measured["diverged"] == measured["replicates"] else "finished"
        if manifest.device:
            tags["device"] = manifest.device
        if unit.configuration.phase == "search":
            tags |= self._rungs_tags(trial_id, manifest.rungs, trial)
        self.end(trial_id, "FINISHED", ended)
        # Step: the replicates that are shown, so that the aggregate that knows most is the latest.
        self.log(trial_id, [metric(name, value, ended, len(final)) for name, value in measured.items()], tags,
                 None if shown else parameters(unit.configuration))

    def _is_news(self, trial: Run, manifest: Manifest) -> bool:
        """Whether a unit is this version's, and shown as another's."""
        version = self._common["study_version"]
        return manifest.study_version == version != trial.data.tags.get("study_version")

    def _version_of(self, manifest: Manifest) -> str:
        """It may be an earlier one, whose unit MLflow does not show (any more): whether it counts, `adopt` says."""
        return manifest.study_version or self._common["study_version"]

    def _commit_of(self, manifest: Manifest) -> str:
        return manifest.commit or self._commit

    def _rungs_tags(self, trial_id: str, rungs: Mapping[int, float], trial: Run | None) -> dict[str, str]:
        tag = rungs_tag(rungs)
        if len(json.loads(tag)) == len(rungs) and not (trial and "rungs_file" in trial.data.tags):
            return {"rungs": tag}
        self.log_bytes(trial_id, RUNGS_FILE, json.dumps(rungs).encode())
        return {"rungs": tag, "rungs_file": RUNGS_FILE}

    def _log_replicate(self, store: Store, unit: Unit, seed: int, rows: list[dict[str, Any]],
                         manifest: Manifest, trial_id: str, run: Run | None) -> None:
        if run is not None and run.data.tags.get("mlflow.parentRunId") != trial_id:  # its trial was deleted by hand
            self.log(run.info.run_id, [], {"mlflow.parentRunId": trial_id})
        if run is not None and run.data.tags.get("complete") == "true":
            return
        started = manifest.started
        [final] = [row for row in rows if row["stage"] == "final"]
        ended = _milliseconds(started + final["wall_seconds"])
        note = f"Seed {seed}: {ending(final)}.\n\n{NOTES['replicate']}"
        tags = {"seed": str(seed), **verdict_tags(final), NOTE: note, "mlflow.parentRunId": trial_id,
                "study_version": self._version_of(manifest), "commit": self._commit_of(manifest), **identity(unit)}
        run_id = run.info.run_id if run else self._create("replicate", f"seed {seed}", tags, _milliseconds(started))
        for sheet in (f"samples_{seed}.png", f"nearest_{seed}.png"):
            if sheet in manifest.files:
                self.log_bytes(run_id, sheet, store.read_verified(unit, sheet, manifest))
        self.end(run_id, "FINISHED", ended)
        metrics = [metric(name, value, _milliseconds(started + row["wall_seconds"]), row["update"])
                   for name, value, row in curves(rows, manifest.primary)]
        self.log(run_id, metrics, {"complete": "true"})

    @named
    def mark(self, unit: Unit, status: str, message: str = "") -> None:
        """Show a unit that left no done.json: crashed | oom | interrupted. It is not finished, and may run again."""
        runs = [run for run in self._runs_of(unit.config_hash) if run.data.tags["kind"] == "trial"]
        if runs and runs[0].data.tags.get("complete") == "true":
            return  # other seeds of it are finished: their result stays
        trial_id = runs[0].info.run_id if runs else self._create_trial(unit, _milliseconds(time.time()))
        self.end(trial_id, "KILLED" if status == "interrupted" else "FAILED")
        note = f"{NOTES['trial']}\n\nSeeds {unit.block}: {status}. {message}"[:5000]
        self.log(trial_id, [], {"status": status, NOTE: note})

    @named
    def finished(self) -> dict[tuple[str, tuple[int, ...]], Finished]:
        """(config_hash, seeds) of every unit that is shown as complete, from tags alone."""
        runs = self.search("tags.kind = 'trial' and tags.complete = 'true'")
        return {(one.config_hash, one.seeds): one for run in runs for one in finished_units(run)}

    @named
    def rungs(self, shown: Finished) -> dict[int, float]:
        """All that a unit that is shown had reported; what its tag has where the artifact is damaged."""
        if not shown.rungs_file or shown.rungs_file not in self.artifacts(shown.run_id, ""):
            return shown.rungs
        try:
            return {int(update): float(value) for update, value in json.loads(self.read_artifact(
                shown.run_id, shown.rungs_file)).items()}
        except ValueError:
            log.warning("%s of run %s in MLflow is damaged; the tag has the first", RUNGS_FILE, shown.run_id)
            return shown.rungs

    @named
    def records(self, shown: Finished) -> bytes:
        """records.parquet of a unit that is shown, from MLflow itself: its storage may be gone. Empty of a pruned one,
        and where it is damaged: then the unit is not finished."""
        import pyarrow

        name = f"records/{block_name(shown.seeds)}.parquet"
        try:
            if name not in self.artifacts(shown.run_id, "records"):
                return b""
            payload = self.read_artifact(shown.run_id, name)
            read_records(payload)
            return payload
        except pyarrow.ArrowInvalid:
            log.warning("%s of run %s in MLflow is damaged, so it cannot give the unit back", name, shown.run_id)
            return b""

    @named
    def adopt(self, counted: Mapping[str, Sequence[str]], stopped: Collection[str] = ()) -> None:
        """Give runs of another version of the study, where this version counts them too, this version's tag, and its
        arm's where that was renamed.

        counted: config_hash -> its arms. What another version pruned stays with it, unless it is one of `stopped`,
        which this version pruned itself: else this version trains it to its end.
        """
        for run in self.search(f"tags.study_version != '{self._common['study_version']}'"):
            tags = run.data.tags
            config_hash = tags.get("config_hash", "")
            arms = counted.get(config_hash, ())
            if config_hash in stopped if tags.get("status") == "pruned" else arms:
                renamed = {"arm": arms[0]} if arms and tags.get("arm") not in arms else {}
                self.log(run.info.run_id, [], {**self._common, **renamed})

    @named
    def choose(self, chosen: Mapping[str, Collection[str]]) -> None:
        """Take this version's tag from confirmations of what is no longer among the best; `adopt` gives it back.

        chosen: arm -> config_hashes of its confirmations that count. Those of other arms stay as they are.
        """
        version, counted = self._common["study_version"], {one for hashes in chosen.values() for one in hashes}
        for run in self.search(f"tags.phase = 'confirm' and tags.study_version = '{version}'") if chosen else ():
            if run.data.tags.get("arm") in chosen and run.data.tags.get("config_hash") not in counted:
                self.log(run.info.run_id, [], {"study_version": f"{version}{SUPERSEDED}"})

    def _create(self, kind: str, name: str, tags: dict[str, str], start: int) -> str:
        return self.create(name, {"kind": kind, **self._common, NOTE: NOTES[kind], **tags}, start)

    def _create_trial(self, unit: Unit, start: int, version: str = "") -> str:
        """version: of the study that trained it; this one's unless given."""
        c = unit.configuration
        name = f"{c.arm} {knobs_text(c.knobs, self._factors)}".rstrip()
        config = json.dumps(c.plain(), sort_keys=True, separators=(",", ":"))
        full = cost(unit) / len(unit.seeds)  # of a replicate trained to its end: with `rungs` what a pruned one spent
        tags = {**identity(unit), "config": config, "replicate_gradients": f"{full:.0f}"}
        return self._create("trial", name, tags | ({"study_version": version} if version else {}), start)

    def _final_rows(self, trial_id: str, shown: Sequence[tuple[int, ...]]) -> dict[int, dict[str, Any]]:
        """Of the blocks that are shown already, from MLflow itself: their storage may be gone."""
        found: dict[int, dict[str, Any]] = {}
        wanted = {f"records/{block_name(seeds)}.parquet" for seeds in shown}
        for block in wanted & set(self.artifacts(trial_id, "records")):
            found |= final_rows(read_records(self.read_artifact(trial_id, block)), block)
        return found


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
