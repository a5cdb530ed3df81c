"""The replicates that live, as a state of their own: what has diverged is trained and measured no more.

No replicate's numbers depend on another's, but for rounding: torch sums few columns in another order, and multiplies a
single matrix by another kernel, for which two stay at least. Of up to 16 replicates weights and particles were the same
bit for bit, means over a batch to the last digit.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from models.data.data import Space
from models.methods.method import Method
from models.noise import Noise
from models.training.step import Info, TrainState, init_state


@torch.no_grad()
def living(method: Method, data: Space, state: TrainState) -> TrainState:
    """A copy of the rows of `state` that live, and of one more where that is one, with the same generators of chance;
    `state` itself where that is all."""
    rows = sorted(state.alive.long().argsort(descending=True, stable=True)[:max(2, int(state.alive.sum()))].tolist())
    if len(rows) == len(state.seeds):
        return state
    part = init_state(method, data, [state.seeds[r] for r in rows], state.device)
    part.update, found = state.update, state.tensors()
    for name, t in part.tensors().items():
        t.copy_(found[name][rows])
    return replace(part, noise=Noise([state.noise.generators[r] for r in rows], state.noise.dtype))


@torch.no_grad()
def put_back(part: TrainState, state: TrainState) -> TrainState:
    """`state`, with what became of the replicates that `living` took from it."""
    if part is not state:
        rows, found = rows_of(part, state), state.tensors()
        for name, t in part.tensors().items():
            found[name][rows] = t
        state.update = part.update
    return state


def rows_of(part: TrainState, state: TrainState) -> list[int]:
    """Where in `state` the replicates of a part of it stand."""
    return [state.seeds.index(seed) for seed in part.seeds]


def widened(info: Info, part: TrainState, state: TrainState) -> Info:
    """What an update of a part shows, as of the whole: NaN of replicates that are not in it."""
    if part is state:
        return info
    rows = rows_of(part, state)

    def wide(value: torch.Tensor) -> torch.Tensor:
        full = value.new_full((len(state.seeds),), torch.nan)
        full[rows] = value
        return full

    return Info(*map(wide, info))
