"""What a study's measures say of real training images, as they are and altered: whether they can tell samples apart.

`python -m benchmarks.altered '{name: patches, size: 8}'` prints a Markdown table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
import yaml

from models.data.load import load
from models.measures.sample_metrics import SampleMetrics

SAMPLES, DRAWS = 256, 20
MEASURES = ("kid_clf64", "kid_ssl64", "kid_rnd64", "fd_clf64", "fd_ssl64", "coverage_clf64", "coverage_ssl64")
Images = np.ndarray  # (n, channels, height, width)


def altered(extent: tuple[float, float], rng: np.random.Generator) -> dict[str, Callable[[Images], Images]]:
    """Name -> what is done to images in `extent`: nothing, noise of three sds, the mean of 2 x 2 pixels around each
    corner, and each image's mean colour alone."""
    def noisy(sd: float) -> Callable[[Images], Images]:
        return lambda x: np.clip(x + sd * rng.standard_normal(x.shape), *extent)

    return {"as they are": lambda x: x, **{f"noise of sd {sd}": noisy(sd) for sd in (0.1, 0.3, 0.5)},
            "blurred": lambda x: sum(np.roll(x, shift, (2, 3)) for shift in ((0, 0), (0, 1), (1, 0), (1, 1))) / 4,
            "flat": lambda x: np.broadcast_to(x.mean((2, 3), keepdims=True), x.shape)}


def table(data: object, split: str) -> str:
    """Means and sds over draws of `SAMPLES` training images against the split; the last row has real held-out images in
    their place (`SampleMetrics.floors`)."""
    images = load(data if isinstance(data, dict) else str(data))
    if len(images.shape) != 3:
        raise ValueError(f"found points {images.shape}, expected images")
    rng = np.random.default_rng(0)
    metrics = SampleMetrics(images, SAMPLES, split)
    names = [name for name in metrics.names() if name.rpartition("_")[0] in MEASURES]
    draws = [images.train[rng.choice(len(images.train), SAMPLES, replace=False)] for _ in range(DRAWS)]
    rows = {}
    for name, change in altered(images.extent, rng).items():
        found = pd.DataFrame([metrics.all(change(x).astype(np.float32), names) for x in draws])
        rows[name] = {measure: f"{found[measure].mean():.3f} ± {found[measure].std():.3f}" for measure in names}
    floors = metrics.floors(DRAWS, np.random.default_rng(0), names)
    rows["held-out images"] = {name: f"{floors[name].mean:.3f} ± {floors[name].sd:.3f}" for name in names}
    return pd.DataFrame(rows).T.rename_axis("training images").to_markdown()


def main() -> None:
    """Print the table."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.altered", description=__doc__.partition("\n")[0])
    made.add_argument("data", help="as a spec's `data`: mnist, or '{name: mnist, size: 14}'")
    made.add_argument("--split", choices=("search", "confirm"), default="confirm", help="compared with (%(default)s)")
    given = made.parse_args()
    try:
        print(table(yaml.safe_load(given.data), given.split))
    except (ValueError, yaml.YAMLError) as error:
        made.error(f"data: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
