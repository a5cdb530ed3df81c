"""Before any test imports torch: one thread, no product phones home, and imports are not collected."""

import gc
import os
import signal
from collections.abc import Generator, Iterator

import pytest

gc.set_threshold(100_000)  # objects between two collections: imports make as many, all of which stay
pytest.register_assert_rewrite("models.testing", "tests.whole.promises.launched", "tests.whole.promises.holds")
os.environ.update(OMP_NUM_THREADS="1", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true",
                  RAY_USAGE_STATS_ENABLED="0", POT_BACKEND_DISABLE_JAX="1")  # POT imports what it has no need of
# In a shell's background job and under nohup, as CI may be, these are ignored; tests of an interrupt, and the launches
# that they start, expect them.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No worker is left alone with a long file: those with slow tests come first, then tests/whole, with the fuzzer's
    minute, and last many short ones."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path in slow, str(item.path)), reverse=True)


@pytest.fixture(autouse=True)
def _same_environment() -> Iterator[None]:
    """What a command sets for its own process (MLflow's retries, threads) must not reach the tests after it."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images on disk that this process has loaded before are loaded again."""
    from models.data.disk import load as disk

    monkeypatch.setattr(disk, "_LATEST", {})


@pytest.fixture
def lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    """No part of the train split is decoded at loading, as of most images of a large one."""
    from models.data.disk import load as disk

    monkeypatch.setattr(disk, "SAMPLE", 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI (.ci/run), where .ci/packages installs what tests need, a skip for want of a program is a failure."""
    report = yield
    if report.skipped and os.environ.get("TESTS_NEED_PROGRAMS") and "not installed here" in str(report.longrepr):
        report.outcome, report.longrepr = "failed", f"{item.nodeid}: {report.longrepr}"
    return report
