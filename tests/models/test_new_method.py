"""The contract, held against methods made here: a correct one passes all of it, a broken one fails where it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from models.knobs import knob
from models.methods.kl import KL, KLKnobs, kl_flow
from models.methods.method import Flow, FlowLoss
from models.testing import MethodContract


@dataclass(frozen=True, kw_only=True)
class CentredKnobs(KLKnobs):
    """KL's knobs and one more; no `flow`."""

    centring: float = knob(0.3, "weight of (E f(data))^2 in the loss of f", low=0)


def centred_flow(method: Any, *given: Any) -> FlowLoss:
    """E4 and a pull on f's level."""
    found = kl_flow(method, *given)
    level = method_level(given)
    return found._replace(loss=found.loss + method.hp.centring * level.square())


def method_level(given: tuple[Any, ...]) -> torch.Tensor:
    nets, _, x_data, _ = given
    level: torch.Tensor = nets.f(x_data).mean(1)
    return level


class Centred(KL):
    """Correct: a flow of its own, with a knob of its own."""

    Knobs = CentredKnobs

    def choose_flow(self) -> Flow:
        return centred_flow


class Idle(KL):
    """Has the knob, and does nothing with it."""

    Knobs = CentredKnobs


@dataclass(frozen=True, kw_only=True)
class CostlyKnobs(CentredKnobs):
    def per_particle(self) -> int:
        return super().per_particle() + (self.centring > 0.5)


class Costly(Centred):
    """Does not say that its knob costs."""

    Knobs = CostlyKnobs


@dataclass(frozen=True, kw_only=True)
class HeedlessKnobs(CentredKnobs):
    def __post_init__(self) -> None:
        """Takes the place of what makes a budget updates."""


class Heedless(Centred):
    """Trains as long as ever, whatever its budget."""

    Knobs = HeedlessKnobs


class Global(Centred):
    """Draws from the global generator."""

    def choose_flow(self) -> Flow:
        def flow(*given: Any) -> FlowLoss:
            found = centred_flow(*given)
            return found._replace(loss=found.loss * (1 + 0.1 * torch.rand(())))
        return flow


class Mixing(Centred):
    """Lets replicates see each other."""

    def choose_flow(self) -> Flow:
        def flow(*given: Any) -> FlowLoss:
            found = centred_flow(*given)
            return found._replace(loss=found.loss + method_level(given[1:]).mean().square())
        return flow


class Swapped(KL):
    """Descends E4 the wrong way, and says that it is E4."""

    Knobs = CentredKnobs

    def energy_loss(self, *given: Any) -> FlowLoss:
        found = super().energy_loss(*given)
        return found._replace(loss=-found.loss)


def checks(method: type) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every test of the contract, of a method from outside."""
    contract = type("Contract", (MethodContract,), {"method": f"{__name__}:{method.__name__}"})()
    for title in vars(MethodContract):
        if title.startswith("test_"):
            yield title, getattr(contract, title)


def test_a_correct_method_with_a_knob_of_its_own_and_no_flow_passes() -> None:
    found = list(checks(Centred))
    assert len(found) >= 10
    for _, check in found:
        check()


@pytest.mark.parametrize(("method", "title"), [
    (Idle, "test_every_knob_changes_the_result"), (Global, "test_the_global_generators_do_not_matter"),
    (Mixing, "test_fused_replicates_of_an_mlp_equal_solo_bit_for_bit"),
    (Swapped, "test_a_small_step_of_f_lowers_the_loss_it_descends"),
    (Heedless, "test_a_budget_is_the_updates_that_it_pays_for"),
    (Costly, "test_a_knob_moves_the_balance_or_the_cost_only_where_it_says_that_it_enters")])
def test_a_broken_method_fails(method: type, title: str) -> None:
    [check] = [check for of, check in checks(method) if of == title]
    with pytest.raises(AssertionError):
        check()
