"""Where a study's numbers come from: what its newest launch noted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.read.store import Store
from analysis.read.study import Study


@dataclass(frozen=True)
class Provenance:
    """One study as launched. tags: of its newest launch with a plan. diff: its changes over the commit."""

    study: Study
    tags: dict[str, str]
    started: int  # milliseconds
    diff: str

    @property
    def is_dirty(self) -> bool:
        """Whether it was launched from files that no commit holds."""
        return self.study.launch["dirty"].lower() == "true"


def provenance(study: Study, store: Store, cache: Path) -> Provenance:
    """What the launch's run holds beside what `study` was read from."""
    run = store.client.get_run(study.launch["run_id"])
    return Provenance(study, dict(run.data.tags), int(run.info.start_time or 0), store.text(run, "git.diff", cache))
