"""The runs of kind `launch`, one per start of the study, and that no run is there twice.

A slow server may still carry out a request that was given up, after the run was looked up in vain and made again.
MLflow holds no tag unique, so such doubles are found by their tags and one of them is deleted: when a configuration
is shown, at the end of a launch in which the answer to a create_run was lost, and at each start.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from study.provenance import Provenance
from study.schema.columns import SEED
from study.schema.counted import FILE, Counted
from study.schema.tags import COMPLETE, CONFIG_HASH, KIND, LAUNCH, NOTE, STORAGE, STUDY_VERSION, TRUE
from study.show.tracking.errors import named
from study.show.tracking.experiment import Experiment, metric
from study.store.sheet import DATA_SHEET

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

log = logging.getLogger(__name__)

SOURCE, USER = {"mlflow.source.name": "study.launch", "mlflow.source.type": "LOCAL"}, "mlflow.user"
IDENTITY = (KIND, LAUNCH, CONFIG_HASH, SEED)  # tags that no two runs share
STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
NOTES = {
    "experiment": "One study. Runs of kind `launch` are starts of it, `trial` are configurations, and below a trial "
                  "`replicate` are its seeds. The report is made by `python analysis/report.py --study {study}`.",
    "launch": "One start of the study: its resolved spec, plan, packages and uncommitted changes; counts while it ran. "
              f"{FILE} says which trials count, of whatever version of the study.",
    "trial": "One configuration. Metrics are means over the replicates that survived, with a 95 % t interval "
             "(`_low`, `_high`); n is `replicates` - `diverged`. `spent_...` are costs of all replicates together. "
             "Everything else is in records/*.parquet.",
    "replicate": "One seed of the configuration above it. Curves have the training update as their step.",
}


class Launches(Experiment):
    """The experiment of one study, and this launch's run in it."""

    def __init__(self, uri: str | None, study: str, study_version: str) -> None:
        """uri: None for MLFLOW_TRACKING_URI, else mlflow.db in the working directory (see `address.resolved`). Touches
        no store yet."""
        super().__init__(uri, study, NOTES["experiment"].format(study=study))
        self._version = study_version
        self._begun = time.time()
        self._identity = uuid.uuid4().hex  # of the launch
        self._launch: str | None = None  # its run
        self._is_started = False
        self._commit = "unknown"
        self._updates = 0
        self._counted: Counted | None = None  # as it is shown
        self._machine: SystemMetricsMonitor | None = None

    @named
    def start_launch(self, spec_yaml: str, plan: Mapping[str, Any], provenance: Provenance, storage: str,
                     data_sheet: bytes | None = None, places: Collection[str] = (),
                     counted: Counted | None = None, view: Mapping[str, str] | None = None) -> None:
        """Create this launch's run. Launches of the same storage that never ended become KILLED: the study is locked
        there, so they died. Those of another storage may live, which is said. Once it has succeeded it does nothing.

        places: other names of the storage. view: tags of the experiment (`shared_view`).
        """
        if self._is_started:
            return
        self._counted = None  # of two runs that were made of this launch the other may have it
        self._commit = provenance.commit or "unknown"
        for run in self.delete_doubles():
            if run.data.tags.get(LAUNCH) == self._identity:
                continue
            other = run.data.tags.get(STORAGE, "unknown")
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
            tags = {**provenance.tags(), STORAGE: storage, LAUNCH: self._identity, STUDY_VERSION: self._version}
            name = time.strftime("launch %Y-%m-%d %H:%M:%S", time.localtime(self._begun))
            self._launch = self._create("launch", name, tags, milliseconds(self._begun))
        self._log_counted(counted)
        for file, text in {"spec.yaml": spec_yaml, "plan.json": json.dumps(plan, indent=1, allow_nan=False),
                           "pip-freeze.txt": provenance.packages, "git.diff": provenance.diff}.items():
            self.log_bytes(self._launch, file, text.encode())
        if data_sheet:
            self.log_bytes(self._launch, DATA_SHEET, data_sheet)
        for tag, value in (view or {}).items():
            self._ask("set_experiment_tag", self.experiment_id, tag, value)
        self.log(self._launch, [], {COMPLETE: TRUE})
        self._watch_machine(self._launch)
        self._is_started = True

    @named
    def update_launch(self, counts: Mapping[str, float], counted: Counted | None = None) -> None:
        """Live counts: units_done, units_total, replicates_diverged, ...; and which trials count."""
        if self._launch is not None:
            self._updates += 1
            now = milliseconds(time.time())
            self.log(self._launch, [metric(name, value, now, self._updates) for name, value in counts.items()])
            self._log_counted(counted)

    @named
    def end_launch(self, status: str, counts: Mapping[str, float], counted: Counted | None = None) -> None:
        """status: finished | failed | interrupted."""
        if self._launch is not None:
            if self.is_unsure:
                self.delete_doubles()
            self.update_launch(counts, counted)
            if self._machine is not None:
                self._machine.finish()
            self.end(self._launch, STATUS[status])

    def _watch_machine(self, run: str) -> None:
        """Log the use of this machine's CPUs, memory and GPUs as MLflow does, where its own variable asks for it."""
        from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

        if MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            self._machine = SystemMetricsMonitor(run, tracking_uri=self.uri)
            self._machine.start()

    def _log_counted(self, counted: Counted | None) -> None:
        if counted is not None and counted != self._counted:
            assert self._launch is not None
            self.log_bytes(self._launch, FILE, json.dumps(counted.plain()).encode())
            self._counted = counted

    @named
    def delete_doubles(self) -> list[Run]:
        """Delete one of each two runs that were made of one thing; the other runs of kind launch that seem to live.

        A double was created and then left alone, so it seems to live.
        """
        running = self.search("attributes.status = 'RUNNING'")
        for config_hash in sorted({run.data.tags[CONFIG_HASH] for run in running if CONFIG_HASH in run.data.tags}):
            self.runs_of(config_hash)
        launches = [run for run in running if run.data.tags.get(KIND) == "launch"]
        identities = sorted({run.data.tags[LAUNCH] for run in launches if LAUNCH in run.data.tags})
        kept = {run.info.run_id for identity in identities for run in self._launch_runs(identity)}
        return [run for run in launches if LAUNCH not in run.data.tags or run.info.run_id in kept]

    def _launch_runs(self, identity: str) -> list[Run]:
        return self._unique(self.search(f"tags.{LAUNCH} = '{identity}'"))

    def runs_of(self, config_hash: str) -> list[Run]:
        """The trial run of a configuration and its replicates', each once."""
        return self._unique(self.search(f"tags.{CONFIG_HASH} = '{config_hash}'"))

    def _unique(self, runs: Sequence[Run]) -> list[Run]:
        """Of runs with the same tags of identity the one that is complete, else that says most; the others go."""
        kept: dict[tuple[str | None, ...], Run] = {}
        for run in sorted(runs, reverse=True, key=lambda run: (
                run.data.tags.get(COMPLETE) == TRUE, len(run.data.tags), run.info.run_id)):
            identity = tuple(run.data.tags.get(tag) for tag in IDENTITY)
            if identity in kept:
                self.delete(run.info.run_id)
            else:
                kept[identity] = run
        return list(kept.values())

    def _create(self, kind: str, name: str, tags: Mapping[str, str], start: int) -> str:
        known = {KIND: kind, "study": self.name, NOTE: NOTES[kind], **SOURCE, USER: _user()}
        return self.create(name, {**known, **tags}, start)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return str(os.getuid())


def milliseconds(seconds: float) -> int:
    """As MLflow counts them."""
    return round(1000 * seconds)
