"""records.parquet, what a unit has measured: rows as Parquet and back. An absent value is null, and None."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from study.schema.columns import TEXT, WHOLE

Row = Mapping[str, Any]


def records(rows: Sequence[Row]) -> bytes:
    """Rows as Parquet: int64 seed and update, strings stage, verdict, reason, flags, float64 the rest; null: absent."""
    import pyarrow
    import pyarrow.parquet

    kinds = {**dict.fromkeys(WHOLE, pyarrow.int64()), **dict.fromkeys(TEXT, pyarrow.string())}
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        broken = [v for v in values if isinstance(v, float) and not math.isfinite(v)]
        assert not broken, f"{name} = {broken[0]}: what is not finite is an event, never a measured value"
        columns[name] = pyarrow.array(values, kinds.get(name, pyarrow.float64()))
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
    return sink.getvalue()


def read_records(payload: bytes) -> list[dict[str, Any]]:
    """records.parquet as rows; an absent value is None."""
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(payload))  # half of what `read_table` takes of small ones
    rows: list[dict[str, Any]] = file.read(use_threads=False).to_pylist()
    return rows
