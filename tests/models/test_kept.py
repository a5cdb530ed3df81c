"""What was trained, kept: it samples as it did, one replicate of it is the one that it was, and it trains on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import models
from models.pyfunc import Sampler
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


@pytest.mark.parametrize(("asked", "said"), [
    ({"n": 0}, "samples: found 0, expected at least 1"), ({"n": -1}, "samples: found -1, expected at least 1"),
    ({"n": 2, "steps": -1}, "steps: found -1, expected at least 0"),
    ({"n": 2, "seed": -1}, "seed: found -1, expected at least 0")])
def test_less_than_nothing_is_no_sample(asked: dict[str, int], said: str) -> None:
    """A slice to -1 would be all chains but one, and -1 steps the reference."""
    for name in ("kl", "jko"):  # with persistent chains and without
        with pytest.raises(ValueError, match=said):
            load(of(name)[0]).sample(**asked)


def test_a_served_model_takes_one_whole_number_as_it_comes() -> None:
    model = Sampler(load(of("jko")[0], [4]))
    wanted = model.predict(3)
    for n in (np.array(3), [3], 3.0, pd.DataFrame({"n": [3]})):
        np.testing.assert_array_equal(model.predict(n), wanted)
    for n in (None, "3", 2.5, float("nan"), True, [3, 4], {"n": 3}, []):
        with pytest.raises(ValueError, match=r"^n: found .*, expected a whole number$"):
            model.predict(n)
    with pytest.raises(ValueError, match=r"^steps: found 2.5, expected a whole number$"):
        model.predict(3, {"steps": 2.5})


def test_what_was_not_kept_here_is_one_sentence() -> None:
    payload, now = of("kl")
    for none in ([], [4, 4]):
        with pytest.raises(CheckpointError, match=r"^found the seeds \[.*, expected at least one, each once$"):
            load(payload, none)
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
