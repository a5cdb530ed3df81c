"""Storage: whole files, manifests, checksums, checkpoints; locally and on an object store's interface."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pytest

from study.schema.manifest import Manifest
from study.schema.unit import Unit
from study.store import files
from study.store.cache import cache_dir
from study.store.lock import held
from study.store.results import Results
from study.store.units import AGAIN, StorageError, Store
from tests.configurations import unit

UNIT = unit((3, 4, 5), "abc123def456", step_size=0.1)


@pytest.fixture(params=["local", "object"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """pyarrow's in-memory file system stands for an object store: neither has os.replace."""
    return Store(str(tmp_path) if request.param == "local" else "mock:///bucket", "jko")


def finish(store: Store, unit: Unit = UNIT) -> dict:
    store.write(f"{unit.key}/records.parquet", b"records")
    return store.write_done(unit, Manifest(status="finished"))


def test_a_path_and_its_uri_are_one_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded once: by what writes units, the cache, and a later launch that names it otherwise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "my runs"
    for uri in ("my runs", "my runs/", "~/my runs", str(folder), folder.as_uri(), f"{folder.as_uri()}/"):
        store = Store(uri, "jko")
        store.check_writable()
        assert store.folder == folder and cache_dir(store) == folder / ".cache"
        assert store.place in store.places
        assert all(store.place in Store(other, "jko").places for other in (str(folder), folder.as_uri()))
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(("uri", "words"), [
    ("file:runs", "did you mean runs?"), ("file:/a/runs", "did you mean /a/runs?"),
    ("s3:/bucket/x", "did you mean s3://bucket/x?"), ("s3:bucket", "did you mean s3://bucket?"),
    ("s3://", "expected a bucket, such as s3://bucket/prefix"), ("gs://", "expected a bucket"),
    ("file://runs", "expected a path, or file:///absolute/path"), ("file:///my runs", "expected a path, or file:///"),
    ("~nobody-of-that-name/x", "expected a path such as ~/runs"), ("http://host/x", "cannot be opened")])
def test_what_is_no_storage_is_one_sentence(
        uri: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError) as refused:
        Store(uri, "jko")
    assert words in str(refused.value) and "\n" not in str(refused.value) and not list(tmp_path.iterdir())


def test_a_storage_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"is not writable: .*Not a directory"):
        Store(str(tmp_path / "file"), "jko").check_writable()

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("os.makedirs", refuse)
    with pytest.raises(StorageError, match=r"is not writable: .*Read-only file system"):
        Store(str(tmp_path / "new"), "jko").check_writable()


@pytest.mark.parametrize(("uri", "asked"), [
    ("s3://b/p", "s3://b/p?allow_delayed_open=true"), ("s3://b?region=x", "s3://b?region=x&allow_delayed_open=true"),
    ("gs://b/p", "gs://b/p?retry_limit_seconds=20"), ("gcs://b/p", "gcs://b/p?retry_limit_seconds=20"),
    ("gs://b?retry_limit_seconds=5", "gs://b?retry_limit_seconds=5"),
    ("file:///a", "file:///a"), ("/a", "/a")])
def test_a_bucket_is_asked_with_pyarrow_s_option(uri: str, asked: str) -> None:
    assert files._tuned(uri) == asked


def test_unit_is_its_hash_and_seeds() -> None:
    assert UNIT.key == "abc123def456/3-5"
    assert UNIT == unit((3, 4, 5), "abc123def456") and hash(UNIT) == hash(unit((3, 4, 5), "abc123def456"))
    assert UNIT != Unit(UNIT.configuration, (3, 4), "abc123def456")


def test_done_unit_reads_back(store: Store) -> None:
    assert store.done(UNIT) is None and list(store.done_units()) == []
    written = finish(store)
    [(unit, manifest)] = store.done_units()
    assert unit == UNIT and unit.configuration == UNIT.configuration
    assert manifest == written == store.done(UNIT)
    assert store.read_verified(UNIT, "records.parquet", manifest) == b"records"
    assert set(manifest.files) == {"config.json", "records.parquet"}


def test_files_of_another_unit_are_not_taken_for_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, other = Store(str(tmp_path), "jko"), unit((3, 4, 5), "fff456abc123")
    finish(store)
    shutil.copytree(tmp_path / "jko" / UNIT.key, tmp_path / "jko" / other.key)
    assert store.done(UNIT) and store.done(other) is None
    assert [found.key for found, _ in store.done_units()] == [UNIT.key]
    assert f"{other.key}/config.json is of another unit; {AGAIN}" in caplog.text


