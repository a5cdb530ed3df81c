"""The settings of released codes: each trains an update, and its ratios are those of its comments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from models.data.load import load as load_data
from models.methods.method import build
from models.training.memory import unit_bytes
from models.training.step import init_state, train_step
from study.show.difference import effective
from study.spec import load

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2] / "search_spaces/presets"
PRESETS = sorted(ROOT.glob("*.yaml"))
FEW = {"batch_size": 2, "mcmc_steps": 1, "particles": 2, "bank": 2, "posterior_steps": 1, "updates": 1700}
HALF = ("dual-mcmc", "coopflow")


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.stem)
def test_it_trains_at_its_own_size_or_half_of_it(file: Path) -> None:
    """Half: what is wider than a test has time for, at its own size, is only counted."""
    spec = load(file)
    (arm,) = spec.arms.values()
    data = load_data(dict(spec.data))
    if file.stem in HALF:
        assert unit_bytes(build(arm.method, data, **arm.full({})), data, 1, 64) > 2**28
        data = load_data(dict(spec.data) | {"size": 16})
    knobs = {knob: FEW[knob] if value and knob in FEW else value for knob, value in arm.full({}).items()}
    torch.set_num_threads(1)
    method = build(arm.method, data, **knobs)
    _, info = train_step(method, data, init_state(method, data, [0]))
    assert info.loss.isfinite().all() and info.drift_ratio.isfinite().all() == (arm.full({})["temperature"] > 0)


def test_ratios_are_those_that_the_comments_work_out() -> None:
    """2a / s^2 of a code that steps by a grad f + s eps."""
    seen = {}
    for file in PRESETS:
        spec = load(file)
        (arm,) = spec.arms.values()
        if found := re.search(r"score_scale: (\S+) +# (.*)", file.read_text()):
            ratio = eval(found[2].replace("^", "**"), {}, {"mcmc_temp": 1e-8})
            assert float(found[1]) == pytest.approx(ratio)
            seen[file.stem] = effective(spec, arm)["2a / s^2"]
    assert seen == {"dual-mcmc": "2.5e+05", "hat-ebm": "1e+08", "igebm": "8e+05", "improved-cd": "2e+08",
                    "jem": "2e+04", "short-run": "2e+04"}
