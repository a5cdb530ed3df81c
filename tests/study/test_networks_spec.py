"""The knobs that a network states of its own: checked like a method's, hashed, and only where the network is."""

from __future__ import annotations

from dataclasses import dataclass

import optuna
import pytest

from models.knobs import knob
from models.networks.mlp import MLPScore
from study.plan.cost import cost
from study.plan.identity import config_hash
from study.plan.space import design_configurations, suggest
from study.schema.unit import Configuration, Unit
from study.spec import loads
from study.spec.problems import SpecError
from tests.study.test_bad_input import problems

DEEP = "tests.models.test_networks:Deep"  # has the knob blocks
CENTRED = "tests.models.test_new_method:Centred"  # has the knob centring
HEAD = "study: s\ndata: rings\nmethod: [kl, jko]\n"
GRID = HEAD + "design: {step_size: [0.1]}\n"


@dataclass(frozen=True, kw_only=True)
class SigmaKnobs:
    sigma: float = knob(1.0, "what the methods have", above=0)


class Clashes(MLPScore):
    Knobs = SigmaKnobs


@dataclass
class OpenKnobs:
    depth: int


class Open(MLPScore):
    Knobs = OpenKnobs


def cells(text: str) -> list[Configuration]:
    return design_configurations(loads(text))


def test_they_stand_in_train_an_arm_or_a_phase_and_are_a_part_of_the_configuration() -> None:
    [kl, jko] = cells(GRID + f"train: {{network: '{DEEP}', blocks: 3}}\n")
    assert kl.knobs["blocks"] == jko.knobs["blocks"] == 3 and kl.knobs["network"] == DEEP
    found = cells(HEAD + f"design: {{step_size: [0.1], network: ['{DEEP}'], blocks: [1, 2]}}\n")
    assert sorted((c.arm, c.knobs["blocks"]) for c in found) == [("jko", 1), ("jko", 2), ("kl", 1), ("kl", 2)]
    found = cells(GRID.replace("method: [kl, jko]",
                               f"arms: {{kl: , deep: {{method: kl, network: '{DEEP}', blocks: 4}}}}"))
    assert {c.arm: c.knobs.get("blocks") for c in found} == {"kl": None, "deep": 4}
    found = cells(HEAD + f"design: {{step_size: [0.1], jko: {{network: '{DEEP}', blocks: [1, 2]}}}}\n")
    assert sorted((c.arm, c.knobs.get("blocks")) for c in found) == [("jko", 1), ("jko", 2), ("kl", None)]
    found = cells(HEAD + f"design: {{zip: {{step_size: [0.1, 0.2], blocks: [1, 2]}}}}\ntrain: {{network: '{DEEP}'}}\n")
    assert [c.knobs["blocks"] for c in found if c.arm == "kl" and c.knobs["step_size"] == 0.2] == [2]


def test_they_are_hashed_but_for_their_defaults() -> None:
    """So what was trained before a network had the knob is found again."""
    plain, default, other = (cells(GRID + f"train: {{network: '{DEEP}'{more}}}\n")[0]
                             for more in ("", ", blocks: 2", ", blocks: 3"))
    assert config_hash(plain, "abc") == config_hash(default, "abc") != config_hash(other, "abc")
    without = {name: value for name, value in plain.knobs.items() if name != "blocks"}
    assert config_hash(Configuration(**{**vars(plain), "knobs": without}), "abc") == config_hash(plain, "abc")
    assert cost(Unit(other, (0,), "")) == cost(Unit(plain, (0,), ""))


def test_those_of_a_built_in_network_too() -> None:
    images = GRID.replace("rings", "digits")
    [kl, _] = cells(images + "train: {network: resnet, blocks: 3, widths: 8-16, outputs: 10, down: strided}\n")
    assert [kl.knobs[knob] for knob in ("blocks", "widths", "outputs", "down")] == [3, "8-16", 10, "strided"]
    plain, default, other = (cells(images + f"train: {{network: convnet{more}}}\n")[0]
                             for more in ("", ", outputs: 1, widths: null", ", outputs: 2"))
    assert config_hash(plain, "abc") == config_hash(default, "abc") != config_hash(other, "abc")
    spec = loads(HEAD.replace("rings", "digits") + "train: {network: resnet}\nsearch: {space: {blocks: {int: [1, 4]}, "
                 "widths: {choice: [8-16, 1024-12-10]}}}\n")
    found = suggest(spec, "kl", optuna.trial.FixedTrial({"blocks": 4, "widths": "1024-12-10"})).knobs
    assert (found["blocks"], found["widths"]) == (4, "1024-12-10"), "a date is text"


