"""What a storage can get back from MLflow: the only place where anything is read from there."""

from __future__ import annotations

import hashlib
import json

from study.schema.canonical import unsealed
from study.schema.manifest import Manifest
from study.schema.tags import COMPLETE, KIND, TRUE
from study.schema.unit import Unit, block_name
from study.show.tracking.errors import named
from study.show.tracking.experiment import Experiment
from study.show.tracking.tags import UNITS


class Restorable(Experiment):
    """The experiment of a study, which is only read."""

    @named
    def units(self) -> list[tuple[str, str]]:
        """(id of a trial's run, block of seeds) of each unit of work that it shows; no block where a complete trial has
        no files of any."""
        found = []
        for run in self.search(f"tags.{KIND} = 'trial'"):
            names = [path.removeprefix(f"{UNITS}/").removesuffix(".json")
                     for path in self.artifacts(run.info.run_id, UNITS)]
            if not names and run.data.tags.get(COMPLETE) == TRUE:
                names = [""]
            found += [(run.info.run_id, name) for name in names]
        return found

    @named
    def unit(self, run_id: str, block: str) -> tuple[Unit, Manifest, bytes]:
        """Its manifest and its records, none of a pruned one. Raises ValueError for what is not what was written."""
        if not block:
            raise ValueError("its artifacts are gone")
        try:
            found = unsealed(json.loads(self.read_artifact(run_id, f"{UNITS}/{block}.json")))
            unit, manifest = Unit.read(found["unit"]), Manifest.model_validate(found["manifest"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{UNITS}/{block}.json is damaged") from error
        if manifest.status == "pruned":
            return unit, manifest, b""
        records = self.read_artifact(run_id, f"records/{block}.parquet")
        wanted = manifest.files[manifest.records].sha256
        if hashlib.sha256(records).hexdigest() != wanted or block_name(unit.seeds) != block:
            raise ValueError(f"records/{block}.parquet is damaged")
        return unit, manifest, records
