"""The address of MLflow's store and of artifacts: which one is meant, and why none can have it. Asks no server."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

SERVER = ("http://", "https://")
POSSIBLE = (r"https?://[^/]+.*", r"sqlite(\+\w+)?:///(?!:memory:).+", r"databricks(://.*)?",
            r"(?!https?:|sqlite|file:|databricks)[a-z][\w+.-]+://.+")
MEANT = (  # what people write, and what they mean
    (r"([\w.-]+:\d+(?:/.*)?)", "http://{}"), (r"(https?):/?([^/].*)", "{}://{}"),
    (r"sqlite:/{0,2}([^/].*)", "sqlite:///{}"), (r"sqlite:[/:memory]*", "sqlite:///mlflow.db"),
    (r"(?:file:(?://)?)?(?:\./)?([^:]+\.db)", "sqlite:///{}"),
    (r"(?!databricks)(?:file:(?://)?)?(?:\./)?([^:]+?)/?", "sqlite:///{}/mlflow.db"))


def resolved(given: str | None) -> str:
    """The URI that is meant; of a page in a browser the server's, which is what stands before its `#`.

    given: None for MLFLOW_TRACKING_URI, where that is set and not empty, else mlflow.db in the working directory: also
    where an earlier MLflow left its ./mlruns, to which MLflow itself would turn though it can no longer write it.
    """
    uri = (os.environ.get("MLFLOW_TRACKING_URI", "") if given is None else given).strip()
    if given is None and not uri:
        return sqlite_uri(Path("mlflow.db").absolute())
    return uri.partition("#")[0].rstrip("/") if uri.startswith(SERVER) else uri


def sqlite_uri(path: Path) -> str:
    """The URI of an SQLite store; the letters that have a meaning in one are escaped."""
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite store; None of another one. Raises SQLAlchemy's ArgumentError for what is no URI."""
    from sqlalchemy.engine import make_url

    return Path(make_url(uri).database or "") if uri.startswith("sqlite") else None


def foreign(path: Path) -> str | None:
    """Why an SQLite file cannot be MLflow's, as one sentence: it holds another program's tables, to which MLflow would
    add its own. None where it may be; what is no database MLflow names itself."""
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            found = {name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return None
    if not found or "experiments" in found:
        return None
    return (f"{str(path)!r} is the database of another program (tables {', '.join(sorted(found)[:3])}), expected "
            "MLflow's, or a file that is not there yet")


def local_path(location: str) -> Path | None:
    """The path of an artifact location; None of one that is behind a server or in a bucket."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return None if ":/" in location else Path(location)


def problem(uri: str) -> str | None:
    """Why no store can have that URI, as one sentence; None where one may."""
    if any(re.fullmatch(form, uri) for form in POSSIBLE):
        return None
    near = next((words.format(*found.groups()) for form, words in MEANT if (found := re.fullmatch(form, uri))), "")
    return (f"tracking URI: found {uri!r}, expected a database such as sqlite:///mlflow.db or postgresql://..., or a "
            f"server's http(s)://HOST:PORT" + (f"; did you mean {near}?" if near else ""))
