"""Where Ray runs: an instance of this launch alone, or the cluster at an address. Importing this imports no Ray."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from study.cluster import auth
from study.cluster.failure import one_line
from study.interrupt import terminable
from study.schema.output import if_slow

OBJECT_STORE_BYTES = 120 * 1024**2  # nothing but small dictionaries travels between driver and workers
WORKER_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}  # and THREADS
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # each beats the one before it, somewhere
ROOT = str(Path(__file__).resolve().parents[2])
SLOW_SECONDS = 8.0  # after which a start of Ray, one second on an idle machine, is said to be under way
LONGEST_FOLDER = 35  # bytes; a socket's path has at most 107 (macOS: 103), of which Ray takes 68 below this
ANSWER_SECONDS = 5.0  # for the cluster at an address
QUIET_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else every start warns about a change of Ray's default
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output of Tune is the one that can be silenced
    "RAY_prestart_worker_first_driver": "0",  # these would be idle to the end: Tune's have an environment of their own
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers stay where the launch was started: relative paths keep their meaning
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON or TensorBoard files: units write what is kept
    "TUNE_GLOBAL_CHECKPOINT_S": "600",  # Tune's own snapshots are never read
    "TUNE_MAX_PENDING_TRIALS_PG": "500",  # capacity.room alone says how many; Tune would start one worker at a time
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


class ClusterError(Exception):
    """The cluster cannot run this study; one sentence."""


class RunError(Exception):
    """Ray or this machine failed in the middle of a study; one sentence. What is finished or checkpointed stays."""


def address_problem(address: str | None) -> str | None:
    """Why this launch cannot go to that address, as one sentence, or None."""
    if address == "local":
        return "--address local: expected a cluster's HOST:PORT, or auto; leave --address out to run on this machine"
    found = (os.environ.get("RAY_ADDRESS") or address) if address == "auto" else address  # as Ray reads it
    if found in (None, "auto"):
        return None
    if "://" not in found:
        return None if ":" in found else f"--address {address}: found {found!r}, expected HOST:PORT, or auto"
    name = f"--address {address}" if found == address else f"--address auto: RAY_ADDRESS={found}"
    kind = "a Ray Client address" if found.startswith("ray://") else "a URI"
    return (f"{name}: found {kind}, expected one of a cluster node: run the launch on the cluster (ray job submit -- "
            "python -m study.launch ...) with --address auto")


def connect_problem(address: str, seconds: float = ANSWER_SECONDS) -> str | None:
    """Why nothing answers at `host:port`, as one sentence, or None. Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return None  # `auto` and the like: Ray knows at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()
    except (OSError, OverflowError) as error:
        return f"--address {address}: no Ray cluster answers there ({type(error).__name__})"
    return None


def _own_group() -> AbstractContextManager[None]:
    """Processes that Ray starts in this block get a group of their own.

    In this launch's group a SIGTERM to all of it (`timeout`, a scheduler) would end them before the driver, which would
    wait a minute for them and then be ended by Ray without its last words. They end with the driver however it ends.
    """
    return _replaced("ray._private.services", "ConsolePopen", lambda before: functools.partial(before, process_group=0))


def _silent_raylets() -> AbstractContextManager[None]:
    """Without Ray's paragraph for each worker or node that dies: the launch has a line of its own for it."""
    return _replaced("ray._private.worker", "print_to_stdstream", lambda before: lambda *given, **options: None)


def _few_daemons(verbose: bool) -> AbstractContextManager[None]:
    """No autoscaler, for one machine has nothing to scale; what follows the workers' logs only where they are shown."""
    return _replaced("ray._private.parameter", "RayParams", lambda before: functools.partial(
        before, no_monitor=True, include_log_monitor=verbose))


def _no_dashboard() -> AbstractContextManager[None]:
    """Nor the dashboard's process, which Ray starts even where it is off, to count usage, and waits a second for."""
    return _replaced("ray._private.services", "start_api_server", lambda before: lambda *given, **options: ("", None))


