"""What a run's tags in MLflow say: one writer, one reader. Names and values are strings there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from study.schema.unit import Unit, block_name, block_seeds

KIND, COMPLETE, TRUE = "kind", "complete", "true"  # kind: launch | trial | replicate; complete: written last
STUDY_VERSION, COMMIT, CONTENT = "study_version", "commit", "content"
CONFIG_HASH = "config_hash"  # of a trial and of a replicate
LAUNCH, STORAGE, DIRTY = "launch", "storage", "dirty"  # of a launch
NOTE, MOST_NOTE = "mlflow.note.content", 5000  # what MLflow's pages show as a description; its characters


@dataclass(frozen=True)
class TrialTags:
    """Of a trial run. Empty: not known, or not yet.

    study_version, commit: of what trained it, several with commas. status: of `Manifest`, or of a unit that left none
    (crashed | oom | interrupted). seeds: blocks, `0-5,6-9`. content: 16 hex digits of what it shows.
    replicate_gradients: particle-gradient evaluations of one that is trained to its end. last_rung: update at which a
    pruned one stopped.
    """

    config_hash: str = ""
    method: str = ""
    arm: str = ""
    phase: str = ""
    config: str = ""
    replicate_gradients: str = ""
    study_version: str = ""
    status: str = ""
    seeds: str = ""
    commit: str = ""
    device: str = ""
    verdicts: str = ""
    last_rung: str = ""
    content: str = ""
    complete: str = ""

    @classmethod
    def of(cls, unit: Unit, **more: str) -> TrialTags:
        """Those by which its run is found, and `more`."""
        c = unit.configuration
        config = json.dumps(c.plain(), sort_keys=True, separators=(",", ":"))
        return cls(unit.config_hash, c.method, c.arm, c.phase, config, **more)

    @classmethod
    def read(cls, tags: Mapping[str, str]) -> TrialTags:
        """From a run's."""
        return cls(**{one.name: tags.get(one.name, "") for one in fields(cls)})

    def plain(self) -> dict[str, str]:
        """As MLflow takes them; what is empty is left as it was."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name))}

    @property
    def is_complete(self) -> bool:
        """Whether the run shows all that it says."""
        return self.complete == TRUE

    @property
    def versions(self) -> list[str]:
        """The versions of the study that trained it."""
        return self.study_version.split(",")

    @property
    def blocks(self) -> list[tuple[int, ...]]:
        """The blocks of seeds that the run shows."""
        return blocks_of(self.seeds)

    @property
    def knobs(self) -> dict[str, Any]:
        """Of its configuration; none where the tag is not what was written."""
        try:
            return dict(json.loads(self.config)["knobs"])
        except (ValueError, KeyError, TypeError):
            return {}


def blocks_of(tag: str) -> list[tuple[int, ...]]:
    """The blocks of seeds of a tag that `blocks_tag` made."""
    return [block_seeds(block) for block in tag.split(",") if block]


def blocks_tag(blocks: Iterable[tuple[int, ...]]) -> str:
    """`0-5,6-9`."""
    return ",".join(map(block_name, blocks))


def joined(several: Iterable[str]) -> str:
    """One tag for several values, each once; those that are joined already may be among them."""
    return ",".join(sorted({one for some in several for one in some.split(",") if one}))
