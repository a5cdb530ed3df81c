"""Which trials a launch counts, of those that MLflow shows and the storage holds: of all versions of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FILE = "counted.json"  # an artifact of the launch, and beside plan.json in the storage


@dataclass(frozen=True)
class Counted:
    """arms: config_hash -> the arm that it belongs to now, of what counts, whichever version trained it. superseded:
    config_hashes of confirmations of what is no longer to be confirmed. settings: where arms exchange them, config_hash
    of a confirmation -> whose it has: an arm, and the config_hash of that arm's own one (of an own one: itself)."""

    arms: Mapping[str, str] = field(default_factory=dict)
    superseded: tuple[str, ...] = ()
    settings: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def read(cls, found: Any) -> Counted:
        """What `plain` wrote. Raises ValueError for anything else."""
        try:
            return cls(dict(found["arms"]), tuple(found["superseded"]), {
                config_hash: (arm, own) for config_hash, (arm, own) in found.get("settings", {}).items()})
        except (TypeError, KeyError) as error:
            raise ValueError(f"found no account of what counts: {error}") from error

    def counts(self, config_hash: str, is_of_this_version: bool) -> bool:
        """Whether a trial does. One that was finished after this was written is known by its version alone."""
        return config_hash in self.arms or (is_of_this_version and config_hash not in self.superseded)
