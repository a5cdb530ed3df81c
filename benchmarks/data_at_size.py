"""How long data from disk take, and how much memory, at real size: a folder of 100,000 JPEGs, Parquet of several GB.

    python benchmarks/data_at_size.py DIRECTORY [--images 100000] [--gigabytes 3]

Makes the data in DIRECTORY (they stay there; delete it afterwards), then measures each in processes of their own, and
writes benchmarks/results/data_at_size.csv. By hand, since it makes 4 GB and then copies 3: in CI 100,000 tiny files
have to keep bounds of memory and CPU seconds (tests/models/test_data_disk.py).
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results/data_at_size.csv"
MEASURE = """
import json, re, sys, time
from models.training.batches import batch
from models.data.load import load
def peak():  # of this program; ru_maxrss begins with that of its parent
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
def lap(what):
    wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    print(json.dumps({"step": what, "seconds": round(wall, 2), "cpu_seconds": round(cpu, 2),
                      "peak_mib": round(peak())}), flush=True)
    begun[:] = time.perf_counter(), time.process_time()
begun = [time.perf_counter(), time.process_time()]
lap("imports")
data = load({sys.argv[1]: sys.argv[2], "size": int(sys.argv[4]), "channels": 3}, cache_dir=sys.argv[3])
lap("images known, held-out splits and a sample of 1,000 decoded")
batch(data.train, [0, 1, 2, 3], 0, 64)
lap("first batch, 4 x 64 images")
for name in ("decoding", "again"):
    for update in range(1, 101):
        batch(data.train, [0, 1, 2, 3], update, 64)
    lap(f"100 batches, {name}")
"""


def jpegs(count: int, height: int, width: int) -> Iterator[bytes]:
    """Different files: a hundred smooth pictures with some grain, each followed by a comment of its own."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(100):
        smooth = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize((width, height))
        grainy = np.asarray(smooth) * 0.9 + rng.normal(12, 8, (height, width, 3))
        sink = io.BytesIO()
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(sink, "JPEG", quality=80)
        pictures.append(sink.getvalue())
    for k in range(count):
        data, said = pictures[k % 100], b"%08d" % k
        yield data[:2] + b"\xff\xfe" + (len(said) + 2).to_bytes(2, "big") + said + data[2:]


def make_folder(folder: Path, count: int) -> None:
    for k, data in enumerate(jpegs(count, 218, 178)):
        if k % 1000 == 0:
            (folder / f"{k // 1000:03}").mkdir(parents=True)
        (folder / f"{k // 1000:03}" / f"{k:06}.jpg").write_bytes(data)


def make_parquet(folder: Path, size: int) -> None:
    folder.mkdir()
    written, images, number = 0, jpegs(10**9, 256, 256), 0
    while written < size:
        rows = [{"bytes": next(images), "path": f"{k}.jpg"} for k in range(10_000)]
        written += sum(len(row["bytes"]) for row in rows)
        pyarrow.parquet.write_table(pyarrow.table({"image": rows}), folder / f"train-{number:05}.parquet",
                                    row_group_size=1000)
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    given = parser.parse_args()
    rows = []
    for kind, size in (("folder", 32), ("parquet", 64)):
        place = given.directory / kind
        begun = time.perf_counter()
        if not place.exists():
            make_folder(place, given.images) if kind == "folder" else make_parquet(place, int(given.gigabytes * 1e9))
        bytes_ = sum(file.stat().st_size for file in place.rglob("*.*"))
        seconds = time.perf_counter() - begun
        print(f"{kind}: {bytes_ / 1e9:.2f} GB, made in {seconds:.0f} s; at {size} pixels", flush=True)
        for launch in ("first", "second"):
            done = subprocess.run([sys.executable, "-c", MEASURE, kind, str(place), str(given.directory / "cache"),
                                   str(size)], check=True, cwd=ROOT, text=True, stdout=subprocess.PIPE)
            for line in done.stdout.splitlines():
                rows.append({"date": datetime.date.today().isoformat(), "kind": kind,
                             "gigabytes": round(bytes_ / 1e9, 2), "pixels": size, "launch": launch, **json.loads(line)})
                print(rows[-1], flush=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(RESULTS, index=False)


if __name__ == "__main__":
    main()