@pytest.mark.parametrize(("text", "sentence"), [
    ("train: {network: convnet, widths: 8-8-8-8}", "5: train.widths: found 4 stages, expected at most 3: 8 pixels are "
                                                   "halved to 2 in them"),
    ("train: {kl: {network: resnet}, jko: {network: resnet, widths: 1-1-1-1}}",
     "5: train.jko.widths: found 4 stages, expected at most 3: 8 pixels are halved to 2 in them"),
    *((f"train: {{network: convnet, widths: {value}}}", f"5: train.widths: found {value}, expected text such as "
       '"64-128-256" or null') for value in ("64", "'64-'", "'8-0'", "'64, 128'", "8-100000-8")),
    ("train: {network: convnet, blocks: 2}",
     "5: train.blocks: unknown knob; blocks belongs under train, design or search.space, with network: resnet"),
    ("train: {outputs: 2}", "5: train.outputs: unknown knob; outputs belongs under train, design or search.space, with "
                            "network: convnet or resnet"),
    ("train: {num_res_blocks: 2}", "5: train.num_res_blocks: unknown knob; did you mean blocks, which belongs under "
                                   "train, design or search.space, with network: resnet?")])
def test_what_a_built_in_network_or_these_images_lack_is_one_line(text: str, sentence: str) -> None:
    line, = problems(GRID.replace("rings", "digits") + text + "\n")
    assert line.startswith(f"s.yaml:{sentence}".replace("found 8-100000-8", "found '8-100000-8'"))


def test_points_have_no_pixels() -> None:
    assert problems(GRID + "train: {network: resnet}\n") == [
        "s.yaml:5: train.network: found resnet, expected mlp: points in the plane have no pixels"]
    of_g = GRID.replace("[kl, jko]", "amortized")
    assert problems(of_g + "train: {network_g: resnet}\n") == [
        "s.yaml:5: train.network_g: has no effect in the plane: g is an MLP there"]
    assert problems(of_g + "train: {widths_g: 8-8}\n") == [
        "s.yaml:5: train.widths_g: has no effect in the plane: g has no stages there"]
    images = of_g.replace("rings", "digits")
    assert problems(images + "train: {widths_g: 8-8-8-8}\n") == [
        "s.yaml:5: train.widths_g: found 4 stages, expected at most 3: 8 pixels are halved to 2 in them"]
    assert problems(images + "train: {widths_g: 8-8, width_g: 4}\n") == [
        "s.yaml:5: train.width_g: has no effect with widths_g, which lists the channels of each stage"]


def test_a_search_frees_them() -> None:
    spec = loads(HEAD + f"train: {{network: '{DEEP}'}}\nsearch: {{space: {{blocks: {{int: [1, 4]}}}}}}\n")
    assert suggest(spec, "kl", optuna.trial.FixedTrial({"blocks": 4})).knobs["blocks"] == 4
    loads(HEAD + f"search: {{space: {{network: {{choice: [mlp, '{DEEP}']}}}}}}\n")


@pytest.mark.parametrize(("text", "sentence"), [
    (GRID + f"train: {{network: '{DEEP}', blocks: 0}}", "5: train.blocks: found 0, expected a whole number >= 1"),
    (GRID + f"train: {{network: '{DEEP}', block: 1}}", "5: train.block: unknown knob; did you mean blocks?"),
    (HEAD + f"train: {{network: '{DEEP}', blocks: 1}}\ndesign: {{network: [mlp, '{DEEP}']}}",
     "4: train.blocks: network mlp, which arm kl has in some configurations, has no knob blocks"),
    (HEAD + f"train: {{network: '{DEEP}', blocks: 1}}\nsearch: {{space: {{network: {{choice: [mlp, '{DEEP}']}}}}}}",
     "4: train.blocks: network mlp, which arm kl has in some configurations, has no knob blocks"),
    (HEAD + f"train: {{network: '{DEEP}', blocks: 1}}\ndesign: {{network: null}}",
     "4: train.blocks: network null, which arm kl has in some configurations, has no knob blocks"),
    (HEAD + f"train: {{jko: {{network: '{DEEP}'}}, blocks: 1}}\ndesign: {{step_size: [0.1]}}",
     "4: train.blocks: knob 'blocks' does not exist in method kl; it exists in jko with network "
     f"{DEEP}; move it into a branch, such as jko: {{blocks: ...}}"),
    (GRID + f"train: {{network: '{__name__}:Clashes'}}",
     f"5: train.network: found '{__name__}:Clashes', expected a network: its knob sigma is one of the method kl"),
    (GRID + f"train: {{network: '{__name__}:Open'}}",
     f"5: train.network: found '{__name__}:Open', expected a network: its Knobs is no keyword-only dataclass whose "
     "knobs all have a default"),
    (HEAD.replace("jko", f"'{CENTRED}'") + "design: {centring: [0.1]}",
     f"4: design.centring: knob 'centring' does not exist in method kl; it exists in {CENTRED}; move it into a branch, "
     "such as Centred: {centring: ...}")])
def test_what_does_not_go_together_is_one_line(text: str, sentence: str) -> None:
    assert problems(text + "\n") == [f"s.yaml:{sentence}"]


def test_a_network_that_is_nowhere_is_said_once_and_its_knobs_are_unknown() -> None:
    with pytest.raises(SpecError) as caught:
        loads(GRID + "train: {network: 'mylab.nets:Deep', blocks: 1}\n")
    assert ["No module named 'mylab'" in line for line in caught.value.problems] == [True, False]
