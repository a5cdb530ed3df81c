"""The confirm phase, with its tests against the baseline."""

from __future__ import annotations

import pandas as pd

from analysis.panels.cell_tables import BOLD, NOTE, SHOWN, Every, every_frame, every_words, shown
from analysis.panels.compared import compared_words
from analysis.panels.panel import Table
from analysis.read.study import CELL, Study
from analysis.stats.comparisons import confirm_comparisons, confirmed_cells, not_separable_from_best
from analysis.stats.objectives import searched
from analysis.text.formatting import DASH, count


class Confirmed(Every):
    """Every confirmed configuration; in bold what cannot be told from the best."""

    name, title, phase, late = "confirm_cells", "Confirmed on fresh seeds and held-out samples", "confirm", False

    def frame(self, study: Study) -> pd.DataFrame:
        cells = confirmed_cells(study)
        own = cells[cells["of"] == ""]
        strong, _ = not_separable_from_best(study, own, study.primary, study.lower_is_better, name="name")
        bold = own.loc[own["name"].isin(strong), "config_hash"].tolist()
        frame = every_frame(study, self.phase, shown(study)[:SHOWN], bold)
        of = dict(zip(cells["config_hash"], cells["of"], strict=True))
        return frame.assign(settings_of=frame["config_hash"].map(of)) if any(of.values()) else frame

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        tests = confirm_comparisons(study)
        second = [] if tests.empty else [Table("confirm_comparisons", compared_words(tests, study),
                                               tests.drop(columns="test"))]
        words = every_words(frame.assign(arm=_named(frame)), shown(study)[:SHOWN])
        return [Table(self.name, words, frame), *second, *_settings(study, frame)]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        tests = confirm_comparisons(study)
        if tests.empty:
            return NOTE
        m = int(tests["family"].iloc[0])
        return NOTE + (BOLD if frame["bold"].any() else "") + (
            " Second table: each against the baseline, as in the design; Holm over the "
            f"{count(m, 'comparison')} that the plan confirms.") + (
            " Last: the settings of each, of the knobs that the study varies." if study.plan.further else "")


def _named(frame: pd.DataFrame) -> pd.Series:
    """The arm, and whose settings it has where they are another's."""
    whose = frame["settings_of"] if "settings_of" in frame else pd.Series("", frame.index)
    return frame["arm"] + whose.map(lambda of: f" at {of}'s" if of else "")


def _settings(study: Study, frame: pd.DataFrame) -> list[Table]:
    """With what each confirmed configuration was trained, where that is more than step size and MCMC steps."""
    trials = study.trials.drop_duplicates("config_hash").set_index("config_hash").loc[frame["config_hash"]]
    found = searched(study, trials)
    if not set(found) - {*CELL}:
        return []
    found = pd.concat([_named(frame).set_axis(trials.index).rename("arm"), found], axis=1)
    words = found.map(lambda value: DASH if value is None or value != value else
                      f"{value:.4g}" if isinstance(value, float) else str(value))
    return [Table("confirm_settings", words.reset_index(drop=True), found.reset_index())]
