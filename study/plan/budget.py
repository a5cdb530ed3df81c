"""Whether searches can be compared: what each arm spent, and whether its sampler has come to choose at all."""

from __future__ import annotations

from collections.abc import Mapping

from study.plan.samplers import sampler_arguments

EQUAL = 1.25  # largest / smallest of what arms spent, up to which their searches are called equal


def random_start(sampler: str, trials: Mapping[str, int]) -> str:
    """A sentence where a sampler's random first trials are all that an arm has; "" elsewhere. trials: of each arm."""
    arguments = sampler_arguments(sampler)
    first = int(arguments.get("n_startup_trials", arguments.get("population_size", 0)))
    arms = [arm for arm, count in trials.items() if count <= first]
    if not arms:
        return ""
    return (f"search: random start only: the first {first} trials of {sampler} are drawn at random, and "
            f"{', '.join(arms)} {'have' if len(arms) > 1 else 'has'} no more than that (search.trials)")


def unequal(spent: Mapping[str, float]) -> str:
    """A sentence where arms spent too differently on their searches for these to be compared; "" elsewhere."""
    if len(spent) < 2:
        return ""
    most, least = max(spent, key=lambda arm: spent[arm]), min(spent, key=lambda arm: spent[arm])
    if spent[most] <= EQUAL * spent[least]:
        return ""
    ratio = f"{spent[most] / spent[least]:.2f} times what {least} did" if spent[least] else f"and {least} nothing"
    return f"search budgets are not equal: {most} spent {ratio}; compare what was confirmed, not what was searched"
