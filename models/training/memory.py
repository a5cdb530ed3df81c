"""How much memory a unit takes, before anything is trained: an update and the draw of an evaluation are run on tensors
that have a shape and no values.

Counted is what tensors hold at once. Beside them a process holds torch, the data and what kernels use for themselves:
peaks that were measured lie between the count and 1.5 times of it, and 64 MiB (tests/models/test_memory.py).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from models.data.data import Space
from models.methods.method import Lesson, Method, Networks
from models.networks.choice import score_network
from models.networks.layers import Network, fuse_for
from models.networks.upsampler import upsampler_network
from models.noise import Noise

META = torch.device("meta")
COPIES = 3  # of a weight: itself and Adam's two moments; its gradient is counted where it is made
REPEATED = ("mcmc_steps", "negatives_drift", "latent_steps", "posterior_steps")  # what holds no more the third time
PIECES = 64  # of a batch; of more pieces that are smaller the count takes long, and finds little less


class Live(TorchDispatchMode):
    """Counts the bytes of tensors that are made in it and still held; `peak`: the most at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        self.count(tree_iter(found))
        return found

    def count(self, found: Iterable[Any]) -> None:
        """Tensors among these that are not known yet."""
        for tensor in found:
            if isinstance(tensor, Tensor) and (key := (storage := tensor.untyped_storage())._cdata) not in self._known:
                self._known.add(key)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class _Undrawn(TorchFunctionMode):
    """Random tensors without values, and stacks of them (`layers.each`): torch's own are slow for many replicates."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if function in (torch.rand, torch.randn):
            given.pop("generator", None)
            return torch.empty(*args, **given)
        if function is torch.stack and len(args) == 1 and not given:
            one, *_ = args[0]
            return torch.empty((len(args[0]), *one.shape), dtype=one.dtype)
        return function(*args, **given)


class _Shapes(Noise):
    """Draws without values."""

    def __init__(self, replicates: int, dtype: torch.dtype) -> None:
        self.generators, self.dtype, self.device = [], dtype, META
        self.replicates = replicates

    def normal(self, *shape: int) -> Tensor:
        return torch.empty((self.replicates, *shape), dtype=self.dtype, device=META)

    zeros = uniform = normal


def unit_bytes(method: Method, data: Space, replicates: int, samples: int) -> int:
    """What tensors hold at the peak of an update of so many replicates, or of an evaluation with so many samples of
    each, and from update to update."""
    hp = method.hp
    few: dict[str, Any] = {name: min(getattr(hp, name), 2) for name in REPEATED if hasattr(hp, name)}
    few |= {"spectral_norm": False, "precision": "fp64" if hp.precision == "fp64" else "fp32"}  # f's step is the peak
    if hp.micro_batch is not None:
        few["micro_batch"] = max(hp.micro_batch, hp.batch_size // PIECES)
    method = type(method)(replace(hp, **few), method.shape, method.extent)
    noise = _Shapes(replicates, torch.float64 if hp.precision == "fp64" else torch.float32)
    nets = _networks(method, data, replicates, noise.dtype)
    weights = [p for network in nets if network is not None for p in network.parameters()]
    few_samples = min(samples, PIECES * method.at_once(replicates))
    live = Live()
    live.count(weights)
    with live:
        pool = method.reference(noise, hp.particles) if getattr(hp, "chain", None) == "persistent" else None
        memory = method.memory(noise, data.rows)
        x_data = noise.normal(hp.batch_size, *method.shape)
        block = None if pool is None else torch.arange(hp.batch_size, device=META)
        rows = torch.zeros((replicates, hp.batch_size), dtype=torch.long, device=META)
        draw, _ = method.run(nets, method.start(pool, block, x_data, noise), noise, method.hp.mcmc_steps)
        _descended(lambda: method.energy_loss(nets, draw, x_data, noise).loss, nets.f)
        if nets.g is not None:
            _descended(lambda: method.generator_loss(nets, draw, Lesson(x_data, rows, memory, noise, 0)), nets.g)
        update, live.peak = live.peak, live.now
        method.scored(nets, method.draw(nets, pool, noise, few_samples, method.hp.mcmc_steps))
    peak = max(update, live.peak * samples // few_samples)
    return peak + (COPIES - 1 + bool(hp.ema) + bool(hp.spectral_norm)) * sum(p.nbytes for p in weights)


def _descended(loss: Callable[[], Tensor | None], network: Network) -> None:
    found = loss()
    if found is not None:
        torch.autograd.grad(found.sum(), list(network.parameters()))


def _networks(method: Method, data: Space, replicates: int, dtype: torch.dtype) -> Networks:
    """Without values, and how layers run moves no shape."""
    hp, seeds, fuse = method.hp, [torch.Generator()] * replicates, fuse_for(method.shape, META)
    with META, _Undrawn():
        f = score_network(method.shape, hp, seeds, dtype=dtype, fuse=fuse)
        g = upsampler_network(method.shape, hp, seeds, dtype=dtype, fuse=fuse,
                              extent=data.extent) if hp.uses_generator else None
    return Networks(f, g)
