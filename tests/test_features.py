"""Extractors: what they learn from, that they are fixed, and that they touch nothing global."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from models import features
from models.data import load


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
    made, cached = features.classifier(few), features.classifier(few, cache_dir=tmp_path / "new")
    (path,) = (tmp_path / "new").iterdir()
    assert np.array_equal(cached(few.search), made(few.search)) and cached.accuracy == made.accuracy
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["about"])["data"] == few.content_hash

    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(features, "_trained", never)
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
    assert features.for_data(load("faces")).name == "rnd64"
    with pytest.raises(ValueError, match="without an extractor"):
        features.for_data(load("moons"))
    with pytest.raises(ValueError, match="faces has no labels"):
        features.classifier(load("faces"))
    with pytest.raises(ValueError, match=r"found images of shape \(1, 9, 8\), expected \(1, 8, 8\)"):
        clf(np.zeros((2, 1, 9, 8), np.float32))
