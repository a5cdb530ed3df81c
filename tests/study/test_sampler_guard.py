"""A sampler from outside that fails in the middle of a search: the launch says so in a line; mended, it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from study.run.search.memory import memory, what_is_new
from tests.study.test_launch import SPEC
from tests.study.test_launch_whole import Launch, done, launch

__all__ = ["launch"]  # the fixture

ME = __name__
SEARCH = SPEC.replace("[kl, jko]", "kl").replace("step_size: [0.05, 0.3]", "step_size: 0.1") + (
    "search: {replicates: 2, trials: 3, sampler: SAMPLER, space: {step_size: {float: [0.05, 0.3]}}}\n")
MENDED: list[bool] = []


class Fails(optuna.samplers.RandomSampler):
    """On its second trial, until it is mended."""

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        if trial.number == 1 and not MENDED:
            raise KeyError("no\nidea")
        return super().sample_independent(study, trial, param_name, param_distribution)


class Strays(optuna.samplers.RandomSampler):
    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        return "far" if trial.number else 7.0


class Forgets(optuna.samplers.RandomSampler):
    """Fails when it is told how a trial ended."""

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        raise KeyError(state.name)


class Notes(optuna.samplers.RandomSampler):
    """Notes other things of a study than numbers of trials."""

    def before_trial(self, study: Any, trial: Any) -> None:
        study._storage.set_study_system_attr(study._study_id, "mine", {"a": 1})


@pytest.mark.parametrize(("name", "said"), [
    ("Fails", f"search.sampler {ME}:Fails: KeyError: 'no\\nidea'"),
    ("Forgets", f"search.sampler {ME}:Forgets: KeyError: 'COMPLETE'"),
    ("Strays", f"search.sampler {ME}:Strays: found 7.0 for step_size, expected one of FloatDistribution(high=0.3, "
               "log=False, low=0.05, step=None)")])
def test_a_sampler_that_fails_stops_the_launch_with_a_line(launch: Launch, name: str, said: str) -> None:
    MENDED.clear()
    Path("tiny.yaml").write_text(SEARCH.replace("SAMPLER", f"'{ME}:{name}'"))
    code, _, errors = launch("--quiet")
    assert code == 1 and errors[0] == f"stopped: {said}; once that is mended the same command continues"
    if name == "Fails":
        before = done()
        MENDED.append(True)
        assert launch("--quiet")[0] == 0 and len(done()) == 4 and set(before) < set(done())


def test_what_is_no_number_of_a_trial_is_not_put_into_a_journal() -> None:
    study = optuna.create_study(sampler=Notes())
    study.ask()
    assert memory(study) == {"mine": {"a": 1}} and what_is_new({}, memory(study), ["u"]) == {}
    assert what_is_new({}, {"parents": [0]}, ["u"]) == {"noted": {"parents": ["u"]}}


class Refuses(optuna.pruners.BasePruner):
    """Fails on its second look."""

    looks = 0

    def prune(self, study: Any, trial: Any) -> bool:
        Refuses.looks += 1
        if Refuses.looks > 1 and not MENDED:
            raise KeyError("no rungs")
        return False


def test_a_pruner_that_fails_stops_the_launch_with_a_line(launch: Launch) -> None:
    MENDED.clear()
    Path("tiny.yaml").write_text(SEARCH.replace("sampler: SAMPLER", f"prune: '{ME}:Refuses'"))
    code, _, errors = launch("--quiet")
    assert code == 1 and errors[0] == (
        f"stopped: search.prune {ME}:Refuses: KeyError: 'no rungs'; once that is mended the same command continues")
    MENDED.append(True)
    assert launch("--quiet")[0] == 0 and len(done()) == 4
