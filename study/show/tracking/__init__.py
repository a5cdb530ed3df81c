"""MLflow, a projection of the storage: what it shows is a function of units' files, written by the driver alone.

A run is looked up by its tags before it is created, and the tag `complete` comes last: so a job that was interrupted
anywhere is repeated as a whole and leaves no trace. Nothing that a study rests on is read back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from study.plan.cost import cost
from study.schema.canonical import sealed
from study.schema.columns import FINAL, SEED, STAGE, UPDATE, WALL
from study.schema.manifest import Manifest
from study.schema.outcomes import ending, verdicts
from study.schema.plan import PlannedData
from study.schema.tags import COMPLETE, CONTENT, KIND, MOST_NOTE, NOTE, TRUE, TrialTags, blocks_tag, joined
from study.schema.unit import Unit
from study.show.tracking.errors import TrackingError, named
from study.show.tracking.experiment import metric
from study.show.tracking.launches import NOTES, milliseconds
from study.show.tracking.registered import Registered
from study.show.tracking.tags import UNITS, Done, content, dataset, parameters, to_show, trial_name, verdict_tags
from study.store.aggregates import COUNTS, aggregates, curves, final_rows
from study.store.records import read_records
from study.store.units import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["Tracking", "TrackingError"]

PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
Row = dict[str, Any]


class Tracking(Registered):
    """The experiment of one study. Only one process may hold one: the driver."""

    def __init__(self, uri: str | None, study: str, study_version: str, factors: Sequence[str] = (),
                 seeds: Mapping[str, Collection[int]] | None = None, data: PlannedData | None = None) -> None:
        """uri: as of `Launches`. factors: the knobs that a trial's name shows. seeds: phase -> what a trial's metrics
        are over (None: all seeds). data: what trials were trained on."""
        super().__init__(uri, study, study_version)
        self._factors = tuple(factors)
        self._seeds, self._data = dict(seeds or {}), data
        self._shown: dict[str, TrialTags] | None = None  # config_hash -> tags of its complete run

    @property
    def is_known(self) -> bool:
        """Whether MLflow has said what it shows."""
        return self._shown is not None

    @named
    def shown(self) -> dict[str, TrialTags]:
        """config_hash -> tags of its trial run, of those that are complete and have their files, of whatever version.
        Asked once."""
        if self._shown is None:
            runs = self.search(f"tags.{KIND} = 'trial' and tags.{COMPLETE} = '{TRUE}'")
            whole = [TrialTags.read(run.data.tags) for run in runs if not self.lacks(run, UNITS)]
            self._shown = {tags.config_hash: tags for tags in whole}
        return self._shown

    @named
    def show(self, store: Store, done: Sequence[Done]) -> None:
        """Bring a configuration's runs up to what the storage has of it: a trial, and below it a replicate per seed.

        done: its units. Harmless when repeated; nothing is asked of MLflow where it is up to date. Of seeds that the
        storage has no more the files stay in MLflow, for `study.restore`; the trial's tags name them no more.
        Raises TrackingError, and StorageError for a file that is not what its manifest says.
        """
        done = to_show(done)
        unit = done[0][0]
        planned = self._seeds.get(unit.configuration.phase)
        digest = content(done, [seed for one, _ in done for seed in one.seeds if planned is None or seed in planned])
        known = self.shown().get(unit.config_hash)
        if known is not None and known.content == digest:
            return
        runs = self.runs_of(unit.config_hash)
        run = next((run for run in runs if run.data.tags[KIND] == "trial"), None)
        started, ended = (milliseconds(pick(getattr(m, when) for _, m in done))
                          for pick, when in ((min, "started"), (max, "ended")))
        trial = run.info.run_id if run else self._create_trial(unit, started, self._versions(done))
        if self._data is not None and not (run and run.inputs and run.inputs.dataset_inputs):
            self._ask("log_inputs", trial, [dataset(self._data)])
        final = self._log_units(store, done, trial, runs)
        # Units of an earlier plan show what they have.
        own = [row for seed, row in final.items() if planned is None or seed in planned] or list(final.values())
        measured, how = aggregates(own), verdicts(own)
        statuses = {manifest.status for _, manifest in done}
        tags = TrialTags.of(
            unit, status=statuses.pop() if len(statuses) == 1 else "finished", study_version=self._versions(done),
            seeds=blocks_tag(one.seeds for one, _ in done), commit=joined(self._commit_of(m) for _, m in done),
            device=done[-1][1].device, verdicts=how, content=digest, complete=TRUE,
            last_rung=str(max(done[-1][1].rungs, default="")))
        note = f"{NOTES['trial']}\n\nReplicates that did not diverge: {how}." if how else NOTES["trial"]
        self.end(trial, "FINISHED", ended)
        at = ended if known is None else milliseconds(time.time())  # of one step MLflow shows the last
        self.log(trial, [metric(name, value, at, 0) for name, value in measured.items()],
                 {NOTE: note, NAME: trial_name(unit.configuration, self._factors, _outcome(tags, measured)),
                  **tags.plain()}, _new(unit, run))
        self.shown()[unit.config_hash] = tags

    def _log_units(self, store: Store, done: Sequence[Done], trial: str, runs: Sequence[Run]) -> dict[int, Row]:
        """Show each seed of these units, and leave what restores them with their trial; seed -> its final row."""
        known = {run.data.tags[SEED]: run for run in runs if run.data.tags[KIND] == "replicate"}
        of: dict[int, tuple[Done, list[Row]]] = {}
        final: dict[int, Row] = {}
        for unit, manifest in done:
            self.log_bytes(trial, f"{UNITS}/{unit.block}.json", json.dumps(sealed(
                {"unit": unit.plain(), "manifest": manifest.model_dump(mode="json")})).encode())
            if manifest.status != "pruned":
                payload = store.read_verified(unit, manifest.records, manifest)
                rows = read_records(payload)
                final |= final_rows(rows, unit.block)
                of |= {seed: ((unit, manifest), rows) for seed in unit.seeds}
                self.log_bytes(trial, f"records/{unit.block}.parquet", payload)
        for seed, (one, rows) in of.items():
            self._log_replicate(store, one, seed, [row for row in rows if row[SEED] == seed], trial,
                                known.get(str(seed)))
        return final

    def _log_replicate(self, store: Store, done: Done, seed: int, rows: Sequence[Row], trial: str,
                       run: Run | None) -> None:
        unit, manifest = done
        digest = content([done])
        sheets = [name for name in (f"samples_{seed}.png", f"nearest_{seed}.png") if name in manifest.files]
        is_complete = run is not None and run.data.tags.get(COMPLETE) == TRUE
        if run is not None and (run.data.tags.get(CONTENT) != digest or (  # trained again: curves cannot be taken back
                is_complete and any(self.lacks(run, sheet) for sheet in sheets))):
            self.delete(run.info.run_id)
            run = None
        if run is not None and run.data.tags.get(PARENT) != trial:  # its trial was deleted by hand
            self.log(run.info.run_id, [], {PARENT: trial})
        if run is not None and is_complete:
            return
        started = manifest.started
        [final] = [row for row in rows if row[STAGE] == FINAL]
        ended = milliseconds(started + final[WALL])
        note = f"Seed {seed}: {ending(final)}.\n\n{NOTES['replicate']}"
        of = TrialTags.of(unit, study_version=self._version_of(manifest), commit=self._commit_of(manifest),
                          content=digest)
        tags = {SEED: str(seed), **verdict_tags(final), NOTE: note, PARENT: trial, **replace(of, config="").plain()}
        run_id = run.info.run_id if run else self._create("replicate", f"seed {seed}", tags, milliseconds(started))
        for sheet in sheets:
            self.log_bytes(run_id, sheet, store.read_verified(unit, sheet, manifest))
        self.end(run_id, "FINISHED", ended)
        metrics = [metric(name, value, milliseconds(started + row[WALL]), row[UPDATE])
                   for name, value, row in curves(rows, manifest.primary)]
        self.log(run_id, metrics, {COMPLETE: TRUE}, _new(unit, run) | {SEED: str(seed)})

    @named
    def mark(self, unit: Unit, status: str, message: str = "") -> None:
        """Show a unit that left no done.json: crashed | oom | interrupted. It is not finished, and may run again."""
        runs = [run for run in self.runs_of(unit.config_hash) if run.data.tags[KIND] == "trial"]
        if runs and runs[0].data.tags.get(COMPLETE) == TRUE:
            return  # other seeds of it are finished: their result stays
        trial = runs[0].info.run_id if runs else self._create_trial(unit, milliseconds(time.time()), self._version)
        self.end(trial, "KILLED" if status == "interrupted" else "FAILED")
        note = f"{NOTES['trial']}\n\nSeeds {unit.block}: {status}. {message}"[:MOST_NOTE]
        self.log(trial, [], {**TrialTags(status=status).plain(), NOTE: note})

    def _version_of(self, manifest: Manifest) -> str:
        return manifest.study_version or self._version

    def _versions(self, done: Sequence[Done]) -> str:
        return joined(self._version_of(manifest) for _, manifest in done)

    def _commit_of(self, manifest: Manifest) -> str:
        return manifest.commit or self._commit

    def _create_trial(self, unit: Unit, start: int, versions: str) -> str:
        c = unit.configuration
        full = f"{cost(unit) / len(unit.seeds):.0f}"
        return self._create("trial", trial_name(c, self._factors), TrialTags.of(
            unit, study_version=versions, replicate_gradients=full).plain(), start)


def _outcome(tags: TrialTags, measured: Mapping[str, float]) -> str:
    """What a person looks for at a trial's name; "" of one that was trained to its end."""
    if tags.status == "pruned":
        return f"pruned at {tags.last_rung}"
    diverged, n = (int(measured.get(count, 0)) for count in COUNTS)
    return f"diverged {diverged}/{n}" if diverged else ""


def _new(unit: Unit, run: Run | None) -> dict[str, str]:
    """The configuration's parameters that a run lacks: MLflow changes none, and an arm may have a new name."""
    return {name: value for name, value in parameters(unit.configuration).items()
            if run is None or name not in run.data.params}
