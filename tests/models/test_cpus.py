"""The CPUs that a container may use, as seen from inside."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from models import cpus


@pytest.mark.parametrize(("text", "fast"), [
    ("flags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True), ("flags\t\t: fpu avx2\n", False),
    ("Features\t: fp asimd bf16\n", True), ("Features\t: fp asimd\n", False), (None, True)])
def test_a_cpu_says_whether_it_has_units_for_bf16(text: str | None, fast: bool, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert cpus.rounds_fast(tmp_path / "cpuinfo") == fast


@pytest.mark.parametrize(("membership", "files", "expected"), [
    ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),  # docker run --cpus 1.5
    ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
    ("0::/\n", {}, math.inf),  # no container
    ("0::/pods/one\n", {"pods/cpu.max": "200000 100000\n", "pods/one/cpu.max": "max 100000\n"}, 2.0),  # the pod's limit
    ("0::/../other\n", {"cpu.max": "300000 100000\n"}, 3.0),
    ("9:memory:/m\n4:cpu,cpuacct:/docker/1f\n1:name=systemd:/\n0::/\n",
     {"cpu,cpuacct/docker/1f/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/docker/1f/cpu.cfs_period_us": "100000\n",
      "cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 0.5),
    ("4:cpu,cpuacct:/docker/1f\n",  # its own group is at the top of what a container sees
     {"cpu,cpuacct/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 4.0),
    ("no:membership\n", {}, math.inf),
    (None, {"cpu.max": "100000 100000\n"}, math.inf),
])
def test_a_quota_of_either_version_of_control_groups(tmp_path: Path, membership: str | None, files: dict[str, str],
                                                     expected: float) -> None:
    groups = tmp_path / "groups"
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    assert cpus.quota(groups, tmp_path / "membership") == expected


@pytest.mark.parametrize(("limit", "usable"), [(math.inf, 4), (8.0, 4), (2.5, 2), (0.5, 1)])
def test_no_more_is_planned_with_than_the_quota(limit: float, usable: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(cpus, "quota", lambda: limit)
    assert cpus.usable_cpus() == usable
