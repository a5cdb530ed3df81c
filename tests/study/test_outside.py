"""Data sets, measures and samplers from outside: what each has to state, and the sentence where it does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from models.data.data import Data
from models.data.datasets import DataSet, DatasetInfo
from models.data.densities import Density, density
from models.data.disk.options import DataError
from models.data.load import load
from models.measures.sample_metrics import SampleMetrics
from models.measures.table import Measure, MeasureError, own_measure
from models.methods.kl import KL, KLKnobs
from models.methods.method import FlowLoss
from models.networks.layers import Fuse
from models.networks.mlp import MLPScore
from models.stability.law import Balance
from study.launch import main as launch
from study.plan.identity import config_hash, study_version
from study.plan.make import make_plan
from study.plan.own_parts import own_part_problem
from study.plan.samplers import make_sampler, sampler_arguments
from study.plan.space import design_configurations
from study.spec import StudySpec, loads
from study.spec.imports import Imported
from study.spec.objectives import measures
from tests.study.test_bad_input import problems

ME = __name__
HEAD = "study: s\nmethod: kl\ntrain: {particles: 64}\ndesign: {step_size: [0.1]}\n"
PLANE = f"{HEAD}data: {ME}:Square\n"
SEARCH = "search: {trials: 2, objective: far, space: {step_size: {float: [0.1, 0.2]}}}\n"


class Square(DataSet):
    """Points of the plane, of which no density is stated."""

    info = DatasetInfo("a square", 300, 100, 100)
    extent = (-2.0, 2.0)

    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(-1, 1, (n, *shape))


KEPT = np.arange(200, dtype=np.float32).reshape(100, 2)


class Kept(Square):
    info = DatasetInfo("one array", 100, 100, 100)

    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return KEPT


class Known(Square):
    info = replace(Square.info, density=True)

    def density(self) -> Density:
        return density("rings")


class Labelled(DataSet):
    info = DatasetInfo("two kinds of noise", 60, 20, 20, 1, (8, 16), labels=True)

    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.normal(self.labels(split, n)[:, None, None, None], 0.1, (n, *shape))

    def labels(self, split: str, n: int) -> np.ndarray:
        return np.arange(n) % 2


class Short(Square):
    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.zeros((n - 1, 2))


class Broken(Square):
    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.full((n, 2), np.nan)


class Huge(Square):
    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.normal(scale=1e30, size=(n, 2))


class Few(Square):
    info = replace(Square.info, train=3)


class Raises(Square):
    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        raise OSError("no disk")


class Same(Square):
    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.zeros((n, 2)) if split == "search" else rng.normal(size=(n, 2))


@dataclass(frozen=True, kw_only=True)
class LawlessKnobs(KLKnobs):
    def balance(self) -> Balance:
        raise ZeroDivisionError("no law")


class Lawless(KL):
    Knobs = LawlessKnobs


@dataclass(frozen=True, kw_only=True)
class NotingKnobs(KLKnobs):
    """It keeps what it has worked out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "half", self.step_size / 2)


class Noting(KL):
    Knobs = NotingKnobs


class Unlabelled(Labelled):
    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.normal(size=(n, *shape))

    def labels(self, split: str, n: int) -> np.ndarray:
        return np.zeros(n - 1)


class Rowless(DataSet):
    info = Square.info


class Classless(Square):
    info = replace(Square.info, labels=True)


class Dense(Square):
    info = replace(Square.info, density=True)


class Infoless(Square):
    info = "a square"  # type: ignore[assignment]


# Methods; their seam is in test_bad_input.py and test_imports_launch.py.

def test_what_a_method_keeps_beside_its_knobs_is_no_knob() -> None:
    (arm,) = loads(HEAD.replace("kl", f"'{ME}:Noting'") + "data: rings\n").arms.values()
    assert arm.hparams({}).half == 0.05  # type: ignore[attr-defined]
    assert arm.full({}).keys() == {f.name for f in fields(KLKnobs)} - {"budget"}


# Data sets.

