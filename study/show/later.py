"""What `study.measure` has found, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from study.plan.identity import knobs_text
from study.schema.plan import Plan
from study.schema.unit import Unit
from study.store.aggregates import aggregates, final_rows
from study.store.kept import is_planned

if TYPE_CHECKING:
    from models.measures.quality import Floor

MAX_ROWS = 20  # in the table for people; MLflow and the records have them all


def show_measures(plan: Plan, measured: Iterable[tuple[Unit, Sequence[Mapping[str, Any]]]], names: Sequence[str],
                  floors: Mapping[str, Floor], console: Console) -> None:
    """A row for each configuration: means over the replicates that survived, with 95 % t intervals; then the floors."""
    rows: dict[str, list[dict[str, Any]]] = {}
    units = {}
    for unit, records in measured:
        units[unit.config_hash] = unit
        rows.setdefault(unit.config_hash, []).extend(
            row for seed, row in final_rows(records, unit.block).items() if is_planned(seed, unit, plan))
    table = Table("configuration", *names, "diverged")
    rows = {config_hash: found for config_hash, found in rows.items() if found}
    for config_hash in list(rows)[:MAX_ROWS]:
        c, found = units[config_hash].configuration, aggregates(rows[config_hash])
        name = " ".join(filter(None, (c.phase, c.arm, knobs_text(c, plan.factors))))
        table.add_row(name, *(_interval(found, measure) for measure in names),
                      f"{found['diverged']:.0f}/{found['replicates']:.0f}")
    console.print(table)
    if len(rows) > MAX_ROWS:
        console.print(f"and {len(rows) - MAX_ROWS} more, in MLflow and in the records")
    for name, floor in floors.items():
        console.print(Text(f"floor: real against real data, {name} = {floor.mean:.3g} +- {floor.sd:.2g} (sd over "
                           f"splits, n = {floor.n})"), soft_wrap=True)


def _interval(found: Mapping[str, float], name: str) -> str:
    if name not in found:
        return "-"
    ends = [found.get(f"{name}{end}") for end in ("_low", "_high")]
    return f"{found[name]:.4g}" + ("" if None in ends else f" [{ends[0]:.4g}, {ends[1]:.4g}]")
