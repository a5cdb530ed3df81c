"""What comes from outside trains for one update before the first trial: a mistake in it then costs no unit."""

from __future__ import annotations

from itertools import islice

from models.data.data import Data
from study.plan.memory import SETTINGS, is_outside, settings
from study.spec.model import StudySpec

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
                _, info = train_step(method, data, init_state(method, data, SEEDS))
                for name, value in info._asdict().items():
                    if tuple(value.shape) != (len(SEEDS),):
                        raise ValueError(f"{name}: found the shape {tuple(value.shape)}, expected "
                                         f"({len(SEEDS)},), a number for each of {len(SEEDS)} replicates")
            except Exception as error:  # whatever code from outside does
                said = " ".join(str(error).split())[:400]
                names = " and ".join(name for name in (arm.method, hp.network) if name and ":" in name)
                return f"arm {arm.name}: {names} cannot train: {type(error).__name__}: {said}"
    return None