def test_a_manifest_says_of_which_launch_it_is(tmp_path: Path) -> None:
    """A worker on a cluster has no checkout: its commit is the driver's. One that has a checkout knows better."""
    copy = pickle.loads(pickle.dumps(Store(str(tmp_path), "jko", {"study_version": "v1", "commit": "abc"})))
    assert copy.write_done(UNIT, Manifest(status="finished", commit="own")).commit == "own"
    written = copy.write_done(UNIT, Manifest(status="finished"))
    assert (written.study_version, written.commit) == ("v1", "abc") and copy.done(UNIT) == written
    assert Store(str(tmp_path), "jko").write_done(UNIT, Manifest(status="finished")).commit == ""


def test_unit_without_manifest_or_with_a_missing_file_is_not_done(tmp_path: Path) -> None:
    store = Store(str(tmp_path), "jko")
    finish(store)
    records = tmp_path / "jko" / UNIT.key / "records.parquet"
    records.write_bytes(b"rec")
    assert store.done(UNIT) is None
    records.unlink()
    assert store.done(UNIT) is None and list(store.done_units()) == []
    finish(store)
    assert store.done(UNIT) is not None
    (tmp_path / "jko" / UNIT.key / "done.json").write_text('{"status": "fin')
    assert store.done(UNIT) is None


@pytest.mark.parametrize("text", [
    "{}", "[]", "7", '{"files": {}}', '{"status": "finished", "started": 1, "ended": 2, "files": {}}',
    '{"status": "finished", "started": 1, "ended": 2, "files": ["config.json"]}',
    '{"status": "finished", "started": 1, "ended": 2, "files": {"config.json": {"sha256": "0"}}}',
    '{"status": "finished", "files": {"config.json": {"sha256": "0", "bytes": 1}}}'])
def test_json_that_is_no_manifest_is_not_done(store: Store, text: str, caplog: pytest.LogCaptureFixture) -> None:
    finish(store)
    store.write(f"{UNIT.key}/done.json", text.encode())
    assert store.done(UNIT) is None and list(store.done_units()) == []
    assert f"done.json of unit abc123def456/3-5 is no manifest; {AGAIN}" in caplog.text


@pytest.mark.parametrize("name", ["config.json", "records.parquet"])
def test_a_unit_with_a_damaged_file_is_done_no_more(store: Store, name: str, caplog: pytest.LogCaptureFixture) -> None:
    manifest = finish(store)
    other = unit((6,), "abc123def456")
    finish(store, other)
    payload = store.read(f"{UNIT.key}/{name}")
    assert payload is not None and not store.discard_if_damaged(UNIT, manifest)
    store.write(f"{UNIT.key}/{name}", payload[::-1])
    list(store.done_units())
    assert store.done(UNIT) is not None, "who only looks removes nothing"
    left = [unit for unit, found in store.done_units(tidy=True) if not store.discard_if_damaged(unit, found)]
    assert left == [other] and store.done(UNIT) is None
    assert caplog.messages == [f"{store.uri}/jko/{UNIT.key}/{name} is not what done.json says; {AGAIN}"]


def test_a_file_that_cannot_be_read_now_costs_no_finished_unit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = finish(store)

    def away(path: str) -> bytes | None:
        if path.endswith((".parquet", "config.json")):
            raise StorageError("storage cannot be read: Input/output error")
        return read(path)

    read = store.read
    monkeypatch.setattr(store, "read", away)
    for ask in (lambda: store.discard_if_damaged(UNIT, manifest), lambda: list(store.done_units(tidy=True))):
        with pytest.raises(StorageError, match="Input/output error"):
            ask()
    monkeypatch.undo()
    assert store.done(UNIT) is not None


