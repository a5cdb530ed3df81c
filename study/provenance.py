"""Commit, changes, packages, host and devices: what a result depends on beside its configuration.

Nothing here fails a study: what cannot be found out is None, empty or "unknown".
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from study.schema.tags import COMMIT, DIRTY

ROOT = Path(__file__).resolve().parents[1]
MAIN_PACKAGES = ("torch", "numpy", "ray", "optuna", "mlflow", "pyarrow", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Provenance:
    """commit: "" outside of git. diff: text, with the names of new files. packages: like pip freeze. gpus: names."""

    commit: str = ""
    dirty: bool = False
    diff: str = ""
    packages: str = ""
    host: str = ""
    cpu: str = ""
    gpus: Sequence[str] = ()
    python: str = ""

    def tags(self) -> dict[str, str]:
        """What a launch's run in MLflow says of it in tags; the diff and all packages are files of the run."""
        named = {key: getattr(self, key) or "unknown" for key in (COMMIT, "host", "cpu", "python")}
        return {**named, "gpus": ", ".join(self.gpus) or "none", DIRTY: str(self.dirty).lower()}


def provenance() -> Provenance:
    """Of this process, now."""
    changes = _git("status", "--porcelain") or ""
    new = [line[3:] for line in changes.splitlines() if line.startswith("??")]
    diff = (_git("diff", "HEAD") or "") + "".join(f"# not in git: {name}\n" for name in new)
    return Provenance(
        commit() or "", bool(changes), diff, packages(), platform.node(), _cpu(), _gpus(), platform.python_version())


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The project's commit, None where it is not a git checkout. Workers ask for every unit: asked of git once."""
    found = _git("rev-parse", "HEAD")
    return found.strip() if found else None


@lru_cache(maxsize=1)
def packages() -> str:
    """Installed distributions, one `name==version` a line."""
    about = [d.metadata for d in metadata.distributions()]  # each time a file is parsed
    found = {(m["Name"] or "").lower(): f"{m['Name']}=={m['Version']}" for m in about}
    return "".join(f"{line}\n" for name, line in sorted(found.items()) if name)


def versions() -> dict[str, str]:
    """Versions of the packages that numbers depend on most, as far as installed."""
    found = {}
    for name in MAIN_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(*arguments: str) -> str | None:
    """Output of git in the project's directory; None where there is no git, or no checkout of this project."""
    if not (ROOT / ".git").exists():  # else git would answer for a directory above it
        return None
    # git refuses a checkout of another owner, whose programs it might run; this process runs them already.
    return _said("git", "-c", "safe.directory=*", "-C", str(ROOT), *arguments)


def _said(*command: str) -> str | None:
    """What a program puts out; None where it fails, or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"


def _gpus() -> list[str]:
    """Asked of the driver's tool rather than of torch, which takes seconds to import."""
    return (_said("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or "").splitlines()
