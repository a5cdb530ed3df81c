"""What a sampler notes of a study as a whole: NSGA-II the parents of each generation. In a journal these are units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from study.store.journal import Entry

Memory = dict[str, Any]  # attribute -> numbers of trials


def memory(study: optuna.Study) -> Memory:
    """What is noted now."""
    return dict(study._storage.get_study_system_attrs(study._study_id))


def what_is_new(before: Memory, after: Memory, units: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Of a journal entry: the trials that its suggestion added. units: of each trial, in order; numbers may shift in a
    relaunch.

    In the memory of a process, where these studies are, a trial's id is its number.
    """
    new = {name: [units[number] for number in numbers] for name, numbers in after.items()
           if name not in before and isinstance(numbers, list) and all(isinstance(one, int) for one in numbers)}
    return {"noted": new} if new else {}


def restore_memory(study: optuna.Study, entries: Sequence[Entry], units: Sequence[str]) -> None:
    """Note again what the entries say, where all units that it names are told; the sampler finds out the rest."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))  # a unit may have failed trials beside it
    numbers = {units[trial.number]: trial.number for trial in trials}
    for entry in entries:
        noted: Mapping[str, Sequence[str]] = entry.get("noted", {})
        for name, keys in noted.items():
            if all(key in numbers for key in keys):
                study._storage.set_study_system_attr(study._study_id, name, [numbers[key] for key in keys])
