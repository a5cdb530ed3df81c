"""`--diff`: where the effective settings of two studies differ."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from study.launch import main
from study.show.difference import effective, show_difference
from study.spec import StudySpec, loads
from study.spec.problems import SpecError

ONE = """
study: one
data: digits
arms: {kl: {method: kl, score_scale: 4}, hot: {method: amortized, flow: kl}}
train: {temperature: 0.25}
design: {step_size: [0.1, 0.2], kl: {mcmc_steps: [5, 10]}}
"""
PRESET = """
study: preset
data: {name: faces, size: 32}
arms: {coopnets: {method: amortized, flow: kl, step_size: 0.125, temperature: 2.56e-4, score_scale: 2.56e-4}}
search: {trials: 4, space: {lr_f: {log: [1.0e-4, 1.0e-2]}, width: {choice: [8, 16]}}}
"""


def spec(text: str) -> StudySpec:
    return loads(text, "x.yaml")


def shown(one: str, other: str) -> str:
    console = Console(file=io.StringIO(), width=160)
    show_difference(spec(one), spec(other), "other.yaml", console)
    return console.file.getvalue()


def test_every_value_that_a_study_gives_a_knob_is_told_and_what_codes_are_compared_by() -> None:
    one = spec(ONE)
    kl, hot = (effective(one, arm) for arm in one.arms.values())
    assert kl["step_size"] == "0.1, 0.2" and kl["mcmc_steps"] == "5, 10" and hot["mcmc_steps"] == "5"
    assert kl["noise a pixel"] == "0.05, 0.1" and kl["2a / s^2"] == "16" and kl["data"] == "digits 8"
    preset = spec(PRESET)
    found = effective(preset, preset.arms["coopnets"])
    assert found["lr_f"] == "0.0001 to 0.01 (log)" and found["width"] == "8 | 16" and found["grad_clip"] == "null"
    assert found["noise a pixel"] == "0.002" and found["2a / s^2"] == "1"
    changing = spec(ONE.replace("train: {", "train: {step_size_end: 0.05, temperature_end: 0.01, "))
    assert effective(changing, changing.arms["kl"])["noise a pixel"] == "0.05 to 0.005, 0.1 to 0.005"
    assert effective(changing, changing.arms["hot"])["2a / s^2"] == "4 to 100"
    free = spec("study: s\ndata: digits\nmethod: [kl]\nsearch: {trials: 4, space: {step_size: {low: 0.05, high: 0.5}}}")
    assert "2a / s^2" not in effective(free, free.arms["kl"])
    both = spec(ONE + "search: {trials: 4, space: {step_size: {low: 0.05, high: 0.5}}}\n")
    assert effective(both, both.arms["kl"])["step_size"] == "0.1, 0.2; searched 0.05 to 0.5"


def test_a_budget_stands_in_place_of_the_updates_that_it_pays_for() -> None:
    budget, updates = (ONE.replace("train: {", f"train: {{{length}, ") for length in ("budget: 1.0e+6", "updates: 300"))
    mine, its = (effective(one, one.arms["kl"]) for one in (spec(budget), spec(updates)))
    assert mine["budget"] == "1e+06" and "updates" not in mine and its["updates"] == "300" and "budget" not in its
    other = budget.replace("1.0e+6", "1.001e+6")  # as many updates at some steps
    assert "budget" in shown(budget, other) and "as kl of other.yaml" not in shown(budget, other)
    assert "as kl of other.yaml" in shown(budget, budget)


def test_arms_meet_by_name_or_all_meet_the_only_one() -> None:
    text = shown(ONE, PRESET)
    assert "arm kl of one, and coopnets of preset" in text and "arm hot of one, and coopnets of preset" in text
    rows = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:4]]
            for line in text.splitlines() if line.count("│") == 4}
    assert rows["data"] == ["digits 8", "faces 32"] and rows["temperature"] == ["0.25", "0.000256"]
    assert rows["latent_dim"] == ["-", "16"] and "precision" not in rows  # the first table's: kl has no g
    assert shown(ONE, ONE).splitlines() == ["arm kl: as kl of other.yaml", "arm hot: as hot of other.yaml"]


def test_without_a_common_arm_it_is_refused() -> None:
    several = PRESET.replace("arms: {", "arms: {b: {method: kl}, ")
    with pytest.raises(SpecError, match="found the arms b, coopnets, expected one of kl, hot, or a single arm"):
        shown(ONE, several)


def test_the_command_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("one.yaml", ONE), ("preset.yaml", PRESET)):
        Path(name).write_text(text)
    assert main(["--space", "one.yaml", "--diff", "preset.yaml"]) == 0
    assert "arm kl of one, and coopnets of preset" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.yaml", "preset.yaml"]
    assert main(["--space", "one.yaml", "--diff", "nowhere.yaml"]) == 2
    assert "nowhere.yaml: no such file" in capsys.readouterr().err
