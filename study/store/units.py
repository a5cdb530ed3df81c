"""Where units of work leave what they made: layout, manifests, checksums, checkpoints.

<storage>/<study>/<config_hash>/<first>-<last seed>/ holds config.json, checkpoints, records.parquet, samples_<seed>.png
and, written last, done.json: a unit is done when its manifest is there and every file that it names is there too.
What samples its networks again, state.safetensors, may be removed at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from study.schema.canonical import sealed, unsealed
from study.schema.manifest import File, Manifest
from study.schema.unit import Configuration, Unit, block_name, block_seeds
from study.store.files import Files, StorageError
from study.store.records import read_records, records

__all__ = ["DamagedError", "StorageError", "Store"]

DONE, CONFIG, CHECKPOINT = "done.json", "config.json", "checkpoint-"
STATE = "state.safetensors"  # networks and particles, where they are kept: `models.load` reads it
PRUNED = "pruned"  # the status of a unit that its search stopped: another version's may want it whole
CHECKPOINTS_KEPT = 2
DIGEST_BYTES = hashlib.sha256().digest_size

AGAIN = "a launch runs the unit again"
log = logging.getLogger(__name__)


class DamagedError(StorageError):
    """A file is missing or is not what its checksum says; one that cannot be read now is not damaged."""


class Begun(NamedTuple):
    """A unit that has begun and is not done."""

    config_hash: str
    seeds: tuple[int, ...]
    configuration: Configuration | None  # None where config.json is damaged
    update: int  # of the newest checkpoint
    modified: float  # when that was written, seconds since the epoch

    @property
    def key(self) -> str:
        """As of its unit."""
        return f"{self.config_hash}/{block_name(self.seeds)}"


class Store(Files):
    """The storage of one study.

    stamp: what every manifest says of the launch (study_version; commit, where a worker has no checkout to ask).
    """

    def __init__(self, uri: str, study: str, stamp: Mapping[str, Any] | None = None, may_begin: bool = True) -> None:
        """uri, may_begin: as of `Files`."""
        super().__init__(uri, study, may_begin)
        self.stamp = {key: value for key, value in (stamp or {}).items() if value}

    # Units of work.

    def write_config(self, unit: Unit) -> None:
        """What the unit is, so that its directory explains itself."""
        self.write_json(f"{unit.key}/{CONFIG}", sealed(unit.plain()))

    def write_done(self, unit: Unit, manifest: Manifest) -> Manifest:
        """Write done.json, the last file of a unit: the manifest, with its files, and with the stamp where it is open.
        Then its checkpoints go. Returns what was written. A pruned unit needs no other file."""
        self.write_config(unit)
        names = [CONFIG] if manifest.status == PRUNED else self._files(unit)
        payloads = {name: self.read(f"{unit.key}/{name}") or b"" for name in names}
        files = {name: _file(payload) for name, payload in payloads.items()}
        stamped = {key: value for key, value in self.stamp.items() if not getattr(manifest, key)}
        complete = manifest.model_copy(update={**stamped, "files": files})
        self.write_json(f"{unit.key}/{DONE}", sealed(complete.model_dump(mode="json")))
        for name in self._checkpoints(unit):
            self.delete(f"{unit.key}/{name}")
        return complete

    def rows(self, unit: Unit, manifest: Manifest) -> list[dict[str, Any]]:
        """The records of a done unit; none of a pruned one. Raises DamagedError."""
        return [] if manifest.status == PRUNED else read_records(self.read_verified(unit, manifest.records, manifest))

    def replace_rows(self, unit: Unit, manifest: Manifest, rows: Sequence[Mapping[str, Any]]) -> Manifest:
        """Give a done unit other records, under another name: until its new manifest is there, the old ones count.
        Returns the new manifest."""
        stem, _, number = manifest.records.removesuffix(".parquet").partition("-")
        name, payload = f"{stem}-{int(number or 0) + 1}.parquet", records(rows)
        self.write(f"{unit.key}/{name}", payload)
        files = {kept: file for kept, file in manifest.files.items() if kept != manifest.records}
        new = manifest.model_copy(update={"records": name, "files": files | {name: _file(payload)}})
        self.write_json(f"{unit.key}/{DONE}", sealed(new.model_dump(mode="json")))
        self.delete(f"{unit.key}/{manifest.records}")
        return new

    def write_state(self, unit: Unit, payload: bytes) -> File:
        """Keep a unit's networks; for its manifest."""
        self.write(f"{unit.key}/{STATE}", payload)
        return _file(payload)

    def read_state(self, unit: Unit, manifest: Manifest) -> bytes | None:
        """What `write_state` wrote; None where nothing is kept. Raises DamagedError."""
        payload = None if manifest.state is None else self.read(f"{unit.key}/{STATE}")
        if payload is not None and _file(payload) != manifest.state:
            raise DamagedError(f"{self.uri}/{self.study}/{unit.key}/{STATE} is not what done.json says; where it "
                               "is removed the unit stays done, without its networks")
        return payload

    def kept(self) -> dict[str, int]:
        """Bytes of all networks that are kept, by their unit's key."""
        return {"/".join(info.path.split("/")[-3:-1]): info.size for info in self._below(self._root, recursive=True)
                if info.base_name == STATE}

    def drop_state(self, unit: Unit) -> None:
        """Keep a unit's networks no longer."""
        self.delete(f"{unit.key}/{STATE}")

    def restore(self, unit: Unit, written: bytes, manifest: Manifest) -> Manifest:
        """Make a unit done again from its records alone (of a pruned one: none). What else lies there stays where it is
        what `manifest` says. Returns the new manifest."""
        for name in self._files(unit):
            payload, file = self.read(f"{unit.key}/{name}") or b"", manifest.files.get(name)
            if file is None or hashlib.sha256(payload).hexdigest() != file.sha256:
                self.delete(f"{unit.key}/{name}")
        if written:
            self.write(f"{unit.key}/{manifest.records}", written)
        return self.write_done(unit, manifest.model_copy(update={"restored": True}))

    def _files(self, unit: Unit) -> list[str]:
        """Names of what a manifest lists."""
        return [n for n in self._names(unit)
                if n not in (DONE, STATE) and not n.startswith(CHECKPOINT) and not n.endswith(".tmp")]

    def done(self, unit: Unit) -> Manifest | None:
        """The manifest of a unit whose files are all there with their sizes, else None: then the unit runs again. So
        does one in whose place another's files lie."""
        manifest = self._done(unit.key)
        return manifest if manifest is None or self._is_of(unit.key, self.read(f"{unit.key}/{CONFIG}")) else None

    def _is_of(self, key: str, config: bytes | None) -> bool:
        """Whether a configuration's file is that of the unit in whose place it lies; a damaged one may be."""
        try:
            if config is None or Unit.read(unsealed(json.loads(config))).key == key:
                return True
        except (ValueError, RecursionError):
            return True
        log.warning("%s/%s/%s/%s is of another unit; %s", self.uri, self.study, key, CONFIG, AGAIN)
        return False

    def done_units(self, tidy: bool = False) -> Iterator[tuple[Unit, Manifest]]:
        """Every unit that is done, with its manifest, in the order of their paths.

        tidy: remove the manifests of those whose configuration is damaged, and checkpoints that a worker left which was
        killed at its very end. Only a launch that holds the study may. Beside what a search stopped they stay: another
        version of the study may be training it to its end.
        """
        found = self._below(self._root, recursive=True)
        sizes = _sizes(found)
        leftovers: dict[str, list[str]] = {}
        for info in found:
            if info.base_name.startswith(CHECKPOINT):
                leftovers.setdefault(info.path.rpartition("/")[0], []).append(info.base_name)
        for path in sorted(info.path for info in found if info.base_name == DONE):
            key = "/".join(path.split("/")[-3:-1])
            manifest = self._done(key, sizes)
            if manifest is not None:
                try:
                    config = self._verified(key, CONFIG, manifest)
                except DamagedError as error:
                    if tidy:
                        self._discard(key, error)
                    continue
                if not self._is_of(key, config):
                    continue
                if tidy and manifest.status != PRUNED:
                    for left in leftovers.get(path.rpartition("/")[0], ()):
                        self.delete(f"{key}/{left}")
                yield Unit.read(json.loads(config)), manifest

    def discard_if_damaged(self, unit: Unit, manifest: Manifest) -> bool:
        """Remove the manifest of a unit of which a file has not its checksum, so that the unit runs again; whether."""
        try:
            for name in manifest.files:
                self._verified(unit.key, name, manifest)
        except DamagedError as error:
            self._discard(unit.key, error)
            return True
        return False

    def _discard(self, key: str, error: DamagedError) -> None:
        log.warning("%s", error)
        self.delete(f"{key}/{DONE}")

    def read_verified(self, unit: Unit, name: str, manifest: Manifest) -> bytes:
        """A file of a done unit. Raises DamagedError where its checksum is not the manifest's."""
        return self._verified(unit.key, name, manifest)

    def _done(self, key: str, sizes: Mapping[str, int] | None = None) -> Manifest | None:
        """sizes: of the files there, by their paths, where a listing has just told them: a request less for each."""
        found = self.read_json(f"{key}/{DONE}")  # raises what it cannot read: to train a unit again would be worse
        if found is None:
            return None
        try:
            manifest = Manifest.model_validate(unsealed(found))
        except ValueError:
            log.warning("%s of unit %s is no manifest; %s", DONE, key, AGAIN)
            return None
        paths = [self.path(f"{key}/{name}") for name in manifest.files]
        sizes = _sizes(self._found(paths)) if sizes is None else sizes
        for path, (name, file) in zip(paths, manifest.files.items(), strict=True):
            if sizes.get(path) != file.bytes:
                log.warning("%s of unit %s is missing or cut short; %s", name, key, AGAIN)
                return None
        return manifest

    def _verified(self, key: str, name: str, manifest: Manifest) -> bytes:
        payload = self.read(f"{key}/{name}")
        if payload is None or hashlib.sha256(payload).hexdigest() != manifest.files[name].sha256:
            raise DamagedError(f"{self.uri}/{self.study}/{key}/{name} is not what done.json says; {AGAIN}")
        return payload

    def _names(self, unit: Unit | Begun) -> list[str]:
        """File names in the unit's directory, sorted."""
        found = self._below(self.path(unit.key))
        return sorted(info.base_name for info in found if info.is_file)

    # Checkpoints: their checksum, then the payload; the last two are kept.

    def write_checkpoint(self, unit: Unit, update: int, payload: bytes) -> None:
        """Write the checkpoint of one update and remove all but the last two. Those of later updates go, too: the unit
        could not go on from them, and they would outlive what it does now."""
        newest = f"{CHECKPOINT}{update:09d}"
        self.write(f"{unit.key}/{newest}", hashlib.sha256(payload).digest() + payload)
        names = self._checkpoints(unit)
        kept = [name for name in names if name <= newest][-CHECKPOINTS_KEPT:]
        for name in names:
            if name not in kept:
                self.delete(f"{unit.key}/{name}")

    def latest_checkpoint(self, unit: Unit, say: Callable[[str], None] = log.warning) -> tuple[int, bytes] | None:
        """(update, payload) of the newest whole checkpoint; a damaged one is told and the one before it taken."""
        for name in reversed(self._checkpoints(unit)):
            stored = self.read(f"{unit.key}/{name}") or b""
            payload = stored[DIGEST_BYTES:]
            if hashlib.sha256(payload).digest() == stored[:DIGEST_BYTES]:
                return int(name.removeprefix(CHECKPOINT)), payload
            say(f"{name} is damaged")
        return None

    def drop_checkpoints(self, begun: Begun) -> None:
        """Remove all of a unit's: nobody will continue it."""
        for name in self._checkpoints(begun):
            self.delete(f"{begun.key}/{name}")

    def begun(self) -> Iterator[Begun]:
        """Units that have a checkpoint and are not done, in the order of their paths."""
        found = self._below(self._root, recursive=True)
        sizes = _sizes(found)
        newest = {info.path.rpartition("/")[0]: info for info in sorted(found, key=lambda info: info.path)
                  if info.base_name.startswith(CHECKPOINT) and info.base_name.removeprefix(CHECKPOINT).isdecimal()}
        done = {info.path.rpartition("/")[0] for info in found if info.base_name == DONE}
        for folder, info in newest.items():
            key = "/".join(folder.split("/")[-2:])
            if folder in done and (manifest := self._done(key, sizes)) is not None and self._is_over(manifest):
                continue
            config_hash, _, block = key.partition("/")
            with suppress(ValueError):  # no unit's place
                yield Begun(config_hash, block_seeds(block), self._configuration(key),
                            int(info.base_name.removeprefix(CHECKPOINT)), info.mtime.timestamp())

    def _configuration(self, key: str) -> Configuration | None:
        """Of a unit's config.json; None where that is damaged."""
        config = self.read_json(f"{key}/{CONFIG}")
        try:
            return Unit.read(unsealed(config)).configuration
        except ValueError:
            return None

    def _is_over(self, manifest: Manifest) -> bool:
        """Whether what lies beside a manifest is of no use: always, but where another version of the study stopped the
        unit. This one (the stamp's) may be training it to its end."""
        return manifest.status != PRUNED or manifest.study_version == self.stamp.get("study_version", "")

    def _checkpoints(self, unit: Unit | Begun) -> list[str]:
        return [name for name in self._names(unit) if name.startswith(CHECKPOINT) and not name.endswith(".tmp")]


def _file(payload: bytes) -> File:
    return File(sha256=hashlib.sha256(payload).hexdigest(), bytes=len(payload))


def _sizes(found: Iterable[Any]) -> dict[str, int]:
    """Path -> bytes, of the files of a listing."""
    return {info.path: info.size for info in found if info.is_file}
