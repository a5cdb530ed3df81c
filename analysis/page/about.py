"""What the report says about itself: counts, and how it was measured."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.page.provenance import Provenance, noted, own_commit
from analysis.read.study import Study
from analysis.read.trials import VALID
from analysis.stats.budget import GRADIENTS, budget
from analysis.stats.cells import best_cells, grid, ran
from analysis.text.findings import missing
from analysis.text.findings.finding import at
from analysis.text.formatting import bounded, count, listed, number, plus_minus, share
from study.schema.plan import Limit

EQUAL = 1.25  # largest / smallest of what arms spent, up to which their searches are called equal
NAMED = 4  # arms whose counts stand at the top; of more the lowest and the highest
FAILED_NAMED = 12  # trials that are named; beyond these they are counted


def facts(study: Study) -> list[tuple[str, str]]:
    """The numbers at the top, as (text, what it is) pairs: replicates, diverged at the largest step, the best cell."""
    lost = int(study.finals["diverged"].sum())
    found = [(f"{len(study.finals):,}", f"replicates trained; {lost:,} of them diverged")]
    cells, best = ran(study), best_cells(study)
    if len(cells):
        step = cells["step_size"].max()
        sums = cells[cells["step_size"] == step].groupby("arm", sort=False)[["diverged", "replicates"]].sum()
        each = [(arm, share(int(row["diverged"]), int(row["replicates"]))) for arm, row in sums.iterrows()]
        if len(each) > NAMED:
            order = (sums["diverged"] / sums["replicates"]).to_numpy().argsort(kind="stable")
            each = [each[order[0]], each[order[-1]]]
        found.append((", ".join(f"{arm} {of}" for arm, of in each),
                      f"diverged at the largest step size, {step:g}" + (f" (ends of {len(sums)} arms)" if len(sums) >
                                                                      NAMED else "")))
    if len(best):
        cell = best.sort_values(["rate", "mean"], ascending=[True, study.lower_is_better], kind="stable").iloc[0]
        floor = study.plan.floors.get(study.primary)
        found.append((number(cell["mean"]), f"{study.primary} of {cell['arm']} at {at(cell)}, the best design cell "
                      "(picked on these seeds)" + (f"; floor {plus_minus(floor.mean, floor.sd)}" if floor else "")))
    return found


def method(study: Study, origins: Sequence[Provenance]) -> list[tuple[str, list[str]]]:
    """How it was measured, as (name, lines) pairs. origins: of the studies that `study` is made of."""
    plan = study.plan
    data, spread, extractor = plan.data, plan.spread, plan.extractor
    sizes = ", ".join(f"{k} {v:,}" for k, v in data.n.items())
    cells = grid(study)
    rows = [
        ("data", f"{data.name} of {'x'.join(map(str, data.shape))}, {sizes}; content {data.content_hash[:12]}"),
        ("design cells", f"{int((cells['state'] == 'complete').sum())} of {len(cells)}" if len(cells) else ""),
        ("primary measure", f"{study.primary}, {'lower' if study.lower_is_better else 'higher'} is better"),
        *((f"measure {name}", text) for name, text in study.described(study.measures).items()),
        ("extractor", f"{extractor.name}, accuracy {number(extractor.accuracy)}" if extractor else ""),
        (
            "local spread of the data",
            f"smallest direction {number(spread.s_min)} (se {number(spread.se_min, 2)}), "
            f"median {number(spread.s_med)} (se {number(spread.se_med, 2)})",
        ),
        *(
            ("predicted limit of " + arm, "; ".join(map(_limit, entry.limits)) or "the law says nothing")
            for arm, entry in plan.arms.items()
        ),
        (
            "counted",
            f"trials marked complete with status {' or '.join(VALID)}; pruned trials are censored and enter no rate",
        ),
        (
            "intervals",
            "95 %; Student t across surviving replicates; Wilson for rates; paired differences by sign flips",
        ),
        ("particle gradients spent", _spent(study)),
    ]
    rows.append(("budgets of the search", search_budgets(budget(study))))
    one = len(origins) == 1
    notes = [(name if one else f"{of.study.name}: {name}", text) for of in origins for name, text in noted(of)]
    written = ("report written by commit", own_commit())
    lines = [(name, [text]) for name, text in [*rows, *notes, written] if text]
    if codes := plan.in_codes():
        lines.append(("a step, as codes state it", codes))
    lost = [*missing(study), *_failed(study)] or ["nothing"]
    return [*lines, ("trials", _trials(study)), ("missing and failed", lost)]


def _spent(study: Study) -> str:
    """Of all replicates, the pruned too where their trials say it; `at least` where some do not."""
    frame = budget(study)
    if "particle_gradients" not in study.finals or frame.empty:
        return ""
    lacks = int(frame[f"{GRADIENTS}_lacks"].sum())
    least = f"at least; {count(lacks, 'pruned or lost trial')} without a record" if lacks else ""
    return f"{frame[GRADIENTS].sum():,.0f}" + (f" ({least})" if least else "")


def search_budgets(frame: pd.DataFrame) -> str:
    """Whether what arms spent on their searches can be called equal; "" where no two searched. frame: `budget`'s."""
    of = frame[frame["phase"] == "search"] if len(frame) else frame
    if len(of) < 2 or not of[GRADIENTS].max():
        return ""
    most, least = (of.loc[getattr(of[GRADIENTS], end)()] for end in ("idxmax", "idxmin"))
    spent = [float(row[GRADIENTS]) for row in (most, least)]
    ratio = f"{spent[0] / spent[1]:.2f} times what {least['arm']} did" if spent[1] else f"and {least['arm']} nothing"
    known = ", so far as MLflow knows" if of[f"{GRADIENTS}_lacks"].any() else ""
    verdict = (f"equal (up to {EQUAL} times)" if spent[0] <= EQUAL * spent[1] else
               "not equal: compare what was confirmed, not what was searched")
    return f"{most['arm']} spent {ratio} in particle gradients{known}; {verdict}"


def _trials(study: Study) -> list[str]:
    """`design: 20 finished, 4 diverged`, one line per phase."""
    trials = study.trials.assign(status=study.trials["status"].replace("", "unfinished"))
    return [f"{phase}: " + ", ".join(f"{n} {status}" for status, n in of["status"].value_counts().sort_index().items())
            for phase, of in trials.groupby("phase")]


def _failed(study: Study) -> list[str]:
    """The trials that ended in no result, named."""
    bad = study.trials[~study.trials["status"].isin([*VALID, "pruned", ""])]
    if bad.empty:
        return []
    named = [f"{t['arm']} at step size {number(t['step_size'])}, {t['mcmc_steps']:g} MCMC steps ({t['phase']}: "
             f"{t['status'].replace('_', ' ')})" for t in bad.to_dict("records")]
    return [f"Failed: {listed(named, FAILED_NAMED)}."]


def _limit(limit: Limit) -> str:
    """`0.033 [0.032, 0.034] smallest, 0.36 [0.34, 0.37] median direction (jko_weight=0.1)`."""

    smallest, median = ("none" if ends[0] is None else bounded(*ends) for ends in (
        (limit.delta_min, limit.delta_min_low, limit.delta_min_high),
        (limit.delta_med, limit.delta_med_low, limit.delta_med_high)))
    knobs = ", ".join(f"{k}={v}" for k, v in limit.knobs.items())
    return (f"{smallest} smallest, {median} median direction" if (smallest, median) != ("none",) * 2 else
            "no finite limit") + (
        f" ({knobs})" if knobs else "")
