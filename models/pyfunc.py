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
        """(n, *shape) float32. n: a whole number, or what has just one, as a served model gets. Raises ValueError."""
        given = params or {}
        steps, seed = (_whole(name, given.get(name) or 0) for name in ("steps", "seed"))
        [samples] = self.trained.sample(_whole("n", n), steps or None, seed)
        return cast("np.ndarray", samples)


def _whole(name: str, given: Any) -> int:
    import numpy as np

    numbers = np.asarray(given).reshape(-1)
    if numbers.size != 1 or numbers.dtype.kind not in "iuf" or not float(numbers[0]).is_integer():
        raise ValueError(f"{name}: found {' '.join(repr(given).split())[:100]}, expected a whole number")
    return int(numbers[0])


def write(folder: Path, payload: bytes, seed: int) -> None:
    """What `_load_pyfunc` reads: a kept state, and which of its replicates."""
    folder.mkdir()
    (folder / STATE).write_bytes(payload)
    (folder / REPLICATE).write_text(json.dumps({"seed": seed}))


def _load_pyfunc(path: str) -> Sampler:
    """What MLflow calls with the path of the folder."""
    from models.training.kept import load

    return Sampler(load(Path(path) / STATE, [json.loads((Path(path) / REPLICATE).read_text())["seed"]]))
