"""A row of the matrix as a study: its YAML tree, with every knob's words and every form of a value somewhere."""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from models.measures.naming import long_name
from models.measures.table import own_measure
from study.spec import StudySpec, loads
from study.spec.knobs import METHODS
from study.spec.model import KEEP
from study.spec.objectives import measures
from study.spec.yaml_text import as_yaml
from tests.models.images import archive, cifar_batches, cifar_files, encoded, noise, parquet
from tests.whole.promises.rows import FEW, Row

Tree = dict[str, Any]
HELD = {"search": 130, "confirm": 130}  # images: the Frechet distance of 64 features needs 128
SAMPLES, FEWER = 128, 20
OWN = "promised:spread"  # a measure
STARTUP = 3  # trials before a sampler chooses, for ten; tests/study/test_search.py has those, and NSGA-II's generations
COMMON = {"batch_size": 16, "width": 1, "mcmc_steps": 2}
UPDATES = {None: 5, "successive_halving": 9}  # rungs 1 and 3, of both of which a row reports at 3, and 9
BUDGET = 1000.0  # particle gradients: some updates of any row
WORDS: dict[str, list[Tree]] = {  # of a method: what its knobs may say, one after the other
    "kl": [{"chain": "persistent", "particles": 128, "refresh": 0.1, "negatives_drift": 1, "data_noise": 0.1,
            "micro_batch": 5},
           {"chain": "noise", "drift_clip": 0.5, "sigma": 0.9, "decay": "cosine", "clamp": True,
            "move_clip": 0.2, "flip": True, "anneal": True, "init": "normal"},
           {"chain": "data", "spectral_norm": True, "network": "mlp"}],
    "jko": [{"penalty_on": "synthesis", "penalty_of": "U", "jko_weight": 0.25, "particles": 128, "grad_clip": 5.0,
             "init": "xavier", "ema": 4.0, "last_step": "noise-free", "flip": True},
            {"penalty_on": "data", "penalty_of": "f", "beta": 0.01, "chain": "data", "lr_f": 0.001,
             "step_size_end": 0.05, "temperature_end": 0.1},
            {"penalty_on": "both", "chain": "noise", "energy_l2": 0.01, "adam_beta1": 0.0, "decay": "step",
             "warmup": 3},
            {"penalty_on": "interpolates", "particles": 128, "temperature": 0.5, "score_scale": 2.0}],
    "hidden": [{"flow": "jko", "upsampler_loss": "potential", "penalty_on": "synthesis", "penalty_of": "U",
                "particles": 128, "latent_dim": 3, "lr_g": 0.001, "last_step": "noise-free", "norm_g": "group",
                "gain_g": 2.0, "widths_g": "2-1", "anchor": 0.5, "posterior_steps": 2, "posterior_sd": 0.5},
               {"flow": "kl", "upsampler_loss": "regression", "chain": "noise", "adam_beta2": 0.99},
               {"flow": "jko", "chain": "persistent", "particles": 128, "penalty_of": "f", "beta": 0.01}],
    "amortized": [{"flow": "jko", "upsampler_loss": "regression", "penalty_on": "data", "penalty_of": "f",
                   "norm_g": "group", "network_g": "resnet", "width_g": 2, "gain_g": 1.5, "bank": 32, "steps_g": 2,
                   "ema": 4.0},
                  {"flow": "kl", "upsampler_loss": "potential", "sigma": 0.9, "micro_batch": 5},
                  {"penalty_on": "both", "penalty_of": "U", "beta": 0.01, "redraw": True},
                  {"penalty_on": "interpolates", "jko_weight": 0.25}, {"penalty_on": "synthesis"}],
    "ggcn": [{"flow": "jko", "chain": "persistent", "particles": 128, "upsampler_loss": "regression",
              "latent_steps": 2, "latent_step_size": 0.2, "anchor": 1.0, "posterior_steps": 2,
              "posterior_step_size": 0.2, "pretrain": 3, "slow_g": 0.5, "adam_beta1_g": 0.0, "norm_g": "group"},
             {"flow": "kl", "chain": "noise", "upsampler_loss": "potential"},
             {"penalty_on": "data", "penalty_of": "f", "particles": 128}, {"penalty_on": "both", "particles": 128},
             {"penalty_on": "interpolates", "penalty_of": "U", "particles": 128},
             {"penalty_on": "synthesis", "particles": 128}]}

