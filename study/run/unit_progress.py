"""What a unit of work has made so far, beside its training state: a checkpoint holds both, for the next worker."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any

HEADER_BYTES = 8


@dataclass
class UnitProgress:
    """Everything but the training state."""

    started: float = field(default_factory=time.time)  # seconds since the epoch
    wall_seconds: float = 0.0  # spent in `advance`, over all workers that had this unit
    cpu_seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    rungs: dict[int, float] = field(default_factory=dict)  # update -> what was reported there
    commits: list[str] = field(default_factory=list)  # that trained it: more than one where code changed under it
    window: dict[str, list[list[float]]] = field(default_factory=dict)  # since the last evaluation: Info, by update


def pack(progress: UnitProgress, state: bytes) -> bytes:
    """Length of the header, the header as JSON (Python's keeps floats exactly, NaN too), the training state."""
    header = json.dumps(asdict(progress)).encode()
    return len(header).to_bytes(HEADER_BYTES, "little") + header + state


def unpack(payload: bytes) -> tuple[UnitProgress, bytes]:
    """What `pack` was given. Raises ValueError for a header of another release: to leave out of it what is not known
    here would lose it. What it lacks is as at a unit's start."""
    end = HEADER_BYTES + int.from_bytes(payload[:HEADER_BYTES], "little")
    header = json.loads(payload[HEADER_BYTES:end])
    if unknown := sorted(set(header) - {f.name for f in fields(UnitProgress)}):
        raise ValueError(f"its checkpoint is of another release: found {', '.join(unknown)}, which is unknown here")
    header["rungs"] = {int(update): value for update, value in header.get("rungs", {}).items()}  # JSON has no such keys
    return UnitProgress(**header), payload[end:]
