"""Files of one study in its storage, a disk or a bucket: each written whole or not at all, read with patience."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

DEFAULT_STORAGE = "./runs"  # of every command
PAUSES = (0.2, 1.0, 3.0)  # seconds before another look at a disk
PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT)  # what a disk of the network says while its server starts again

T = TypeVar("T")
log = logging.getLogger(__name__)


class StorageError(Exception):
    """The storage cannot be used, or a file in it is damaged; the message is one sentence for the user."""


class Files:
    """Files below <storage>/<study>, by paths relative to it. Picklable: every worker gets a copy."""

    def __init__(self, uri: str, study: str, may_begin: bool = True) -> None:
        """uri: a path (made absolute here, since a worker has another working directory), s3://bucket/prefix, ...
        may_begin: whether to make the study's folder on a disk. A worker must not: where it is missing, the disk that
        all share is not mounted there, and what the worker made in its place nobody would find.

        Raises StorageError for a URI that pyarrow does not know, or that holds a password.
        """
        import pyarrow
        from pyarrow.fs import FileSystem, LocalFileSystem

        if not uri.strip():
            raise StorageError(f"--storage {uri!r}: expected a path or a URI such as s3://bucket/prefix")
        self.study, self._may_begin = study, may_begin
        self.uri = _absolute(uri)
        if re.match(r"\w+://[^/?]*:[^?]*@", self.uri):
            scheme = self.uri.partition(":")[0]
            raise StorageError(f"storage {scheme}://...: found a password in the URI, which MLflow keeps; expected it "
                               "in the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        try:
            self._fs, root = FileSystem.from_uri(_tuned(self.uri))
        except (pyarrow.ArrowException, OSError, UnicodeError) as error:  # a folder's name may be no text
            form = "; expected a path, or file:///absolute/path" if uri.startswith("file:") else ""
            raise StorageError(f"storage {uri!r} cannot be opened: {_one_line(error)}{form}") from error
        if self.uri.startswith(("s3://", "gs://", "gcs://")) and not root.strip("/"):
            raise StorageError(f"--storage {uri!r}: expected a bucket, such as s3://bucket/prefix")
        self.local = isinstance(self._fs, LocalFileSystem)  # a path of this machine or shared, not an object store
        self._root = f"{root.rstrip('/')}/{study}"

    @property
    def place(self) -> str:
        """The storage by a name that other machines understand: a path of this one goes with its host."""
        return self.uri if "://" in self.uri else f"{socket.gethostname()}:{self.uri}"

    @property
    def places(self) -> list[str]:
        """All names of a path, by which another launch may have called it: with file://, and without."""
        path = self.folder
        return [f"{socket.gethostname()}:{path}", path.as_uri(), f"file://{path}"] if self.local else [self.place]

    @property
    def folder(self) -> Path:
        """What holds the studies, as the file system names it: a file:// URI is decoded."""
        return Path(self._root.removesuffix(f"/{self.study}") or "/")

    def check_writable(self) -> None:
        """Write and remove a small file. Raises StorageError in one sentence."""
        probe = f".probe-{socket.gethostname()}-{os.getpid()}"
        self.write(probe, b"probe")  # an empty file fits onto a full disk
        self.delete(probe)

    def path(self, path: str) -> str:
        """A path below the study, as its file system names it."""
        return f"{self._root}/{path}"

    @contextmanager
    def named(self, problem: str) -> Iterator[None]:
        """What goes wrong in the block is a StorageError that names the storage and the problem."""
        import pyarrow

        try:
            yield
        except (OSError, pyarrow.ArrowException) as error:
            raise StorageError(f"storage {self.uri!r} {problem}: {_one_line(error)}") from error

    # Files: whole or not at all.

    def write(self, path: str, payload: bytes) -> None:
        """Local: a temporary file, then os.replace. Object store: one put, which is whole by itself."""
        target = self.path(path)
        with self.named("is not writable"):
            if not self.local:
                if not self.uri.startswith("s3://"):  # which has no folders: five requests for nothing
                    self._fs.create_dir(target.rpartition("/")[0], recursive=True)
                with self._fs.open_output_stream(target) as stream:
                    stream.write(payload)
                return
            if not self._may_begin and not os.path.isdir(self._root):
                raise FileNotFoundError(errno.ENOENT, f"{self._root} is missing on {socket.gethostname()}, where the "
                                                      "launch had made it; is its disk mounted there?")
            temporary = f"{target}.{os.getpid()}.tmp"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            try:
                with open(temporary, "wb") as file:
                    file.write(payload)
                os.replace(temporary, target)
            except OSError:  # on a full disk what was written takes room
                with suppress(OSError):
                    os.unlink(temporary)
                raise

    def read(self, path: str) -> bytes | None:
        """The file's bytes, or None where there is none."""
        def read() -> bytes | None:
            try:
                with self._fs.open_input_stream(self.path(path), compression=None) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

        with self.named(f"cannot be read: {path}"):
            return self._patiently(read)

    def _found(self, what: Any) -> list[Any]:
        """pyarrow's FileInfo of paths, or of what a FileSelector selects."""
        with self.named("cannot be read"):
            return self._patiently(lambda: list(self._fs.get_file_info(what)))

    def _below(self, folder: str, recursive: bool = False) -> list[Any]:
        """FileInfo of what lies in a folder; none where it is not there."""
        from pyarrow.fs import FileSelector

        return self._found(FileSelector(folder, recursive=recursive, allow_not_found=True))

    def _patiently(self, read: Callable[[], T]) -> T:
        """Read, some times more where a disk of the network was away for a moment; pyarrow does so for a bucket."""
        for pause in PAUSES if self.local else ():
            try:
                return read()
            except OSError as error:
                if error.errno not in PASSING:
                    raise
            time.sleep(pause)
        return read()

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        with self.named("is not writable"):
            try:
                self._fs.delete_file(self.path(path))
            except FileNotFoundError:
                pass

    def write_json(self, path: str, value: Any) -> None:
        """`value` as readable JSON. Raises ValueError for NaN or inf: JSON has neither."""
        self.write(path, json.dumps(value, indent=1, allow_nan=False).encode())

    def read_json(self, path: str) -> Any:
        """The value, or None where there is no file or a damaged one, which is logged: whoever reads makes it again."""
        payload = self.read(path)
        try:
            return None if payload is None else json.loads(payload)
        except (ValueError, RecursionError) as error:
            log.warning("%s/%s/%s is damaged; a launch makes it again: %s", self.uri, self.study, path,
                        _one_line(error))
            return None