NETWORKS: list[Tree] = [{"network": "convnet", "widths": "2-1", "outputs": 3},  # of images
                        {"network": "resnet", "blocks": 2, "down": "strided"}, {"network": "resnet", "widths": "1-2-1"}]


def study_of(row: Row, number: int, folder: Path) -> Tree:
    """The spec of a row of `matrix`, which is measured in training only where it has a report or prunes.

    number: its place in the matrix, on which what is no factor depends; folder: of `data_in`.
    """
    name = row["data"]
    samples = FEWER if name in FEW else SAMPLES
    methods = row["methods"].split()
    tree: Tree = {
        "study": f"promise-{number}", "question": f"Does row {number} hold?", "seed": number,
        "data": data_of(name, number, folder), "baseline": methods[0],
        **({"method": methods} if number % 2 else {"arms": {name: {"method": name} for name in methods}}),
        "train": COMMON | _length(row, number) | {"precision": row["precision"]} | {
            method: _words(method, row) for method in methods} | (
                NETWORKS[number % len(NETWORKS)] if row["place"] != "plane" and "kl" not in methods else {}),
        "evaluation": {"points": 3 if row.get("prune") else 2 if row["reported"] else 1, "samples": samples,
                       "long_run": 2, "split": row["split"], "ais_steps": row["ais_steps"]},
        "resources": {"cpu": row["cpu"], "gpu": row["gpu"]}, "keep": KEEP[number % len(KEEP)]}
    if row["measures"]:
        tree["evaluation"]["measures"] = OWN
    if row["features"]:
        tree["evaluation"]["features"] = features_in(folder)
    if "design" in row["phases"]:
        tree |= _design(row)
    if "search" in row["phases"]:
        tree["search"] = _search(row, number, name, samples)
    if "confirm" in row["phases"]:
        tree["confirm"] = {"top": 1, "replicates": 2, "exchange": number % 2 if "search" in row["phases"] else 0}
    return tree | ({"import": "promised"} if "promised:" in str(tree) else {})


def _length(row: Row, number: int) -> Tree:
    """Of training: in some rows by its cost."""
    return {"budget": BUDGET} if number % 4 == 0 and not row.get("prune") else {"updates": UPDATES[row.get("prune")]}


def _words(method: str, row: Row) -> Tree:
    """Those of this row, less what points in the plane have no use for."""
    given = WORDS[method][row["nth"][method] % len(WORDS[method])]
    none = METHODS[method].shape_conflicts(given, (2,)) if row["place"] == "plane" else []
    return {knob: value for knob, value in given.items() if knob not in dict(none)}


def spec_of(tree: Tree, folder: Path) -> StudySpec:
    """The study, as read from a file beside the data's folder, where `promised` lies, too."""
    return loads(as_yaml(tree), str(folder.parent / "spec.yaml"))


def _design(row: Row) -> Tree:
    levels: dict[str, Tree] = {
        "list": {"step_size": [0.1, 0.2]}, "zip": {"zip": {"step_size": [0.1, 0.2], "mcmc_steps": [2, 1]}},
        "zips": {"zip": [{"step_size": [0.1, 0.2], "mcmc_steps": [2, 1]},
                         {"temperature": [1.0, 0.5], "data_noise": [0.0, 0.1]}]}}
    steps = 2 if row["levels"] == "list" else 1
    return {"design": {"replicates": 2, **levels[row["levels"]]},
            **({"compare_at": {"step_size": 0.2, "mcmc_steps": steps}} if row["compare_at"] else {})}


