"""The images that MLflow holds of a study: sheets of samples, and one of training data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.read.store import Store

DATA = "data_samples.png"


@dataclass(frozen=True)
class Pictures:
    """Where a study's images are: its experiments, its newest launch with a plan, and a cache."""

    store: Store
    experiments: tuple[str, ...]
    launch: str
    cache: Path

    def sheet(self, kind: str, config_hash: str, seed: int) -> Path | None:
        """`samples` or `nearest` of one replicate, or None where it was not kept. Of several studies in one report the
        hash stands behind the study's name."""
        known, name = config_hash.split("/")[-1], f"{kind}_{seed}.png"
        found = self.store.runs(list(self.experiments), f"tags.kind = 'replicate' and tags.config_hash = '{known}' and "
                                                        f"tags.seed = '{seed}'")
        return next((self.store.artifact(run, name, self.cache) for run in found if self.store.has(run, name)), None)

    def data(self) -> Path | None:
        """The sheet of training data, or None where the launch kept none."""
        run = self.store.client.get_run(self.launch)
        return self.store.artifact(run, DATA, self.cache) if self.store.has(run, DATA) else None
