"""What the extractors' features see of images: docs/metrics/quality.md has the table.

`python -m benchmarks.features digits mnist` takes 3 minutes. 1-NN and linear: the share of the search split that the
nearest training image, and a logistic regression, name rightly. Halves, copies: KID's rise over its sd in 12 draws,
where samples are real images with another one's upper half, or a quarter of them are five images again and again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from models.data.data import Data
from models.data.load import load
from models.measures import features
from models.measures.quality import kid

DRAWS = 12


def halves(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image's upper half is another one's."""
    middle = images.shape[2] // 2
    return np.concatenate([rng.permutation(images)[:, :, :middle], images[:, :, middle:]], 2)


def copies(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A quarter of the images are one of the first five."""
    found = images.copy()
    found[rng.permutation(len(found))[:len(found) // 4]] = found[rng.integers(0, 5, len(found) // 4)]
    return found


def rise(extractor: features.Extractor, data: Data, spoil: Callable[[np.ndarray, np.random.Generator], np.ndarray],
         rng: np.random.Generator) -> float:
    """By how many sds of real against real KID rises where the samples are spoilt."""
    n, real, spoilt = min(256, len(data.search) // 2), [], []
    for _ in range(DRAWS):
        these, others = np.split(rng.permutation(data.search)[:2 * n], 2)
        held_out = extractor(others)
        real.append(kid(extractor(these), held_out))
        spoilt.append(kid(extractor(spoil(these, rng)), held_out))
    return float((np.mean(spoilt) - np.mean(real)) / np.std(real))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="+", help="data sets of images; without labels halves and copies alone are shown")
    print("| data | features | 1-NN | linear | halves | copies |\n|---|---|---|---|---|---|")
    for name in parser.parse_args().data:
        data = load(name)
        extractors = [features.random_convnet(data.train), features.contrastive(data)]
        if data.labels is not None:
            extractors.append(features.classifier(data))
        for extractor in extractors:
            train, search = extractor(data.train), extractor(data.search)
            right = [] if data.labels is None else [
                model.fit(train, data.labels).score(search, data.labels_search)
                for model in (KNeighborsClassifier(1), LogisticRegression(max_iter=500))]
            rng = np.random.default_rng(0)
            risen = [rise(extractor, data, spoil, rng) for spoil in (halves, copies)]
            numbers = [*([f"{share:.3f}" for share in right] or ["", ""]), *(f"{sds:.1f}" for sds in risen)]
            print("| " + " | ".join([name, f"`{extractor.name}`", *numbers]) + " |", flush=True)


if __name__ == "__main__":
    main()