def _search(row: Row, number: int, name: str, samples: int) -> Tree:
    """With a knob that makes some trials diverge. In the plane a sampler comes to choose."""
    known = measures(name, samples)
    own = [own_measure(OWN)] if row["measures"] else []
    first, long = known[0], known[1]
    way = {"primary": "minimize", **{word: m.direction for m in known for word in (m.name, m.family)},
           **{m.family: m.direction for m in own}}
    assert long.name == long_name(first.name)
    at_end = [m for m in known if m.at_end_only and not (m.needs_density and "hidden" in row["methods"])]
    most = [*(m.name for m in at_end), "particle_gradients", "wall_seconds", first.family]
    forms = {"primary": [["primary"]], "several": [most[:3], most[3:6]],
             "at end": [*([m.family] for m in own), *([m.name] for m in reversed(at_end))]}
    words = forms[row["objective"]][row["nth"]["objective"] % len(forms[row["objective"]])]
    diverged = {"reference": "reference", "number": [0.5] * len(words), "each": [0.5, *["reference"] * len(words[1:])]}
    given = diverged[row["diverged_value"]]
    start = STARTUP if row["sampler"] in ("tpe", "gp") and row["place"] == "plane" else 0
    return {
        "replicates": 2, "trials": start + (3 if row["prune"] else 2), "sampler": row["sampler"], "equal": row["equal"],
        "objective": words[0] if len(words) == 1 else words, "prune": row["prune"],
        "diverged_value": given[0] if len(words) == 1 and isinstance(given, list) else given,
        **({"constraints": {"kappa": 0.5, **({first.family: 0.1} if row["constraints"] == "two" else {})}}
           if row["constraints"] else {}),
        **({"direction": [way[word] for word in words]} if number % 3 else {}),
        "space": {"step_size": {"log": [0.05, 0.3]}, "mcmc_steps": {"int": [1, 2]}, **_length(row, number),
                  "lr_f": {"low": 0.001, "high": 0.003}, "score_scale": {"choice": [1.0, 1e12]},
                  "energy_l2": {"float": [0.0, 0.1]}}}


def data_of(name: str, number: int, folder: Path) -> Any:
    """As the spec has it: built-in sets by their name or with a size, images on disk by their kind."""
    more = {"size": 8, "channels": 3, "splits": HELD, "range": [-1, 1] if number % 2 else [0, 1], "refuse_broken": 0.1}
    disk = {"folder": {"folder": str(folder / "images"), **more, "channels": 1},
            "classes": {"classes": str(folder / "images"), **more},
            "parquet": {"parquet": str(folder / "*.parquet"), "column": "image", **more},
            "cifar10": {"cifar10": str(folder / "cifar.tar.gz"), **more}}
    sizes = {"digits": 8, "mnist": 14, "faces": 25, "patches": 8}
    return disk.get(name) or ({"name": name, "size": sizes[name]} if name in sizes else name)


def data_in(folder: Path) -> None:
    """Images on disk, one of them broken, and an extractor of one's own; beside the folder code from outside."""
    shutil.copy(Path(__file__).with_name("promised.py"), folder.parent)
    any_study = {"study": "any", "import": "promised", "data": "moons", "method": "kl", "design": {"step_size": 0.1}}
    spec_of(any_study, folder)  # from now on it is found in this process

    images = [encoded(noise(seed, 8, 8, 3)) for seed in range(400)]
    for k, image in enumerate(images):
        file = folder / f"images/class {k % 3}/{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image if k else image[:50])
    parquet(folder / "one.parquet", images)
    few = cifar_batches(20) | {"test_batch": cifar_batches(310)["test_batch"]}  # of which the held-out splits come
    archive(folder / "cifar.tar.gz", cifar_files(few, binary=False))

    shutil.copy(extractor(), folder / "means.pt2")


class Means(torch.nn.Module):
    """Features of one's own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)


def extractor() -> Path:
    """A file of it, which costs torch's export seconds: made once on this machine."""
    version = hashlib.sha256(f"{torch.__version__} {inspect.getsource(Means)}".encode()).hexdigest()[:12]
    kept = Path(tempfile.gettempdir()) / f"ebm-study-tests-{os.getuid()}-means-{version}.pt2"
    if not kept.exists():
        whole, free = kept.with_suffix(f".{os.getpid()}.pt2"), ({0: torch.export.Dim("n")},)
        torch.export.save(torch.export.export(Means().eval(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=free), whole)
        whole.replace(kept)  # other processes may do the same
    return kept


def features_in(folder: Path) -> Tree:
    file = folder / "means.pt2"
    return {"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size": 8, "channels": 3,
            "mean": 0.5, "sd": [0.5, 0.5, 0.5]}
