"""How much memory an update takes, before anything is trained: it is run on tensors that have a shape and no values.

Counted is what tensors hold at once. Beside them a process holds torch, the data and what kernels use for themselves:
peaks that were measured lie between the count and 1.5 times of it, and 64 MiB (tests/models/test_memory.py).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from models.data.data import Space
from models.methods.method import Lesson, Method, Networks
from models.networks.choice import score_network
from models.networks.layers import Network, fuse_for
from models.networks.upsampler import upsampler_network
from models.noise import Noise, generators_for

META = torch.device("meta")
COPIES = 3  # of a weight: itself and Adam's two moments; its gradient is counted where it is made


class Live(TorchDispatchMode):
    """Counts the bytes of tensors that are made in it and still held; `peak`: the most at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for tensor in tree_iter(found):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return found

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class _Shapes(Noise):
    """Draws without values."""

    def __init__(self, replicates: int, dtype: torch.dtype) -> None:
        self.generators, self.dtype, self.device = [], dtype, META
        self.replicates = replicates

    def normal(self, *shape: int) -> Tensor:
        return torch.empty((self.replicates, *shape), dtype=self.dtype, device=META)

    zeros = uniform = normal


def update_bytes(method: Method, data: Space, replicates: int) -> int:
    """What tensors hold at the peak of an update of so many replicates, and from update to update."""
    hp = method.hp
    few = {"mcmc_steps": 2, "latent_steps": 2, "posterior_steps": 2, "steps_g": 1, "precision": _held(hp.precision),
           "spectral_norm": False}
    method = type(method)(replace(hp, **{name: value for name, value in few.items() if hasattr(hp, name)}),
                          method.shape, method.extent)
    noise = _Shapes(replicates, torch.float64 if hp.precision == "fp64" else torch.float32)
    live = Live()
    with live:
        nets = _networks(method, data, replicates)
        weights = sum(p.nbytes for network in nets if network is not None for p in network.parameters())
        pool = method.reference(noise, hp.particles) if getattr(hp, "chain", None) == "persistent" else None
        memory = method.memory(noise, data.rows)
        x_data = noise.normal(hp.batch_size, *method.shape)
        block = None if pool is None else torch.arange(hp.batch_size, device=META)
        rows = torch.zeros((replicates, hp.batch_size), dtype=torch.long, device=META)
        draw, _ = method.run(nets, method.start(pool, block, x_data, noise), noise, method.hp.mcmc_steps)
        _descended(lambda: method.energy_loss(nets, draw, x_data, noise).loss, nets.f)
        if nets.g is not None:
            _descended(lambda: method.generator_loss(nets, draw, Lesson(x_data, rows, memory, noise, 0)), nets.g)
    return live.peak + (COPIES - 1 + bool(hp.ema) + bool(hp.spectral_norm)) * weights


def _held(precision: str) -> str:
    return "fp64" if precision == "fp64" else "fp32"  # bf16 rounds what is sampled: the update is the peak


def _descended(loss: Callable[[], Tensor | None], network: Network) -> None:
    found = loss()
    if found is not None:
        torch.autograd.grad(found.sum(), list(network.parameters()))


def _networks(method: Method, data: Space, replicates: int) -> Networks:
    """How layers run moves no shape."""
    hp, seed, fuse = method.hp, generators_for([0], "weights"), fuse_for(method.shape, META)
    dtype = torch.float64 if hp.precision == "fp64" else torch.float32
    f: Network = score_network(method.shape, hp, seed, dtype=dtype, fuse=fuse)
    g = upsampler_network(method.shape, hp, seed, dtype=dtype, fuse=fuse,
                          extent=data.extent) if hp.uses_generator else None
    for module in [*f.modules(), *(g.modules() if g is not None else ())]:
        for name, p in module.named_parameters(recurse=False):
            shape = (replicates, *p.shape[1:])
            setattr(module, name, torch.nn.Parameter(torch.empty(shape, dtype=dtype, device=META)))
        for name, b in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty_like(b, device=META))
    return Networks(f, g)
