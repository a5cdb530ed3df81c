"""How many CPUs there are to use."""

from __future__ import annotations

import os


def usable_cpus() -> int:
    """Those that this process may run on; the machine's, where the system does not say (only Linux does)."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
