"""The report in MLflow: the page and its tables at the study's last launch, a summary on the experiment's page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.page.markup import markdown_prose
from analysis.read.store import Store
from analysis.read.study import Study
from analysis.text.findings import Finding, answer, findings
from analysis.text.formatting import count
from study.schema.tags import MOST_NOTE, NOTE

FOLDER = "report"
LOGGED = "mlflow.loggedArtifacts"  # the tag by which MLflow's pages know what is a table
MOST_BYTES = 2_000_000  # of a table: larger ones are on the page and beside it
MOST_FINDINGS = 8


def publish(study: Study, store: Store, out: Path) -> str:
    """Puts there what `write` wrote in `out`, in the place of an earlier report. Returns the launch's name."""
    run = store.client.get_run(str(study.launch["run_id"]))
    store.put(run, f"{FOLDER}/index.html", (out / "index.html").read_bytes())
    tables = [file for file in sorted((out / "tables").glob("*.csv")) if file.stat().st_size <= MOST_BYTES]
    for file in tables:
        store.put(run, f"{FOLDER}/{file.stem}.json", _table(file))
    listed = [{"path": f"{FOLDER}/{file.stem}.json", "type": "table"} for file in tables]
    store.client.set_tag(run.info.run_id, LOGGED, json.dumps(listed))
    store.client.set_experiment_tag(run.info.experiment_id, NOTE,
                                    card(study, findings(study), run.info.run_id)[:MOST_NOTE])
    return str(run.info.run_name)


def _table(file: Path) -> bytes:
    """As `mlflow.log_table` writes one, which would append to an earlier report's."""
    try:
        frame = pd.read_csv(file)
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    return frame.to_json(orient="split", index=False).encode()


def card(study: Study, said: Sequence[Finding], run_id: str) -> str:
    """Question, answer, the first findings, and where the page lies, in Markdown."""
    first = [finding for finding in said if finding.about != "progress"][:MOST_FINDINGS]
    return "\n".join([
        f"**{markdown_prose(study.plan.question)}**", "", markdown_prose(answer(study)), "",
        *(f"- {markdown_prose(finding.text)}" for finding in first), "",
        f"{count(len(study.finals), 'replicate')} of {count(len(study.trials), 'trial')}. The whole page and its "
        f"tables are artifacts of launch `{run_id}`, in `{FOLDER}/`."])
