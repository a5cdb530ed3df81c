"""Replicates that have diverged cost nothing, and the others' numbers do not change by a bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import models
from models.measures.evaluation import Evaluator
from models.methods.method import Method
from models.testing import tiny
from models.training.living import living, put_back
from models.training.step import TrainState, init_state, train_step

SEEDS = (3, 1, 4, 7)
WORDS: dict[str, dict[str, Any]] = {
    "kl": {"ema": 3.0, "spectral_norm": True}, "jko": {}, "hidden": {"steps_g": 2}, "amortized": {"bank": 6},
    "ggcn": {"anchor": 1.0, "pretrain": 1, "posterior_steps": 2, "redraw": True}}


def made(name: str, shape: tuple[int, ...]) -> tuple[Method, Any]:
    on = tiny.data(shape)
    return tiny.method(name, on, updates=8, **WORDS[name]), on


def some_died(method: Method, on: Any, alive: tuple[bool, ...] = (True, False, True, False)) -> TrainState:
    """After two updates; in the second the others than these diverged."""
    state = init_state(method, on, SEEDS)
    for _ in range(2):
        state, _ = train_step(method, on, state)
    state.alive = torch.tensor(alive)
    state.diverged_at = torch.where(state.alive, -1, 2)
    return state


def of_the_living(state: TrainState) -> dict[str, torch.Tensor]:
    rows = {name: t[state.alive] for name, t in state.tensors().items()}
    return rows | {f"generator {r}": g.get_state() for r, g in enumerate(state.noise.generators) if state.alive[r]}


@pytest.mark.parametrize("alive", [(True, False, True, False), (False, False, True, False)])
@pytest.mark.parametrize("shape", [tiny.PLANE, tiny.IMAGES])
@pytest.mark.parametrize("name", WORDS)
def test_the_living_train_as_if_the_dead_were_still_computed(name: str, shape: tuple[int, ...],
                                                             alive: tuple[bool, ...]) -> None:
    method, on = made(name, shape)
    once, dead, expected = some_died(method, on, alive), some_died(method, on, alive), []
    for _ in range(3):
        once, info = train_step(method, on, once)
        expected.append(info)
    left_out = [r for r, lives in enumerate(alive) if not lives][-1]
    before = {n: t[left_out].clone() for n, t in dead.tensors().items()}
    [(state, infos)] = models.fit(method, on, SEEDS, [5], state=dead)
    assert state is dead and state.update == 5
    for name_, t in of_the_living(once).items():
        assert torch.equal(t, of_the_living(state)[name_]), name_
    for name_, t in before.items():
        assert torch.equal(t, state.tensors()[name_][left_out]), name_
    for found, full in zip(infos, expected, strict=True):
        for a, b in zip(found, full, strict=True):
            assert torch.equal(a[state.alive].nan_to_num(), b[state.alive].nan_to_num())
            assert a[left_out].isnan()


def test_a_replicate_that_dies_on_the_way_is_left_out_from_the_next_update(monkeypatch: pytest.MonkeyPatch) -> None:
    on = tiny.data(tiny.PLANE)
    method, sizes = tiny.method("kl", on, updates=8), []
    real = models.training.fit.train_step

    def spoilt(method: Method, data: Any, state: TrainState) -> Any:
        sizes.append(state.seeds)
        if state.update in (1, 3, 5):
            with torch.no_grad():
                next(state.nets.f.parameters())[-1] = torch.nan
        return real(method, data, state)

    monkeypatch.setattr(models.training.fit, "train_step", spoilt)
    seen: list[list[int]] = []
    [(state, infos)] = models.fit(method, on, SEEDS, [8],
                                  between=lambda state, infos: seen.append(state().diverged_at.tolist()))
    assert sizes == [SEEDS] * 2 + [SEEDS[:3]] * 2 + [SEEDS[:2]] * 4  # two at least: of one alone another kernel rounds
    assert seen == [[-1] * 4, [-1, -1, -1, 2], [-1, -1, -1, 2], [-1, -1, 4, 2], [-1, -1, 4, 2], [-1, 6, 4, 2],
                    [-1, 6, 4, 2]]
    assert state.diverged_at.tolist() == [-1, 6, 4, 2] and [len(info.loss) for info in infos] == [4] * 8


def test_what_is_measured_of_the_living_is_what_they_alone_would_show() -> None:
    for shape in (tiny.PLANE, tiny.IMAGES):
        method, on = made("kl", shape)
        dead, alone = some_died(method, on), init_state(method, on, (3, 4))
        for _ in range(2):
            alone, _ = train_step(method, on, alone)
        evaluator = Evaluator(method, on, samples=12, long_run=2, ais_steps=3)
        points, (finals, samples) = evaluator.point(dead, []), evaluator.final(dead)
        assert [points[r] for r in (0, 2)] == evaluator.point(alone, []) and points[1] == points[3] == {}
        rows, images = evaluator.final(alone)[0], models.sample(method, alone, 12)
        assert [finals[r] for r in (0, 2)] == rows and finals[1] == finals[3] == {} and all(rows)
        assert (samples[[0, 2]] == images).all() and (samples[[1, 3]] != samples[[1, 3]]).all()


def test_nothing_is_measured_where_none_lives() -> None:
    method, on = made("jko", tiny.IMAGES)
    state = some_died(method, on)
    state.alive[:] = False
    evaluator = Evaluator(method, on, samples=12, long_run=2)
    assert evaluator.point(state, []) == [{}] * 4
    rows, samples = evaluator.final(state)
    assert rows == [{}] * 4 and samples.shape == (4, 12, *on.shape)


def test_all_that_live_are_the_state_itself() -> None:
    method, on = made("jko", tiny.PLANE)
    state = init_state(method, on, SEEDS)
    assert living(method, on, state) is state and put_back(state, state) is state
