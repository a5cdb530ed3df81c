"""What MLflow's page lists first: the trials that claims rest on, the best first, the columns and charts that tell."""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

from study.schema.columns import CPU, KAPPA
from study.schema.plan import Plan
from study.schema.unit import BY_WEIGHT
from study.store.aggregates import COUNTS

TAG = "mlflow.sharedViewState."  # of an experiment: what MLflow's own button for sharing a view writes
MOST_KNOBS = 4  # more columns do not fit a laptop's screen


def shared_view(plan: Plan) -> dict[str, str]:
    """The view, as the experiment's tag."""
    measure = f"metrics.`{plan.primary}`"
    columns = [measure, *(f"metrics.`{count}`" for count in COUNTS), "tags.`arm`",
               *(f"params.`{knob}`" for knob in plan.factors[:MOST_KNOBS])]
    charts = "|".join(map(re.escape, (plan.primary, COUNTS[0], KAPPA, CPU)))
    return {TAG + _phase(plan): json.dumps({
        "searchFilter": f"tags.kind = 'trial' and tags.phase = '{_phase(plan)}'", "orderByKey": measure,
        "orderByAsc": plan.direction == "minimize", "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", *columns], "chartsSearchFilter": f"^({charts})$"})}


def query(plan: Plan) -> str:
    """The end of the page's address that opens the view. Beside a filter MLflow would ignore it; without workflowType
    it opens a page about agents."""
    return urlencode({"workflowType": "machine_learning", "viewStateShareKey": _phase(plan)})


def _phase(plan: Plan) -> str:
    return next(phase for phase in BY_WEIGHT if phase in plan.planned)
