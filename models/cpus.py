"""How many CPUs there are to use, and what they can."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Those that this process may run on, at most its quota (at least one); the machine's, where the system does not
    say (only Linux does)."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.floor(min(count, quota())))


def rounds_fast(info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU has units for bf16, or does not say (only Linux does)."""
    try:
        words = info.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return True
    return any(word in words for word in ("avx512_bf16", "amx_bf16", "bf16")) or not {"flags", "Features"} & {*words}


def quota(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> float:
    """CPUs that the control groups of this process, version 2 or 1, grant it; infinity where none limits it.

    This is what `docker run --cpus` and a pod's `limits.cpu` set. Each group above limits, too. A container sees its
    own group at the top, by whatever path the host knows it.
    """
    try:
        lines = membership.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return math.inf
    found = [math.inf]
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers or "cpu" in controllers.split(","):  # version 2 names none
            group = groups / controllers / path.lstrip("/")
            found += [limit for folder in (group, *group.parents) for limit in _limits(folder)]
    return min(found)


def _limits(folder: Path) -> Iterator[float]:
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            share, period = (int(word) for name in names for word in (folder / name).read_text().split())
        except (OSError, ValueError):  # no such file, or `max`
            continue
        if share > 0 and period > 0:  # -1: no limit
            yield share / period