def test_rows_are_the_same_every_time_and_make_the_content(tmp_path: Path) -> None:
    data = load(f"{ME}:Square")
    assert (data.shape, len(data.train), len(data.search), data.density, data.extent) == ((2,), 300, 100, None, (-2, 2))
    assert not np.array_equal(data.search, data.confirm), "each split has a generator of its own"
    assert data.content_hash == load({"name": f"{ME}:Square", "size": None}).content_hash
    assert data.content_hash != load(f"{ME}:Known").content_hash
    images = load(f"{ME}:Labelled", 16)
    assert images.shape == (1, 16, 16) and images.labels is not None and images.labels.tolist() == [0, 1] * 30
    with pytest.raises(ValueError, match="read-only"):
        data.train[0] = 0  # type: ignore[index]
    assert load(f"{ME}:Kept").train is not KEPT and KEPT.flags.writeable, "the lab's own array is left alone"


@pytest.mark.parametrize(("name", "said"), [
    ("Short", "found the shape (299, 2) of the train rows of {name}, expected (300, 2) of values near 1"),
    ("Broken", "found values beyond 1e+06, or NaN, of the train rows of {name}, expected (300, 2) of values near 1"),
    ("Huge", "found values beyond 1e+06, or NaN, of the train rows of {name}, expected (300, 2) of values near 1"),
    ("Few", "found train = 3 of {name}, expected at least 44 rows to train on, and 6 for search and confirm each"),
    ("Raises", "found '{name}', expected a data set: OSError: no disk"),
    ("Unlabelled", "found the shape (59,) of the train labels of {name}, expected (60,), none below 0")])
