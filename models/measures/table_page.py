"""docs/metrics/table.md from the measures as declared:  python -m models.measures.table_page > docs/metrics/table.md"""

from __future__ import annotations

from models.measures.table import EVERYWHERE, MEASURES, Measure

HEAD = """\
# All measures

Made from `models/measures/table.py` by `python -m models.measures.table_page > docs/metrics/table.md`. The pages beside
this one have equations, estimators and limits. `<space>` is `clf64`, `ssl64`, `rnd64`, `pixels` or the stem of your own
extractor's file ([quality.md](quality.md#spaces)), `<n>` is `evaluation.samples`. *Least*: rows, of samples and of
held-out data, below which it is absent. A search may take what is an objective; `…_long` of the primary measure, too.

| name | what | of | better | unit | when | least | objective | alarm |
|---|---|---|---|---|---|---|---|---|
"""
BETTER = {"minimize": "smaller", "maximize": "larger", None: ""}


def page() -> str:
    """A row per family."""
    return HEAD + "".join(f"| {' | '.join(_cells(m))} |\n" for m in MEASURES)


def _cells(m: Measure) -> list[str]:
    spaced = bool(m.spaces) and m.spaces != ("pixels",)
    number = "<n>" if m.n == "samples" else "" if m.n is None else str(m.n)
    least = f"{m.per_feature:g} a feature" if m.per_feature else str(m.least) if m.by == "samples" else ""
    most = f", at most {m.most:,}" if m.most else ""
    return [f"`{'_'.join(filter(None, [m.family, '<space>' if spaced else '', number]))}`", m.label.replace("|", "\\|"),
            "all data" if m.places == EVERYWHERE else ", ".join(m.places), BETTER[m.direction], m.unit,
            "training" if m.in_training else "end", least + most, "yes" if m.objective else "", m.alarm]


if __name__ == "__main__":
    print(page(), end="")
