"""What a unit of work left: done.json, the last of its files."""

from __future__ import annotations

import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RECORDS = "records.parquet"  # what a unit measured, as its worker wrote it
Status = Literal["finished", "diverged", "pruned"]  # diverged: all replicates; pruned: stopped by its search


class File(BaseModel):
    """What a file of the unit must be."""

    model_config = ConfigDict(extra="forbid")

    sha256: str
    bytes: int


class Manifest(BaseModel):
    """How a unit ended, who trained it, and its files. Times in seconds, since the epoch or elapsed."""

    model_config = ConfigDict(extra="forbid")

    status: Status
    primary: str = ""  # the measure that MLflow draws as a curve
    report: dict[str, Any] | None = None  # what the worker last said (`UnitRun.advance`)
    rungs: dict[int, float] = {}  # update -> what was reported there
    started: float = Field(default_factory=time.time)
    ended: float = Field(default_factory=time.time)
    wall_seconds: float = 0.0  # spent by all workers that had it
    cpu_seconds: float = 0.0
    study_version: str = ""
    commit: str = ""  # of the code that trained it, several with commas; empty: unknown
    device: str = ""
    host: str = ""
    versions: dict[str, str] = {}  # of the packages
    restored: bool = False  # from MLflow, which has its records alone
    files: dict[str, File] = {}
    records: str = RECORDS  # of these its records; another name once `study.measure` has added to them
    state: File | None = None  # what samples its replicates again; it may be gone since, and the unit stays done