@contextmanager
def _replaced(module: str, name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """In the block a function of Ray that no option reaches is another one."""
    place: Any = importlib.import_module(module)
    before = getattr(place, name)
    setattr(place, name, change(before))
    try:
        yield
    finally:
        setattr(place, name, before)


def _temporary() -> str:
    """Where Ray keeps its sockets and logs, as an absolute path: below RAY_TMPDIR or TMPDIR, below /tmp where TMPDIR is
    too long for a socket.

    Raises ClusterError where RAY_TMPDIR is, which is set for Ray alone.
    """
    if given := os.environ.get("RAY_TMPDIR"):
        if len(os.fsencode(os.path.abspath(given))) > LONGEST_FOLDER:
            raise ClusterError(f"RAY_TMPDIR: found {given}, expected a path of at most {LONGEST_FOLDER} bytes, such as "
                               "/tmp: Ray's sockets lie below it, whose paths have to be short")
        return os.path.join(os.path.abspath(given), "ray")
    folder = tempfile.gettempdir()  # absolute, and one that can be written
    return os.path.join(folder if len(os.fsencode(folder)) <= LONGEST_FOLDER else "/tmp", "ray")


class _Fixed(list[str]):
    """Folders to which nothing is added."""

    def extend(self, folders: Iterable[str]) -> None:
        """Nothing: Ray would put the driver's working directory first on each worker's path, before our packages."""


def _job(*folders: str) -> Any:
    """Ray's settings of a job whose workers find modules in these folders first, and in none of the driver's."""
    from ray.job_config import JobConfig

    job = JobConfig()
    job._py_driver_sys_path = _Fixed(folders)
    return job


def _start(cpus: int, verbose: bool, level: int, modules: Sequence[str], tell: Callable[[str], None]) -> None:
    """A local instance. Its workers inherit this process's environment; a runtime environment, which costs more, is for
    the user's modules alone."""
    import ray

    folder = _temporary()
    try:
        with (_own_group(), _few_daemons(verbose), _no_dashboard(),
              if_slow(SLOW_SECONDS, lambda: tell("Ray is not up yet; its parts are given half a minute"))):
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES,
                     configure_logging=True, logging_level=level, log_to_driver=verbose, job_config=_job(ROOT),
                     _temp_dir=folder, runtime_env={"py_modules": [*modules]} if modules else None)
    except Exception as error:  # Ray raises a bare one where a part of it is not up in time
        if verbose:
            raise
        raise RunError(f"Ray did not start: {one_line(error)} (its logs: {folder}/session_latest/logs; a "
                       "busy machine may need another try)") from error


@contextmanager
def running(address: str | None, cpus: int, threads: int = 1, verbose: bool = False,
            insecure: bool = False, modules: Sequence[str] = (),
            tell: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Ray, from here to the end of the block: an own local instance of `cpus` CPUs, or the cluster at `address`.

    threads: of a worker. insecure: also a cluster that asks for no token. modules: paths of the user's own, a copy of
    which every worker gets. tell: that it takes long. Raises ClusterError where there is no such cluster, or this
    launch may not go there, RunError where Ray does not start.
    """
    of_threads = dict.fromkeys(THREADS, str(threads))
    environment = {**WORKER_ENVIRONMENT, **of_threads}
    for name, value in {**QUIET_ENVIRONMENT, **WORKER_ENVIRONMENT}.items():
        os.environ.setdefault(name, value)
    os.environ.update(of_threads)  # whatever a profile says: a unit has the CPUs that it asks for
    where = address
    if address is None:
        auth.own_token()
    else:
        where, problem = auth.check_access(address, insecure)
        if problem:
            raise ClusterError(problem)
    import ray

    on_sigterm = signal.getsignal(signal.SIGTERM)
    level = logging.INFO if verbose else logging.CRITICAL
    if address is None:
        _start(cpus, verbose, level, modules, tell)
    else:
        # Paths, not modules: in a job of `ray job submit` Ray copies this, and a module cannot be copied.
        packages = [*(os.path.join(ROOT, name) for name in ("models", "study")), *modules]
        try:
            ray.init(address=where, logging_level=level, log_to_driver=verbose, job_config=_job(),
                     runtime_env={"py_modules": packages, "env_vars": environment})
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ClusterError(f"--address {address}: no Ray cluster can be joined there: {reason}") from error
    for name in ("ray", "ray.tune"):  # after init, which sets them
        logging.getLogger(name).setLevel(level)
    try:
        with (nullcontext() if verbose else _silent_raylets(),
              terminable()):  # after init, which has its own way with SIGTERM: to die at once
            try:
                yield
            finally:
                ray.shutdown()
    finally:
        signal.signal(signal.SIGTERM, on_sigterm or signal.SIG_DFL)
