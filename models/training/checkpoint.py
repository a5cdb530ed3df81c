"""TrainState to bytes and back, bit for bit: safetensors with a JSON header. Nothing is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from models.data.data import Data
from models.methods.method import Method
from models.training.step import TrainState, init_state


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that belongs to other seeds or another configuration."""


def save_state(state: TrainState, trained: Mapping[str, Any] | None = None) -> bytes:
    """Networks, optimisers, particles, every replicate's generator, the data position and the monitor. trained: what
    rebuilds them (`kept.keep`)."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in state.tensors().items()}
    tensors |= {f"generator.{r}": g.get_state() for r, g in enumerate(state.noise.generators)}
    header = {"update": state.update, "seeds": list(state.seeds), "device": state.device.type}
    header |= {"trained": trained} if trained else {}
    return safetensors.torch.save(tensors, metadata={"state": json.dumps(header)})


def load_state(payload: bytes, method: Method, data: Data, seeds: Sequence[int],
               device: torch.device | str = "cpu") -> TrainState:
    """The state that `save_state` wrote. Raises CheckpointError with what is wrong."""
    tensors, header = read_state(payload)
    if header["seeds"] != list(seeds):
        raise CheckpointError(f"checkpoint of seeds {header['seeds']}, expected {list(seeds)}")
    if header["device"] != torch.device(device).type:  # their streams of chance differ
        raise CheckpointError(f"made on {header['device']}, resumed on {torch.device(device).type}")
    state = init_state(method, data, seeds, device)
    fill(state, tensors, header, range(len(seeds)))
    return state


def read_state(payload: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of what `save_state` wrote. Raises CheckpointError."""
    try:
        tensors = safetensors.torch.load(payload)
        size = int.from_bytes(payload[:8], "little")
        header = json.loads(json.loads(payload[8:8 + size])["__metadata__"]["state"])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"not a readable checkpoint: {error}") from error
    return tensors, dict(header)


def fill(state: TrainState, tensors: Mapping[str, Tensor], header: Mapping[str, Any], rows: Sequence[int]) -> None:
    """Make a new state that of these rows of what was saved; its chance on the same kind of device only, since
    another's streams differ. Raises CheckpointError."""
    state.update = header["update"]
    targets = state.tensors()
    expected = targets.keys() | {f"generator.{r}" for r in range(len(header["seeds"]))}
    if tensors.keys() != expected:
        raise CheckpointError(f"checkpoint of another configuration: {sorted(tensors.keys() ^ expected)[:3]} differ")
    with torch.no_grad():
        for name, target in targets.items():
            found = tensors[name][list(rows)]
            if (target.shape, target.dtype) != (found.shape, found.dtype):
                raise CheckpointError(f"{name}: found {found.dtype} {tuple(found.shape)}, expected {target.dtype} "
                                      f"{tuple(target.shape)}")
            target.copy_(found)
    if header["device"] == state.device.type:
        for r, generator in zip(rows, state.noise.generators, strict=True):
            generator.set_state(tensors[f"generator.{r}"])
