"""A full disk: under the storage the launch ends with sentences, under MLflow's store it goes on; with room again the
same command finishes the study, which then holds what an undisturbed one does."""

from __future__ import annotations

import contextlib
import errno
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.launch import main
from study.show.tracking import upload_queue
from study.store.units import StorageError, Store
from tests.faults import in_process
from tests.faults.holdings import Holdings, differences
from tests.faults.tiny import LAUNCHER, SPEC, environment, held_here
from tests.stores import template
from tests.study.launching import done, launch
from tests.study.test_launch_whole import without_ray

pytestmark = [pytest.mark.slow,
              pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]  # MLflow's own use of SQLAlchemy

SEARCHED = ("--set", "confirm=null", "--set", "search.trials=1", "--max-concurrent", "1")
UNITS = 4 + 3


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A file system of its own at that folder, in memory."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small file system here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room; the file that takes it."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            with contextlib.suppress(OSError):
                while file.write(b"0" * size):
                    pass
    return filler


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("tiny.yaml").write_text(SPEC)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    held = in_process.undisturbed(SPEC, tmp_path_factory.mktemp("undisturbed"), *SEARCHED)
    assert len(held.units) == UNITS
    return held


def test_full_storage(folder: Path, undisturbed: Holdings, capsys: pytest.CaptureFixture[str],
                      monkeypatch: pytest.MonkeyPatch) -> None:
    def full(line: str, pid: int) -> None:
        if line.startswith("[2/"):
            fill(folder / "runs")

    with small_disk(folder / "runs", 8):
        code, lines = launch(*SEARCHED, module=LAUNCHER, environment=environment(), on_line=full)
        said = "\n".join(lines)
        assert code == 1 and "Traceback" not in said, said
        reasons = [line for line in lines if line.startswith(("lost: ", "stopped: "))]
        assert reasons and all("No space left on device" in line for line in reasons), said
        first = {path: path.stat().st_mtime_ns for path in done(folder)}
        assert 2 <= len(first) < UNITS

        assert main(["--space", "tiny.yaml", *SEARCHED]) == 2  # still full
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "No space left on device" in said

        (folder / "runs/filler").unlink()
        without_ray(folder, monkeypatch)
        in_process.restart(monkeypatch, in_process.Round())
        assert main(["--space", "tiny.yaml", *SEARCHED]) == 0
        assert {path: path.stat().st_mtime_ns for path in first} == first
        assert not list((folder / "runs").glob("**/*.tmp"))
        assert differences(undisturbed, held_here()) == []


def test_full_tracking_store(folder: Path, undisturbed: Holdings, capsys: pytest.CaptureFixture[str],
                             monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*SEARCHED, "--tracking-uri", f"sqlite:///{folder}/mlflow/mlflow.db")

    def full(finished: int) -> None:
        if finished == 2 and not (folder / "mlflow/filler").exists():
            fill(folder / "mlflow")

    without_ray(folder, monkeypatch)
    in_process.restart(monkeypatch, in_process.Round(on_advance=full))
    monkeypatch.setattr(upload_queue, "PATIENCE", 5.0)
    with small_disk(folder / "mlflow", 8):
        shutil.copy(template(), folder / "mlflow/mlflow.db")
        assert main(["--space", "tiny.yaml", *words]) == 0
        said = "\n".join(capsys.readouterr())
        assert "Traceback" not in said, said
        for sentence in ("training goes on", "units are not shown in MLflow; the same command adds them"):
            assert sentence in said, said
        first = {path: path.stat().st_mtime_ns for path in done(folder)}
        assert len(first) == UNITS

        (folder / "mlflow/filler").unlink()
        assert main(["--space", "tiny.yaml", *words]) == 0
        assert {path: path.stat().st_mtime_ns for path in first} == first  # only shown, not run again
        assert differences(undisturbed, held_here("mlflow/mlflow.db")) == []


def test_full_tracking_store_from_the_start_is_one_sentence_and_no_half_store(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (*SEARCHED, "--tracking-uri", f"sqlite:///{folder}/mlflow/mlflow.db")
    with small_disk(folder / "mlflow", 1):
        filler = fill(folder / "mlflow")
        assert main(["--space", "tiny.yaml", *words]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "full" in said
        assert list((folder / "mlflow").iterdir()) == [filler]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """As where no small file system can be mounted: the limit is on the size of a file."""
    store, before = Store(str(tmp_path), "tiny"), resource.getrlimit(resource.RLIMIT_FSIZE)
    store.write("checkpoint", b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError, match=f"is not writable: .*Errno {errno.EFBIG}"):
            store.write("checkpoint", b"0" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["checkpoint"]
    assert store.read("checkpoint") == b"old"