def _absolute(uri: str) -> str:
    """A URI without a slash at its end, or a path made absolute. Raises StorageError for what is neither."""
    if found := re.match(r"(file|s3|gs|gcs|hdfs|abfss?):(?!//)/?(.+)", uri):
        near = uri.removeprefix("file:") if found[1] == "file" else f"{found[1]}://{found[2]}"
        raise StorageError(f"--storage {uri!r}: found a URI without //, expected a path or a URI such as "
                           f"s3://bucket/prefix; did you mean {near}?")
    if "://" in uri:
        return uri.rstrip("/") if uri.rstrip("/").partition("://")[2] else uri
    try:
        return str(Path(uri).expanduser().absolute())
    except RuntimeError as error:  # ~name of nobody
        raise StorageError(f"--storage {uri!r}: {_one_line(error)} (expected a path such as ~/runs)") from error


def _tuned(uri: str) -> str:
    """With pyarrow's option for a bucket. S3: a small file is one request, not the three of an upload in parts. Google:
    seconds, not minutes, until a request is given up, as without credentials."""
    google = "retry_limit_seconds=20"
    option = {"s3": "allow_delayed_open=true", "gs": google, "gcs": google}.get(uri.partition("://")[0], "")
    if not option or option.partition("=")[0] in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{option}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]} ..."
