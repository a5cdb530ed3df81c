"""One unit of work: a configuration and R seeds, trained at once -> records, checkpoints, sample sheets, done.json.

Imports torch when a unit starts, not before. Never imports ray: it runs as well in a loop of one process.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import study.schema.columns as col
from models.measures.naming import long_name
from models.measures.table import MEASURES, own_measure
from study.plan.identity import config_hash
from study.provenance import commit, versions
from study.run.further import checkpoint_from
from study.run.safeguards import exact_on_gpu, is_out_of_memory, keep_freed_memory, watched
from study.run.unit_progress import UnitProgress, pack, unpack
from study.schema.manifest import RECORDS, Manifest
from study.schema.unit import Unit, evaluation_points
from study.store.records import records
from study.store.sheet import pairs, sheet
from study.store.units import Store

if TYPE_CHECKING:
    from models.training.step import Info, TrainState

CHECKPOINT_SECONDS = 20.0  # between two checkpoints, at least
CHECKPOINT_SHARE = 20  # and at least this many times what one costs, where storage is slow

Row = dict[str, Any]


class UnitRun:
    """Trains one unit, from its checkpoint where it has one. Call `advance` until it says `done`.

    objective: the measure to report (None: the evaluator's primary one). diverged_value: what a diverged replicate
    counts as in it; without one it is left out, and reported beside it as `diverged`. cache_dir: where the feature
    extractor of a data set is kept. floor: the 95 % floor of the primary measure, without which no verdict but
    divergence can be given; floor_long: that of its long run, of fewer samples. limits: the step-size limits that the
    law predicts (col.LIMITS; None: no finite one), for the records. patience: seconds after which an
    `advance` that has not returned ends the process, since it hangs (None: none). keep: whether the networks stay.
    begin_from: a shorter unit (`further.Further`), from which one without a checkpoint goes on. Whatever a unit needs
    lives in its object, so that a worker may be used again.
    """

    def __init__(self, unit: Unit, store: Store, device: str = "cpu", cache_dir: str | None = None,
                 diverged_value: float | None = None, objective: str | None = None, floor: float | None = None,
                 floor_long: float = 0.0, checkpoint_seconds: float | None = None,
                 limits: Mapping[str, float | None] | None = None, patience: float | None = None,
                 keep: bool = True, begin_from: Mapping[str, Any] | None = None) -> None:
        """Does nothing costly yet. checkpoint_seconds: between two checkpoints, at least (None: 20)."""
        self.unit, self.store, self.device, self.cache_dir = unit, store, device, cache_dir
        self.diverged_value, self.objective = diverged_value, objective
        self.floor, self.floor_long = floor, floor_long
        self.limits = dict.fromkeys(col.LIMITS) | dict(limits or {})
        self._patience, self._keep, self._begin_from = patience, keep, begin_from
        self._checkpoint_seconds = CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds
        self._progress = UnitProgress()
        self._training: Iterator[tuple[TrainState, list[Info]]] | None = None
        self._state: TrainState | None = None  # at the last evaluation
        self._saved, self._save_cost = time.monotonic(), 0.0
        self._notes: list[str] = []

    def take_notes(self) -> list[str]:
        """What a person should know of how the unit began, once."""
        notes, self._notes = self._notes, []
        return notes

    def advance(self) -> dict[str, Any]:
        """Train to the next evaluation point, evaluate, and after the last one write what the unit leaves.

        Returns finite values only: update, updates, replicates, diverged, status, done, and the objective unless a
        living replicate lacks it; while it runs also rungs, JSON of all [update, objective] that any worker of this
        unit reported. status: running | finished | diverged (all replicates) | oom (nothing is written: it may run
        elsewhere). A unit that is done already answers from its manifest. Other exceptions propagate.
        """
        with watched(self._patience):
            manifest = self.store.done(self.unit) if self._state is None else None
            if manifest is not None and manifest.report is not None:
                return manifest.report
            try:
                return self._advance()
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                updates = self.unit.configuration.knobs["updates"]
                return {"update": self._state.update if self._state else 0, "updates": updates,
                        "replicates": len(self.unit.seeds), "diverged": 0, "status": "oom", "done": True}

    def _advance(self) -> dict[str, Any]:
        self._tick = time.perf_counter(), time.process_time()
        if self._training is None:
            self._training = self._start()
        state, infos = next(self._training)
        measured = self._evaluator.point(state, infos)
        self._progress.window = {}  # a checkpoint on the way may have filled it
        self._clock()
        rows = [{col.SEED: seed, col.STAGE: col.TRAIN, col.UPDATE: state.update, **found, **self._costs(state.update)}
                for seed, found in zip(self.unit.seeds, measured, strict=True) if found]
        self._progress.rows += rows
        self._state = state
        last = state.update >= self._points[-1] or not bool(state.alive.any())
        return self._finish(state) if last else self._go_on(state, rows)

    def _start(self) -> Iterator[tuple[TrainState, list[Info]]]:
        """Training of the configuration, from its checkpoint where it has one, and who evaluates it."""
        from models.data.disk.options import DataError, kind_of
        from models.data.load import load
        from models.measures.evaluation import Evaluator
        from models.measures.feature_file import own_extractor
        from models.methods.method import build
        from models.training.fit import fit

        if self.device == "cpu":
            keep_freed_memory()
        else:
            exact_on_gpu()
        c, seeds = self.unit.configuration, self.unit.seeds
        self._data = load(c.data, cache_dir=self.cache_dir)
        is_outside = bool(kind_of(c.data)) or ":" in c.data["name"]
        if is_outside and config_hash(c, self._data.content_hash) != self.unit.config_hash:
            raise DataError((), f"found other data on {platform.node()} than the study was launched with "
                                f"({self._data.notes or self._data.name}), expected the same rows each time, on every "
                                "machine")
        self._method = build(c.method, self._data, **c.knobs)
        e = c.evaluation
        self._evaluator = Evaluator(self._method, self._data, samples=e.samples, long_run=e.long_run,
                                    split=e.split, cache_dir=self.cache_dir, ais_steps=e.ais_steps,
                                    own=own_extractor(e.features, self._data.extent),
                                    measures=[own_measure(place) for place in e.measures])
        self.objective = self.objective or self._evaluator.primary
        self._points = evaluation_points(self._method.hp.updates, e.points)
        state = self._continued()
        self._progress.commits = sorted({*self._progress.commits, *filter(None, [commit()])})
        if state is None:
            self.store.write_config(self.unit)
        return fit(self._method, self._data, seeds, self._points, device=self.device, state=state,
                   seen=self._since_the_last_point(state) if state else (), between=self._between)

    def _continued(self) -> TrainState | None:
        """The training state of the newest checkpoint, and its progress; None where the unit starts afresh."""
        from models.training.checkpoint import load_state
        from models.training.step import Info

        found = self.store.latest_checkpoint(self.unit, self._notes.append)
        checkpoint = found[1] if found else self._begin_from and checkpoint_from(
            self.store, Unit.read(self._begin_from), self._method.hp.updates, self._notes.append)
        if not checkpoint:
            if self._notes:
                self._notes.append("it starts afresh")
            return None
        try:
            progress, payload = unpack(checkpoint)
            if progress.window and set(progress.window) != set(Info._fields):
                raise ValueError("its checkpoint is of another release, which noted other things of an update")
            state = load_state(payload, self._method, self._data, self.unit.seeds, self.device)
        except ValueError as error:  # of another kind of device or release: a fresh start is right, only slower
            self._notes.append(f"it starts afresh: {error}")
            return None
        self._notes.append(f"it goes on from update {state.update} of {self.unit.configuration.knobs['updates']}")
        self._progress = progress
        return state

    def _go_on(self, state: TrainState, rows: Sequence[Row]) -> dict[str, Any]:
        report = self._report(state, rows, "running", int(state.alive.sum()))
        if self.objective in report:
            self._progress.rungs[state.update] = report[self.objective]
        report["rungs"] = json.dumps(list(self._progress.rungs.items()))
        if self._checkpoint_is_due():
            self._checkpoint(state, [])
        return report

    def _between(self, state: Callable[[], TrainState], infos: Sequence[Info]) -> None:
        if self._checkpoint_is_due():
            self._clock()
            self._checkpoint(state(), infos)

    def _checkpoint_is_due(self) -> bool:
        return time.monotonic() - self._saved >= max(self._checkpoint_seconds, CHECKPOINT_SHARE * self._save_cost)

    def _checkpoint(self, state: TrainState, infos: Sequence[Info]) -> None:
        """Wherever training stands: between two evaluations more time may pass than a node lives."""
        from models.training.checkpoint import save_state

        begun = time.monotonic()
        self._progress.window = {name: [value.tolist() for value in values]
                                 for name, values in zip(infos[0]._fields, zip(*infos, strict=True), strict=True)
                                 } if infos else {}
        self.store.write_checkpoint(self.unit, state.update, pack(self._progress, save_state(state)))
        self._saved = time.monotonic()
        self._save_cost = self._saved - begun

    def _since_the_last_point(self, state: TrainState) -> list[Info]:
        """What the updates before an interrupted checkpoint showed; the next evaluation has their means, too."""
        import torch

        from models.training.step import Info

        window, self._progress.window = self._progress.window, {}
        kept = zip(*(window[name] for name in Info._fields), strict=True) if window else ()
        return [Info(*(torch.tensor(values, dtype=state.noise.dtype, device=state.device) for values in update))
                for update in kept]

    def _finish(self, state: TrainState) -> dict[str, Any]:
        """The final evaluation, then every file of the unit, the manifest last."""
        measured, samples = self._evaluator.final(state)
        self._clock()
        progress, unit = self._progress, self.unit
        final: list[Row] = []
        for r, (seed, found) in enumerate(zip(unit.seeds, measured, strict=True)):
            reason, update = self._divergence(state, r)
            final.append({col.SEED: seed, col.STAGE: col.FINAL, col.UPDATE: update, **found, **self._costs(update),
                          col.CPU: progress.cpu_seconds / len(unit.seeds),
                          col.LONG_RUN: self._evaluator.long_seconds / len(unit.seeds), col.REASON: reason,
                          col.DIVERGED_AT: update if reason else None, **self.limits})
            final[-1] |= next(({col.KAPPA: row[col.KAPPA]} for row in progress.rows[-len(unit.seeds):]
                               if row[col.SEED] == seed and row[col.UPDATE] == update and col.KAPPA in row), {})
            name, flags = ("diverged", ()) if reason else self._verdict(final[-1], state.gaps[r, :update].cpu().numpy())
            final[-1] |= {col.VERDICT: name, col.FLAGS: ", ".join(flags) or None}
        lived = sum(row[col.VERDICT] != "diverged" for row in final)
        report = self._report(state, final, "finished" if lived else "diverged", lived)
        if self.objective in report:
            progress.rungs[state.update] = report[self.objective]
        from models.data.data import some
        from models.training.kept import keep

        self.store.write(f"{unit.key}/{RECORDS}", records(progress.rows + final))
        extent = self._data.view
        for seed, alive, images in zip(unit.seeds, state.alive.tolist(), samples, strict=True):
            if alive and np.isfinite(images).all():
                self.store.write(f"{unit.key}/samples_{seed}.png", sheet(images, extent))
                if images.ndim == 4:
                    self.store.write(f"{unit.key}/nearest_{seed}.png", pairs(images, some(self._data.train), extent))
        kept = self.store.write_state(unit, keep(state, self._method, self._data)) if self._keep else None
        self.store.write_done(unit, Manifest(
            status=report["status"], report=report, rungs=progress.rungs, primary=self._evaluator.primary,
            started=progress.started, wall_seconds=progress.wall_seconds, cpu_seconds=progress.cpu_seconds,
            device=self.device, host=platform.node(), commit=",".join(progress.commits), versions=versions(),
            state=kept))
        return report

    def _divergence(self, state: TrainState, replicate: int) -> tuple[str | None, int]:
        """Why a replicate diverged (None: it did not) and at which update; masked divergence shows only at the end."""
        from models.stability.divergence import REASONS, masked

        at = int(state.diverged_at[replicate])
        if at >= 0:
            return REASONS[int(state.reason[replicate])], at
        trace = [row for row in self._progress.rows if row[col.SEED] == self.unit.seeds[replicate]]
        hidden = masked(*([row.get(name, np.nan) for row in trace] for name in ("clip_fraction", col.KAPPA)))
        return "masked" if hidden else None, state.update

    def _verdict(self, final: Row, gap: np.ndarray) -> tuple[str, tuple[str, ...]]:
        """Of a replicate that reached its last update; `survived` where there is no floor to judge quality by."""
        from models.stability.verdict import Traces, verdict

        trace = [row for row in self._progress.rows if row[col.SEED] == final[col.SEED]]
        primary = self._evaluator.primary
        quality = np.array([row.get(primary, np.inf) for row in trace])  # absent: a sample was not finite
        if self.floor is None or not np.isfinite(quality).any():
            return "survived", ()
        n = self.unit.configuration.evaluation.samples
        measures = {m.verdict: m.name(n) for m in MEASURES if m.verdict} | {"long": long_name(primary)}
        found = {name: final[column] for name, column in measures.items() if column in final}
        if "sd_ratio_g" in trace[-1]:
            found["sd_ratio_g"] = trace[-1]["sd_ratio_g"]
        return verdict(Traces(
            gap=gap.astype(np.float64), batch_size=self.unit.configuration.knobs["batch_size"],
            quality=quality, kappa=np.array([row.get(col.KAPPA, np.nan) for row in trace]), floor=self.floor,
            floor_long=self.floor_long, final=found))

    def _report(self, state: TrainState, rows: Sequence[Row], status: str, lived: int) -> dict[str, Any]:
        diverged = len(self.unit.seeds) - lived
        report = {col.UPDATE: state.update, "updates": self._points[-1], "replicates": lived + diverged,
                  "diverged": diverged, "status": status, "done": status != "running"}
        values = [row[self.objective] for row in rows if self.objective in row and row.get(col.VERDICT) != "diverged"]
        if len(values) == lived:
            values += [self.diverged_value] * diverged if self.diverged_value is not None else []
            if values:
                report[str(self.objective)] = sum(values) / len(values)
        return report

    def _costs(self, update: int) -> Row:
        return {col.WALL: self._progress.wall_seconds, col.GRADIENTS: self._method.hp.gradients_until(update)}

    def _clock(self) -> None:
        """Add the time since the last call to the unit's clocks."""
        tick = time.perf_counter(), time.process_time()
        self._progress.wall_seconds += tick[0] - self._tick[0]
        self._progress.cpu_seconds += tick[1] - self._tick[1]
        self._tick = tick

