"""Extractors: what they learn from, that they are fixed, and that they touch nothing global."""

import dataclasses
import hashlib
import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression

from models.data.load import load
from models.measures import feature_file, feature_training, features


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture(scope="module")
def clf(digits):
    return features.for_data(digits)


@pytest.fixture(scope="module")
def few(digits):
    """Enough digits to train on where only the mechanics count."""
    return dataclasses.replace(digits, train=digits.train[:200], labels=digits.labels[:200])


def test_the_classifier_knows_digits_it_never_saw(digits, clf):
    """Nearest class mean in feature space, on the confirm split: not the code that computes `accuracy`."""
    assert (clf.name, clf.dim) == ("clf64", 64)
    assert clf.accuracy >= 0.95
    train, confirm = clf(digits.train), clf(digits.confirm)
    means = np.stack([train[digits.labels == label].mean(0) for label in range(10)])
    guess = ((confirm[:, None] - means) ** 2).sum(-1).argmin(1)
    assert np.mean(guess == digits.labels_confirm) > 0.93


def test_without_labels_features_learn_to_tell_classes_apart(digits):
    """Told a hundred labels, which they never saw, they know more digits than a random ConvNet's."""
    right = [LogisticRegression(max_iter=500).fit(net(digits.train[:100]), digits.labels[:100]).score(
        net(digits.confirm), digits.labels_confirm)
        for net in (features.contrastive(digits), features.random_convnet(digits.train))]
    assert right[0] > 0.88 and right[0] > right[1] + 0.05


def test_labels_and_held_out_splits_teach_nothing_where_there_are_none(few):
    blind = dataclasses.replace(few, labels=None, labels_search=None, search=-few.search, confirm=-few.confirm)
    first, again = features.contrastive(few), features.for_data(blind)
    assert again.name == first.name == "ssl64" and again.accuracy is None
    assert np.array_equal(again(few.search), first(few.search))
    assert not np.allclose(features.contrastive(few, seed=1)(few.search), first(few.search))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 16)])