def test_what_are_no_rows_is_one_sentence(name: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        load(f"{ME}:{name}")
    assert caught.value.message == said.format(name=f"{ME}:{name}") and caught.value.key == ("name",)


@pytest.mark.parametrize(("data", "line"), [
    (f"{ME}:Rowless", f"data: found '{ME}:Rowless', expected a data set: it lacks rows"),
    *((f"{ME}:{name}", f"data: found '{ME}:{name}', expected a data set: its info says {part}, and it lacks that "
                       "method") for name, part in (("Classless", "labels"), ("Dense", "density"))),
    (f"{ME}:Infoless", f"data: found '{ME}:Infoless', expected a data set: its info is no "
                       "models.data.datasets.DatasetInfo"),
    (f"{ME}:Squares", f"data: found '{ME}:Squares', expected a data set: {ME} has no Squares; did you mean Square?"),
    (f"{ME}:HEAD", f"data: found '{ME}:HEAD', expected a data set: it is no subclass of models.data.datasets.DataSet"),
    ("my lab:Square", "data: found 'my lab:Square', expected package.module:Name"),
    (f"{{name: '{ME}:Labelled', size: 9}}", "data.size: found 9, expected one of 8, 16"),
    (f"{{name: '{ME}:Square', size: 8}}", "data.size: found 8, expected no size: these data are points in the plane")])
def test_what_is_no_data_set_is_one_line(data: str, line: str) -> None:
    assert problems(f"{HEAD}data: {data}\n") == [f"s.yaml:5: {line}"]


def test_the_objectives_are_those_that_the_data_have() -> None:
    square, known = ({m.family for m in measures(f"{ME}:{name}", 64)} for name in ("Square", "Known"))
    assert known - square == {"modes", "near_mode", "kl_grid"} and known == {m.family for m in measures("rings", 64)}
    assert loads(f"{HEAD}data: {{name: '{ME}:Labelled', size: 16}}\n").primary == "kid_clf64_20"
    assert loads(PLANE).primary == "energy_distance_64"


# Measures.

far = Measure(family="far", label="share of points beyond 1", function=lambda x, y: (abs(x) > 1).any(1).mean(),
              places=("plane",), spaces=("pixels",), direction="maximize", unit="share", objective=True)
plain = replace(far, family="plain", label="", direction=None, objective=False, unit="")
with_density = replace(far, family="likely", function=lambda x, law: law.log_prob(x).mean(), needs=("data's density",))
rows = replace(far, family="rows", function=lambda x, y: len(y))
few_rows = replace(rows, family="few_rows", reference=1)
hardly = replace(far, family="hardly", most=8)
of_images = replace(far, family="grey", places=("images",))
hungry = replace(far, family="hungry", least=65)
raises = replace(far, family="raises", function=lambda x, y: x.sum(5))
nowhere = replace(far, family="nowhere", function=lambda x, y: np.nan)
of_data_alone = replace(far, family="lacking", function=lambda x, y: np.nan if abs(x).max() > 2 else 0.5)
like_ours = replace(far, family="modes_of_mine")
twin = replace(far, label="another")
undirected = replace(far, direction=None)
spaceless = replace(far, spaces=())
british = replace(far, direction="maximise")  # type: ignore[arg-type]
misplaced = replace(far, spaces=("pixel",))
judged = replace(far, spaces=("judge",))
of_model = replace(far, needs=("model's density",))
early = replace(far, in_training=True)
shouting = replace(far, family="FAR")
mute = replace(far, function="kid")


def spec(more: str) -> StudySpec:
    return loads(PLANE + more)


def planned(one: StudySpec, tmp_path: Path) -> Any:
    return make_plan(one, load(one.data), 1, tmp_path)


@pytest.mark.parametrize(("given", "line"), [
    ("far", "measures: found 'far', expected package.module:name: built-in ones are taken anyway"),
    ("3", "measures: found 3, expected package.module:name: built-in ones are taken anyway"),
    (f"{ME}:fra", f"measures: found '{ME}:fra', expected a measure: {ME} has no fra; did you mean far?"),
    (f"{ME}:Square", f"measures: found '{ME}:Square', expected a measure: it is no object of "
                     "models.measures.table.Measure"),
    (f"[{ME}:far, {ME}:twin]", f"measures[1]: found '{ME}:twin', expected another family than far, which {ME}:far has"),
    (f"{ME}:of_images", f"measures: found '{ME}:of_images', expected a measure of plane, what {ME}:Square is: it "
                        "states places images"),
    (f"{ME}:with_density", f"measures: found '{ME}:with_density', which needs the data's density: that of {ME}:Square "
                           "is not known"),
    (f"{ME}:hungry", f"measures: found '{ME}:hungry', which needs evaluation.samples >= 65, found 64"),
    (f"{ME}:like_ours", f"measures: found '{ME}:like_ours', expected a measure: its family is 'modes_of_mine', which "
                        "reads like the built-in modes"),
    (f"{ME}:undirected", f"measures: found '{ME}:undirected', expected a measure: it is an objective and states no "
                         "direction"),
    (f"{ME}:spaceless", f"measures: found '{ME}:spaceless', expected a measure: it states no spaces, such as "
                        "('pixels',)"),
    (f"{ME}:british", f"measures: found '{ME}:british', expected a measure: its direction is 'maximise', expected "
                      "minimize or maximize"),
    (f"{ME}:misplaced", f"measures: found '{ME}:misplaced', expected a measure: it states the space 'pixel', expected "
                        "one of pixels, judge, second"),
    (f"{ME}:judged", f"measures: found '{ME}:judged', expected a measure: it states the place plane, where there is no "
                     "space but pixels"),
    (f"{ME}:of_model", f"measures: found '{ME}:of_model', expected a measure: it needs the model's density, which only "
                       "built-in ones are given"),
    (f"{ME}:early", f"measures: found '{ME}:early', expected a measure: it states in_training, which only built-in "
                    "ones have"),
    (f"{ME}:shouting", f"measures: found '{ME}:shouting', expected a measure: its family is 'FAR', expected small "
                       "letters, digits and _"),
    (f"{ME}:mute", f"measures: found '{ME}:mute', expected a measure: its function cannot be called")])
def test_what_cannot_be_measured_is_one_line(given: str, line: str) -> None:
    assert problems(f"{PLANE}evaluation: {{measures: {given}}}\n") == [f"s.yaml:6: evaluation.{line}"]


def test_a_measure_is_taken_has_a_floor_and_is_in_the_plan_with_its_label_and_direction(tmp_path: Path) -> None:
    plan = planned(spec(f"evaluation: {{measures: ['{ME}:far', '{ME}:plain']}}\n{SEARCH}"), tmp_path)
    assert {name: m.model_dump() for name, m in plan.measures.items()} == {
        "far_64": {"label": "share of points beyond 1", "direction": "maximize", "unit": "share"},
        "plain_64": {"label": "plain", "direction": None, "unit": ""}}
    assert plan.floors["far_64"].mean == 0 and plan.search.objectives == ["far_64"]
    assert plan.search.directions == ["maximize"] and plan.signs == {"far_64": -1}
    [[reference]] = plan.search.diverged_value.values()
    assert 0.3 < reference < 0.7  # of normal points: 1 - .683^2
    points = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    data: Data = load(f"{ME}:Square")
    metrics = SampleMetrics(data, 4, measures=[own_measure(f"{ME}:far")])
    assert metrics.all(points)["far_4"] == 0.5 and list(metrics.named(far)) == ["far_4"]


def test_the_data_s_density_is_given_in_the_place_of_the_data() -> None:
    data = load(f"{ME}:Known")
    found = SampleMetrics(data, 8, measures=[with_density]).all(data.search[:8])
    assert found["likely_8"] == density("rings").log_prob(data.search[:8]).mean()


@pytest.mark.parametrize("order", [(rows, few_rows), (few_rows, rows)])
def test_measures_of_one_function_each_have_their_own_reference(order: tuple[Measure, ...]) -> None:
    found = SampleMetrics(load(f"{ME}:Square"), 4, measures=order).all(np.zeros((4, 2)))
    assert (found["rows_4"], found["few_rows_4"]) == (100, 4)


@pytest.mark.parametrize(("name", "said"), [
    ("raises", "measure raises: AxisError: axis 5 is out of bounds"),
    ("nowhere", "measure nowhere_64: found nan of real data against real data, expected a number"),
    ("hardly", "measure hardly_64: found none of 64 samples, expected one: it is an objective of the search"),
    ("of_data_alone", "measure lacking_64: found nan of the reference's samples, expected a number: it stands for a "
                      "diverged replicate (search.diverged_value)")])
def test_a_measure_that_fails_is_one_sentence_before_anything_is_trained(name: str, said: str, tmp_path: Path) -> None:
    family = {"of_data_alone": "lacking"}.get(name, name)
    one = spec(f"evaluation: {{measures: {ME}:{name}}}\n{SEARCH.replace('far', family)}")
    with pytest.raises(MeasureError) as caught:
        planned(one, tmp_path)
    assert str(caught.value).startswith(said)


def test_no_pruner_looks_at_a_measure_of_the_end() -> None:
    pruned = SEARCH.replace("trials: 2", "trials: 2, prune: successive_halving")
    assert problems(f"{PLANE}evaluation: {{measures: {ME}:far}}\n{pruned}") == [
        "s.yaml:7: search.prune: found successive_halving with far_64, which has no value before the end of training; "
        "take prune: null"]


def test_the_code_of_a_data_set_is_a_part_of_the_identity() -> None:
    """Its rows alone do not say its extent and its density."""
    def hashes(text: str) -> set[str]:
        one = loads(text)
        return {config_hash(design_configurations(replace(one, imports={"mylab": Imported("mylab.py", checksum)}))[0],
                            "abc") for checksum in ("one", "two")}

    assert len(hashes(PLANE)) == 2 and len(hashes(f"{HEAD}data: rings\n")) == 1


def test_what_is_measured_is_a_part_of_the_identity() -> None:
    plain_, other = spec(""), spec(f"evaluation: {{measures: {ME}:far}}\n")
    assert study_version(plain_.resolved(), "abc") != study_version(other.resolved(), "abc")
    one, two = (config_hash(design_configurations(s)[0], "abc") for s in (plain_, other))
    assert one != two


# Samplers.

class Mine(optuna.samplers.RandomSampler):
    """Made with a seed alone."""


class Needy(optuna.samplers.RandomSampler):
    def __init__(self, width: int, seed: int | None = None) -> None:
        super().__init__(seed)


class Abstract(optuna.samplers.BaseSampler):
    pass


def test_a_sampler_is_made_with_a_seed() -> None:
    text = SEARCH.replace("objective: far", f"sampler: {ME}:Mine")
    found = spec(text)
    assert found.search is not None and found.search.sampler == f"{ME}:Mine"
    assert isinstance(make_sampler(found.search.sampler, 3), Mine) and sampler_arguments(found.search.sampler) == {}


@pytest.mark.parametrize(("name", "said"), [
    (f"{ME}:Minne", f"found '{ME}:Minne', expected a sampler: {ME} has no Minne; did you mean Mine?"),
    (f"{ME}:Square", f"found '{ME}:Square', expected a sampler: it is no subclass of optuna.samplers.BaseSampler"),
    (f"{ME}:Needy", f"found '{ME}:Needy', expected a sampler: it cannot be made with a seed alone (TypeError: "
                    "Needy.__init__() missing 1 required positional argument: 'width')"),
    (f"{ME}:Abstract", f"found '{ME}:Abstract', expected a sampler: it lacks infer_relative_search_space, "
                       "sample_independent, sample_relative"),
    ("tpee", "unknown sampler 'tpee'; did you mean tpe?")])
def test_what_is_no_sampler_is_one_line(name: str, said: str) -> None:
    assert problems(PLANE + SEARCH.replace("objective: far", f"sampler: '{name}'")) == [
        f"s.yaml:6: search.sampler: {said}"]


# What only the plan shows, as the command says it.

@pytest.mark.parametrize(("text", "line"), [
    (f"{HEAD}data: {ME}:Raises\n", f"s.yaml:5: data.name: found '{ME}:Raises', expected a data set: OSError: no disk"),
    (f"{HEAD}data:\n  name: {ME}:Short\n", f"s.yaml:6: data.name: found the shape (299, 2) of the train rows of "
                                           f"{ME}:Short, expected (300, 2) of values near 1"),
    (f"{HEAD}data: {ME}:Same\n",
     "s.yaml:5: data: found 100 search rows that are all the same, expected different ones"),
    (PLANE.replace("method: kl", f"method: {ME}:Lawless"),
     f"s.yaml:1: method {ME}:Lawless: its balance failed: ZeroDivisionError: no law"),
    (f"{PLANE}evaluation:\n  measures: [{ME}:raises]\n",
     "s.yaml:7: evaluation.measures: measure raises: AxisError: axis 5 is out of bounds for array of dimension 2")])
def test_the_command_ends_with_2_and_one_line(text: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(text)
    assert launch(["--space", "s.yaml", "--dry-run"]) == 2
    assert capsys.readouterr().err.splitlines() == [line]


class Wide(MLPScore):
    """One weight too many for any data."""

    @classmethod
    def make(cls, shape: Sequence[int], hp: Any, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
             fuse: Fuse) -> MLPScore:
        return cls([int(np.prod(shape)) + 1, 4, 1], generators, dtype, hp.spectral_norm, hp.score_scale)


class Mixing(MLPScore):
    """The second one by the largest of all replicates, without a slope there."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.cat([x[:1], x[1:] / (1 + x.detach().abs().amax((0, 1)))]))


class Shared(MLPScore):
    """With what replicates of other weights would say of the same points."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + super().forward(x[:1].expand_as(x)).mean(0, keepdim=True)


class Learning(MLPScore):
    """What a call leaves changes the next one."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


class Summed(KL):
    """One loss for all replicates."""

    def energy_loss(self, *given: Any) -> FlowLoss:
        flow = super().energy_loss(*given)
        return flow._replace(loss=flow.loss.sum())


@pytest.mark.parametrize(("network", "gpu", "said"), [
    (None, 0, None), ("mlp", "auto", None), (f"{ME}:Wide", 1, None),
    (f"{ME}:Wide", "auto", f"arm kl: {ME}:Wide cannot train: RuntimeError: Expected size"),
    (f"{ME}:Mixing", "auto", f"arm kl: {ME}:Mixing cannot train: ValueError: a replicate's scores depend on another "
                             "replicate's points"),
    (f"{ME}:Shared", "auto", f"arm kl: {ME}:Shared cannot train: ValueError: a replicate's scores depend on another "
                             "replicate's weights"),
    (f"{ME}:Learning", "auto", None)])
def test_a_part_from_outside_is_tried_before_the_first_trial(network: str | None, gpu: Any, said: str | None) -> None:
    text = f"{HEAD}data: moons\nresources: {{gpu: {gpu}}}\n".replace(
        "particles: 64", f"particles: 64, network: {json.dumps(network)}")
    found = own_part_problem(loads(text, "s.yaml"), load("moons"))
    assert found is None if said is None else found and found.startswith(said)


def test_a_loss_that_is_not_one_for_each_replicate_is_named() -> None:
    text = f"{HEAD}data: moons\n".replace("method: kl", f"method: {ME}:Summed")
    found = own_part_problem(loads(text, "s.yaml"), load("moons"))
    assert found == (f"arm Summed: {ME}:Summed cannot train: ValueError: loss: found the shape (), expected (2,), a "
                     "number for each of 2 replicates")


def test_a_launch_refuses_what_cannot_train(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(f"{HEAD}data: moons\n".replace("64}", f'64, network: "{ME}:Wide"}}'))
    assert launch(["--space", "s.yaml", "--dry-run"]) == 0
    assert f"cannot run here: arm kl: {ME}:Wide cannot train" in capsys.readouterr().out
    assert launch(["--space", "s.yaml"]) == 2
    assert f"s.yaml:1: arm kl: {ME}:Wide cannot train" in capsys.readouterr().err
