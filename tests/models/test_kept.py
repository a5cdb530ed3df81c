"""What was trained, kept: it samples as it did, one replicate of it is the one that it was, and it trains on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import models
from models.testing import tiny
from models.training.checkpoint import CheckpointError, save_state
from models.training.fit import sample
from models.training.kept import AT_ONCE, Trained, keep, load


def of(name: str, shape: tuple[int, ...] = tiny.IMAGES, seeds: tuple[int, ...] = (3, 4, 5),
       **knobs: object) -> tuple[bytes, Trained]:
    on = tiny.data(shape)
    method = tiny.method(name, on, **knobs)
    state = tiny.train(method, on, list(seeds), 4)
    return keep(state, method, on), Trained(method, state, on.view)


@pytest.mark.parametrize("shape", tiny.SHAPES)
@pytest.mark.parametrize("name", tiny.ALL)
def test_what_is_kept_samples_as_what_was_trained(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """As training sees it, and by fresh longer chains; from a file, too, by the public name."""
    payload, now = of(name, shape, spectral_norm=True)
    (tmp_path / "state").write_bytes(payload)
    again = models.load(tmp_path / "state")
    for steps in (None, 7):
        np.testing.assert_array_equal(again.sample(5, steps), now.sample(5, steps))
    np.testing.assert_array_equal(sample(again.method, again.state, 5), sample(now.method, now.state, 5))
    assert again.state.seeds == (3, 4, 5) and save_state(again.state) == save_state(now.state)


@pytest.mark.parametrize("name", tiny.ALL)
def test_one_replicate_is_the_one_that_it_was_among_others(name: str) -> None:
    """Its networks, particles and chance, and so its samples: in float64 to the last bits."""
    payload, now = of(name)
    alone = load(payload, [4])
    assert alone.state.seeds == (4,) and torch.equal(tiny.weights(alone.state, 0), tiny.weights(now.state, 1))
    for steps in (None, 7):
        np.testing.assert_allclose(alone.sample(5, steps)[0], now.sample(5, steps)[1], rtol=1e-6)
    on = tiny.data(tiny.IMAGES)
    further = [tiny.train(one.method, on, list(one.state.seeds), 2, one.state) for one in (alone, now)]
    torch.testing.assert_close(tiny.weights(further[0], 0), tiny.weights(further[1], 1), rtol=1e-9, atol=1e-12)


def test_samples_have_a_chance_of_their_own_and_longer_chains_are_others() -> None:
    payload, _ = of("kl", chain="noise")
    trained = load(payload)
    assert not np.array_equal(trained.sample(4), trained.sample(4, seed=1))
    assert not np.array_equal(trained.sample(4, 3), trained.sample(4, 30))
    np.testing.assert_array_equal(trained.sample(4), trained.sample(4, trained.method.hp.mcmc_steps))
    made: list[int] = []
    assert trained.sample(AT_ONCE + 10, 1, progress=made.append).shape == (3, AT_ONCE + 10, *tiny.IMAGES)
    assert made == [AT_ONCE, AT_ONCE + 10]


def test_persistent_chains_are_as_many_as_there_are() -> None:
    trained = load(of("jko")[0])
    with pytest.raises(ValueError, match="found 13, expected at most particles = 12"):
        trained.sample(13)
    assert trained.sample(13, 2).shape == (3, 13, *tiny.IMAGES)


def test_what_was_not_kept_here_is_one_sentence() -> None:
    payload, now = of("kl")
    with pytest.raises(CheckpointError, match=r"^found seeds 3, 4, 5, expected 7 among them$"):
        load(payload, [4, 7])
    with pytest.raises(CheckpointError, match="expected what a finished one keeps"):
        load(save_state(now.state))
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load(payload[:90])
    with pytest.raises(CheckpointError, match=r"its method cannot be made here: .*nowhere"):
        load(save_state(now.state, {"method": "nowhere.at:All", "knobs": {}, "shape": [2], "extent": [-1, 1],
                                    "view": [-1, 1]}))
    with pytest.raises(CheckpointError, match=r"its method cannot be made here: .*unheard"):
        load(save_state(now.state, {"method": "kl", "knobs": {"unheard": 1}, "shape": [2], "extent": [-1, 1],
                                    "view": [-1, 1]}))
