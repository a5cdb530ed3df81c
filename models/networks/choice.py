"""Which network f is: by its name, or by the data's shape. Needs torch only to make one, or for one from outside."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from models.networks.knobs import BUILT_IN
from models.registry import find

if TYPE_CHECKING:
    import torch

    from models.networks.layers import Fuse, Score


def score_network(shape: Sequence[int], hp: Any, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
                  fuse: Fuse) -> Score:
    """f for data of this shape, (C, H, W) with H = W from 4 pixels up, or (dim,): a ConvNet or an MLP, unless the knob
    `network` names another."""
    if problem := network_problem(hp.network, shape):
        raise ValueError(f"network: {problem}")
    name = hp.network or ("mlp" if len(shape) == 1 else "convnet")
    own = own_knobs(name)
    knobs = SimpleNamespace(**vars(own()) | vars(hp)) if own else hp  # the method's alone where none is named
    found: Score = find("network", name).make(shape, knobs, generators, dtype=dtype, fuse=fuse)
    return found.begin(hp.init, generators)


def network_problem(name: str | None, shape: Sequence[int]) -> str | None:
    """Why data of this shape cannot have this network, or None."""
    if name is None or name in BUILT_IN:
        return f"found {name}, expected mlp: points in the plane have no pixels" if (
            name not in (None, "mlp") and len(shape) == 1) else None
    network = find("network", name)
    try:
        problem: str | None = network.shape_problem(shape)
    except Exception as error:  # a network from outside
        return f"found {name!r}, expected a network: its shape_problem raised {type(error).__name__}: {error}"
    return problem


def own_knobs(name: str | None) -> Any:
    """The dataclass of further knobs that a network states; None where it states none, or none is named."""
    return None if name is None else BUILT_IN[name] if name in BUILT_IN else find("network", name).Knobs
