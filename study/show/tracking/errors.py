"""What goes wrong with MLflow, as one sentence for a person."""

from __future__ import annotations

import functools
import re
import shlex
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from study.schema.address import sqlite_path
from study.show.redaction import redacted

TRANSIENT = frozenset({408, 409, 429, *range(500, 600)})  # HTTP statuses after which a request may succeed later
REASON = 300  # characters of what MLflow says
AUTOFLUSH = ("(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block if this "
             "flush is occurring prematurely)")

P = ParamSpec("P")
T = TypeVar("T")


class TrackingError(Exception):
    """The tracking store cannot be used; one sentence. Nothing is lost: storage remembers, a relaunch shows it.

    away: it does not answer, or its answer is that it cannot now; else it refuses what it was asked. A password in the
    message, such as the URI's, is left out.
    """

    def __init__(self, message: str, away: bool = False) -> None:
        super().__init__(redacted(message))
        self.away = away


def named(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A method of an Experiment that raises TrackingError for what MLflow, its database or a missing driver raises."""
    @functools.wraps(method)
    def wrapper(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return method(self, *args, **kwargs)
        except (MlflowException, RequestException, SQLAlchemyError, ImportError, OSError,
                sqlite3.Error) as error:
            raise TrackingError(f"MLflow at {self.uri}{_reason(error, self.uri)}", _status(error) in TRANSIENT
                                ) from error
    return wrapper


def _reason(error: Exception, uri: str) -> str:
    """What its text says, in one line without the statement or the objects that failed; behind `MLflow at <uri>`."""
    from requests import ConnectionError as NoConnection

    text = redacted(" ".join(str(error).split()).partition(" [SQL: ")[0]).partition(" (Background on this error ")[0]
    text = text.removeprefix(AUTOFLUSH).strip()
    errno = re.search(r"\[Errno -?\d+\] ([\w ,]+)", text)
    schema = re.search(r"found version (\w+), but expected|Can't locate revision identified by '(\w+)'", text)
    if isinstance(error, NoConnection) or "Max retries exceeded" in text:
        return f" does not answer ({errno[1].strip() if errno else text[:100]})"
    if "readonly database" in text and (path := sqlite_path(uri)) and not path.exists():
        return " is no longer there"
    if "disk image is malformed" in text or "file is not a database" in text:
        return (f" is damaged, or no database ({text.rpartition(') ')[2]}): with that file moved away the same command "
                "shows all that is finished in a new one")
    if schema and schema[1] != "None":
        return _other_release(schema[1] or schema[2], uri)
    if "not in a valid JSON" in text:
        return " does not answer like an MLflow server (not in JSON)"
    if page := re.search(r"error code (\d+) .*Response body: '?\s*<", text):
        return f" does not answer like an MLflow server ({page[1]}, with a page)"
    return f": {text if len(text) <= REASON else text[:REASON].rpartition(' ')[0] + ' ...'}"


def _other_release(revision: str, uri: str) -> str:
    """What to do with a store whose schema is not the installed MLflow's: only an earlier one can be upgraded."""
    import mlflow
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    here = mlflow.__version__
    try:
        ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations")).get_revision(revision)
    except CommandError:
        return (f" is the store of a newer MLflow, which the installed {here} cannot open; name another store, such as "
                f"--tracking-uri sqlite:///mlflow-{here}.db: a relaunch shows there all that is finished")
    return (f" is the store of an earlier MLflow than the installed {here}; copy it, then upgrade it: "
            f"mlflow db upgrade {shlex.quote(uri)}")


def _status(error: Exception) -> int:
    """The HTTP status that an error stands for; 500 where no server said one, as for a lost connection."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())
    return int(getattr(getattr(error, "response", None), "status_code", 500))