class Away:
    """A file system of which so many reads fail."""

    def __init__(self, fs: Any, failures: int, number: int) -> None:
        self.fs, self.failures, self.number = fs, failures, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fs, name)

    def open_input_stream(self, path: str, **options: Any) -> Any:
        self.failures -= 1
        if self.failures >= 0:
            raise OSError(self.number, os.strerror(self.number))
        return self.fs.open_input_stream(path, **options)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_a_manifest_that_cannot_be_read_now_is_waited_for_and_never_taken_for_absent(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """On a disk of the network, too: a finished unit would be trained again, and its results replaced."""
    store, waited = Store(str(tmp_path), "jko"), []
    finish(store)
    fs = store._fs
    monkeypatch.setattr("time.sleep", waited.append)
    if number != errno.EACCES:
        store._fs = Away(fs, 2, number)
        assert store.done(UNIT) is not None and waited == [0.2, 1.0]
    store._fs = Away(fs, 99, number)
    for ask in (lambda: store.done(UNIT), lambda: list(store.done_units())):
        with pytest.raises(StorageError, match=r"cannot be read: abc123def456/3-5/done\.json: \[Errno "):
            ask()
    store._fs = fs
    (tmp_path / "jko" / UNIT.key / "done.json").unlink()
    assert store.done(UNIT) is None


def test_checkpoints_beside_a_manifest_are_no_work_in_progress(store: Store) -> None:
    """The worker was killed between the two, or an orphan wrote one late."""
    finish(store)
    store.write_checkpoint(UNIT, 3, b"late")
    assert list(store.begun()) == []
    list(store.done_units())
    assert store.latest_checkpoint(UNIT) is not None
    list(store.done_units(tidy=True))
    assert store.latest_checkpoint(UNIT) is None


def test_a_checkpoint_of_what_another_version_pruned_is_work_in_progress(store: Store) -> None:
    """This version may be training it to its end; the one that stopped it left it, if its driver was killed there."""
    store.stamp = {"study_version": "v1"}
    store.write_done(UNIT, Manifest(status="pruned"))
    store.write_checkpoint(UNIT, 3, b"state")
    for version, begun in (("v2", [3]), ("v1", []), ("v2", [3])):
        store.stamp = {"study_version": version}
        assert [one.update for one in store.begun()] == begun
        list(store.done_units(tidy=True))
        assert store.latest_checkpoint(UNIT) is not None, "another version may come back to it"


def test_a_damaged_config_of_a_begun_unit_costs_its_configuration_only(store: Store) -> None:
    store.write_config(UNIT)
    store.write_checkpoint(UNIT, 3, b"state")
    [begun] = store.begun()
    assert (begun.key, begun.configuration, begun.update) == (UNIT.key, UNIT.configuration, 3)
    payload = store.read(f"{UNIT.key}/config.json")
    assert payload is not None
    for damaged in (payload.replace(b"step_size", b"step_sizf"), payload[:9], b"[]", b"{}",
                    b'{"configuration": 7}', b'{"seeds": 3}', b'{"seeds": [1], "config_hash": "a"}'):
        store.write(f"{UNIT.key}/config.json", damaged)
        [begun] = store.begun()
        assert (begun.key, begun.configuration) == (UNIT.key, None)
    store.write("abc123def456/notes/checkpoint-000000003", b"")
    assert len(list(store.begun())) == 1
    store.drop_checkpoints(begun)
    assert list(store.begun()) == []


def test_a_unit_that_has_begun_anew_keeps_its_own_checkpoints(store: Store) -> None:
    """Those that could not be used have higher numbers, and are not those to keep."""
    for update in (700, 800):
        store.write_checkpoint(UNIT, update, b"of another release")
    for update in (10, 20, 30):
        store.write_checkpoint(UNIT, update, f"{update}".encode())
        assert store.latest_checkpoint(UNIT) == (update, f"{update}".encode())
    assert store._checkpoints(UNIT) == ["checkpoint-000000020", "checkpoint-000000030"]


def test_a_worker_does_not_make_the_place_where_the_studies_lie(tmp_path: Path) -> None:
    """Where it is missing, a disk is not mounted: what is written there nobody would find."""
    worker = Store(f"file://{tmp_path}/shared", "jko", may_begin=False)
    with pytest.raises(StorageError, match=r"/shared/jko is missing on .*; is its disk mounted there\?"):
        pickle.loads(pickle.dumps(worker)).write_config(UNIT)
    assert not (tmp_path / "shared").exists()
    Store(str(tmp_path / "shared"), "jko").check_writable()
    worker.write_config(UNIT)
    assert (tmp_path / "shared/jko" / UNIT.key / "config.json").exists()


def test_a_path_has_the_same_names_with_file_and_without(tmp_path: Path) -> None:
    plain, uri = Store(str(tmp_path), "jko"), Store(f"file://{tmp_path}", "jko")
    assert plain.place != uri.place and {plain.place, uri.place} == set(plain.places) == set(uri.places)
    assert Store("mock:///bucket", "jko").places == ["mock:///bucket"]


def test_damaged_json_is_absent_and_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.write("spec.json", b'{"study')
    assert store.read_json("spec.json") is None
    assert caplog.messages[0].startswith(
        f"{store.uri}/jko/spec.json is damaged; a launch makes it again: Unterminated string")
    store.write("spec.json", b"[" * 100_000)
    assert store.read_json("spec.json") is None and "is damaged; a launch makes it again" in caplog.messages[1]


def test_changed_file_of_the_same_length_is_refused_on_reading(tmp_path: Path) -> None:
    store = Store(str(tmp_path), "jko")
    manifest = finish(store)
    (tmp_path / "jko" / UNIT.key / "records.parquet").write_bytes(b"rECORDS")
    with pytest.raises(StorageError, match=r"records\.parquet is not what done\.json says"):
        store.read_verified(UNIT, "records.parquet", manifest)


def test_manifest_leaves_out_checkpoints_and_half_written_files(tmp_path: Path) -> None:
    store = Store(str(tmp_path), "jko")
    store.write_checkpoint(UNIT, 10, b"state")
    (tmp_path / "jko" / UNIT.key / "records.parquet.77.tmp").write_bytes(b"rec")
    assert set(finish(store).files) == {"config.json", "records.parquet"}
    assert store.latest_checkpoint(UNIT) is None, "a done unit needs none"


def test_interrupted_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path), "jko")
    store.write("plan.json", b"old")

    def killed(source: str, target: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write("plan.json", b"new")
    assert store.read("plan.json") == b"old"


def test_json_refuses_what_is_not_finite(store: Store) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.write_json("plan.json", {"limit": float("inf")})
    assert store.read_json("plan.json") is None


def test_last_two_checkpoints_are_kept_and_a_damaged_one_falls_back(
        store: Store, caplog: pytest.LogCaptureFixture) -> None:
    assert store.latest_checkpoint(UNIT) is None
    for update in (90, 100, 1000):
        store.write_checkpoint(UNIT, update, b"state of %d" % update)
    assert store.latest_checkpoint(UNIT) == (1000, b"state of 1000")
    newest = store.read(f"{UNIT.key}/checkpoint-000001000")
    assert newest is not None and store.read(f"{UNIT.key}/checkpoint-000000090") is None
    store.write(f"{UNIT.key}/checkpoint-000001000", newest[:-1])
    assert store.latest_checkpoint(UNIT) == (100, b"state of 100")
    assert "checkpoint-000001000 is damaged" in caplog.text
    store.write(f"{UNIT.key}/checkpoint-000000100", b"")
    assert store.latest_checkpoint(UNIT) is None


def test_unwritable_storage_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(str(tmp_path / "file"), "jko")
    with pytest.raises(StorageError, match="is not writable") as caught:
        store.check_writable()
    assert "\n" not in str(caught.value)
    Path(store.uri).unlink()
    (tmp_path / "file/jko/.lock").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot be locked: .* Is a directory"), held(store, False, print):
        pass
    with pytest.raises(StorageError, match="cannot be read: "):
        store.read(".lock")
    with pytest.raises(StorageError, match="cannot be opened"):
        Store("nosuch://bucket", "jko")


def test_what_arrow_refuses_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `s3://` without a bucket is."""
    def refuse(*arguments: object, **options: object) -> None:
        raise pyarrow.ArrowInvalid("Cannot create an empty\nbucket")

    store = Store("mock:///bucket", "jko")
    monkeypatch.setattr(store, "_fs", SimpleNamespace(create_dir=refuse))
    with pytest.raises(StorageError) as found:
        store.check_writable()
    assert str(found.value) == "storage 'mock:///bucket' is not writable: Cannot create an empty bucket"


def test_probe_leaves_nothing(tmp_path: Path) -> None:
    Store("mock:///bucket", "jko").check_writable()
    Store(str(tmp_path), "jko").check_writable()
    assert list((tmp_path / "jko").iterdir()) == []


def test_relative_path_is_fixed_when_the_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("./runs", "jko")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    copy = pickle.loads(pickle.dumps(store))
    copy.write_json("spec.json", {"a": 1})
    assert json.loads((tmp_path / "runs" / "jko" / "spec.json").read_text()) == {"a": 1}


def test_what_was_pruned_names_no_file_of_an_earlier_training(store: Store) -> None:
    """That one may be damaged, and none of its seeds count."""
    store.write(f"{UNIT.key}/records.parquet", b"rotten")
    manifest = store.write_done(UNIT, Manifest(status="pruned", rungs={3: 0.5}))
    assert {*manifest.files} == {"config.json"}
    found = Results(store, "kid", {"kid": 1}, {UNIT.configuration.arm: [None]})
    assert found.add_done(UNIT, manifest).pruned
