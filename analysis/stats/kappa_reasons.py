"""Replicates whose gauge ends above 2 though they have not diverged: what the records know of the reason."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from analysis.read.study import Study
from analysis.stats.limits import late_kappa
from study.schema.columns import KAPPA, UPDATE

BROKEN = 2.0  # of kappa: above it the sampler is unstable in some direction at some particle (E13)
CLIP, CLAMP, LATE, UNKNOWN = "clip", "clamp", "late", "unknown"
_KEY = ["config_hash", "seed"]
_SHARES = ["clip_fraction", "drift_ratio"]  # measures of the last quarter of evaluations, as means


def kappa_reasons(study: Study) -> pd.DataFrame:
    """`late_kappa`, and of survivors above 2: `reason`, why they have not diverged, so far as the records know.

    clip: `drift_clip` or `move_clip` (`bound`) cut some drifts in the last quarter of evaluations (`clip_fraction`).
    clamp: pixels are put back into their range after each step. late: the last evaluation alone saw it above 2, and
    training ended there. unknown: none of these. first_above, last: the updates of the first evaluation above 2 and of
    the last one.
    """
    frame = late_kappa(study)
    above = frame[(frame["kappa"] > BROKEN) & ~frame["diverged"].astype(bool)][_KEY]
    if above.empty:
        return frame.assign(first_above=np.nan, last=np.nan, bound="", **dict.fromkeys(_SHARES, np.nan), reason="")
    curves = study.curves.merge(above, on=_KEY).dropna(subset=[KAPPA]).reindex(
        columns=[*_KEY, UPDATE, KAPPA, *_SHARES])
    last = curves.groupby(_KEY)[UPDATE].max()
    late = curves[curves[UPDATE] >= 0.75 * curves.groupby(_KEY)[UPDATE].transform("max")].groupby(_KEY)[_SHARES].mean()
    first = curves[curves[KAPPA] > BROKEN].groupby(_KEY)[UPDATE].min()
    found = late.assign(first_above=first, last=last).reset_index()
    knobs = {t["config_hash"]: json.loads(t["settings"]) for t in
             study.trials[study.trials["config_hash"].isin(above["config_hash"])].to_dict("records")}
    of = [knobs[config_hash] for config_hash in found["config_hash"]]
    found["bound"] = [" and ".join(k for k in ("drift_clip", "move_clip") if own.get(k) is not None) for own in of]
    clamped = pd.Series([own.get("clamp") is True for own in of], found.index, dtype=bool)
    found["reason"] = np.select([(found["bound"] != "") & (found["clip_fraction"] > 0), clamped,
                               found["first_above"] == found["last"]], [CLIP, CLAMP, LATE], UNKNOWN)
    return frame.merge(found, "left", _KEY).fillna({"bound": "", "reason": ""})
