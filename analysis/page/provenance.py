"""Where a study's numbers come from, in words, and the commands that make them again."""

from __future__ import annotations

import functools
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.read.address import without_password
from analysis.read.store import Store
from analysis.read.study import Study
from analysis.text.formatting import count, listed, number
from study.schema.bound import bounds_text
from study.schema.plan import Plan

DIFF_SHOWN = 60_000  # characters of a diff on the page; the launch's run holds all of it
PACKAGES = ("torch", "ray", "optuna", "mlflow", "numpy", "scipy", "scikit-learn")
SAMPLERS = {"tpe": "tree-structured Parzen estimator (TPE)", "random": "random search", "gp": "Gaussian process",
            "nsga2": "NSGA-II"}


@dataclass(frozen=True)
class Provenance:
    """One study as launched. tags: of its newest launch with a plan. diff: its changes over the commit."""

    study: Study
    tags: dict[str, str]
    started: int  # milliseconds
    diff: str

    @property
    def is_dirty(self) -> bool:
        """Whether it was launched from files that no commit holds."""
        return self.study.launch["dirty"].lower() == "true"


def provenance(study: Study, store: Store, cache: Path) -> Provenance:
    """What the launch's run holds beside what `study` was read from."""
    run = store.client.get_run(study.launch["run_id"])
    return Provenance(study, dict(run.data.tags), int(run.info.start_time or 0), store.text(run, "git.diff", cache))


def noted(of: Provenance) -> list[tuple[str, str]]:
    """Version, commit, packages, hardware and search of one study, as (name, text) pairs; "" where nothing is known."""
    launch, packages = of.study.launch, of.study.packages
    begun = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(of.started / 1000))
    dirty = ", with changes that are not committed (below)" if of.is_dirty else ""
    gpus = of.tags.get("gpus", "")
    hardware = [of.tags.get("cpu", ""), "no GPU" if gpus == "none" else gpus,
                f"host {of.tags['host']}" if of.tags.get("host") else ""]
    return [
        ("study version, commit", f"{launch['version']}, {launch['commit'][:12] or 'unknown'}{dirty}"),
        ("launched", begun if launch["launches"] == "1" else f"{begun}, the last of {launch['launches']} launches"),
        ("packages", ", ".join([*([f"Python {of.tags['python']}"] if of.tags.get("python") else []),
                                *(f"{p} {packages[p]}" for p in PACKAGES if p in packages)])),
        ("hardware of the launch", "; ".join(filter(None, hardware))),
        ("search", _search(of.study.plan)),
    ]


def _search(plan: Plan) -> str:
    """The sampler, its arguments and what it saw, in words; "" without a search."""
    search = plan.search
    if not search:
        return ""
    given = [f"{k} {v}" for k, v in search.arguments.items()]
    worst = {arm: ", ".join("its own value" if v is None else number(v) for v in values)
             for arm, values in search.diverged_value.items()}
    differ = len(set(worst.values())) > 1
    said = [f"{arm}: {value}" for arm, value in worst.items()] if differ else [*worst.values()][:1]
    prune = (search.prune or "none").replace("_", " ")
    sizes = plan.planned.get("search")
    return "; ".join(filter(None, [
        SAMPLERS.get(search.sampler, search.sampler) + (f" with {', '.join(given)}" if given else ""),
        f"{count(sizes.configurations, 'trial')} of {count(sizes.replicates, 'replicate')}" if sizes else "",
        f"objective: {listed(search.objectives)}", f"pruning: {prune}",
        f"constraint: {bounds_text(search.constraints)}, on each replicate" if search.constraints else "",
        f"a diverged replicate counts as {listed(said)}" if said else ""]))


@functools.lru_cache(maxsize=1)
def own_commit() -> str:
    """The commit of the code that writes the report, "" where it is not a git checkout: words change between commits,
    though a store does not."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # else git would answer for a directory above it
        return ""
    try:
        said = [subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20,
                               check=True).stdout.strip()
                for words in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "analysis", "models"])]
    except (OSError, subprocess.SubprocessError):
        return ""
    return said[0] + (", with changes that are not committed" if said[1] else "")


def documents(of: Provenance) -> list[tuple[str, str]]:
    """What the page holds folded, as (title, text) pairs: the file, the resolved spec, the changes over the commit."""
    space = of.study.plan.space
    out = [(f"The file {space.file}", space.text)] if space else []
    if of.study.spec:
        out.append(("The specification with every default filled in", of.study.spec))
    if of.diff.strip():
        cut = f", the first {DIFF_SHOWN:,} of {len(of.diff):,} characters" if len(of.diff) > DIFF_SHOWN else ""
        out.append((f"Changes over the commit (git.diff of the launch's run{cut})", of.diff[:DIFF_SHOWN]))
    return out


def commands(origins: Sequence[Provenance], given: Sequence[str] = ()) -> list[str]:
    """Commands that make the studies and their report again. given: what the report's command had beside names."""
    out, uri = [], _value(given, "--tracking-uri")
    for of in origins:
        if of.study.launch["commit"] not in ("", "unknown"):
            out.append(f"git checkout {shlex.quote(of.study.launch['commit'])}"
                       + ("   # and the changes below" if of.is_dirty else ""))
        space = of.study.plan.space
        words = ["--space", space.file if space else "SPEC.yaml",
                 *(word for text in (space.overrides if space else []) for word in ("--set", text)), *uri]
        out.append(f"python -m study.launch {_line(words)}   # the file below")
    names = [word for of in origins for word in ("--study", of.study.name)]
    return [*out, f"python analysis/report.py {_line([*names, *given])}"]


def _value(given: Sequence[str], option: str) -> list[str]:
    """The option and its value where it was given, else nothing."""
    return [word for i, word in enumerate(given) if option in (word, given[i - 1] if i else "")]


def _line(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(without_password(word)) for word in words)
