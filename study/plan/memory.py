"""What the largest unit of a study holds at once, and whether this machine can: said before the first trial."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice, product
from pathlib import Path
from typing import Any

from models.data.data import Space
from models.methods.hparams import HParams
from models.methods.method import MANY
from models.networks.knobs import like_width
from study.schema.plan import PlannedMemory
from study.schema.unit import PHASES
from study.spec.model import Arm, StudySpec, cells_of

LIMITS = tuple(Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory/memory.limit_in_bytes"))
SMALL = 2**30  # bytes, by the rough guess, below which every machine will do and nothing is counted
ROUGH = 400  # bytes a pixel and channel of f's first stage, more than the usual settings take
ROUGH_WEIGHTS = 4096  # bytes for each square of the width: weights, gradients and Adam's moments
BEYOND = 2**50  # bytes, by the rough guess, that no machine has: nothing more is counted
KERNELS, WORKER = 1.5, 2**29  # times the count, and bytes, that a worker's process holds at most
MOST = 3  # settings of an arm that are counted: the largest by the rough guess
NO_MATTER = ("step_size", "latent_step_size", "posterior_step_size", "mcmc_steps", "latent_steps", "temperature",
             "lr_f", "lr_g", "jko_weight", "beta", "updates")
SETTINGS = 4096  # that are looked at


def largest(spec: StudySpec, data: Space) -> PlannedMemory | None:
    """The unit that holds most; None where all are small."""
    replicates = max(map(spec.replicates, PHASES))
    found: list[PlannedMemory] = []
    for arm in spec.arms.values():
        hps = {hp: _rough(hp, data, spec.evaluation.samples) * replicates
               for hp in map(arm.hparams, islice(settings(spec, arm), SETTINGS))}
        rough = sorted({_rough_key(hp): hp for hp in hps}.values(), key=lambda hp: hps[hp])[-MOST:]
        for hp in rough:
            if hps[hp] > SMALL or is_outside(arm, hp):
                found.append(PlannedMemory(arm=arm.name, replicates=replicates,
                                           bytes=int(hps[hp]) if hps[hp] > BEYOND else
                                           _counted(arm, hp, data, replicates, spec.evaluation.samples)))
    return max((one for one in found if one.bytes), key=lambda one: one.bytes, default=None)


def memory_problem(planned: PlannedMemory | None, gpu: float | str) -> str | None:
    """Why this machine, or its GPU where units have one, cannot hold that, as one sentence, or None. Of GPUs that are
    elsewhere nothing is known."""
    if planned is None:
        return None
    has, where = machine_bytes(), "this machine has"
    if gpu:
        if _has_gpu():
            import torch

            has, where = torch.cuda.get_device_properties(0).total_memory, "its GPU has"
        elif gpu != "auto":
            return None
    if planned.bytes <= has:
        return None
    return (f"arm {planned.arm} with {planned.replicates} replicates needs {gib(planned.bytes)} at once, and "
            f"{where} {gib(has)}; a smaller width, micro_batch or batch_size, fewer particles, samples or "
            "replicates need less")


def most_at_once(planned: PlannedMemory | None, gpu: float | str, asked: int | None) -> int | None:
    """How many such units to train at once on this machine: as many as were asked for (None: no limit) and as its
    memory holds, at least 1. Of units on GPUs nothing is known."""
    if planned is None or (gpu and (gpu != "auto" or _has_gpu())) or math.isinf(has := machine_bytes()):
        return asked
    held = max(1, int(has // (KERNELS * planned.bytes + WORKER)))
    return held if asked is None else min(asked, held)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def machine_bytes() -> float:
    """Of memory: the machine's, or a container's where that is less."""
    found = [math.inf]
    with suppress(ValueError, OSError, AttributeError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in LIMITS:
        with suppress(ValueError, OSError):  # no such file, or `max`
            found.append(int(file.read_text()))
    return min(found)


def gib(count: float) -> str:
    """`1.5 GiB`."""
    return f"{count / 2**30:.2g} GiB" if count < 99.5 * 2**30 else f"{count / 2**30:,.0f} GiB"


def settings(spec: StudySpec, arm: Arm) -> Iterator[dict[str, Any]]:
    """Of each cell of the design, and of the corners of what is searched."""
    if spec.design is not None:
        yield from cells_of(spec.design.factors[arm.name])
    if spec.search is not None:
        free = {knob: r.corners() for knob, r in spec.search.free[arm.name].items()}
        for corner in product(*free.values()):
            yield {**spec.search.fixed[arm.name], **dict(zip(free, corner, strict=True))}


def _rough(hp: HParams, data: Space, samples: int) -> float:
    wide = max(like_width(hp), getattr(hp, "width_g", None) or 0)
    few = min(samples, MANY // math.prod(data.shape))  # that are evaluated at once
    pool = 8 * 4 * math.prod(data.shape) * (getattr(hp, "particles", 0) + getattr(hp, "bank", 0) + samples)
    nets = (ROUGH * wide * math.prod(data.shape[1:]) * max(hp.batch_size, few) + ROUGH_WEIGHTS * wide**2) * (
        1 + hp.uses_generator)
    return (nets + pool) * (1 + (hp.precision == "fp64"))


def _rough_key(hp: HParams) -> tuple[Any, ...]:
    """The settings; of those whose size moves no count, whether they are 0."""
    return tuple(bool(value) if name in NO_MATTER else value for name, value in vars(hp).items())


def _counted(arm: Arm, hp: HParams, data: Space, replicates: int, samples: int) -> int:
    """0 for a part from outside that cannot run without values: then nothing is known."""
    from models.registry import find
    from models.training.memory import unit_bytes

    try:
        return unit_bytes(find("method", arm.method)(hp, tuple(data.shape), data.extent), data, replicates, samples)
    except Exception:
        if not is_outside(arm, hp):
            raise
        return 0


def is_outside(arm: Arm, hp: HParams) -> bool:
    """Whether its method or its network is none of ours."""
    return ":" in f"{arm.method}{hp.network}"
