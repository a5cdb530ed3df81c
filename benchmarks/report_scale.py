"""What a report costs as its study grows: seconds and memory of the first one, and of one whose records are cached.

    python benchmarks/report_scale.py 2500 5000 10000    # replicates of 50 records each, on an idle machine

Writes benchmarks/results/report_scale.csv. The goal: 10,000 replicates within 60 s and 2 GiB once cached, linear.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "benchmarks/results/report_scale.csv"
MIB = 1024  # KiB


def report(folder: Path, uri: str) -> dict[str, float]:
    """One report in a process of its own: its seconds, CPU seconds and peak memory in MiB."""
    command = [sys.executable, "-m", "analysis.report", "--tracking-uri", uri, "--out", str(folder / "out")]
    begun = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"the report ended with {process.returncode}")
    return {"seconds": time.monotonic() - begun, "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_mib": usage.ru_maxrss / MIB}


def measure(replicates: int) -> list[dict[str, object]]:
    """The report of a store with so many replicates, first with an empty cache and then with a full one."""
    from tests.analysis import large_study

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        uri = f"sqlite:///{folder}/mlflow.db"
        made = large_study.write(uri, folder / "artifacts", replicates // len(large_study.SEEDS))
        out = []
        for cached in (False, True):
            took = report(folder, uri)
            size = (folder / "out" / "index.html").stat().st_size / 1e6
            out.append({"date": datetime.date.today().isoformat(), "replicates": made, "cached": cached,
                        **{name: round(value, 1) for name, value in took.items()}, "page_mb": round(size, 2)})
            print(out[-1], flush=True)
        return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("replicates", type=int, nargs="+")
    rows = [row for replicates in sorted(parser.parse_args().replicates) for row in measure(replicates)]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(RESULTS, index=False)


if __name__ == "__main__":
    main()
