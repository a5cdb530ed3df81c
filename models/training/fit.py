"""The training loop, and samples of what it trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from models.data.data import Data
from models.methods.method import Draw, Method
from models.noise import Noise, generators_for
from models.training.living import living, put_back, widened
from models.training.step import Info, TrainState, init_state, train_step

Hook = Callable[[Callable[[], TrainState], list[Info]], None]


def fit(method: Method, data: Data, seeds: Sequence[int], points: Sequence[int] = (), *,
        device: torch.device | str = "cpu", state: TrainState | None = None, seen: Sequence[Info] = (),
        between: Hook | None = None) -> Iterator[tuple[TrainState, list[Info]]]:
    """Train a replicate of each seed, all at once. Yields the state at each of `points`, ascending numbers of updates
    (none: after the last update), and what every update since the one before showed. Ends once no replicate lives.

    The state is one object that each update changes. state: where to go on from, with `seen`, what the updates since
    its last point showed. between: called after each update that is no point, with what gives the state. ValueError for
    other seeds than the state's, none or equal ones, points that are not ascending or all behind it, and data of
    another shape.
    """
    points = list(points)
    if not len(seeds) or len({*seeds}) < len(seeds):
        raise ValueError(f"seeds: found {[*seeds]}, expected at least one, each once")
    state = init_state(method, data, seeds, device) if state is None else state
    if tuple(seeds) != state.seeds:
        raise ValueError(f"seeds: found {[*seeds]}, expected those of the state, {[*state.seeds]}")
    if points != sorted(points) or (points and points[-1] <= state.update):
        raise ValueError(f"points: found {[*points]}, expected ascending ones beyond the state's update {state.update}")
    if tuple(data.shape) != tuple(method.shape):
        raise ValueError(f"data: found the shape {tuple(data.shape)}, expected the method's, {tuple(method.shape)}")
    part, infos = living(method, data, state), list(seen)
    lived = int(part.alive.sum())

    def whole() -> TrainState:
        return put_back(part, state)

    for point in points or [method.hp.updates]:
        if point <= part.update:
            continue
        while part.update < point and bool(part.alive.any()):
            part, info = train_step(method, data, part)
            infos.append(widened(info, part, state))
            if 0 < (lives := int(part.alive.sum())) < lived:
                part, lived = living(method, data, whole()), lives
            if between is not None and part.update < point:
                between(whole, infos)
        yield whole(), infos
        if not bool(part.alive.any()):
            return
        infos = []


def sample(method: Method, state: TrainState, n: int, noise: Noise | None = None) -> np.ndarray:
    """n samples of every replicate as training sees them, (R, n, *shape) float32: persistent chains as they stand, else
    fresh chains of T steps; and as `ema` and `last_step` say. They take nothing from the chance of training. ValueError
    for more than `particles`."""
    method = method.at(state.update)
    made = judged_draw(method, state, n, evaluation_noise(state) if noise is None else noise)
    return as_array(method.scored(state.judged, made))


def judged_draw(method: Method, state: TrainState, n: int, noise: Noise) -> Draw:
    """n samples of every replicate by the networks that are judged: where these are averages, which did not make the
    persistent chains, the chains go on for T steps first."""
    return method.draw(state.judged, state.pool, noise, n, 0 if state.averages is None else method.hp.mcmc_steps)


def evaluation_noise(state: TrainState) -> Noise:
    """The chance of what is measured after this many updates: a stream of its own."""
    return Noise(generators_for(state.seeds, "evaluation", state.device, state.update), state.noise.dtype)


def as_array(x: torch.Tensor) -> np.ndarray:
    """x in float32, on the CPU."""
    return np.asarray(x.detach().float().cpu().numpy())
