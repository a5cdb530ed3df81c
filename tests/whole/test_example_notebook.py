"""docs/examples/study.ipynb runs from its first cell to its last, and is kept without outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analysis import synthetic_study as toy

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own use of SQLAlchemy

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "examples" / "study.ipynb"


def test_it_is_kept_without_outputs():
    import json

    code = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert code and all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Jupyter's own packages
def test_it_shows_a_study_in_two_figures(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    uri = toy.shared(tmp_path_factory)
    for name, value in {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::FutureWarning",
                        "IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_CONFIG_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    done = NotebookClient(nbformat.read(NOTEBOOK, 4), timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2
    said = "".join(output.get("text", "") for output in shown)
    assert "Does the Wasserstein term" in said and "toy: 142 replicates of 29 trials" in said
    [rates] = [output["data"]["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert "kl_smooth" in rates and (tmp_path / ".report_cache").is_dir()
