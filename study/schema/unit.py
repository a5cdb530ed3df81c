"""What is trained: a configuration, and a unit of work, which is a configuration and a block of seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PHASES = ("design", "search", "confirm")
BY_WEIGHT = ("confirm", "design", "search")  # what a claim rests on: the first that a study has


@dataclass(frozen=True)
class Evaluation:
    """When and with how much a model is judged."""

    points: int  # evaluations in a training run, evenly spread
    samples: int
    long_run: int  # the long run has this many times mcmc_steps
    split: str
    ais_steps: int = 0  # temperatures of annealed importance sampling after the last update; 0: none
    features: Mapping[str, Any] | None = None  # the user's extractor: file, sha256, size, channels, mean, sd
    measures: list[str] = field(default_factory=list)  # of the user: package.module:name


@dataclass(frozen=True)
class Configuration:
    """One trial's: an arm's method at fixed knobs, on which data, judged how."""

    phase: str
    arm: str
    method: str
    data: Mapping[str, Any]  # as in the resolved spec
    knobs: Mapping[str, Any]  # every knob of the method
    evaluation: Evaluation
    imports: Mapping[str, str] = field(default_factory=dict)  # of one that names code from outside: module -> checksum

    def plain(self) -> dict[str, Any]:
        """As JSON: what is hashed, and what config.json and MLflow's tag `config` hold."""
        found = {**vars(self), "evaluation": {**vars(self.evaluation)}}
        return {key: value for key, value in found.items() if value or key != "imports"}

    @classmethod
    def read(cls, found: Any) -> Configuration:
        """What `plain` wrote. Raises ValueError for anything else."""
        try:
            return cls(**{**found, "evaluation": Evaluation(**found["evaluation"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"found no configuration: {error}") from error


def block_name(seeds: Sequence[int]) -> str:
    """`first-last` of a block of seeds without a gap."""
    return f"{seeds[0]}-{seeds[-1]}"


def block_seeds(name: str) -> tuple[int, ...]:
    """The seeds of `first-last`. Raises ValueError for what is no block's name."""
    first, dash, last = name.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise ValueError(f"found {name!r}, expected first-last seed")
    return tuple(range(int(first), int(last) + 1))


def evaluation_points(updates: int, points: int) -> list[int]:
    """At most `points` update numbers, equally spaced up to the last update."""
    return sorted({round(updates * k / points) for k in range(1, points + 1)} - {0})


@dataclass(frozen=True)
class Unit:
    """One unit of work: a configuration and a block of consecutive seeds. Equal by (seeds, config_hash)."""

    configuration: Configuration = field(compare=False, repr=False)
    seeds: tuple[int, ...]
    config_hash: str

    @property
    def block(self) -> str:
        """`first-last` seed."""
        return block_name(self.seeds)

    @property
    def key(self) -> str:
        """`config_hash/first-last`: its directory below the study."""
        return f"{self.config_hash}/{self.block}"

    def plain(self) -> dict[str, Any]:
        """As JSON: config.json, without its checksum."""
        return {"config_hash": self.config_hash, "seeds": list(self.seeds), "configuration": self.configuration.plain()}

    @classmethod
    def read(cls, found: Any) -> Unit:
        """What `plain` wrote. Raises ValueError for anything else."""
        try:
            seeds = tuple(map(int, found["seeds"]))
            return cls(Configuration.read(found["configuration"]), seeds, str(found["config_hash"]))
        except (TypeError, KeyError) as error:
            raise ValueError(f"found no unit of work: {error}") from error