def test_a_view_is_the_image_shifted_lit_and_blotted(shape):
    recipe = feature_training.Contrast(noise=0, light=0)
    x = torch.arange(1.0, 1 + math.prod(shape), dtype=torch.float64).reshape(1, *shape).repeat(1000, 1, 1, 1)
    seen = feature_training.view(x, torch.Generator().manual_seed(0), recipe)
    blot = (seen == 0).all(1)
    assert (blot.sum((1, 2)) == (shape[1] // 4) * (shape[2] // 4)).all() and blot.float().mean(0).min() > 0
    high, wide = (max(1, side // 8) for side in shape[1:])
    places = {(int(i), int(j)) for i in range(-high, high + 1) for j in range(-wide, wide + 1)}
    padded = torch.nn.functional.pad(x[:1], (wide, wide, high, high), mode="replicate")
    views = {at: padded[0, :, high + at[0]:high + at[0] + shape[1], wide + at[1]:wide + at[1] + shape[2]]
             for at in places}
    found = [{at for at, whole in views.items() if torch.equal(whole[:, ~spot], one[:, ~spot])}
             for one, spot in zip(seen, blot, strict=True)]
    assert all(len(at) == 1 for at in found) and set().union(*found) == places
    noisy = feature_training.view(x, torch.Generator().manual_seed(0), dataclasses.replace(recipe, noise=0.5))
    assert (noisy - seen)[~blot[:, None].expand_as(seen)].std() == pytest.approx(0.5, rel=0.05)
    lit = feature_training.view(torch.ones_like(x), torch.Generator().manual_seed(0),
                                dataclasses.replace(recipe, light=0.2)).amax((1, 2, 3))
    assert 0.6 <= lit.min() < 0.75 and 1.25 < lit.max() <= 1.4


def test_only_the_train_split_teaches(few):
    other = dataclasses.replace(few, search=-few.search, confirm=-few.confirm,
                                labels_search=(few.labels_search + 1) % 10)
    first, again = features.classifier(few), features.classifier(other)
    assert np.array_equal(again(few.train), first(few.train))
    assert again.accuracy != first.accuracy  # which is what the search split is for


def test_labels_teach_and_the_seed_counts(few):
    base = features.classifier(few)(few.search)
    wrong = dataclasses.replace(few, labels=(few.labels + 1) % 10)
    assert not np.allclose(features.classifier(wrong)(few.search), base)
    assert not np.allclose(features.classifier(few, seed=1)(few.search), base)


def test_no_global_generator_or_thread_number_is_touched_or_read(few):
    first, before = features.classifier(few), torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(99)
        numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
        torch.set_num_threads(2)
        try:
            again = features.classifier(few)
            features.random_convnet(few.train)
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)
        assert np.array_equal(np.random.get_state()[1], numpy_state)
        assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(again(few.search), first(few.search))


def test_the_cache_is_used_whole_and_named_by_what_made_it(tmp_path, few, monkeypatch):
    assert not features.is_kept(few, tmp_path / "new")
    made, cached = features.classifier(few), features.classifier(few, cache_dir=tmp_path / "new")
    (path,) = (tmp_path / "new").iterdir()
    assert features.is_kept(few, tmp_path / "new")
    assert not features.is_kept(dataclasses.replace(few, labels=None), tmp_path / "new")
    assert np.array_equal(cached(few.search), made(few.search)) and cached.accuracy == made.accuracy
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["about"])["data"] == few.content_hash

    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(features, "classify", never)
    assert np.array_equal(features.classifier(few, cache_dir=tmp_path / "new")(few.search), made(few.search))
    for data, seed in [(few, 1), (dataclasses.replace(few, content_hash="other"), 0)]:
        with pytest.raises(AssertionError, match="trained again"):
            features.classifier(data, seed, cache_dir=tmp_path / "new")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="delete it"):
        features.classifier(few, cache_dir=tmp_path / "new")


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 25, 25), (3, 32, 32), (2, 12, 20), (3, 64, 64)])
def test_a_random_convnet_takes_any_image(shape):
    train = np.random.default_rng(0).uniform(-1, 1, (70, *shape)).astype(np.float32)
    net = features.random_convnet(train)
    found = net(train)
    assert found.shape == (70, 64) and found.dtype == np.float64 and net.name == "rnd64" and net.accuracy is None
    assert found.mean(0) == pytest.approx(np.zeros(64), abs=1e-9)
    assert found.std(0, ddof=1) == pytest.approx(np.ones(64), abs=1e-9)
    assert np.linalg.matrix_rank(found) > 60
    assert net(train[:0]).shape == (0, 64)


def test_random_weights_depend_on_the_seed_and_each_image_on_itself_alone():
    train = load("faces").train
    net = features.random_convnet(train)
    assert np.array_equal(features.random_convnet(train)(train), net(train))
    assert not np.allclose(features.random_convnet(train, seed=1)(train), net(train))
    assert net(train[3:4]) == pytest.approx(net(train)[3:4], abs=1e-12)


def test_for_data_chooses_and_refuses(digits, clf):
    assert features.for_data(digits) is clf
    with pytest.raises(ValueError, match="without an extractor"):
        features.for_data(load("moons"))
    with pytest.raises(ValueError, match="faces has no labels"):
        features.classifier(load("faces"))
    with pytest.raises(ValueError, match=r"found images of shape \(1, 9, 8\), expected \(1, 8, 8\)"):
        clf(np.zeros((2, 1, 9, 8), np.float32))


class Pooled(torch.nn.Module):
    """Means of red, green and blue, then the first pixel and the last: what the network was shown, readable."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean((2, 3)), x[:, :1, 0, 0], x[:, :1, -1, -1]], 1)


class Two(Pooled):
    """As many networks of others give their features."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        return super().forward(x), x


