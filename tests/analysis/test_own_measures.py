"""A measure from outside in a report: the plan says what it is, which way is better, and in what unit."""

from __future__ import annotations

from dataclasses import replace

from analysis.page.about import method
from analysis.panels.cell_tables import Best, shown
from analysis.read.pool import pooled
from analysis.read.study import Study
from study.schema.plan import IN_CODES, PlannedMeasure

FAR = PlannedMeasure(label="share of points far out", direction="maximize", unit="share")
SAID = "share of points far out in share, higher is better"


def with_own(study: Study) -> Study:
    finals = study.finals.assign(zz_16=1.0, a_cost_16=2.0)
    return replace(study, finals=finals, plan=study.plan.model_copy(update={"measures": {"zz_16": FAR}}))


def test_it_stands_behind_the_primary_one_with_its_label_and_direction(study: Study) -> None:
    own = with_own(study)
    assert own.measures[2:4] == ["zz_16", "a_cost_16"] and shown(own)[2] == "zz_16"
    assert own.described(own.measures) == {"zz_16": SAID} and own.described(["a_cost_16"]) == {}
    assert ("measure zz_16", [SAID]) in method(own, [])
    assert Best().caption(own, Best().frame(own)).endswith(f" zz_16: {SAID}.")
    assert "zz_16" not in Best().caption(study, Best().frame(study))


def test_the_page_says_how_released_codes_state_a_step(study: Study) -> None:
    said = dict(method(study, []))
    assert "a step, as codes state it" not in said  # a plan of an earlier release
    arms = {name: arm.model_copy(update={"in_codes": {"2a / s^2": "4"}}) for name, arm in study.plan.arms.items()}
    known = replace(study, plan=study.plan.model_copy(update={"arms": arms}))
    assert dict(method(known, []))["a step, as codes state it"] == [f"{', '.join(arms)}: 2a / s^2 4", IN_CODES]


def test_studies_in_one_report_keep_what_each_says(study: Study) -> None:
    assert pooled([study, replace(with_own(study), name="other")]).described(["zz_16"]) == {"zz_16": SAID}
