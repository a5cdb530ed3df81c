"""Sample from a network that a study has trained.

    python -m study.sample --study jko -n 64 --out samples

Exit codes: 0 done, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # Python put the working directory first, whose models/ or random.py would come before ours
    sys.path[:not sys.flags.safe_path] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    from study.interrupt import silent

    silent()

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.arguments import sample_parser
from study.ending import DONE, ended
from study.schema.output import script

if TYPE_CHECKING:
    import argparse

    import numpy as np

    from models.training.kept import Trained
    from study.schema.plan import Plan
    from study.store.kept import Replicate

FEW = 64  # samples on a sheet


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = sample_parser().parse_args(argv)
    return ended(lambda: _sample(arguments))


def _sample(arguments: argparse.Namespace) -> int:
    from study.spec.imports import learn_again
    from study.store.kept import best_of, of_trial, read_plan, replicates
    from study.store.units import StorageError, Store

    if arguments.replicate is not None and arguments.trial is None:
        raise StorageError("--replicate: expected --trial beside it, whose seed it is")
    store = Store(arguments.storage, arguments.study, may_begin=False)
    plan = read_plan(store)
    found = replicates(store, plan, arguments.trial)
    one = (best_of(found, plan, arguments.arm) if arguments.trial is None
           else of_trial(found, arguments.trial, arguments.replicate, plan))
    payload = store.read_state(one.unit, one.manifest)
    if payload is None:
        gone = f"{_name(one, plan)}: its networks were not kept, or were removed"
        kept = store.kept()
        if arguments.trial is not None or not (there := [
                other for other in found if other.unit.key in kept and other.manifest.state is not None
                and arguments.arm in (None, other.unit.configuration.arm)]):
            raise StorageError(f"{gone}; expected `keep: final` in the study's file when it was trained (`best` keeps "
                               "those of each arm's best)")
        print(f"{gone}; the best of those that are kept is taken", file=sys.stderr)
        one = best_of(there, plan, arguments.arm)
        payload = store.read_state(one.unit, one.manifest)
        assert payload is not None, one.unit.key
    for note in learn_again(one.unit.configuration.imports, arguments.modules):
        print(note, file=sys.stderr)
    trained = _loaded(payload, one, arguments.device)
    out = Path(arguments.out)
    with _writing(out):  # before what may take long
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    print(f"sampling from {_name(one, plan)}")
    samples = _sampled(trained, arguments)[0]
    _write(out, samples, trained.view, _about(one, plan, len(samples), arguments))
    first = f" (the first {FEW})" if samples.ndim == 4 and len(samples) > FEW else ""
    print(f"{out}: samples.png{first}, samples.npy {samples.shape}, samples.json")
    return DONE


def _loaded(payload: bytes, one: Replicate, device: str) -> Trained:
    import torch

    from models.training.checkpoint import CheckpointError
    from models.training.kept import load
    from study.store.units import StorageError

    torch.set_num_threads(1)  # as in training: the same numbers
    try:
        return load(payload, [one.seed], device)
    except CheckpointError as error:
        raise StorageError(f"{one.unit.key}: {error}") from error
    except (RuntimeError, AssertionError) as error:  # torch, of a device that is not there
        raise StorageError(f"--device: found {device!r}: {str(error).partition(chr(10))[0]}") from error


def _sampled(trained: Trained, arguments: argparse.Namespace) -> np.ndarray:
    from rich.progress import Progress

    from study.store.units import StorageError

    pool = trained.state.pool
    most = FEW if pool is None or arguments.steps else pool.shape[1]
    n = arguments.n or min(FEW, most)
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("samples", total=n)
        try:
            return trained.sample(n, arguments.steps, arguments.seed,
                                  lambda made: bar.update(task, completed=made))
        except ValueError as error:  # more than there are persistent chains
            raise StorageError(f"-n: {error}; with --steps fresh chains make as many as you like") from error


def _name(one: Replicate, plan: Plan) -> str:
    from study.plan.identity import knobs_text

    c, value = one.unit.configuration, one.row.get(plan.primary)
    quality = f"{plan.primary} {value:.4g}, " if value is not None else ""
    name = " ".join(filter(None, (c.phase, c.arm, knobs_text(c, plan.factors), f"seed {one.seed}")))
    return f"{name} ({one.unit.config_hash}): {quality}{one.verdict}"


def _about(one: Replicate, plan: Plan, n: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Where the samples come from, so that another person can make them again."""
    from study.provenance import commit, versions

    assert one.manifest.state is not None
    return {"study": plan.study, "study_version": plan.study_version, "config_hash": one.unit.config_hash,
            "replicate": one.seed, "verdict": one.verdict, plan.primary: one.row.get(plan.primary),
            "n": n, "steps": arguments.steps, "seed": arguments.seed, "device": arguments.device,
            "state_sha256": one.manifest.state.sha256, "configuration": one.unit.configuration.plain(),
            "trained_with": one.manifest.commit, "sampled_with": commit() or "", "versions": versions()}


def _write(out: Path, samples: np.ndarray, view: tuple[float, float], about: dict[str, Any]) -> None:
    """Raises StorageError where it cannot."""
    import numpy as np

    from study.store.sheet import sheet

    with _writing(out):
        np.save(out / "samples.npy", samples)
        (out / "samples.png").write_bytes(sheet(samples, view))
        (out / "samples.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    from study.store.units import StorageError

    try:
        yield
    except OSError as error:
        raise StorageError(f"--out {out}: cannot be written: {error.strerror}") from error


command_line = script(main)


if __name__ == "__main__":
    sys.exit(command_line())
