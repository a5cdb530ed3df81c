"""A kept network as MLflow loads it (`mlflow.pyfunc`): `predict(64)` gives 64 samples. Imports no MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import numpy as np

    from models.training.kept import Trained


STATE, REPLICATE = "state.safetensors", "replicate.json"


class Sampler:
    """One replicate. predict(n, params={"steps": 200, "seed": 1}) as of `Trained.sample`; steps 0: as training does.
    """

    def __init__(self, trained: Trained) -> None:
        self.trained = trained

    def predict(self, n: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """(n, *shape) float32."""
        given = params or {}
        samples = self.trained.sample(int(n), int(given.get("steps") or 0) or None, int(given.get("seed") or 0))
        return cast("np.ndarray", samples[0])


def write(folder: Path, payload: bytes, seed: int) -> None:
    """What `_load_pyfunc` reads: a kept state, and which of its replicates."""
    folder.mkdir()
    (folder / STATE).write_bytes(payload)
    (folder / REPLICATE).write_text(json.dumps({"seed": seed}))


def _load_pyfunc(path: str) -> Sampler:
    """What MLflow calls with the path of the folder."""
    from models.training.kept import load

    return Sampler(load(Path(path) / STATE, [json.loads((Path(path) / REPLICATE).read_text())["seed"]]))
