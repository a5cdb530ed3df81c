"""Names of measures that carry their own n. Imports nothing, so that a spec is checked without torch."""

from __future__ import annotations

LONG_CHAINS = 64  # that run on after training, at most: each costs `long_run` times what a training chain does
AIS_CHAINS = 64  # of annealed importance sampling, in each direction


def long_chains(samples: int) -> int:
    """How many chains the long run has where `samples` are drawn for every other measure."""
    return min(LONG_CHAINS, samples)


def raw_name(primary: str) -> str:
    """The primary measure of samples as the chain of the weights that train leaves them, where others are judged."""
    return f"{primary}_raw"


def long_name(primary: str) -> str:
    """The primary measure of the long run's chains: `kid_clf64_256` -> `kid_clf64_64_long`."""
    family, samples = primary.rsplit("_", 1)
    return f"{family}_{long_chains(int(samples))}_long"
