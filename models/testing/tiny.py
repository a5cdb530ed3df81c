"""Data and knobs small enough to train in milliseconds, for every method."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from models.data.data import Data
from models.methods.hparams import HParams
from models.methods.method import Method, knobs_of
from models.registry import METHODS, find
from models.training.step import TrainState, init_state, train_step

IMAGES, PLANE = (1, 8, 8), (2,)
SHAPES: tuple[tuple[int, ...], ...] = (PLANE, IMAGES)
ALL = tuple(METHODS)
KNOBS = {"updates": 4, "batch_size": 8, "width": 2, "mcmc_steps": 3, "precision": "fp64"}


def data(shape: tuple[int, ...], n: int = 48) -> Data:
    rng = np.random.default_rng(5)
    split = [np.tanh(rng.normal(0.2, 0.6, (n, *shape))).astype(np.float32) for _ in range(3)]
    return Data(name="tiny", shape=shape, train=split[0], search=split[1], confirm=split[2], labels=None,
                labels_search=None, labels_confirm=None, quantum=0.0, density=None, content_hash="tiny")


def knobs(name: str, **changes: Any) -> HParams:
    kind = knobs_of(name, changes.get("network"))
    names = {f.name for f in dataclasses.fields(kind)}
    some: dict[str, Any] = {**KNOBS, "particles": 12, "latent_dim": 3, "latent_steps": 2}
    return kind(**{k: v for k, v in some.items() if k in names} | changes)


def method(name: str, on: Data, **changes: Any) -> Method:
    found: Method = find("method", name)(knobs(name, **changes), on.shape)
    return found


def train(method: Method, on: Data, seeds: list[int], updates: int, state: TrainState | None = None) -> TrainState:
    state = state or init_state(method, on, seeds)
    for _ in range(updates):
        state, _ = train_step(method, on, state)
    return state


def trained(name: str, shape: tuple[int, ...], seeds: list[int], updates: int = 4, **changes: Any) -> TrainState:
    on = data(shape)
    return train(method(name, on, **changes), on, seeds, updates)


def weights(state: TrainState, replicate: int) -> torch.Tensor:
    """All parameters of f and g of one replicate, flat."""
    nets = [net for net in state.nets if net is not None]
    return torch.cat([p.detach()[replicate].flatten() for net in nets for p in net.parameters()])
