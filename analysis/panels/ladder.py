"""T2: the ablation from GCN by parts to the union."""

from __future__ import annotations

import pandas as pd

from analysis.panels.panel import Panel, Table
from analysis.read.study import Study
from analysis.stats.ablation import PARTS, ladder
from analysis.stats.inference import Interval
from analysis.text.formatting import DASH, interval, number, share
from analysis.text.outcomes import flagged

DEVICE_TIME = {"cpu_seconds": "CPU seconds", "gpu_seconds": "GPU seconds"}


class Ladder(Panel):
    """From GCN by parts to the union."""

    name, title = "ladder", "Ablation: from GCN to GGCN"

    def frame(self, study: Study) -> pd.DataFrame:
        return ladder(study)

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        return [Table(self.name, ladder_words(study, frame), frame)]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return ("Arms that differ only by parts of the union (no controls), each at its own best design cell (picked "
                "on these seeds, so optimistic); full minus: the one part that it lacks. Costs are a surviving "
                "replicate's, as quality is: one that diverged stopped early.")


def ladder_words(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """`ladder` for a reader."""
    out = pd.DataFrame({"arm": frame["arm"]})
    for part in PARTS:
        out[part] = frame[part].map({True: "yes", False: DASH})
    out["full minus"] = frame["full_minus"].replace("", DASH)
    out["cell"] = [f"{d:g}, {t:g} steps" for d, t in zip(frame["step_size"], frame["mcmc_steps"], strict=True)]
    out[study.primary] = [f"{interval(Interval.of(r))} (n = {r['n']}{flagged(r['poor'])})"
                          for r in frame.to_dict("records")]
    out["diverged"] = [share(int(r["diverged"]), int(r["replicates"])) for r in frame.to_dict("records")]
    for cost, name in (("particle_gradients", "particle gradients"), *DEVICE_TIME.items()):
        if cost in frame:
            out[name] = frame[cost].map(number)
    return out
