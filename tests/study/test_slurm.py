"""The Slurm script for real on two nodes: network namespaces of this machine, with an srun that runs a task in each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from study.store.units import Store
from tests.study.test_launch import SPEC

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ISOLATED = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "--net",
            "--kill-child"]
NODES = """\
set -euo pipefail
ip link set lo up
unshare --net sleep infinity &
export SECOND=$!
until [ "$(readlink /proc/$SECOND/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add first type veth peer name second
ip link set second netns $SECOND
ip address add 10.77.0.1/24 dev first
ip link set first up
nsenter --net=/proc/$SECOND/ns/net sh -c \
    'ip link set lo up; ip address add 10.77.0.2/24 dev second; ip link set second up'
"""
SRUN = """\
#!/bin/bash
# One task on the first node, or one on each, with processes of its own as on a machine of its own. The first is given
# no CPU: only the second can train.
tasks=2
while [[ $1 == --* ]]; do
    if [[ $1 == --ntasks=1 ]]; then tasks=1; fi
    shift
done
if [[ $tasks == 1 ]]; then exec "$@"; fi
node=(unshare --mount --pid --fork --mount-proc --kill-child bash -c '"$@"; exit $?' init)  # bash collects zombies
nsenter --net=/proc/$SECOND/ns/net "${node[@]}" "$@" &
"${node[@]}" "${@/#--num-cpus=*/--num-cpus=0}"
code=$?
kill %1  # by itself it notices after a minute that the first node has ended
exit $code
"""
SCONTROL = """\
#!/bin/bash
if [[ $1 == show ]]; then echo node1; echo node2; else echo "$*" >> scontrol.log; fi
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the job is sent from: a checkout as far as the script is concerned, with stand-ins for Slurm's commands."""
    if shutil.which("ip") is None or subprocess.run([*ISOLATED, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make namespaces")
    (tmp_path / "tiny.yaml").write_text(SPEC)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "bin").mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def submit(folder: Path, job: int, *words: str) -> tuple[int, str]:
    """As sbatch would run it; (exit code, its lines)."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_", "MLFLOW_T"))},
        "PATH": f"{folder}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "SLURM_JOB_ID": str(job),
        "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_PER_TASK": "1"}
    script = f"{NODES}\nbash {ROOT}/deploy/slurm/study.sbatch tiny.yaml {' '.join(words)}"
    done = subprocess.run([*ISOLATED, "bash", "-c", script], cwd=folder, env=environment, text=True, timeout=550,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    shutil.rmtree(f"/tmp/study-{job}", ignore_errors=True)
    return done.returncode, done.stdout


def test_the_script_runs_a_study_of_which_the_second_node_trains_all(folder: Path) -> None:
    code, said = submit(folder, os.getpid())
    said = "\n".join(line for line in said.splitlines() if not re.search("state-dump|VINFO", line))
    assert code == 0, said
    assert "On worker node. Connecting to Ray cluster at 10.77.0.1:6379" in said and "Ray runtime started." in said
    assert len(list(Store(f"file://{folder}/runs", "tiny").done_units())) == 4
    assert not (folder / "scontrol.log").exists()
