"""What was trained, kept in one file: networks, particles and optimisers of replicates, to sample from and to go on
from. Nothing else is needed to use it but the code of a method or network from outside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch

from models.data.data import Space
from models.methods.method import Method, build
from models.noise import Noise, generators_for
from models.registry import name_of
from models.training.checkpoint import CheckpointError, fill, read_state, save_state
from models.training.fit import as_array, sample
from models.training.step import TrainState, init_state

AT_ONCE = 500  # chains of a replicate, so that memory does not grow with the samples


class _Shape(NamedTuple):
    shape: tuple[int, ...]
    extent: tuple[float, float]
    view: tuple[float, float]
    rows: int = 0  # of the train split


@dataclass(frozen=True)
class Trained:
    """Replicates after training: `state.judged` are their networks, `state.seeds` their seeds, in this order."""

    method: Method
    state: TrainState
    view: tuple[float, float]  # of a picture of its samples

    def sample(self, n: int, steps: int | None = None, seed: int = 0,
               progress: Callable[[int], None] = lambda made: None) -> np.ndarray:
        """n samples of every replicate, (R, n, *shape) float32; `seed` is their chance.

        progress: called with how many are made so far.
        steps: of fresh chains from the reference. None: as training sees them, persistent chains as they stand, else
        fresh chains of T steps; ValueError for more than `particles` of persistent ones, and for less than nothing.
        """
        for name, found, least in (("samples", n, 1), ("steps", steps or 0, 0), ("seed", seed, 0)):
            if found < least:
                raise ValueError(f"{name}: found {found}, expected at least {least}")
        state, method = self.state, self.method.at(self.state.update)
        noise = Noise(generators_for(state.seeds, "samples", state.device, seed), state.noise.dtype)
        if steps is None and state.pool is not None:
            return sample(method, state, n, noise)
        steps = method.hp.mcmc_steps if steps is None else steps
        parts = []
        for made in range(0, n, AT_ONCE):
            start = method.reference(noise, min(AT_ONCE, n - made))
            draw = method.run(state.judged, start, noise, steps)[0]
            parts.append(as_array(method.scored(state.judged, draw)))
            progress(min(made + AT_ONCE, n))
        return np.concatenate(parts, 1)


def keep(state: TrainState, method: Method, data: Space) -> bytes:
    """A state as one safetensors file, with what rebuilds it: method, knobs, and where the data lie."""
    return save_state(state, {"method": name_of("method", type(method)), "knobs": asdict(method.hp),
                              "shape": list(data.shape), "extent": list(data.extent), "view": list(data.view),
                              "rows": data.rows})


def prolonged(kept: bytes, updates: int) -> bytes:
    """What `keep` wrote, as a checkpoint of a training of more updates."""
    tensors, header = read_state(kept)
    gaps = tensors["gaps"]
    tensors["gaps"] = torch.cat([gaps, gaps.new_zeros(len(gaps), updates - gaps.shape[1])], 1)
    return safetensors.torch.save(tensors, metadata={"state": json.dumps(header)})


def load(kept: str | Path | bytes, seeds: Sequence[int] | None = None,
         device: torch.device | str = "cpu") -> Trained:
    """What `keep` wrote, from a file or its bytes; of these seeds alone, where some are named. Rows are copied bit for
    bit. On another kind of device than it was trained on, training would go on with other chance.

    Raises CheckpointError for what is no such file, or lacks a seed, and for a method or network that is not there.
    """
    tensors, header = read_state(kept if isinstance(kept, bytes) else Path(kept).read_bytes())
    if (made := header.get("trained")) is None:
        raise CheckpointError("found a checkpoint of a unit in training, expected what a finished one keeps")
    rows = {seed: r for r, seed in enumerate(header["seeds"])}
    chosen = tuple(rows if seeds is None else seeds)
    if not chosen or len({*chosen}) < len(chosen):
        raise CheckpointError(f"found the seeds {[*chosen]}, expected at least one, each once")
    if lacking := [seed for seed in chosen if seed not in rows]:
        raise CheckpointError(f"found seeds {', '.join(map(str, rows))}, expected {lacking[0]} among them")
    data = _Shape(tuple(made["shape"]), tuple(made["extent"]), tuple(made["view"]), made.get("rows", 0))
    try:
        method = build(made["method"], data, **made["knobs"])
    except (ValueError, TypeError) as error:  # a FindError; knobs of another release
        raise CheckpointError(f"its method cannot be made here: {error}") from error
    state = init_state(method, data, chosen, device)
    fill(state, tensors, header, [rows[seed] for seed in chosen])
    return Trained(method, state, data.view)