class Logarithms(torch.nn.Module):
    """Not finite where an image is black."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.log().mean((2, 3))


def exported(folder, network, rows=True, name="My Net.pt2", size=6):
    path = folder / name
    free = ({0: torch.export.Dim("n")},) if rows else None
    torch.export.save(torch.export.export(network.eval(), (torch.zeros(2, 3, size, size),), dynamic_shapes=free), path)
    return feature_file.FeatureFile(path=str(path), size=size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("own"), Pooled())


def test_a_network_from_a_file_sees_images_as_its_file_says(own):
    colours = np.random.default_rng(0).uniform(-1, 1, (70, 3, 6, 6)).astype(np.float32)
    as_is = feature_file.from_file(own)
    assert (as_is.name, as_is.dim) == ("my-net", 5) and as_is(colours).dtype == np.float64
    assert as_is(colours)[:, :3] == pytest.approx(colours.mean((2, 3)), abs=1e-6)
    assert as_is(colours)[:, 3:] == pytest.approx(colours[:, 0, [0, -1], [0, -1]], abs=1e-6)
    assert as_is(colours[:0]).shape == (0, 5)
    weighed = dataclasses.replace(own, mean=(0.1, 0.2, 0.3), sd=(0.5, 1.0, 2.0))
    expected = ((colours + 1) / 2).mean((2, 3)) / [0.5, 1, 2] - np.array([0.1, 0.2, 0.3]) / [0.5, 1, 2]
    assert feature_file.from_file(weighed)(colours)[:, :3] == pytest.approx(expected, abs=1e-6)
    other_range = feature_file.from_file(own, extent=(0.0, 4.0))
    assert other_range(2 * (colours + 1)) == pytest.approx(as_is(colours), abs=1e-6)


def test_grey_images_are_repeated_and_sizes_changed(own):
    net = feature_file.from_file(own)
    grey = np.random.default_rng(0).uniform(-1, 1, (4, 1, 12, 12)).astype(np.float32)
    found = net(grey)
    assert np.array_equal(found[:, 0], found[:, 1]) and np.array_equal(found[:, 0], found[:, 2])
    assert found[:, 0] == pytest.approx(grey.mean((1, 2, 3)), abs=0.03)
    # Stripes that lie where a filter that is not antialiased would look: it would find white alone.
    stripes = np.tile(np.array([-1, 1, 1, -1], np.float32), (1, 1, 24, 6))
    assert net(stripes)[0, 0] == pytest.approx(0, abs=0.1)
    steps = np.linspace(-1, 1, 12, dtype=np.float32)
    assert net(np.tile(steps, (1, 1, 12, 1)))[0, 0] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"my-net: found images of shape \(2, 6, 6\), expected 1 or 3 channels"):
        net(np.zeros((1, 2, 6, 6), np.float32))


def test_a_file_that_is_not_what_was_meant_is_refused(own, tmp_path, caplog):
    with pytest.raises(ValueError, match=r"found sha256 .*, expected 00ff"):
        feature_file.from_file(dataclasses.replace(own, sha256="00ff"))
    with pytest.raises(OSError):
        feature_file.from_file(dataclasses.replace(own, path=str(tmp_path / "no.pt2")))
    with pytest.raises(ValueError, match="found 2 values of mean, expected 1 or 3"):
        feature_file.from_file(dataclasses.replace(own, mean=(0.0, 1.0)))
    junk = tmp_path / "junk.pt2"
    junk.write_bytes(b"not a network")
    state = tmp_path / "state.pt2"
    torch.save(Pooled().state_dict(), state)
    for file in (junk, state):  # of the second torch logs a traceback
        with pytest.raises(ValueError, match=r"not an archive of torch.export.save that torch 2.* file of torch.save"):
            feature_file.from_file(dataclasses.replace(own, path=str(file),
                                                       sha256=hashlib.sha256(file.read_bytes()).hexdigest()))
    assert not caplog.records
    for wrong, size in ((exported(tmp_path, Pooled(), rows=False, name="fixed.pt2"), 6),
                        (dataclasses.replace(own, channels=2), 6), (dataclasses.replace(own, size=5), 5)):
        with pytest.raises(ValueError, match=f"does not take both 1 and 2 images of . x {size} x .* say the size"):
            feature_file.from_file(wrong)
    with pytest.raises(ValueError, match=r"the network gives a tuple, expected one tensor \(n, d\)"):
        feature_file.from_file(exported(tmp_path, Two(), name="two.pt2"))
    with pytest.raises(ValueError, match=r"found features of shape \(2, 3, 6, 6\)"):
        feature_file.from_file(exported(tmp_path, torch.nn.ReLU(), name="flat.pt2"))
    with pytest.raises(ValueError, match=r"found features of shape \(2, 3\), finite: False"):
        feature_file.from_file(exported(tmp_path, Logarithms(), name="logs.pt2"))
    with pytest.raises(ValueError, match="found the name 'clf64', expected one other than clf64, ssl64"):
        feature_file.from_file(exported(tmp_path, Pooled(), name="clf64.pt2"))
