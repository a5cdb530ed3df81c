"""What comes from outside trains for one update before the first trial: a mistake in it then costs no unit."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from models.data.data import Data
from study.plan.memory import SETTINGS, is_outside, settings
from study.spec.model import StudySpec

if TYPE_CHECKING:
    from torch import Tensor

    from models.networks.layers import Network

SEEDS = 0, 1  # of one alone a loss that lacks the axis of replicates would pass


def own_part_problem(spec: StudySpec, data: Data) -> str | None:
    """Why a method or network from outside cannot train on these data, as one sentence, or None. Where `resources.gpu`
    is a number they may be made for GPUs, and nothing is known."""
    if spec.resources.gpu not in ("auto", 0):
        return None
    tried: set[tuple[str, str | None]] = set()
    for arm in spec.arms.values():
        for hp in map(arm.hparams, islice(settings(spec, arm), SETTINGS)):
            part = arm.method, hp.network
            if part in tried or not is_outside(arm, hp):
                continue
            tried.add(part)
            from models.registry import find
            from models.training.step import init_state, train_step

            try:
                method = find("method", arm.method)(hp, tuple(data.shape), data.extent)
                state = init_state(method, data, SEEDS)
                _try_replicates(state.nets.f, data)
                _, info = train_step(method, data, state)
                for name, value in info._asdict().items():
                    if tuple(value.shape) != (len(SEEDS),):
                        raise ValueError(f"{name}: found the shape {tuple(value.shape)}, expected "
                                         f"({len(SEEDS)},), a number for each of {len(SEEDS)} replicates")
            except Exception as error:  # whatever code from outside does
                said = " ".join(str(error).split())[:400]
                names = " and ".join(name for name in (arm.method, hp.network) if name and ":" in name)
                return f"arm {arm.name}: {names} cannot train: {type(error).__name__}: {said}"
    return None


def _try_replicates(f: Network, data: Data) -> None:
    """Raises ValueError where a replicate's scores depend on another one's points: they would be no replicates."""
    import torch

    dtype = next(f.parameters()).dtype
    x = torch.tensor(data.train[:4], dtype=dtype).unflatten(0, (len(SEEDS), 2))
    with torch.no_grad():
        for mine, other in ((0, 1), (1, 0)):
            alone, again = f(x)[mine], f(x)[mine]
            moved = x.clone()
            moved[other] = 2 * x[other] + 1
            found = {"points": f(moved)[mine]}
            weights = [p.clone() for p in f.parameters()]
            for p in f.parameters():
                p[other] += 1
            found["weights"] = f(x)[mine]
            for p, was in zip(f.parameters(), weights, strict=True):
                p.copy_(was)
            for what, beside in found.items():  # where a call of its own changes them, nothing is known
                if _same(again, alone) and not _same(beside, alone):
                    raise ValueError(f"a replicate's scores depend on another replicate's {what}; "
                                     "models.testing.NetworkContract checks what a network must keep")


def _same(found: Tensor, other: Tensor) -> bool:
    import torch

    return torch.allclose(found, other, rtol=1e-3, atol=1e-6, equal_nan=True)
