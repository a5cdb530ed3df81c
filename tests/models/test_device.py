"""What a GPU would mind, seen on any machine."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.testing import tiny
from models.training import adam, step
from models.training.adam import known_all_alive
from models.training.step import train_step

# Each makes the host wait until the device has come so far: a number for Python, and shapes that depend on values. What
# no dispatch shows on a CPU, as a copy to numpy, is not seen.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "is_nonzero", "equal", "bincount",
         "repeat_interleave"}


def by_mask(name: str, args: Any) -> bool:
    """Whether it picks rows by a mask, of which it must know how many there are."""
    return name in ("index", "index_put_", "index_put") and any(
        i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])


class Asked(TorchDispatchMode):
    """The names of what was called of WAITS."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (name := func.overloadpacket.__name__) in WAITS or by_mask(name, args):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adam, "known_all_alive", lambda alive: known_all_alive(alive.to("meta")))


def asked(name: str, shape: tuple[int, ...], **knobs: Any) -> list[str]:
    """Of the third update."""
    on = tiny.data(shape)
    method = tiny.method(name, on, **{"precision": "fp32", **knobs})
    state = tiny.train(method, on, [0, 1], 2)
    with Asked() as mode:
        train_step(method, on, state)
    return mode.found


@pytest.mark.parametrize("name", tiny.ALL)
@pytest.mark.parametrize("shape", tiny.SHAPES)
def test_an_update_does_not_wait_for_its_device(name: str, shape: tuple[int, ...]) -> None:
    assert asked(name, shape) == []


@pytest.mark.parametrize(("name", "knobs"), [
    ("kl", {"ema": 2.0, "clamp": True, "move_clip": 0.1, "drift_clip": 0.5, "grad_clip": 1.0, "negatives_drift": 2}),
    ("kl", {"chain": "data", "step_size_end": 0.05, "temperature_end": 0.5, "data_noise": 0.1, "warmup": 1}),
    ("kl", {"flip": True, "spectral_norm": True, "energy_l2": 0.1, "anneal": True, "precision": "bf16"}),
    ("jko", {"penalty_on": "interpolates", "micro_batch": 3}), ("jko", {"penalty_on": "both", "penalty_of": "f"}),
    ("amortized", {"anchor": 1.0, "posterior_steps": 2, "bank": 16, "norm_g": "group"}),
    ("hidden", {"anchor": 1.0, "pretrain": 1, "slow_g": 0.5, "entropy": 0.1}),
    ("ggcn", {"redraw": True, "steps_g": 2, "upsampler_loss": "potential"})])
def test_nor_do_knobs_make_it(name: str, knobs: dict[str, Any]) -> None:
    assert asked(name, tiny.IMAGES, **knobs) == []


def test_what_waits_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clipped = step._clipped
    monkeypatch.setattr(step, "_clipped", lambda g, norm, clip: clipped(g, norm, clip if norm.max() > 0 else None))
    assert asked("kl", tiny.PLANE) == ["_local_scalar_dense"]
    with Asked() as mode:
        x = torch.arange(4)
        x[x > 1] = 0
    assert mode.found == ["index_put_"]


def test_on_a_cpu_the_step_of_adam_asks_whether_some_are_frozen() -> None:
    alive = torch.tensor([True, True])
    assert known_all_alive(alive) and not known_all_alive(torch.tensor([True, False]))
    assert not known_all_alive(alive.to("meta"))
