"""Which units earlier launches lost, in lost.json: one loss is an accident that the same command mends, two are not."""

from __future__ import annotations

from study.schema.unit import Unit
from study.store.units import StorageError, Store

PATH = "lost.json"


class Losses:
    """config_hash -> launches that lost a unit of it. A damaged file, or one that cannot be used, is as good as none:
    then a confirmation waits once more."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def is_first(self, unit: Unit) -> bool:
        """Whether no launch had lost it before this one, which has; from now on one has."""
        try:
            found = self._store.read_json(PATH)
            known = found if isinstance(found, dict) else {}
            before = known.get(unit.config_hash, 0)
            self._store.write_json(PATH, {**known, unit.config_hash: before + 1 if isinstance(before, int) else 1})
        except StorageError:  # perhaps the very reason why the unit was lost
            return True
        return not before
